//! A folder behind a WebDAV server.
//!
//! A put writes a temporary object, checks its size and moves it into place. A listing asks folder
//! by folder. Where the server can lock, folders go when they are empty. A Nextcloud is known by
//! its address, and gets large bodies in pieces.

mod auth;
mod body;
mod challenge;
mod config;
mod delete;
mod errors;
mod folders;
mod list;
mod make;
mod pieces;
mod place;
mod properties;
mod put;
mod read;
mod service;
mod swaps;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};

use crate::base::Key;
use crate::storages::{Error, Object, ObjectStream, Result, Storage};
use crate::stream::{self, ByteStream};

pub use config::Config;

use errors::Trouble;
use service::Service;

/// Objects below one folder of a WebDAV server. Clones share its connections.
#[derive(Clone)]
struct Webdav(Arc<Service>);

impl Webdav {
    fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        self.0.error(verb, subject, trouble)
    }
}

#[async_trait]
impl Storage for Webdav {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        put::put(&self.0, key, body).await
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let opened = read::open(&self.0, key, part).await;
        let bytes = opened.map_err(|trouble| self.error("get", key.as_str(), trouble))?;
        let (service, key) = (self.0.clone(), key.clone());
        let failed = move |trouble| stream::Error::new(service.error("get", key.as_str(), trouble));
        Ok(ByteStream::from_stream(bytes.map_err(failed)))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let found = read::stat(&self.0, key).await;
        found.map_err(|trouble| self.error("stat", key.as_str(), trouble))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let found = list::start(self.0.clone(), prefix);
        found.map_err(move |trouble| self.error("list", prefix, trouble)).boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let done = delete::delete(&self.0, key).await;
        done.map_err(|trouble| self.error("delete", key.as_str(), trouble))
    }
}
