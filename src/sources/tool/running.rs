//! A program while it runs: the head of a process group that ends with this value.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZero;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, Span};

/// A child process with all that it starts.
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
    stderr: Option<JoinHandle<VecDeque<String>>>,
    /// When the head was seen to have ended.
    ended: Option<Instant>,
}

impl Running {
    /// Watches over `child`, which leads a group of its own; its stderr goes to the log line by
    /// line, with `name` in front.
    pub(super) fn new(mut child: Child, name: &str) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        groups().extend(group.map(Pid::as_raw_nonzero));
        let stderr = child.stderr.take();
        // The log tells whose lines these are: they belong to the job that calls.
        let stderr = stderr
            .map(|pipe| tokio::spawn(listen(pipe, name.to_owned()).instrument(Span::current())));
        Self { child, group, stderr, ended: None }
    }

    /// Waits for its end and gives its last words, the last of them last.
    pub(super) async fn wait(&mut self) -> std::io::Result<(ExitStatus, Vec<String>)> {
        let status = self.child.wait().await?;
        self.forget();
        Ok((status, self.last_words().await))
    }

    /// Ends some time after the program itself: what it has left running may go on.
    pub(super) async fn left(&mut self) {
        let ended = match self.ended {
            Some(ended) => ended,
            None => {
                self.child.wait().await.ok();
                *self.ended.insert(Instant::now())
            }
        };
        sleep_until(ended + PATIENCE).await;
    }

    /// What it has said so far; a grandchild that keeps its stderr open is not waited for.
    pub(super) async fn last_words(&mut self) -> Vec<String> {
        let Some(mut stderr) = self.stderr.take() else { return Vec::new() };
        match tokio::time::timeout(PATIENCE, &mut stderr).await {
            Ok(lines) => lines.unwrap_or_default().into(),
            Err(_) => {
                stderr.abort();
                Vec::new()
            }
        }
    }

    /// Ends the whole group: politely, then by force.
    pub(super) async fn end(&mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.kill();
            self.child.wait().await.ok();
        }
        self.forget();
    }

    fn forget(&self) {
        if let Some(group) = self.group {
            groups().remove(&group.as_raw_nonzero());
        }
    }

    /// Ends the whole group by force; what it was reading must not look complete to it.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A group without a living member is no group any more: nothing else can be hit, as long
        // as the head was not waited for.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
        self.forget();
    }
}

/// Ends by force everything that is called now: for a process that is about to exit without
/// dropping anything, so that no tool takes the end of its input for the end of the data.
pub fn kill_all() {
    for group in std::mem::take(&mut *groups()) {
        if let Some(group) = Pid::from_raw(group.get()) {
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// The groups whose heads were not waited for.
fn groups() -> MutexGuard<'static, BTreeSet<NonZero<i32>>> {
    static GROUPS: Mutex<BTreeSet<NonZero<i32>>> = Mutex::new(BTreeSet::new());
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes each line to the log and keeps the last ones.
async fn listen(pipe: ChildStderr, name: String) -> VecDeque<String> {
    let (mut reader, mut lines) = (BufReader::new(pipe), VecDeque::new());
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return lines;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        tracing::info!("{name}: {}", crate::base::display(line));
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_LINE: u64 = 4 << 10;
/// How many lines of stderr are kept: the last words stand at the end.
const LAST_LINES: usize = 100;
