//! How willingly the program gives way while a job runs: its niceness and its priority at the disk,
//! of all its threads; tools that it starts inherit both.

use rustix::process::{Pid, getpriority_process, setpriority_process};
use tracing::{info, warn};

use crate::plan::{IoNice, Limits};

/// Holds the priorities of a job; gives the former ones back with its end, as far as the system
/// lets it: raising a priority takes root.
pub(crate) struct Priority {
    nice: Option<i32>,
    ionice: bool,
}

impl Priority {
    /// Lowers the priorities as `limits` say; one line in the log says what holds.
    pub(crate) async fn lower(limits: &Limits) -> Self {
        let before = getpriority_process(None).unwrap_or(0);
        let nice = limits.nice.filter(|nice| *nice > before);
        if let Some(nice) = nice {
            set_nice(nice);
        }
        let ionice = match limits.ionice {
            None => false,
            Some(class) => set_ionice(class_of(class)).await,
        };
        if limits.disk.is_some() || nice.is_some() || ionice {
            info!("held back by our own means: {}", words(limits, nice, ionice));
        }
        Self { nice: nice.map(|_| before), ionice }
    }

    /// Gives the former priorities back.
    pub(crate) async fn restore(self) {
        if let Some(before) = self.nice {
            set_nice(before);
        }
        if self.ionice {
            set_ionice(&["-c", "0"]).await;
        }
    }
}

fn words(limits: &Limits, nice: Option<i32>, ionice: bool) -> String {
    let disk = limits.disk.as_ref().map(|bucket| format!("{} bytes a second read", bucket.rate()));
    let nice = nice.map(|nice| format!("nice {nice}"));
    let ionice = ionice.then(|| match limits.ionice {
        Some(IoNice::Idle) => "disk when idle".to_owned(),
        _ => "disk with low priority".to_owned(),
    });
    [disk, nice, ionice].into_iter().flatten().collect::<Vec<_>>().join(", ")
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
