//! The files as written: plain structs, filled without thinking. Every blank key is absent here.
//!
//! `sources`, `storages`, `store` and the like are [`Apart`]: each of their entries is read on its
//! own, so that one that is wrong does not hide the next. The keys of a kind of source or storage
//! stand in its own file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::{Secret, Size, Span};
use crate::config::compress::Compress;
use crate::config::incremental::Incremental;

/// `main`: settings of the whole program.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Main {
    /// Who this server is; stands in every manifest and tells its copies from those of others.
    pub server_name: String,
    /// Names that this server had before; their copies count as its own.
    #[serde(default)]
    pub formerly: Vec<String>,
    /// The log file.
    pub log_file: Option<PathBuf>,
    /// Another spelling of `log_file`.
    pub log_file_name: Option<PathBuf>,
    /// How lines of the log look.
    pub log_format: Option<LogFormat>,
    /// When a new log file begins; the date then stands behind its name. By default never.
    pub log_rotation: Option<LogRotation>,
    /// How many log files are kept where they rotate; by default 30.
    pub log_keep: Option<u32>,
    /// Whether lines also go to the journal of systemd, with their job as a field; by default they
    /// do where standard error leads there.
    pub journald: Option<bool>,
    /// Where locks, journals and the memory of runs lie; by default /var/lib/nxs-backup.
    pub state_dir: Option<PathBuf>,
    /// How long to wait while another run goes on; by default not at all.
    pub lock_wait: Option<Span>,
    /// The old spelling of `lock_wait`.
    pub loop_timeout: Option<Span>,
    /// Without effect: waiting needs no interval.
    pub loop_interval: Option<Span>,
    /// Limits for every job.
    pub limits: Option<Limits>,
    /// Storages that jobs use by `storage_name`.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub storage_connects: Apart,
    /// Settings below every job's own.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub defaults: Apart,
    /// Who gets mail about errors.
    #[serde(default)]
    pub admin_mail: Vec<String>,
    /// Who else gets mail: about errors, or the whole log of every run; see `level_message`.
    #[serde(default)]
    pub client_mail: Vec<String>,
    /// The sender of mail; a `smtp_user` that is an address wins.
    pub mail_from: Option<String>,
    /// What `client_mail` gets; by default errors.
    pub level_message: Option<LevelMessage>,
    /// The mail server; without one `sendmail` is called.
    pub smtp_server: Option<String>,
    /// Its port; by default 465 with `smtp_ssl`, else 25.
    pub smtp_port: Option<u16>,
    /// TLS from the first byte.
    pub smtp_ssl: Option<bool>,
    /// TLS by STARTTLS; a server that offers none gets nothing.
    pub smtp_tls: Option<bool>,
    /// Login at the mail server.
    pub smtp_user: Option<String>,
    /// Its password.
    pub smtp_password: Option<Secret>,
    /// How long one try to send may take; by default 10 s.
    pub smtp_timeout: Option<Span>,
    /// Certificates to trust beside the system's.
    pub smtp_ca_file: Option<PathBuf>,
    /// MB/s that are read from each disk, by a control group; where there is none, and from what
    /// is no file, like `limits: {disk: N MB}` of every job that sets none.
    pub block_io_read: Option<u64>,
    /// MB/s that are written to each `local` storage that has no limit of its own.
    pub block_io_write: Option<u64>,
    /// Weight at the disks, 10 to 1000, where 500 is the usual one, by a control group; beside it,
    /// below 500 like `limits: {ionice: low}`, below 100 `idle`.
    pub blkio_weight: Option<u32>,
    /// Without effect: sources and storages are limited themselves, not a device.
    pub general_path_to_all_tmp_dir: Option<PathBuf>,
    /// `limits: {cpu_shares: N}` of every job that sets none.
    pub cpu_shares: Option<u32>,
    /// Who else is told how a run went: webhooks, chats, health checks, more mail.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub notify: Apart,
    /// The database of runs (without effect yet).
    pub catalogue: Option<String>,
    /// Where figures for Prometheus go.
    pub metrics: Option<Metrics>,
    /// Definitions of jobs by their names; jobs use one as `template: NAME` with `parameters`.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub templates: Apart,
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `LEVEL [job] [time]: text`.
    Text,
    /// One JSON object a line.
    Json,
}

/// When a new log file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogRotation {
    /// Never: one file that grows, or that logrotate takes care of.
    Never,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
}

/// Where figures for Prometheus go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// A file of the textfile collector of node_exporter, as an absolute path that ends in `.prom`.
    pub textfile: Option<PathBuf>,
}

/// The keys that every entry of `notify` may have.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// What it is: `webhook`, `slack`, `mail` …
    pub kind: Option<String>,
    /// What it is called in messages; by default its kind. What waits for it lies under this name.
    pub name: Option<String>,
    /// `no` switches it off.
    pub enable: Option<bool>,
    /// How often it is told; by default after each run.
    pub send: Option<SendWhen>,
    /// What is less bad is not told: `error` (default for each run and changes), `warning`, `info`
    /// (default for `daily`).
    pub level: Option<NotifyLevel>,
    /// The hour of a `daily` message by the local clock; by default 07:00.
    pub at: Option<String>,
    /// Mail brings the whole log of the run along.
    pub with_log: Option<bool>,
    /// How long one try may take; by default 10 s.
    pub timeout: Option<Span>,
    /// How often a try that was not taken is made again; by default 2, at most 10.
    pub retries: Option<u32>,
}

/// How often somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendWhen {
    /// After each run.
    PerRun,
    /// When a job that went well fails, or goes well again.
    OnChange,
    /// Once a day, of all runs since the last time.
    Daily,
}

/// What somebody is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotifyLevel {
    /// What failed.
    #[serde(alias = "err")]
    Error,
    /// That, and what should be looked at.
    #[serde(alias = "warn")]
    Warning,
    /// Every run.
    #[serde(alias = "inf", alias = "debug")]
    Info,
}

/// What `client_mail` gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LevelMessage {
    /// Errors only.
    Error,
    /// The whole log.
    Info,
    /// The whole log.
    Debug,
}

/// Limits of a job or a storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes a second to and from each storage; 0 for none.
    pub net: Option<Size>,
    /// Bytes a second that are read from the source, all targets of a job together; 0 for none.
    pub disk: Option<Size>,
    /// Niceness of the program and its tools while the job runs: 0 to 19.
    pub nice: Option<u8>,
    /// Priority at the disk while the job runs.
    pub ionice: Option<IoNice>,
    /// Share of the processor against 1024 of any other program, 2 to 262144; 0 for the usual one.
    /// By a control group, else by niceness.
    pub cpu_shares: Option<u32>,
}

/// Priority at the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IoNice {
    /// Only when nobody else wants the disk.
    Idle,
    /// After everybody else of the usual class.
    Low,
    /// As the program was started.
    Normal,
}

/// The keys that every job may have.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name, once in a config.
    pub job: String,
    /// The definition of `main.templates` that it takes what it does not say from.
    pub template: Option<String>,
    /// What `${NAME}` in the template stands for.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub parameters: Apart,
    /// What kind of source it has.
    #[serde(rename = "type")]
    pub kind: String,
    /// `no` switches it off.
    pub enable: Option<bool>,
    /// Names that this job had before; their copies count as its own.
    #[serde(default)]
    pub formerly: Vec<String>,
    /// Words to pick jobs by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where temporary files go.
    pub tmp_dir: Option<PathBuf>,
    /// The old spelling of `compress: gzip`, for sources that say nothing.
    pub gzip: Option<bool>,
    /// How artefacts are compressed.
    pub compress: Option<Compress>,
    /// What is checked after an upload.
    pub verify: Option<Verify>,
    /// The largest object that is written; what is longer is cut.
    pub split: Option<Size>,
    /// The stream also goes through a file in `tmp_dir`, so that the source waits for no storage
    /// and a slow storage holds up no fast one.
    pub spool: Option<bool>,
    /// How many targets of a source are backed up at the same time; 1 unless set.
    pub parallel: Option<u32>,
    /// The job is stopped after this long; 0 for never.
    pub job_timeout: Option<Span>,
    /// Whether every storage must hold the copy.
    pub require: Option<Require>,
    /// When old copies go.
    pub rotation: Option<Rotation>,
    /// The old spelling of `rotation: after`.
    pub safety_backup: Option<bool>,
    /// Rotation never goes below this many copies.
    pub min_copies: Option<u32>,
    /// How increments build on one another: `calendar`, or levels.
    pub incremental: Option<Incremental>,
    /// Increments by the calendar: this month and so many before it stay; 12 stands for the 11
    /// before it, as in 2.x.
    pub inc_months_to_store: Option<u32>,
    /// Increments by levels: so many of the newest chains stay.
    pub keep_chains: Option<u32>,
    /// Increments by levels: a chain stays until its newest copy is older than so many days.
    pub keep_chain_days: Option<u32>,
    /// How long a storage may stay silent; 0 for ever.
    pub timeout: Option<Span>,
    /// How often a call to a storage is tried again.
    pub retries: Option<u32>,
    /// Limits for every storage of the job.
    pub limits: Option<Limits>,
    /// Commands around its work.
    pub hooks: Option<Hooks>,
    /// What it reads.
    #[serde(default)]
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub sources: Apart,
    /// Where it stores.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    #[serde(default)]
    pub storages: Apart,
}

/// Commands around the work of a job: lines for the shell, one or a list of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Before everything; if it fails, nothing is dumped and nothing rotated.
    #[serde(default)]
    pub before: Vec<String>,
    /// After everything, whatever came of it.
    #[serde(default)]
    pub after: Vec<String>,
    /// After trouble, before `after`.
    #[serde(default)]
    pub on_error: Vec<String>,
    /// Before a restore; if it fails, nothing is brought back.
    #[serde(default)]
    pub before_restore: Vec<String>,
    /// After a restore, whatever came of it.
    #[serde(default)]
    pub after_restore: Vec<String>,
    /// The same around each target.
    pub per_target: Option<TargetHooks>,
    /// How long each line may take; by default an hour, 0 for ever.
    pub timeout: Option<Span>,
}

/// Commands around the work on each target.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetHooks {
    /// Before it is read; if it fails, this target is not dumped.
    #[serde(default)]
    pub before: Vec<String>,
    /// After it, whatever came of it.
    #[serde(default)]
    pub after: Vec<String>,
    /// After trouble with it, before `after`.
    #[serde(default)]
    pub on_error: Vec<String>,
    /// Before it is brought back; if it fails, it is not.
    #[serde(default)]
    pub before_restore: Vec<String>,
    /// After it was brought back, whatever came of it.
    #[serde(default)]
    pub after_restore: Vec<String>,
}

/// The keys that every source may have.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its name, which becomes a folder on the storages.
    pub name: Option<String>,
    /// The old spelling of `compress: gzip`.
    pub gzip: Option<bool>,
    /// How its artefacts are compressed; wins over any `gzip`.
    pub compress: Option<Compress>,
    /// How long a program or server may give nothing while it is read; by default an hour, 0 for
    /// ever. Not for files.
    pub timeout: Option<Span>,
}

/// The keys that every storage of a job may have.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// Its kind.
    pub storage: Option<String>,
    /// The storage of `main.storage_connects` that is meant.
    pub storage_name: Option<String>,
    /// What it is called in reports.
    pub name: Option<String>,
    /// `no` switches it off.
    pub enable: Option<bool>,
    /// How many copies it keeps.
    #[serde(default)]
    #[schemars(with = "Store")]
    pub store: Apart,
    /// When old copies go.
    pub rotation: Option<Rotation>,
    /// The old spelling of `rotation: after`.
    pub safety_backup: Option<bool>,
    /// Rotation never goes below this many copies.
    pub min_copies: Option<u32>,
    /// How long it may stay silent; 0 for ever.
    pub timeout: Option<Span>,
    /// How often a call is tried again.
    pub retries: Option<u32>,
    /// Its limits.
    pub limits: Option<Limits>,
    /// Several servers store here: the server's name becomes a folder.
    pub shared: Option<bool>,
}

/// `store`: how many copies of each level are kept; 0 or nothing switches a level off.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Daily copies.
    pub days: Option<u32>,
    /// Weekly copies.
    pub weeks: Option<u32>,
    /// Monthly copies.
    pub months: Option<u32>,
    /// The old spelling of `months`.
    pub month: Option<u32>,
    /// The newest copies of all levels.
    pub last: Option<u32>,
}

/// When old copies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// At most one before the new copy is stored, the rest after.
    Before,
    /// All after the new copy is stored and verified.
    After,
    /// Never.
    None,
}

/// What is checked after an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Nothing but the storage's own answers.
    None,
    /// Every object is there with the right size.
    List,
    /// Every byte is read back.
    Full,
}

/// When a target counts as backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Every storage holds it.
    All,
    /// One storage holds it.
    Any,
}

/// A part of the tree that is read on its own.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Apart;

impl<'de> Deserialize<'de> for Apart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
