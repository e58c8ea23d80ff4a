//! An export of an NFS server, spoken to in NFSv3 without a mount.
//!
//! Objects are files of mode 0600 below `backup_dir`, folders are made with 0700 when they are
//! first needed and go when they are empty. Links are never followed. A put writes to a temporary
//! name, has the server flush it (COMMIT) and renames it. Calls are about handles, which outlive
//! a connection and the server itself: after a break a put goes on where it was.
//!
//! NFSv4 and Kerberos are for the system's own mount and a `local` storage on it.

mod call;
mod config;
mod delete;
mod errors;
mod folder;
mod list;
mod mount;
mod options;
mod read;
mod requests;
mod server;
mod upload;
mod wire;
mod write;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;

use crate::base::Key;
use crate::storages::{Object, ObjectStream, Result, Storage};
use crate::stream::ByteStream;

use call::Call;
use server::Server;

pub use config::Config;

/// Objects as files below one folder of an export. Clones share its connections.
#[derive(Clone)]
struct Nfs(Arc<Server>);

impl Nfs {
    fn call(&self, verb: &'static str, subject: &str) -> Call {
        Call::new(self.0.clone(), verb, subject)
    }
}

#[async_trait]
impl Storage for Nfs {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        write::put(&self.call("put", key.as_str()), key, body).await
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        read::get(&self.call("get", key.as_str()), key, part).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        read::stat(&self.call("stat", key.as_str()), key).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        list::list(self.call("list", prefix), prefix)
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        delete::delete(&self.call("delete", key.as_str()), key).await
    }
}
