//! How willingly the program gives way while a job runs: a control group of its own where one can
//! be had, else its niceness; its priority at the disk; of all its threads. Tools that it starts
//! inherit all of it.

use rustix::process::{Pid, getpriority_process, setpriority_process};
use tracing::{info, warn};

use crate::cgroup::{Group, Refused, Roots, Wishes};
use crate::plan::{IoNice, Limits};
use crate::stream::Bucket;

/// Holds the priorities of a job; gives the former ones back with its end, as far as the system
/// lets it: raising a priority takes root.
pub(crate) struct Priority {
    nice: Option<i32>,
    ionice: bool,
    group: Option<Group>,
}

impl Priority {
    /// Lowers the priorities as `limits` say; one line in the log says what holds, and by what.
    pub(crate) async fn lower(limits: &Limits) -> Self {
        let before = getpriority_process(None).unwrap_or(0);
        let group = group(limits);
        let in_group = group.as_ref().and_then(|group| group.as_ref().ok());
        let nice = limits.niceness(in_group.is_some_and(Group::has_cpu));
        let nice = nice.filter(|nice| *nice > before);
        if let Some(nice) = nice {
            set_nice(nice);
        }
        let ionice = match limits.ionice {
            None => false,
            Some(class) => set_ionice(class_of(class)).await,
        };
        if let Some(line) = line(&group, &own_means(limits, in_group, nice, ionice)) {
            info!("held back by {line}");
        }
        Self { nice: nice.map(|_| before), ionice, group: group.and_then(Result::ok) }
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
        if let Some(before) = self.nice {
            set_nice(before);
        }
        if self.ionice {
            set_ionice(&["-c", "0"]).await;
        }
        if let Some(mut group) = self.group
            && let Err(why) = group.leave()
        {
            warn!("the control group of this run stays for now: {why}");
        }
    }
}

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
fn set_nice(nice: i32) {
    for thread in threads() {
        match setpriority_process(Some(thread), nice) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return warn!("niceness {nice} cannot be set: {error}"),
        }
    }
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
