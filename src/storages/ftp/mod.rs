//! A folder behind an FTP server, with or without TLS.
//!
//! Objects are files below `backup_dir`, folders are made when they are first needed and go when
//! they are empty. FTP knows no flush: what the server confirmed may still be in its memory.
//! Transfers are binary and passive; names are UTF-8.

mod config;
mod dial;
mod errors;
mod held;
mod listing;
mod pool;
mod put;
mod read;
mod session;
mod tidy;
mod walk;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::unconstrained;

use crate::base::Key;
use crate::storages::{Error, Object, ObjectStream, Result, Setting, Storage};
use crate::stream::ByteStream;

use dial::Way;
use errors::Trouble;
use pool::Pool;
use session::{Refusal, Session, join};

pub use config::{Config, Passive, Tls};

/// Objects as files of an FTP server.
pub(super) struct Ftp(Arc<Shared>);

/// What all calls share.
struct Shared {
    name: String,
    /// `backup_dir` as [`Config::folder`] gives it.
    folder: String,
    retries: u32,
    pool: Pool,
}

impl Ftp {
    /// Makes the storage; nothing is dialled before the first call.
    pub(super) fn new(config: &Config, setting: &Setting<'_>) -> Self {
        Self(Arc::new(Shared {
            name: setting.name.to_owned(),
            folder: config.folder(),
            retries: setting.retries,
            pool: Pool::new(Way::new(config)),
        }))
    }

    fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.0.name, verb, subject)
    }
}

impl Shared {
    /// Returns the absolute path of `key`.
    fn path(&self, session: &Session, key: &Key) -> String {
        join(&session.absolute(&self.folder), key.as_str())
    }

    /// Makes `backup_dir` and `folder` below it, from the top: what is there already is refused,
    /// and whether that was the reason shows when the folder is used.
    async fn make_folders(
        &self,
        session: &mut Session,
        folder: &str,
    ) -> std::result::Result<(), Trouble> {
        let (absolute, backup_dir) = match self.folder.strip_prefix("//") {
            Some(rest) => ("//", rest),
            None => ("", self.folder.as_str()),
        };
        let mut path = session.absolute(absolute);
        for part in backup_dir.split('/').chain(folder.split('/')).filter(|part| !part.is_empty()) {
            path = join(&path, part);
            if let Err(Refusal::Broken(trouble)) = session.make_folder(&path).await {
                return Err(trouble);
            }
        }
        Ok(())
    }
}

// Commands are written without a flush. Were tokio to interrupt a task in the middle of one, TLS
// would keep its end to itself, and both sides would wait for ever: hence `unconstrained`, here
// and wherever a task is made.
#[async_trait]
impl Storage for Ftp {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let done = unconstrained(put::put(&self.0, key, body)).await;
        done.map_err(|trouble| self.error("put", key.as_str(), trouble))
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let got = unconstrained(read::get(&self.0, key, part)).await;
        got.map_err(|trouble| self.error("get", key.as_str(), trouble))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let told = unconstrained(read::stat(&self.0, key)).await;
        told.map_err(|trouble| self.error("stat", key.as_str(), trouble))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let found = walk::list(&self.0, prefix);
        let next = |mut found: walk::Listing| async {
            let object = unconstrained(found.try_next()).await?;
            Ok(object.map(|object| (object, found)))
        };
        let found = stream::try_unfold(found, next);
        found.map_err(move |trouble| self.error("list", prefix, trouble)).boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let done = unconstrained(tidy::delete(&self.0, key)).await;
        done.map_err(|trouble| self.error("delete", key.as_str(), trouble))
    }
}
