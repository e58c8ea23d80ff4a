//! Names of runs and artefacts that are never used twice.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One execution of one job.
///
/// Shape: `YYYYMMDDTHHMMSSZ-xxxxxxxx`, the start in UTC and eight hex digits that differ
/// between runs, processes and hosts. Sorts by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// Makes the id of a run of `job` that starts at `started`.
    pub fn new(started: Timestamp, server_name: &str, job: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut hash = blake3::Hasher::new();
        hash.update(server_name.as_bytes()).update(&[0]).update(job.as_bytes());
        hash.update(&std::process::id().to_le_bytes());
        hash.update(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        hash.update(&Timestamp::now().as_nanosecond().to_le_bytes());
        let hex = hash.finalize().to_hex();
        Self(format!("{}-{}", started.strftime("%Y%m%dT%H%M%SZ"), &hex[..8]))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One target's bytes from one run: the same id means the same bytes on every storage.
///
/// Shape: `<run id>-<number of the target>`, the number counts from 1 within the run; increments
/// add the number of their group of storages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtefactId(String);

impl ArtefactId {
    /// Makes the id of the run's `number`-th target.
    pub fn new(run: &RunId, number: usize) -> Self {
        Self(format!("{run}-{number}"))
    }

    /// Makes the id of what the storages of the `group`-th group get of a target, from 1: those
    /// of one group build on the same copy.
    pub fn of_group(run: &RunId, number: usize, group: usize) -> Self {
        Self(format!("{run}-{number}-{group}"))
    }

    /// Takes an id as a user or a file spells it.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArtefactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_differ() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let (a, b) = (RunId::new(now, "web1", "db"), RunId::new(now, "web1", "db"));
        assert_ne!(a, b);
        assert!(a.to_string().starts_with("20231114T221320Z-"), "{a}");
        assert_eq!(ArtefactId::new(&a, 2).to_string(), format!("{a}-2"));
    }
}
