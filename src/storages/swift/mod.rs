//! A container of an OpenStack Swift service.
//!
//! A body of up to one segment is a plain object. A longer one is a static large object: its
//! segments lie in `<container>_segments` as `<key>/<upload>/<number>`, and the manifest that
//! makes them one object comes last. While the segments of an upload may be without a manifest, an
//! empty object named [`Key::partial`] lies beside the key: what a dead run left is therefore seen
//! in a listing of the container alone, and deleting it deletes the segments.

mod auth;
mod client;
mod config;
mod delete;
mod large;
mod list;
mod login;
mod piece;
mod read;
mod trouble;
mod upload;
mod write;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};

use crate::base::Key;
use crate::storages::{Object, ObjectStream, Result, Storage};
use crate::stream::ByteStream;

pub use config::{Config, Lifetime};

use client::Client;

/// Objects of one container. Clones share the token.
#[derive(Clone)]
struct Swift(Arc<Client>);

#[async_trait]
impl Storage for Swift {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        write::put(&self.0, key, body).await
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let got = read::get(&self.0, key, part).await;
        got.map_err(|trouble| self.0.error("get", key.as_str(), trouble))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let found = read::stat(&self.0, key).await;
        found.map_err(|trouble| self.0.error("stat", key.as_str(), trouble))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let objects = list::objects(&self.0, prefix);
        objects.map_err(move |trouble| self.0.error("list", prefix, trouble)).boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let deleted = delete::delete(&self.0, key).await;
        deleted.map_err(|trouble| self.0.error("delete", key.as_str(), trouble))
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        let limit = self.0.segments_limit().await;
        let limit = limit.map_err(|trouble| self.0.error("ask", "its limits", trouble))?;
        Ok(Some(limit.saturating_mul(self.0.segment_bytes)))
    }
}
