//! From settings to living sources and storages: the one place that constructs them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use crate::base::Key;
use crate::sources::{self, Found, Source, Target};
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Storage};
use crate::stream::{ByteStream, Payload};

/// What is put around a storage.
pub(crate) struct Layers<'a> {
    /// The storage's name, for messages.
    pub(crate) name: &'a str,
    /// How often a call is tried again.
    pub(crate) retries: u32,
    /// How long it may stay silent.
    pub(crate) timeout: Option<Duration>,
    /// How fast it may be.
    pub(crate) bytes_per_sec: Option<u64>,
}

/// Makes a storage of the kind `local`.
pub(crate) fn local(name: &str, _backup_dir: &Path, _must_be_mounted: bool) -> Arc<dyn Storage> {
    Arc::new(NotConnected(name.to_owned()))
}

/// Puts layers around a storage.
pub(crate) fn layered(inner: Arc<dyn Storage>, layers: &Layers<'_>) -> Arc<dyn Storage> {
    let _ = (layers.name, layers.retries, layers.timeout, layers.bytes_per_sec);
    inner
}

/// Makes a source of files.
///
/// Errors: what is wrong with a pattern.
pub(crate) fn files(
    _name: Option<&str>,
    _globs: Vec<String>,
    _excludes: Vec<String>,
) -> sources::Result<Box<dyn Source>> {
    Ok(Box::new(NotConnected("files".to_owned())))
}

/// Stands where the rooms of sources and storages will be joined.
struct NotConnected(String);

impl NotConnected {
    fn refuse(&self, verb: &'static str) -> Error {
        Error::new(Kind::Unsupported, &self.0, verb, "anything", "not connected")
    }
}

#[async_trait]
impl Storage for NotConnected {
    async fn put(&self, _key: &Key, _body: ByteStream) -> Result<Object> {
        Err(self.refuse("put"))
    }
    async fn get(&self, _key: &Key, _part: Range<u64>) -> Result<ByteStream> {
        Err(self.refuse("get"))
    }
    async fn stat(&self, _key: &Key) -> Result<Option<Object>> {
        Err(self.refuse("stat"))
    }
    fn list<'a>(&'a self, _prefix: &'a str) -> ObjectStream<'a> {
        let error = self.refuse("list");
        futures_util::stream::once(async move { Err(error) }).boxed()
    }
    async fn delete(&self, _key: &Key) -> Result<()> {
        Err(self.refuse("delete"))
    }
}

#[async_trait]
impl Source for NotConnected {
    async fn targets(&self) -> sources::Result<Found> {
        Ok(Found::default())
    }
    async fn open(&self, target: &Target) -> sources::Result<Payload> {
        let subject = target.name.clone();
        let problem = "not connected".to_owned();
        Err(sources::Error { kind: sources::Kind::Other, subject, problem, source: None })
    }
}
