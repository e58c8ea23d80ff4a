//! Places that keep whole objects: one trait, one folder a kind, and the list of kinds.
//!
//! A storage does one thing. Retries, timeouts, rate limits, names and rotation are layers or
//! other rooms. Every storage and every layer keeps the promises of `contract/`. A new kind is
//! its folder with its `Config`, and four lines here: `mod`, variant, row and arm. What several
//! kinds do alike lies beside them: `checks`, `gate`, `http`, `idle`, `names`, `threaded`, `tls`,
//! `trouble` and `unique`.

mod checks;
/// What every storage and every layer promises, as a list that can be run.
pub mod contract;
/// A folder behind an FTP server.
pub mod ftp;
mod gate;
mod http;
mod idle;
/// What can be put around any storage.
pub mod layers;
/// A folder of this machine.
pub mod local;
mod memory;
mod names;
/// An export of an NFS server.
pub mod nfs;
/// A bucket of an S3 service.
pub mod s3;
/// A folder behind an SSH server.
pub mod scp;
/// A share of an SMB server.
pub mod smb;
/// A container of an OpenStack Swift service.
pub mod swift;
mod threaded;
mod trouble;
mod unique;
/// A folder behind a WebDAV server.
pub mod webdav;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{BoxError, Key, Plugin, Wrong};
use crate::stream::ByteStream;

pub use local::Local;
pub use memory::Memory;

/// A storage as the config describes it: one variant a kind, called as in [`Config::KINDS`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Config {
    /// A folder of this machine.
    Local(local::Config),
    /// A bucket of an S3 service.
    S3(s3::Config),
    /// A folder behind an SSH server.
    Scp(scp::Config),
    /// A folder behind an FTP server.
    Ftp(ftp::Config),
    /// A share of an SMB server.
    Smb(smb::Config),
    /// An export of an NFS server.
    Nfs(nfs::Config),
    /// A folder behind a WebDAV server.
    Webdav(webdav::Config),
    /// A container of an OpenStack Swift service.
    Swift(swift::Config),
}

impl Config {
    /// The kinds that are built, with their other spellings.
    pub const KINDS: &'static [Plugin] = &[
        Plugin::storage("local", &[], local::Config::json_schema)
            .sample(include_str!("local/sample.yaml")),
        Plugin::storage("s3", &[], s3::Config::json_schema).sample(include_str!("s3/sample.yaml")),
        Plugin::storage("scp", &["sftp", "ssh"], scp::Config::json_schema)
            .sample(include_str!("scp/sample.yaml")),
        Plugin::storage("ftp", &[], ftp::Config::json_schema)
            .sample(include_str!("ftp/sample.yaml")),
        Plugin::storage("smb", &[], smb::Config::json_schema)
            .sample(include_str!("smb/sample.yaml")),
        Plugin::storage("nfs", &[], nfs::Config::json_schema)
            .sample(include_str!("nfs/sample.yaml")),
        Plugin::storage("webdav", &[], webdav::Config::json_schema)
            .sample(include_str!("webdav/sample.yaml")),
        Plugin::storage("swift", &[], swift::Config::json_schema)
            .sample(include_str!("swift/sample.yaml")),
    ];

    /// Returns what the kind says of itself.
    pub fn section(&self) -> &dyn Section {
        match self {
            Self::Local(local) => local,
            Self::S3(s3) => s3,
            Self::Scp(scp) => scp,
            Self::Ftp(ftp) => ftp,
            Self::Smb(smb) => smb,
            Self::Nfs(nfs) => nfs,
            Self::Webdav(webdav) => webdav,
            Self::Swift(swift) => swift,
        }
    }
}

/// What the `Config` of a kind says of itself: plain serde fields, spelled as in 2.x with
/// aliases, without `flatten`, which would lose the places of keys. Doc comments are the schema's
/// descriptions.
pub trait Section {
    /// Says what is wrong beyond the types of the values. What was not fetched is
    /// [`crate::base::PENDING`]: only a check of several keys together must leave it out.
    fn problems(&self) -> Vec<Wrong>;
    /// Says where it stores, for people: a path or a URL without secrets.
    fn location(&self) -> String;
    /// Returns what tells its folder from every other one of its kind, defaults filled in.
    fn address(&self) -> Vec<String>;
    /// Says how many bytes the largest object may have; what is longer becomes several.
    fn largest_object(&self, setting: &Setting<'_>) -> Option<u64>;
    /// Makes the storage, rooted at `backup_dir`; nothing is dialled before its first call.
    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage>;
}

/// What a storage learns about the place that it is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Its name in the config; stands in errors.
    pub name: &'a str,
    /// How often a part of a put that is still in memory is sent again.
    pub retries: u32,
    /// How long it may stay silent; the layer around it watches over whole calls.
    pub timeout: Option<Duration>,
    /// Storages of its kind that are served at the same time, itself included.
    pub peers: usize,
    /// Where a body may be kept whose length must be known.
    pub tmp_dir: &'a Path,
}

impl<'a> Setting<'a> {
    /// A place of its own, with what the config says by default.
    pub fn alone(name: &'a str) -> Self {
        let (timeout, tmp_dir) = (Some(Duration::from_secs(300)), Path::new("/var/tmp"));
        Self { name, retries: 3, timeout, peers: 1, tmp_dir }
    }
}

/// Makes the storage that `config` describes; nothing is dialled before its first call.
pub fn connect(config: &Config, setting: &Setting<'_>) -> Arc<dyn Storage> {
    config.section().connect(setting)
}

/// A place that keeps whole objects under relative keys.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Visible only once complete and durable; replaces atomically; a body that fails leaves
    /// nothing behind. The length is not known before the body ends.
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object>;
    /// Gives the bytes of `part`; it must lie inside the object, as `stat` tells its size.
    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream>;
    /// Tells size and time of an object, `None` when there is none.
    async fn stat(&self, key: &Key) -> Result<Option<Object>>;
    /// Gives every object whose key begins with `prefix`, in no promised order. What a cut-off
    /// put left appears under a name for which [`Key::partial_of`] answers.
    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a>;
    /// Deleting what is not there succeeds.
    async fn delete(&self, key: &Key) -> Result<()>;
    /// Asks the service how many bytes its largest object may have; `None` where it does not say.
    /// What [`Section::largest_object`] says holds besides.
    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// An object on a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name below `backup_dir`.
    pub key: Key,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// When it was last changed, by the storage's clock, where the storage tells.
    pub modified: Option<Timestamp>,
}

/// The objects of a listing.
pub type ObjectStream<'a> = BoxStream<'a, Result<Object>>;

/// What a storage answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A call that a storage refused or could not finish.
#[derive(Debug, thiserror::Error)]
#[error("{storage}: could not {verb} {subject}")]
pub struct Error {
    /// What may be done about it.
    pub kind: Kind,
    /// The storage's name in the config.
    pub storage: String,
    /// The call, as an infinitive: `put`, `get`, `list` …
    pub verb: &'static str,
    /// The key or prefix that the call was about.
    pub subject: String,
    /// The cause, in the storage's own words.
    #[source]
    pub source: Option<BoxError>,
}

/// What kind of trouble it is: for code, where the sentence is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no such object.
    NotFound,
    /// The storage knows us and says no.
    Denied,
    /// No room is left.
    Full,
    /// It may work later: the only kind that is retried.
    Unavailable,
    /// The bytes are not what was stored.
    Corrupt,
    /// The storage cannot do this at all.
    Unsupported,
    /// The body that was to be put broke; the storage itself is well.
    Body,
    /// Anything else.
    Other,
}

impl Error {
    /// Makes an error; `subject` is the key or prefix.
    pub fn new(
        kind: Kind,
        storage: &str,
        verb: &'static str,
        subject: impl fmt::Display,
        source: impl Into<BoxError>,
    ) -> Self {
        let (storage, subject) = (storage.to_owned(), subject.to_string());
        Self { kind, storage, verb, subject, source: Some(source.into()) }
    }
}

#[async_trait]
impl<S: Storage + ?Sized> Storage for Arc<S> {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        (**self).put(key, body).await
    }
    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        (**self).get(key, part).await
    }
    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        (**self).stat(key).await
    }
    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        (**self).list(prefix)
    }
    async fn delete(&self, key: &Key) -> Result<()> {
        (**self).delete(key).await
    }
    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        (**self).ask_largest_object().await
    }
}
