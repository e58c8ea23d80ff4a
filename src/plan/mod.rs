//! What the program will do, resolved once from the config: nothing after this room looks at
//! YAML, environment or defaults. Resolving dials nobody.

mod hooks;
mod increments;
mod job;
mod layers;
mod limits;
mod notices;
mod place;
mod resolve;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::notify::Channel;
use crate::retention::{ChainKeep, Policy, Scheme};
use crate::sources::Source;
use crate::sources::tool::Tool;
use crate::storages::Storage;
use crate::stream::{Bucket, Compression};

pub use crate::base::Group;
pub use crate::config::raw::LogRotation;
pub use hooks::{Hook, HookSet, Hooks};
pub use notices::{Alarm, alarm};
pub use resolve::{Fetch, Survey, group_of, problems, resolve, survey};

/// Everything that a config asks for.
pub struct Plan {
    /// Settings of the whole program.
    pub main: Main,
    /// The jobs, in config order, whole ones and broken ones.
    pub jobs: Vec<Entry>,
    /// Environment variables that secrets came from: children must not inherit them.
    pub secret_env: BTreeSet<String>,
}

/// A job of the config, or why it cannot be one.
pub enum Entry {
    /// It can run.
    Job(Box<Job>),
    /// It cannot; the others can.
    Broken(Broken),
}

impl Entry {
    /// Returns the job's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Job(job) => &job.name,
            Self::Broken(broken) => &broken.name,
        }
    }

    /// Returns the group it runs in, where its type is known.
    pub fn group(&self) -> Option<Group> {
        match self {
            Self::Job(job) => Some(job.group),
            Self::Broken(broken) => broken.group,
        }
    }

    /// Returns the job, if it cannot run.
    pub fn as_broken(&self) -> Option<&Broken> {
        match self {
            Self::Job(_) => None,
            Self::Broken(broken) => Some(broken),
        }
    }

    /// Tells whether it is on.
    pub fn is_enabled(&self) -> bool {
        match self {
            Self::Job(job) => job.enabled,
            Self::Broken(broken) => broken.enabled,
        }
    }

    /// Returns the programs that its sources call, as far as they can be read.
    pub fn tools(&self) -> Vec<Tool> {
        match self {
            Self::Job(job) => job.tools(),
            Self::Broken(broken) => broken.tools.clone(),
        }
    }

    /// Returns the job, if it can run.
    pub fn as_job(&self) -> Option<&Job> {
        match self {
            Self::Job(job) => Some(job),
            Self::Broken(_) => None,
        }
    }
}

/// A job with errors in its config.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its name, as far as there is one.
    pub name: String,
    /// Its type as written.
    pub kind: String,
    /// The group it would run in, where its type is known.
    pub group: Option<Group>,
    /// `enable: no` stands in its config: it would not have run anyway.
    pub enabled: bool,
    /// What is wrong: rendered problems with file, line, column and snippet.
    pub problems: Vec<String>,
    /// The programs that its sources call, as far as they can be read.
    pub tools: Vec<Tool>,
}

/// Settings of the whole program.
#[derive(Clone, Debug)]
pub struct Main {
    /// Who we are on shared storages.
    pub server_name: String,
    /// Names that this server had before.
    pub formerly: Vec<String>,
    /// Where locks, journals and memory of runs lie.
    pub state_dir: PathBuf,
    /// How long to wait for another run.
    pub lock_wait: Duration,
    /// The log file, when there is one.
    pub log_file: Option<PathBuf>,
    /// Write the log as JSON lines.
    pub log_json: bool,
    /// When a new log file begins; `None`: never.
    pub log_rotation: Option<LogRotation>,
    /// How many log files are kept where they rotate.
    pub log_keep: u32,
    /// Whether the journal of systemd gets the log; `None`: where standard error leads there.
    pub journald: Option<bool>,
    /// The file for Prometheus, when there is one.
    pub textfile: Option<PathBuf>,
    /// Who is told how a run went.
    pub notify: Vec<Channel>,
    /// Things in the config that have no effect, in words with file and line.
    pub notes: Vec<String>,
}

#[cfg(test)]
impl Main {
    /// Settings to start from.
    pub(crate) fn for_tests() -> Self {
        Self {
            server_name: "web1".into(),
            formerly: Vec::new(),
            state_dir: PathBuf::from("/nonexistent"),
            lock_wait: Duration::ZERO,
            log_file: None,
            log_json: false,
            log_rotation: None,
            log_keep: 30,
            journald: None,
            textfile: None,
            notify: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// A job that can run.
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its type, as the config spells it canonically: `desc_files`.
    pub kind: &'static str,
    /// The group it runs in.
    pub group: Group,
    /// `enable: no` makes it `false`: the job is skipped, and that is said.
    pub enabled: bool,
    /// Names that this job had before.
    pub formerly: Vec<String>,
    /// What it reads, in config order.
    pub sources: Vec<JobSource>,
    /// Where it stores, in config order; only enabled ones.
    pub places: Vec<Place>,
    /// What is checked after an upload.
    pub verify: Verify,
    /// How its copies build on one another; nothing where each stands alone.
    pub increments: Option<Increments>,
    /// The largest object that is written; a stream that is longer is cut into segments.
    pub split: Option<u64>,
    /// Whether the stream goes through a file, so that the source waits for no storage.
    pub spool: bool,
    /// Whether one good copy is enough for success.
    pub require: Require,
    /// How many targets of a source are backed up at the same time.
    pub parallel: usize,
    /// How it holds itself back.
    pub limits: Limits,
    /// The job is stopped after this long.
    pub timeout: Option<Duration>,
    /// Where temporary files go.
    pub tmp_dir: PathBuf,
    /// Words to pick jobs by.
    pub tags: Vec<String>,
    /// Things in its config that are worth a word, with file and line.
    pub notes: Vec<String>,
    /// Commands around its work.
    pub hooks: Hooks,
}

impl Job {
    /// Returns the programs that its sources call.
    pub fn tools(&self) -> Vec<Tool> {
        self.sources.iter().flat_map(|source| source.tools.iter().copied()).collect()
    }
}

/// How the copies of a job build on one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Increments {
    /// Which copy the next one builds on.
    pub scheme: Scheme,
    /// Months that are kept before this one.
    pub months: u32,
    /// The newest chains that are kept.
    pub keep_chains: Option<u32>,
    /// Chains stay while a copy of them is not older than this.
    pub keep_chain_days: Option<u32>,
    /// Reads every file and compares digests, whatever times say.
    pub force_read: bool,
}

impl Increments {
    /// Returns what `place` keeps.
    pub fn keep(&self, place: &Place) -> ChainKeep {
        ChainKeep {
            months: self.months,
            chains: self.keep_chains,
            days: self.keep_chain_days,
            min_copies: place.policy.min_copies,
            rotation: place.policy.rotation,
        }
    }
}

/// How a job holds itself back, beside the limits of its storages.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Bytes a second that are read from its sources; all its targets share it.
    pub disk: Option<Bucket>,
    /// Bytes a second that are read from disks: by a control group, else as `disk`.
    pub read: Option<Bucket>,
    /// Bytes a second that are written to disks: each `local` storage holds to it by itself.
    pub write: Option<u64>,
    /// Niceness of the program and its tools, as written; see [`Limits::niceness`].
    pub nice: Option<i32>,
    /// Priority at the disk.
    pub ionice: Option<IoNice>,
    /// Share of the processor, where 1024 is the usual one.
    pub cpu_shares: Option<u32>,
    /// Weight at the disks for a control group, where 500 is the usual one.
    pub blkio_weight: Option<u32>,
}

/// Priority at the disk, lower than the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoNice {
    /// After everybody else of the usual class.
    Low,
    /// Only when nobody else wants the disk.
    Idle,
}

/// One entry of a job's `sources`.
pub struct JobSource {
    /// Its `name:`, else what it connects to: a part of its copies' identity.
    pub name: Option<String>,
    /// The folder of its own on the storages: its `name:`, and in a job with several database
    /// sources what it connects to.
    pub folder: Option<String>,
    /// The programs that it calls.
    pub tools: Vec<Tool>,
    /// What reads it.
    pub source: Box<dyn Source>,
    /// How its artefacts are compressed.
    pub compression: Compression,
}

/// A storage with its layers, its folder and its rotation.
pub struct Place {
    /// What it is called: its name, else its kind, with a number when that is not unique.
    pub name: String,
    /// Its kind: `local`.
    pub kind: &'static str,
    /// Where it is, for people: a path or a URL without secrets.
    pub location: String,
    /// The storage, rooted at `backup_dir`, with its layers around it.
    pub storage: Arc<dyn Storage>,
    /// How many bytes its largest object may have; a longer artefact becomes several.
    pub largest_object: Option<u64>,
    /// What it keeps.
    pub policy: Policy,
    /// Whether several servers share the folder: `server_name` becomes a folder.
    pub shared: bool,
    /// Tells this folder from every other one: kind, address and `backup_dir`, hashed.
    pub fingerprint: String,
}

/// What is checked after an upload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Nothing but the storage's own answers.
    None,
    /// Every object is there with the right size.
    #[default]
    List,
    /// Every byte is read back against the digest.
    Full,
}

/// When a target counts as backed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Require {
    /// Every storage holds it; one that does not is a failure.
    #[default]
    All,
    /// One storage holds it; another that does not is a warning.
    Any,
}
