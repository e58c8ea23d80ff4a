//! A share of an SMB server: Samba, Windows, a NAS. SMB 2 and 3, never SMB 1.
//!
//! Objects are files below `backup_dir`, written beside their name and renamed into place. One
//! connection carries every call; it is made when it is first needed, made again after a long
//! silence or when it breaks, and an upload that it breaks goes on where it stood.
//!
//! A request that is given up half way would leave the connection short of the credits that the
//! server granted for it. So every call runs as a task of its own, to its end.

mod commit;
mod config;
mod delete;
mod errors;
mod files;
mod link;
mod list;
mod names;
mod pipe;
mod read;
mod transport;
mod write;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::base::Key;
use crate::storages::{Error, Object, ObjectStream, Result, Section, Setting, Storage};
use crate::stream::ByteStream;

pub use config::Config;
use errors::Trouble;
use link::Link;

/// Objects as files of a share. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Smb(Arc<Site>);

/// One folder of one share.
#[derive(Debug)]
struct Site {
    /// The storage's name in the config.
    name: String,
    /// The folder as a URL, for people.
    location: String,
    /// The folder as a path on the share.
    root: String,
    retries: u32,
    link: Link,
}

impl Smb {
    /// Makes the storage; nothing is dialled before the first call.
    pub fn new(config: &Config, setting: &Setting<'_>) -> Self {
        let root = names::folders(&config.backup_dir).collect::<Vec<_>>().join("\\");
        Self(Arc::new(Site {
            name: setting.name.to_owned(),
            location: config.location(),
            root,
            retries: setting.retries,
            link: Link::new(config, setting),
        }))
    }

    /// Runs `call` as a task that is not ended with us.
    async fn run<T: Send + 'static>(
        &self,
        verb: &'static str,
        subject: &str,
        call: impl Future<Output = std::result::Result<T, Trouble>> + Send + 'static,
    ) -> Result<T> {
        let done = tokio::spawn(call).await.unwrap_or_else(|error| Err(Trouble::task(&error)));
        done.map_err(|trouble| self.0.error(verb, subject, trouble))
    }
}

impl Site {
    fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.name, verb, subject)
    }

    /// The path of a key, or of a folder of keys, on the share.
    fn path(&self, key: &str) -> String {
        names::path(&self.root, key)
    }

    /// What errors call the file of a key.
    fn subject(&self, key: &str) -> String {
        match key {
            "" => self.location.clone(),
            key => format!("{}/{key}", self.location),
        }
    }
}

#[async_trait]
impl Storage for Smb {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let gone = CancellationToken::new();
        let call = write::put(self.0.clone(), key.clone(), body, gone.clone());
        let _guard = gone.drop_guard();
        self.run("put", key.as_str(), call).await
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let call = read::open(self.0.clone(), key.clone(), part);
        Ok(self.run("get", key.as_str(), call).await?.stream())
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let call = read::stat(self.0.clone(), key.clone());
        self.run("stat", key.as_str(), call).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let start = async move {
            let call = list::start(self.0.clone(), prefix.to_owned());
            match self.run("list", prefix, call).await {
                Ok(found) => found
                    .map(move |found| {
                        found.map_err(|trouble| self.0.error("list", prefix, trouble))
                    })
                    .boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(start).flatten().boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let call = delete::delete(self.0.clone(), key.clone());
        self.run("delete", key.as_str(), call).await
    }
}
