//! Things that can be backed up: one trait, one file a kind, and the list of kinds.
//!
//! A source names its targets and opens them. It never meets a storage, a date or a rotation. A
//! new kind is its file with its `Config`, and four lines here: `mod`, variant, row and arm.

mod back;
/// What any command prints.
pub mod command;
/// The file that a script makes and names in its answer.
pub mod external;
/// Files and folders, whole.
pub mod files;
mod form;
mod grow;
/// Collections, databases or a whole server of MongoDB, as archives of mongodump.
pub mod mongodb;
/// Databases of MariaDB and MySQL servers, each as one SQL dump.
pub mod mysql;
/// A whole MariaDB or MySQL server as its files, by mariadb-backup or xtrabackup.
pub mod mysql_xtrabackup;
mod occasion;
/// Databases of a PostgreSQL server, each as one dump, and its globals.
pub mod postgresql;
/// A whole PostgreSQL cluster as its files.
pub mod postgresql_basebackup;
/// A whole Redis or Valkey server as an RDB file.
pub mod redis;
/// SQLite files in use, by the online backup of SQLite.
pub mod sqlite;
/// Programs that sources call.
pub mod tool;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{BoxError, Group, Plugin, Wrong, text};
use crate::stream::Payload;

pub use back::{Back, Loader, Preparer, Stored};
pub use files::Files;
pub use grow::Grow;
pub use occasion::Occasion;

use tool::Tool;

/// A source as the config describes it: one variant a type, called as in [`Config::KINDS`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Config {
    /// Files and folders, whole.
    DescFiles(files::Config),
    /// Files and folders, what changed.
    IncFiles(files::Config),
    /// Databases of MariaDB and MySQL servers, each as one SQL dump.
    Mysql(mysql::Config),
    /// A whole MariaDB or MySQL server as its files, by mariadb-backup or xtrabackup.
    MysqlXtrabackup(mysql_xtrabackup::Config),
    /// Databases of a PostgreSQL server, each as one dump, and its globals.
    Postgresql(postgresql::Config),
    /// A whole PostgreSQL cluster as its files.
    PostgresqlBasebackup(postgresql_basebackup::Config),
    /// Collections, databases or a whole server of MongoDB, as archives of mongodump.
    Mongodb(mongodb::Config),
    /// A whole Redis or Valkey server as an RDB file.
    Redis(redis::Config),
    /// SQLite files in use, by the online backup of SQLite.
    Sqlite(sqlite::Config),
    /// The file that a script makes and names in its answer.
    External(external::Config),
    /// What any command prints.
    Command(command::Config),
}

impl Config {
    /// The types that are built, with their other spellings and the group they run in; one whose
    /// keys stand on the job itself, without `sources`, is `.on_job()`.
    pub const KINDS: &'static [Plugin] = &[
        Plugin::source("desc_files", &[], Group::Files, files::Config::json_schema)
            .sample(include_str!("files/sample.yaml")),
        Plugin::source("inc_files", &[], Group::Files, files::Config::json_schema)
            .in_chains()
            .sample(include_str!("files/sample.yaml")),
        Plugin::source("mysql", &[], Group::Databases, mysql::Config::json_schema)
            .sample(include_str!("mysql/sample.yaml")),
        Plugin::source(
            "mysql_xtrabackup",
            &["mysql_xtradb", "mariabackup", "mariadb_backup"],
            Group::Databases,
            mysql_xtrabackup::Config::json_schema,
        )
        .may_chain()
        .sample(include_str!("mysql_xtrabackup/sample.yaml")),
        Plugin::source("postgresql", &[], Group::Databases, postgresql::Config::json_schema)
            .sample(include_str!("postgresql/sample.yaml")),
        Plugin::source(
            "postgresql_basebackup",
            &["postgresql_hot"],
            Group::Databases,
            postgresql_basebackup::Config::json_schema,
        )
        .sample(include_str!("postgresql_basebackup/sample.yaml")),
        Plugin::source("mongodb", &[], Group::Databases, mongodb::Config::json_schema)
            .sample(include_str!("mongodb/sample.yaml")),
        Plugin::source("redis", &[], Group::Databases, redis::Config::json_schema)
            .sample(include_str!("redis/sample.yaml")),
        Plugin::source("sqlite", &[], Group::Databases, sqlite::Config::json_schema)
            .sample(include_str!("sqlite/sample.yaml")),
        Plugin::source("external", &[], Group::External, external::Config::json_schema)
            .on_job()
            .sample(include_str!("external/sample.yaml")),
        Plugin::source("command", &[], Group::External, command::Config::json_schema)
            .on_job()
            .sample(include_str!("command/sample.yaml")),
    ];

    /// Returns what the type says of itself.
    pub fn section(&self) -> &dyn Section {
        match self {
            Self::DescFiles(files) | Self::IncFiles(files) => files,
            Self::Mysql(mysql) => mysql,
            Self::MysqlXtrabackup(mysql_xtrabackup) => mysql_xtrabackup,
            Self::Postgresql(postgresql) => postgresql,
            Self::PostgresqlBasebackup(postgresql_basebackup) => postgresql_basebackup,
            Self::Mongodb(mongodb) => mongodb,
            Self::Redis(redis) => redis,
            Self::Sqlite(sqlite) => sqlite,
            Self::External(external) => external,
            Self::Command(command) => command,
        }
    }
}

/// What the `Config` of a type says of itself: plain serde fields, spelled as in 2.x with
/// aliases, without `flatten`, which would lose the places of keys. Doc comments are the schema's
/// descriptions.
pub trait Section {
    /// Says what is wrong beyond the types of the values. What was not fetched is
    /// [`crate::base::PENDING`]: only a check of several keys together must leave it out.
    fn problems(&self) -> Vec<Wrong>;
    /// Returns what it connects to after defaults, `host:port`, a socket or a file: its name where
    /// it has no `name:`. Nothing for files, whose paths tell them apart.
    fn address(&self) -> Option<String>;
    /// Returns the programs that it calls.
    fn tools(&self) -> Vec<Tool>;
    /// Returns its targets as written: of two sources without a `name` that share one, both would
    /// store it in the same folder.
    fn wanted(&self) -> Vec<String>;
    /// Makes the source; nothing is read or dialled before its first call.
    ///
    /// Errors: what only its construction can find, beyond [`Self::problems`].
    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>>;
}

/// What a source is told of the job that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The job's name.
    pub job: &'a str,
    /// The `name:` of the source, else its address.
    pub name: Option<&'a str>,
    /// Where temporary files go.
    pub tmp_dir: &'a Path,
    /// Where a note may lie that the next run needs after a kill.
    pub state_dir: &'a Path,
    /// Environment variables that secrets came from: children must not inherit them.
    pub secret_env: &'a BTreeSet<String>,
    /// How long a program may give nothing while it is waited for; `None` for ever.
    pub silence: Option<Duration>,
}

/// Something that can be backed up: a server, a set of folders, a script.
#[async_trait]
pub trait Source: Send + Sync {
    /// Names what there is to back up now, in a stable order.
    ///
    /// Errors: only when nothing at all can be said; a single bad target is in
    /// [`Found::failed`].
    async fn targets(&self) -> Result<Found>;
    /// Reaches what it reads, for `check --connect`: as [`Self::targets`], with what may be known of
    /// each target before it is read. Nothing is changed, nothing is held, no command of the user
    /// is run.
    async fn probe(&self) -> Result<Found> {
        self.targets().await
    }
    /// Returns what decides about a target's content beside its name: an increment builds only on
    /// a copy for which this was the same.
    ///
    /// Errors: when the server cannot tell which one it is.
    async fn scope(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Returns how its dumps build on earlier ones, where they can.
    fn grow(&self) -> Option<&dyn Grow> {
        None
    }
    /// Starts to read `target`; its path may lie inside a snapshot.
    async fn open(&self, target: &Target) -> Result<Payload>;
    /// Like [`Self::open`], on an occasion that only commands of the user are told of.
    async fn open_on(&self, target: &Target, _occasion: &Occasion<'_>) -> Result<Payload> {
        self.open(target).await
    }
    /// Called once after the last target was read or given up, also when the run was interrupted:
    /// what was held still goes on.
    async fn close(&self) -> Result<()>;
    /// Returns how its artefacts come back.
    fn back(&self) -> Back<'_>;
}

/// What a source has to offer.
#[derive(Debug, Default)]
pub struct Found {
    /// What can be backed up.
    pub targets: Vec<Target>,
    /// What was asked for and cannot be: a glob without a match, a database that is not there.
    pub failed: Vec<Error>,
    /// Facts worth a line in the log: a link that was followed, a folder that an exclude hides.
    pub notes: Vec<String>,
}

/// What one artefact holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What it is called everywhere: a path or a database, escaped by [`crate::base::text`].
    pub name: String,
    /// The folders of its own on a storage, raw bytes, unescaped; may be empty (`part`).
    pub part: Vec<Vec<u8>>,
    /// The beginning of its file's name, raw bytes, unescaped.
    pub base: Vec<u8>,
    /// The extension without a dot: `tar`, `sql`.
    pub ext: String,
    /// The path to read, for files; a snapshot may replace it.
    pub path: Option<PathBuf>,
}

impl Target {
    /// Makes the target of a database or a server: its own name is its folder and its file's name.
    pub fn named(name: &str, ext: &str) -> Self {
        Self {
            name: text(name.as_bytes()),
            part: vec![name.as_bytes().to_vec()],
            base: name.as_bytes().to_vec(),
            ext: ext.to_owned(),
            path: None,
        }
    }
}

/// What a source answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A target or a whole source that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{subject}: {problem}")]
pub struct Error {
    /// What kind of trouble it is.
    pub kind: Kind,
    /// The target or source, as the user knows it.
    pub subject: String,
    /// What is wrong, in words.
    pub problem: String,
    /// The cause, in the system's or the tool's own words.
    #[source]
    pub source: Option<BoxError>,
}

/// What kind of trouble a source has: for hints and exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What was asked for does not exist.
    NotFound,
    /// We may not read it.
    Denied,
    /// A tool failed, is missing or is too old.
    Tool,
    /// A load failed, and what was there before is there as it was.
    Untouched,
    /// Anything else.
    Other,
}
