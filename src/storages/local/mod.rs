//! A folder of this machine: a disk, a mounted share.
//!
//! Objects are files of mode 0600 below `backup_dir`, folders are made with 0700 when they are
//! first needed and go when they are empty. Links inside `backup_dir` are never followed, so no
//! key leads out of it.

mod delete;
mod errors;
mod folder;
mod list;
mod read;
mod write;

use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use crate::base::{Key, Wrong};
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Section, Setting, Storage};
use crate::stream::ByteStream;

use errors::Trouble;
use folder::Root;

/// The keys of a `local` storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that holds the backups, as an absolute path; it is made when it is missing.
    pub backup_dir: PathBuf,
    /// Refuse to work unless `backup_dir` itself is a mount point: a disk that is not plugged in
    /// must not fill the system's own disk.
    #[serde(default)]
    pub must_be_mounted: bool,
}

impl Config {
    /// The folder without doubled slashes and `.`.
    fn folder(&self) -> PathBuf {
        self.backup_dir.components().collect()
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if !self.backup_dir.is_absolute() {
            let message = "`backup_dir` of a local storage must be an absolute path";
            wrong.push(Wrong::new("backup_dir", message));
        }
        if self.backup_dir.components().any(|part| part == Component::ParentDir) {
            wrong.push(Wrong::new("backup_dir", "`backup_dir` must not lead upwards (`..`)"));
        }
        wrong
    }

    fn location(&self) -> String {
        self.folder().display().to_string()
    }

    fn address(&self) -> Vec<String> {
        vec![self.location()]
    }

    fn largest_object(&self, _setting: &Setting<'_>) -> Option<u64> {
        None
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        Arc::new(Local::new(setting.name, &self.folder(), self.must_be_mounted))
    }
}

/// Objects as files below one folder. Clones share it.
#[derive(Clone, Debug)]
pub struct Local(Arc<Root>);

impl Local {
    /// Makes the storage; nothing is touched before the first call. `name` stands in errors.
    pub fn new(name: &str, backup_dir: &Path, must_be_mounted: bool) -> Self {
        Self(Arc::new(Root::new(name, backup_dir, must_be_mounted)))
    }

    /// Runs `call` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        verb: &'static str,
        subject: &str,
        call: impl FnOnce(&Root) -> std::result::Result<T, Trouble> + Send + 'static,
    ) -> Result<T> {
        let root = self.0.clone();
        match spawn_blocking(move || call(&root)).await {
            Ok(done) => done.map_err(|trouble| self.error(verb, subject, trouble)),
            Err(error) => Err(Error::new(Kind::Other, &self.0.name, verb, subject, error)),
        }
    }

    fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.0.name, verb, subject)
    }
}

#[async_trait]
impl Storage for Local {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let done = write::put(self.0.clone(), key.clone(), body).await;
        done.map_err(|trouble| self.error("put", key.as_str(), trouble))
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let (wanted, name) = (key.clone(), self.0.name.clone());
        let opened =
            self.blocking("get", key.as_str(), move |root| read::open(root, &wanted, part));
        Ok(opened.await?.stream(name, key.clone()))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let wanted = key.clone();
        self.blocking("stat", key.as_str(), move |root| read::stat(root, &wanted)).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let start = async move {
            let found = list::start(self.0.clone(), prefix.to_owned());
            found.map(move |found| found.map_err(|trouble| self.error("list", prefix, trouble)))
        };
        stream::once(start).flatten().boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let wanted = key.clone();
        self.blocking("delete", key.as_str(), move |root| delete::delete(root, &wanted)).await
    }
}
