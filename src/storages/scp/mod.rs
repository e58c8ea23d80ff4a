//! A folder behind an SSH server, by SFTP: as `scp` works since OpenSSH 9.
//!
//! Objects are files of mode 0600 below `backup_dir`, folders are made with 0700 when they are
//! first needed and go when they are empty. Each transfer has a connection of its own; a few are
//! kept for the next call. A host key that is not known is refused. What SFTP cannot do: bring
//! the name of a file to the disk; a server that loses its power may forget the last rename.

mod auth;
mod config;
mod dial;
mod errors;
mod folder;
mod host;
mod host_key;
mod known_hosts;
mod line;
mod list;
mod read;
mod sftp;
mod wire;
mod write;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::task::spawn_blocking;

use crate::base::Key;
use crate::storages::gate::{Gate, Waiting};
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Setting, Storage};
use crate::stream::ByteStream;

pub use config::Config;

use errors::Trouble;
use host::Host;

/// Objects as files on an SSH server. Clones share its connections.
#[derive(Clone)]
pub struct Scp(Arc<Host>);

impl Scp {
    /// Makes the storage; nothing is dialled before the first call.
    pub fn new(setting: &Setting<'_>, config: &Config) -> Self {
        Self(Arc::new(Host::new(setting, config)))
    }

    /// Runs `call` on a thread that may block; dropped, it lets the thread go.
    async fn blocking<T: Send + 'static>(
        &self,
        verb: &'static str,
        subject: &str,
        waiting: &Waiting,
        call: impl FnOnce(&Arc<Host>, &Arc<Gate>) -> std::result::Result<T, Trouble> + Send + 'static,
    ) -> Result<T> {
        let (host, gate) = (self.0.clone(), waiting.0.clone());
        match spawn_blocking(move || call(&host, &gate)).await {
            Ok(done) => done.map_err(|trouble| self.error(verb, subject, trouble)),
            Err(error) => Err(Error::new(Kind::Other, &self.0.name, verb, subject, error)),
        }
    }

    fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.0.name, verb, subject)
    }
}

#[async_trait]
impl Storage for Scp {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let done = write::put(self.0.clone(), key.clone(), body).await;
        done.map_err(|trouble| self.error("put", key.as_str(), trouble))
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let (wanted, waiting) = (key.clone(), Waiting::default());
        let opened = self.blocking("get", key.as_str(), &waiting, move |host, gate| {
            read::open(host, &wanted, part, gate)
        });
        Ok(opened.await?.stream(waiting))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let wanted = key.clone();
        self.blocking("stat", key.as_str(), &Waiting::default(), move |host, gate| {
            host.with(gate, |sftp| read::stat(sftp, host, &wanted))
        })
        .await
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
        self.blocking("delete", key.as_str(), &Waiting::default(), move |host, gate| {
            host.with(gate, |sftp| folder::delete(sftp, host, &wanted))
        })
        .await
    }
}
