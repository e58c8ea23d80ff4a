//! A bucket of an S3 service.
//!
//! Objects lie below `backup_dir` of the bucket. What fits into a part is one request, everything
//! else an upload in parts: equal ones, because some stores demand it, several at a time, each
//! with a CRC32C. An upload that nobody finished is listed under a temporary name
//! ([`Key::partial`]) and aborted by deleting that name, so `sweep` finds and removes it.
//!
//! The requests are our own: the client has to know an upload's id to abort it, must not tell
//! checksums to a store that refuses them, and keeps no more parts in memory than it may.

mod bucket;
mod client;
mod credentials;
mod errors;
mod list;
mod options;
mod parts;
mod put;
mod section;
mod unfinished;
mod upload;
mod xml;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;

use crate::base::Key;
use crate::storages::{Object, ObjectStream, Result, Storage};
use crate::stream::{self, ByteStream};

use bucket::Bucket;
pub use section::{Config, Encryption, PathStyle};

/// Objects in a bucket.
struct S3(Arc<Bucket>);

#[async_trait]
impl Storage for S3 {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        put::put(&self.0, key, body).await
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let wrap = |trouble| self.0.error("get", key.as_str(), trouble);
        let bytes = part.end.saturating_sub(part.start);
        let Some(response) = self.0.get(key, part).await.map_err(wrap)? else {
            return Ok(ByteStream::from_bytes(Vec::new()));
        };
        let (bucket, subject) = (Arc::clone(&self.0), key.clone());
        let wrap =
            move |trouble| stream::Error::new(bucket.error("get", subject.as_str(), trouble));
        Ok(bucket::stream(response, bytes, Box::new(wrap)))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let found = self.0.stat(key).await;
        found.map_err(|trouble| self.0.error("stat", key.as_str(), trouble))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let found = list::list(Arc::clone(&self.0), prefix.to_owned());
        found
            .map(move |found| found.map_err(|trouble| self.0.error("list", prefix, trouble)))
            .boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        let wrap = |trouble| self.0.error("delete", key.as_str(), trouble);
        if let Some((meant, id)) = unfinished::upload_of(key) {
            match self.0.abort(&self.0.path(&meant), &id).await {
                // An object of that name, then: another tool may have copied it here.
                Err(trouble) if trouble.is_absent() => (),
                done => return done.map_err(wrap),
            }
        }
        self.0.delete(&self.0.path(key)).await.map_err(wrap)
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        let parts = self.0.client().await;
        let parts = parts.map_err(|trouble| self.0.error("ask", "its limits", trouble))?;
        let parts = parts.most_parts().await;
        Ok(parts.map(|parts| parts.saturating_mul(self.0.part_bytes as u64)))
    }
}
