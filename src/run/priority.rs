//! How willingly the program gives way while a job runs: a control group of its own where one can
//! be had, else its niceness; its priority at the disk; of all its threads. Tools that it starts
//! inherit all of it.

use rustix::process::{Pid, getpriority_process, setpriority_process};
use tracing::{debug, info, warn};

use crate::cgroup::{Group, Refused, Roots, Wishes};
use crate::plan::{IoNice, Limits};
use crate::stream::Bucket;

/// Holds the priorities of a job; gives the former ones back with its end, as far as the system
/// lets it: raising a priority takes root.
pub(crate) struct Priority {
    /// The niceness before, where it is another now.
    nice: Option<i32>,
    /// The class at the disk before, where it is another now.
    ionice: Option<Class>,
    group: Option<Group>,
}

/// A class of priorities at the disk, as the options of `ionice`.
type Class = Vec<String>;

impl Priority {
    /// Lowers the priorities as `limits` say; one line in the log says what holds, and by what.
    pub(crate) async fn lower(limits: &Limits) -> Self {
        let before = getpriority_process(None).unwrap_or(0);
        let group = group(limits);
        let in_group = group.as_ref().and_then(|group| group.as_ref().ok());
        let nice = limits.niceness(in_group.is_some_and(Group::has_cpu));
        let is_nicer = nice.filter(|nice| *nice > before);
        if let Some(nice) = is_nicer
            && let Err(error) = set_nice(nice)
        {
            warn!("niceness {nice} cannot be set: {error}");
        }
        let (has_ionice, ionice) = match limits.ionice {
            None => (false, None),
            Some(class) => lower_class(class).await,
        };
        let nice = nice.map(|nice| nice.max(before));
        if let Some(line) = line(&group, &own_means(limits, in_group, nice, has_ionice)) {
            info!("held back by {line}");
        }
        Self { nice: is_nicer.map(|_| before), ionice, group: group.and_then(Result::ok) }
    }

    /// Returns the limits on what is read from `path`, the root of a tree; without one, on what a
    /// program or a server gives.
    pub(crate) fn on_reads<'a>(
        &self,
        limits: &'a Limits,
        path: Option<&std::path::Path>,
    ) -> impl Iterator<Item = &'a Bucket> {
        let by_group = self.group.as_ref().zip(path);
        let by_group =
            by_group.is_some_and(|(group, path)| group.limits_reads_of(path, &Roots::default()));
        limits.disk.iter().chain(limits.read.iter().filter(move |_| !by_group))
    }

    /// Gives the former priorities back.
    pub(crate) async fn restore(self) {
        // Who may not raise it stays nicer until the end of the program; `lower` reckons with that.
        if let Some(before) = self.nice
            && let Err(error) = set_nice(before)
        {
            debug!("niceness {before} cannot be set again: {error}");
        }
        if let Some(before) = self.ionice {
            let before: Vec<_> = before.iter().map(String::as_str).collect();
            set_ionice(&before).await;
        }
        if let Some(mut group) = self.group
            && let Err(why) = group.leave()
        {
            warn!("the control group of this run stays for now: {why}");
        }
    }
}

/// Makes this program, with all that it starts from now on, batch work to the kernel, unless whoever
/// started it has chosen something else: a thread that a piece of data wakes then waits for its
/// turn, and does not interrupt the server or tool that is about to write the next piece.
///
/// By the program `chrt`: there is no safe call for it. Without it all is as it was.
pub fn as_batch() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let policy = stat.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(38));
    if policy != Some(USUAL_POLICY) {
        return;
    }
    let id = std::process::id().to_string();
    let done = std::process::Command::new("chrt").args(["--batch", "--pid", "0", &id]).output();
    match done {
        Ok(output) if output.status.success() => {}
        Ok(output) => debug!("chrt: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => debug!("chrt: {error}"),
    }
}

/// `SCHED_OTHER`, as `/proc` shows it.
const USUAL_POLICY: &str = "0";

/// Tries to get a group, where something is wished for that it could do.
fn group(limits: &Limits) -> Option<Result<Group, Refused>> {
    let wishes = Wishes {
        cpu_shares: limits.cpu_shares,
        blkio_weight: limits.blkio_weight,
        read: limits.read.as_ref().map(Bucket::rate),
        write: limits.write,
    };
    (!wishes.is_empty()).then(|| Group::enter(&wishes, &Roots::default()))
}

fn line(group: &Option<Result<Group, Refused>>, own: &str) -> Option<String> {
    match (group, own) {
        (None, "") => None,
        (None, own) => Some(format!("our own means: {own}")),
        (Some(Ok(group)), "") => Some(format!("the control group {}", group.words())),
        (Some(Ok(group)), own) => {
            Some(format!("the control group {}; by our own means: {own}", group.words()))
        }
        (Some(Err(why)), "") => Some(format!("nothing; no control group: {why}")),
        (Some(Err(why)), own) => Some(format!("our own means: {own}; no control group: {why}")),
    }
}

fn own_means(limits: &Limits, group: Option<&Group>, nice: Option<i32>, ionice: bool) -> String {
    let bytes = |bucket: &Bucket| format!("{} bytes a second read", bucket.rate());
    let disk = limits.disk.as_ref().map(bytes);
    let read = limits.read.as_ref().map(bytes).map(|read| {
        let some = group.is_some_and(Group::has_reads);
        if some { format!("{read} where it is no file on these disks") } else { read }
    });
    let write =
        limits.write.map(|rate| format!("{rate} bytes a second written to a local storage"));
    let nice = nice.map(|nice| format!("nice {nice}"));
    let ionice = ionice.then(|| match limits.ionice {
        Some(IoNice::Idle) => "disk when idle".to_owned(),
        _ => "disk with low priority".to_owned(),
    });
    [disk, read, write, nice, ionice].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn class_of(class: IoNice) -> &'static [&'static str] {
    match class {
        IoNice::Low => &["-c", "2", "-n", "7"],
        IoNice::Idle => &["-c", "3"],
    }
}

/// Each thread has a niceness of its own; one that begins later takes that of its maker.
fn set_nice(nice: i32) -> rustix::io::Result<()> {
    for thread in threads() {
        match setpriority_process(Some(thread), nice) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lowers the priority at the disk, unless it is lower already. Tells whether it is as low as that
/// now, and what it was if it is another.
async fn lower_class(class: IoNice) -> (bool, Option<Class>) {
    let before = present_class().await;
    let is_idle = before.as_ref().is_some_and(|before| *before == class_of(IoNice::Idle));
    if is_idle && class == IoNice::Low {
        return (true, None);
    }
    let is_set = set_ionice(class_of(class)).await;
    let before = before.unwrap_or_else(|| vec!["-c".to_owned(), "0".to_owned()]);
    (is_set, is_set.then_some(before))
}

/// Asks what the priority at the disk is; `None` if nobody tells.
async fn present_class() -> Option<Class> {
    let id = std::process::id().to_string();
    let output = tokio::process::Command::new("ionice").args(["-p", &id]).output().await.ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (class, level) = match said.trim().split_once(": prio ") {
        Some((class, level)) => (class, Some(level.to_owned())),
        None => (said.trim(), None),
    };
    let (class, level) = match class {
        "idle" => ("3", None),
        "best-effort" => ("2", level),
        "realtime" => ("1", level),
        _ => ("0", None),
    };
    let level = level.map(|level| ["-n".to_owned(), level]);
    Some(["-c", class].map(str::to_owned).into_iter().chain(level.into_iter().flatten()).collect())
}

/// By the program `ionice`: there is no safe call for it.
async fn set_ionice(class: &[&str]) -> bool {
    let threads = threads().into_iter().map(|thread| thread.as_raw_nonzero().to_string());
    let output =
        tokio::process::Command::new("ionice").args(class).arg("-p").args(threads).output();
    match output.await {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            warn!("the priority at the disk cannot be set: {}", said.trim());
            false
        }
        Err(error) => {
            warn!("the priority at the disk cannot be set, the program ionice is missing: {error}");
            false
        }
    }
}

fn threads() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(Pid::from_raw).collect()
}
