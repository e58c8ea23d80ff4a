//! A look at what everybody on the machine can see of a run: the arguments of its processes.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Runs `command` to its end and gives every command line that was to be seen meanwhile.
pub(crate) fn watched(mut command: Command) -> (Output, BTreeSet<String>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                seen.extend(all());
                thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        let output = command.output();
        over.store(true, Ordering::Relaxed);
        (output.unwrap(), watcher.join().unwrap())
    })
}

/// Every command line of the machine now, its words with blanks between them.
pub(crate) fn all() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned())
    })
}
