//! A storage in memory: for tests, and for trying what a run would do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use crate::base::Key;
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Storage};
use crate::stream::ByteStream;

/// A storage in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Stored>>>);

#[derive(Clone, Debug)]
struct Stored {
    bytes: Bytes,
    modified: Option<Timestamp>,
}

/// Helpers for tests, past the trait.
impl Memory {
    /// Returns the keys of all objects, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Returns the bytes of an object.
    pub fn peek(&self, key: &str) -> Option<Bytes> {
        self.lock().get(key).map(|stored| stored.bytes.clone())
    }

    /// Puts an object there at once, or replaces it.
    pub fn poke(&self, key: &str, bytes: impl Into<Bytes>) {
        let stored = Stored { bytes: bytes.into(), modified: Some(Timestamp::now()) };
        self.lock().insert(key.to_owned(), stored);
    }

    /// Pokes an object and returns the storage.
    #[must_use]
    pub fn with(self, key: &str, bytes: impl Into<Bytes>) -> Self {
        self.poke(key, bytes);
        self
    }

    /// Flips one bit of the byte at `at`; tells whether there is such a byte.
    pub fn corrupt(&self, key: &str, at: usize) -> bool {
        let mut objects = self.lock();
        let Some(stored) = objects.get_mut(key) else { return false };
        let mut bytes = stored.bytes.to_vec();
        let Some(byte) = bytes.get_mut(at) else { return false };
        *byte ^= 1;
        stored.bytes = bytes.into();
        true
    }

    /// Sets when an object was last changed, `None` for a storage that does not tell; tells
    /// whether there is one.
    pub fn set_modified(&self, key: &str, modified: impl Into<Option<Timestamp>>) -> bool {
        let mut objects = self.lock();
        objects.get_mut(key).map(|stored| stored.modified = modified.into()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for Memory {
    async fn put(&self, key: &Key, mut body: ByteStream) -> Result<Object> {
        let mut bytes = Vec::new();
        loop {
            match body.next().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(refuse(Kind::Body, "put", key, error)),
            }
        }
        let stored = Stored { bytes: bytes.into(), modified: Some(Timestamp::now()) };
        let object = describe(key.as_str(), &stored)?;
        self.lock().insert(key.as_str().to_owned(), stored);
        Ok(object)
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let Some(bytes) = self.peek(key.as_str()) else {
            return Err(refuse(Kind::NotFound, "get", key, "there is no such object"));
        };
        if part.start > part.end || part.end > bytes.len() as u64 {
            let problem = format!("bytes {part:?} were asked for, it has {}", bytes.len());
            return Err(refuse(Kind::Corrupt, "get", key, problem));
        }
        let bytes = bytes.slice(part.start as usize..part.end as usize);
        Ok(ByteStream::from_stream(stream::iter(chunks(bytes).into_iter().map(Ok))))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        let stored = self.lock().get(key.as_str()).cloned();
        stored.map(|stored| describe(key.as_str(), &stored)).transpose()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let objects = self.lock();
        let found: Vec<_> = objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, stored)| describe(key, stored))
            .collect();
        stream::iter(found).boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.lock().remove(key.as_str());
        Ok(())
    }
}

fn describe(key: &str, stored: &Stored) -> Result<Object> {
    let key = Key::new(key).map_err(|error| refuse(Kind::Other, "list", key, error))?;
    Ok(Object { key, bytes: stored.bytes.len() as u64, modified: stored.modified })
}

fn refuse(
    kind: Kind,
    verb: &'static str,
    key: impl std::fmt::Display,
    source: impl Into<crate::base::BoxError>,
) -> Error {
    Error::new(kind, "memory", verb, key, source)
}

/// Cuts bytes as a real storage would give them.
fn chunks(mut bytes: Bytes) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        chunks.push(bytes.split_to(bytes.len().min(CHUNK)));
    }
    chunks
}

const CHUNK: usize = 1 << 20;
