//! What a run achieved and what not: outcomes as facts, for people and for the exit code.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::{ArtefactId, Key, Rank, Warnings};

/// The outcome of one `start`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// `main.server_name`.
    pub server_name: String,
    /// The jobs in the order in which they ran.
    pub jobs: Vec<JobReport>,
    /// What failed outside any job: a log file that cannot be written.
    pub errors: Vec<String>,
    /// What happened outside any job: leftovers of a dead run that were removed.
    pub notes: Vec<String>,
    /// Whether somebody asked to stop.
    pub interrupted: bool,
}

/// The outcome of one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobReport {
    /// The job's name.
    pub job: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Its targets in order.
    pub targets: Vec<TargetReport>,
    /// What failed outside any target: a source, a glob without a match, a config error.
    pub errors: Vec<String>,
    /// What should be looked at.
    pub warnings: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Its hooks, in the order in which they ran.
    #[serde(default)]
    pub hooks: Vec<HookReport>,
}

/// The outcome of one line of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Which hook: `before`, `per_target.after`.
    pub hook: String,
    /// Which of its lines, from 1.
    pub line: usize,
    /// How long it took.
    pub took: Duration,
    /// Why it failed; nothing where it went well.
    pub error: Option<String>,
}

/// The outcome of one target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TargetReport {
    /// The source's name, where it has one.
    pub source: Option<String>,
    /// The target, escaped by [`crate::base::text`].
    pub target: String,
    /// Bytes before compression, once known.
    pub raw_bytes: Option<u64>,
    /// Members of a tree, once known.
    pub files: Option<u64>,
    /// What its newest copy before this run was, where there is one.
    #[serde(default)]
    pub before: Option<Before>,
    /// What is far from the last runs, in words: size, number of files, duration.
    #[serde(default)]
    pub anomalies: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// What each storage did.
    pub places: Vec<PlaceReport>,
    /// What failed before any storage was reached.
    pub errors: Vec<String>,
    /// Files that are missing or may be torn.
    pub warnings: Warnings,
    /// Its hooks, in the order in which they ran.
    #[serde(default)]
    pub hooks: Vec<HookReport>,
}

/// The newest copy of a target before a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Members of a tree.
    pub files: Option<u64>,
    /// How long it took, where it says so.
    pub took: Option<Duration>,
}

/// The outcome of one target on one storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlaceReport {
    /// The storage's name.
    pub place: String,
    /// What came of it.
    pub outcome: PlaceOutcome,
    /// Copies that rotation removed: key and reason.
    pub removed: Vec<String>,
    /// Whole copies of the target that are there now, where that is known.
    #[serde(default)]
    pub copies: Option<u64>,
    /// What failed after the copy was safe: a rotation, a sweep.
    pub errors: Vec<String>,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// What came of one put.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaceOutcome {
    /// A backup exists there now.
    Stored(Stored),
    /// Nothing was due; the reason.
    Skipped(String),
    /// There is no new backup there, and the one on another storage is enough (`require: any`);
    /// the reason.
    Missed(String),
    /// There is no new backup there; the reason.
    Failed(String),
}

/// A backup that exists now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// Its id.
    pub id: ArtefactId,
    /// Its first object.
    pub key: Key,
    /// Its level.
    pub level: Rank,
    /// Its size there.
    pub stored_bytes: u64,
    /// Whether it is much smaller than the last ones.
    pub shrunken: bool,
}

/// The sum of a report: the exit code says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was asked was done.
    Done,
    /// Nothing of it was achieved.
    Nothing,
    /// Something was achieved and something failed.
    Partly,
    /// Somebody asked to stop.
    Interrupted,
}

impl Report {
    /// Sums up.
    pub fn verdict(&self) -> Verdict {
        let failed = !self.errors.is_empty() || self.jobs.iter().any(JobReport::has_failure);
        let stored = self.jobs.iter().any(JobReport::has_success);
        match (self.interrupted, failed, stored) {
            (true, ..) => Verdict::Interrupted,
            (_, false, _) => Verdict::Done,
            (_, true, true) => Verdict::Partly,
            (_, true, false) => Verdict::Nothing,
        }
    }
}

impl JobReport {
    /// Begins the report of a job.
    pub fn start(job: &str, kind: &str, started: Timestamp) -> Self {
        Self {
            job: job.to_owned(),
            kind: kind.to_owned(),
            started,
            took: Duration::ZERO,
            targets: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
            notes: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// Tells whether anything that was asked for failed.
    pub fn has_failure(&self) -> bool {
        !self.errors.is_empty() || self.targets.iter().any(TargetReport::has_failure)
    }

    /// Tells whether there is anything that should be looked at, though nothing failed for it.
    pub fn has_warning(&self) -> bool {
        !self.warnings.is_empty() || self.targets.iter().any(TargetReport::has_warning)
    }

    /// Tells whether anything was achieved; a storage with nothing due counts.
    pub fn has_success(&self) -> bool {
        self.targets.iter().any(TargetReport::has_success)
    }
}

impl TargetReport {
    /// Tells whether a file, a storage or a rotation failed.
    pub fn has_failure(&self) -> bool {
        let place = |place: &PlaceReport| {
            matches!(place.outcome, PlaceOutcome::Failed(_)) || !place.errors.is_empty()
        };
        !self.errors.is_empty() || self.warnings.is_partial() || self.places.iter().any(place)
    }

    /// Tells whether a file, a size or a storage should be looked at.
    pub fn has_warning(&self) -> bool {
        let files = &self.warnings;
        let torn = !files.changed.is_empty() || !files.vanished.is_empty();
        let place = |place: &PlaceReport| !place.warnings.is_empty();
        torn || !self.anomalies.is_empty() || self.places.iter().any(place)
    }

    /// Tells whether a backup exists now that did not before, or none was due.
    pub fn has_success(&self) -> bool {
        self.places.iter().any(|place| !matches!(place.outcome, PlaceOutcome::Failed(_)))
    }
}
