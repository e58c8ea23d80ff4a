//! A limit on the bytes a second that go to and come from a storage.

use std::ops::Range;

use async_trait::async_trait;

use crate::base::Key;
use crate::storages::{Object, ObjectStream, Result, Storage};
use crate::stream::{Bucket, ByteStream};

/// Puts and gets of `inner` share one limit.
#[derive(Clone, Debug)]
pub struct Throttle<S> {
    inner: S,
    bucket: Bucket,
}

impl<S: Storage> Throttle<S> {
    /// Wraps `inner`.
    pub fn new(inner: S, bytes_per_sec: u64) -> Self {
        Self { inner, bucket: Bucket::new(bytes_per_sec) }
    }
}

#[async_trait]
impl<S: Storage> Storage for Throttle<S> {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        self.inner.put(key, self.bucket.limit(body)).await
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        Ok(self.bucket.limit(self.inner.get(key, part).await?))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.inner.stat(key).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        self.inner.list(prefix)
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(key).await
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        self.inner.ask_largest_object().await
    }
}
