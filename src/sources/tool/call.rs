//! One call of a program: what it is told, and what comes of what it prints.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::pipe::fcntl_setpipe_size;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdout, Command};

use crate::base::{BoxError, KIB, MIB, chain};
use crate::sources::tool::running::Running;
use crate::sources::{Error, Kind, Result, Setting};
use crate::stream::{self, ByteStream, Dump, DumpFacts, Feeder, Pending};

/// A program, its arguments and its environment.
///
/// Secrets go by [`Call::env`] or by a file in a [`super::PrivateFolder`], never by an argument.
#[derive(Clone)]
pub struct Call {
    pub(super) subject: String,
    program: PathBuf,
    called: Option<String>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    hidden: BTreeSet<String>,
    folder: Option<PathBuf>,
    silence: Option<Duration>,
    may_leave: bool,
}

/// The end of what a program printed, for those who judge whether it is whole.
#[derive(Debug, Default)]
pub struct Last {
    /// The last 4 KiB of its output, or all where that is shorter.
    pub stdout: Vec<u8>,
    /// The last lines of its stderr.
    pub stderr: Vec<String>,
    /// How much it printed.
    pub bytes: u64,
}

impl Call {
    /// Prepares a call of `program` for `subject`, a target or a source as the user knows it.
    pub fn new(program: &Path, subject: &str, setting: &Setting<'_>) -> Self {
        Self {
            subject: subject.to_owned(),
            program: program.to_owned(),
            called: None,
            args: Vec::new(),
            env: vec![("LC_ALL".into(), "C.UTF-8".into())],
            hidden: setting.secret_env.clone(),
            folder: None,
            silence: setting.silence,
            may_leave: false,
        }
    }

    /// Adds an argument; everybody on the machine can read it.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment, which only its user and root can read.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Says whom it is for: `subject` stands in front of its errors.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = subject.to_owned();
        self
    }

    /// Sets several variables, as [`Call::env`] does.
    #[must_use]
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |call, (name, value)| call.env(name, value))
    }

    /// Names it in errors and in the log by what it is for, not by its program: a line of the
    /// config is not the shell that runs it.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.called = Some(name.to_owned());
        self
    }

    /// Says how long it may give nothing; `None` for ever.
    #[must_use]
    pub fn silence(mut self, silence: Option<Duration>) -> Self {
        self.silence = silence;
        self
    }

    /// Lets it speak the language of its user: its output is not ours to read.
    #[must_use]
    pub(super) fn in_its_language(mut self) -> Self {
        self.env.clear();
        self
    }

    /// Lets what it starts outlive it, such as a service: its own end is its end. Not for a dump,
    /// whose last bytes may come from what it has started.
    #[must_use]
    pub(super) fn may_leave(mut self) -> Self {
        self.may_leave = true;
        self
    }

    /// Starts it in `folder`.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Starts it; its output is a dump once it has ended well and `judge` finds the end of it good.
    ///
    /// Must be called inside a tokio runtime. When nobody reads the dump any more the program is
    /// ended.
    ///
    /// Errors: when it cannot be started. Everything later breaks the stream, with its last words.
    pub fn dump(
        self,
        judge: impl FnOnce(&Last) -> std::result::Result<DumpFacts, String> + Send + 'static,
    ) -> Result<Dump> {
        let (mut running, stdout) = self.start()?;
        let (feeder, bytes) = ByteStream::channel(DEPTH);
        let (promise, facts) = Pending::new();
        tokio::spawn(async move {
            let done = tokio::select! {
                () = feeder.closed() => None,
                done = self.pump(&mut running, stdout, &feeder) => Some(done),
            };
            let judged = match done {
                None => return running.end().await,
                Some(Ok(last)) => judge(&last).map_err(|why| self.failure(why, None)),
                Some(Err(error)) => Err(error),
            };
            match judged {
                Ok(facts) => {
                    promise.keep(facts);
                    feeder.finish().await.ok();
                }
                Err(error) => {
                    running.end().await;
                    feeder.fail(stream::Error::new(error)).await;
                }
            }
        });
        Ok(Dump { bytes, facts })
    }

    /// Runs it to its end and gives all that it printed, at most 64 MiB.
    ///
    /// Errors: [`Kind::Tool`] when it does not start, does not end well, or not within `limit`.
    pub async fn output(self, limit: Duration) -> Result<Bytes> {
        let slow = self.failure(format!("did not end within {} s", limit.as_secs()), None);
        let (subject, name) = (self.subject.clone(), self.name());
        let dump = self.dump(|_| Ok(DumpFacts::default()))?;
        match tokio::time::timeout(limit, dump.bytes.collect(MOST_OUTPUT)).await {
            Err(_) => Err(slow),
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => {
                let problem = match error.reason::<Error>() {
                    Some(own) => own.problem.clone(),
                    None => format!("{name}: {}", chain(&error)),
                };
                Err(Error { kind: Kind::Tool, subject, problem, source: None })
            }
        }
    }

    /// The command, its output and its stderr piped, without input.
    fn start(&self) -> Result<(Running, ChildStdout)> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.not_started(error))?;
        let stdout = child.stdout.take().expect("its output is piped");
        fcntl_setpipe_size(&stdout, MIB).ok();
        Ok((Running::new(child, &self.name()), stdout))
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        for name in &self.hidden {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Hands over what it prints, then waits for its end.
    async fn pump(
        &self,
        running: &mut Running,
        mut stdout: ChildStdout,
        feeder: &Feeder,
    ) -> Result<Last> {
        let (mut last, mut buffer) = (Last::default(), BytesMut::new());
        loop {
            if buffer.capacity() < SMALLEST_READ {
                buffer.reserve(CHUNK);
            }
            let read = async {
                tokio::select! {
                    biased;
                    read = stdout.read_buf(&mut buffer) => read,
                    // What goes on behind its back may keep the output open.
                    () = running.left(), if self.may_leave => Ok(0),
                }
            };
            let read = match self.silence {
                None => read.await,
                Some(silence) => match tokio::time::timeout(silence, read).await {
                    Ok(read) => read,
                    Err(_) => return Err(self.silent(silence, running).await),
                },
            };
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(self.failure("could not be read", Some(error.into()))),
            }
            let chunk = buffer.split().freeze();
            last.add(&chunk);
            if feeder.send(chunk).await.is_err() {
                return Err(self.failure("was stopped: nobody reads it any more", None));
            }
        }
        // One that has closed its output and does not end is silent, too.
        let waited = match self.silence {
            None => running.wait().await,
            Some(silence) => match tokio::time::timeout(silence, running.wait()).await {
                Ok(waited) => waited,
                Err(_) => return Err(self.silent(silence, running).await),
            },
        };
        let (status, stderr) =
            waited.map_err(|error| self.failure("could not be waited for", Some(error.into())))?;
        self.good_end(status, &stderr)?;
        Ok(Last { stderr, ..last })
    }

    async fn silent(&self, silence: Duration, running: &mut Running) -> Error {
        running.end().await;
        let words = quoted(&running.last_words().await);
        let problem = format!(
            "gave nothing for {} s and was ended: is something locked? {} sets how long to \
             wait{words}",
            silence.as_secs(),
            if self.called.is_some() { "`dump_timeout`" } else { "the source's `timeout`" },
        );
        self.failure(problem, None)
    }

    /// Errors: exit codes other than 0 and signals, with the last words.
    pub(super) fn good_end(&self, status: ExitStatus, stderr: &[String]) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        Err(self.failure(format!("failed ({status}){}", quoted(stderr)), None))
    }

    pub(super) fn not_started(&self, error: std::io::Error) -> Error {
        self.failure("could not be started", Some(error.into()))
    }

    /// An error that begins with the name of the program.
    pub(super) fn failure(&self, problem: impl Into<String>, source: Option<BoxError>) -> Error {
        let problem = format!("{} {}", self.name(), problem.into());
        Error { kind: Kind::Tool, subject: self.subject.clone(), problem, source }
    }

    pub(super) fn name(&self) -> String {
        if let Some(name) = &self.called {
            return name.clone();
        }
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

impl Last {
    fn add(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        let keep = TAIL.saturating_sub(chunk.len()).min(self.stdout.len());
        self.stdout.drain(..self.stdout.len() - keep);
        self.stdout.extend_from_slice(&chunk[chunk.len().saturating_sub(TAIL)..]);
    }
}

/// Judges by an end mark: one of `marks` must stand in the last 4 KiB of the output.
pub fn ends_with_mark(last: &Last, marks: &[&str]) -> std::result::Result<(), String> {
    let text = String::from_utf8_lossy(&last.stdout);
    if marks.iter().any(|mark| text.contains(mark)) {
        return Ok(());
    }
    let (bytes, mark) = (last.bytes, marks.join("' or '"));
    Err(format!(
        "ended without its end mark '{mark}' after {bytes} bytes: the dump is not whole{}",
        quoted(&last.stderr)
    ))
}

/// The last words of a program, as the end of a sentence.
fn quoted(stderr: &[String]) -> String {
    let last = &stderr[stderr.len().saturating_sub(QUOTED_LINES)..];
    match last {
        [] => ", without a word".to_owned(),
        lines => {
            let lines: Vec<_> = lines.iter().map(|line| shortened(line)).collect();
            format!(": {}", lines.join("; "))
        }
    }
}

/// A tool may dump a damaged page, and with it content, in one line.
fn shortened(line: &str) -> String {
    match line.char_indices().nth(LONGEST_QUOTED) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// Chunks that wait: with [`CHUNK`] at most 1 MiB for each program.
const DEPTH: usize = 4;
const CHUNK: usize = 256 * KIB;
const SMALLEST_READ: usize = 16 * KIB;
const TAIL: usize = 4 * KIB;
const QUOTED_LINES: usize = 5;
const LONGEST_QUOTED: usize = 300;
const MOST_OUTPUT: usize = 64 * MIB;
