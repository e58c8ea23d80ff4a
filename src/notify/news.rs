//! What is told: one run or several, with their logs.

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use crate::notify::Log;
use crate::report::{Report, Verdict};

/// How bad news are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// All went well.
    Info,
    /// All was done, and something should be looked at.
    Warning,
    /// Something that was asked for failed.
    Error,
}

impl Severity {
    /// Returns how bad a report is.
    pub fn of(report: &Report) -> Self {
        match report.verdict() {
            Verdict::Done if report.jobs.iter().any(|job| job.has_warning()) => Self::Warning,
            Verdict::Done => Self::Info,
            Verdict::Nothing | Verdict::Partly | Verdict::Interrupted => Self::Error,
        }
    }

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One run, as it is told and as it waits in `state_dir` until it was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Tells it from every other run.
    pub id: String,
    /// When the run had ended.
    pub at: Timestamp,
    /// What came of it.
    pub report: Report,
    /// Its log.
    #[serde(default)]
    pub log: Log,
    /// Where the whole log is.
    #[serde(default)]
    pub log_file: Option<String>,
    /// Why it comes late.
    #[serde(default)]
    pub late: Option<Late>,
}

/// What happened when a report was to be sent before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Why it was not sent.
    pub why: String,
    /// It may have arrived all the same.
    pub may_have_arrived: bool,
}

impl Told {
    /// Tells what came of a run that ended at `now`.
    pub fn new(report: Report, log: Log, log_file: Option<String>, now: &Zoned) -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        let id = format!("{nanos:x}-{:x}", std::process::id());
        Self { id, at: now.timestamp(), report, log, log_file, late: None }
    }

    /// Returns how bad it is.
    pub fn severity(&self) -> Severity {
        Severity::of(&self.report)
    }
}

/// One message.
#[derive(Clone, Debug)]
pub struct News {
    /// `main.server_name`.
    pub server: String,
    /// Why there is a message.
    pub occasion: Occasion,
    /// The moment of sending; its zone is the one of all times in the message.
    pub now: Zoned,
    /// The runs, oldest first.
    pub told: Vec<Told>,
    /// The logs go along.
    pub with_log: bool,
    /// Nothing has run since then, though it is time to tell of what ran.
    pub silent_since: Option<Timestamp>,
}

/// Why there is a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A run begins.
    Start,
    /// A run has ended.
    Run,
    /// It is the hour to tell of all runs since the last time.
    Digest,
    /// Somebody wants to see whether messages arrive.
    Test,
}

impl News {
    /// Returns how bad the worst of it is.
    pub fn severity(&self) -> Severity {
        let empty = if self.silent_since.is_some() { Severity::Error } else { Severity::Info };
        self.told.iter().map(Told::severity).max().unwrap_or(empty)
    }

    /// Returns what tells this message from every other one, the same in every try to send it.
    pub fn id(&self) -> String {
        match self.told.last() {
            Some(told) => told.id.clone(),
            None => format!("{:x}", self.now.timestamp().as_nanosecond()),
        }
    }
}
