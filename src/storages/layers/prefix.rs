//! A folder of a storage as a storage.

use std::ops::Range;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use crate::base::Key;
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Storage};
use crate::stream::ByteStream;

/// Everything below one folder of `inner`, under keys relative to it.
#[derive(Clone, Debug)]
pub struct Prefix<S> {
    inner: S,
    folder: String,
}

impl<S: Storage> Prefix<S> {
    /// Wraps `inner`; `folder` is a relative name, or empty for all of it.
    pub fn new(inner: S, folder: impl Into<String>) -> Self {
        Self { inner, folder: folder.into() }
    }

    fn below(&self, verb: &'static str, key: &Key) -> Result<Key> {
        key.below(&self.folder)
            .map_err(|error| Error::new(Kind::Other, "prefix", verb, &self.folder, error))
    }

    fn relative(&self, object: Object) -> Option<Result<Object>> {
        let key = match self.folder.as_str() {
            "" => object.key.as_str(),
            folder => object.key.as_str().strip_prefix(folder)?.strip_prefix('/')?,
        };
        let key = Key::new(key).ok()?;
        Some(Ok(Object { key, ..object }))
    }
}

#[async_trait]
impl<S: Storage> Storage for Prefix<S> {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let object = self.inner.put(&self.below("put", key)?, body).await?;
        Ok(Object { key: key.clone(), ..object })
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        self.inner.get(&self.below("get", key)?, part).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let object = self.inner.stat(&self.below("stat", key)?).await?;
        Ok(object.map(|object| Object { key: key.clone(), ..object }))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        if self.folder.is_empty() {
            return self.inner.list(prefix);
        }
        let found = stream::unfold(Some(format!("{}/{prefix}", self.folder)), move |below| async {
            // Lists are asked for by reference; the name lives here until the list is read.
            let below = below?;
            let objects: Vec<_> = self.inner.list(&below).collect().await;
            Some((objects, None))
        });
        found
            .flat_map(stream::iter)
            .filter_map(move |object| async move {
                match object {
                    Ok(object) => self.relative(object),
                    Err(error) => Some(Err(error)),
                }
            })
            .boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.inner.delete(&self.below("delete", key)?).await
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        self.inner.ask_largest_object().await
    }
}
