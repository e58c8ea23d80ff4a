//! The place where one promise is tried, with words to try it by.

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use crate::base::{Key, MIB, chain};
use crate::storages::contract::{Kept, Size};
use crate::storages::{Object, Storage};
use crate::stream::ByteStream;

/// A storage and a folder of its own for one promise.
pub struct At<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) size: Size,
    folder: &'a str,
}

impl<'a> At<'a> {
    pub(super) fn new(storage: &'a dyn Storage, folder: &'a str, size: Size) -> Self {
        Self { storage, size, folder }
    }

    /// Chooses by size.
    pub(super) fn pick<T>(&self, small: T, full: T) -> T {
        if self.size == Size::Small { small } else { full }
    }

    pub(super) fn key(&self, name: &str) -> Result<Key, String> {
        Key::new(format!("{}{name}", self.folder)).map_err(|error| error.to_string())
    }

    pub(super) async fn put(&self, name: &str, bytes: &Bytes) -> Result<Object, String> {
        let key = self.key(name)?;
        let put = self.storage.put(&key, body(bytes, 64 * 1024)).await;
        let object = put.map_err(|error| chain(&error))?;
        same("the key that put answers", object.key.as_str(), key.as_str())?;
        same("the size that put answers", object.bytes, bytes.len() as u64)?;
        Ok(object)
    }

    /// Reads a whole object and checks it.
    pub(super) async fn holds(&self, name: &str, bytes: &Bytes) -> Kept {
        let found = self.read(name).await?;
        if found == *bytes {
            return Ok(());
        }
        Err(format!("{name} came back with {} bytes, {} were put", found.len(), bytes.len()))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Bytes, String> {
        let key = self.key(name)?;
        let stat = self.storage.stat(&key).await.map_err(|error| chain(&error))?;
        let bytes = stat.ok_or_else(|| format!("{name} is not there"))?.bytes;
        self.part(name, 0..bytes).await
    }

    pub(super) async fn part(
        &self,
        name: &str,
        part: std::ops::Range<u64>,
    ) -> Result<Bytes, String> {
        let got = self.storage.get(&self.key(name)?, part).await;
        let stream = got.map_err(|error| chain(&error))?;
        stream.collect(256 * MIB).await.map_err(|error| chain(&error))
    }

    /// Lists names relative to the folder, sorted.
    pub(super) async fn names(&self, prefix: &str) -> Result<Vec<String>, String> {
        let prefix = format!("{}{prefix}", self.folder);
        let found: Vec<Object> =
            self.storage.list(&prefix).try_collect().await.map_err(|error| chain(&error))?;
        let name =
            |object: Object| object.key.as_str().strip_prefix(self.folder).map(str::to_owned);
        let names: Option<Vec<_>> = found.into_iter().map(name).collect();
        let mut names = names.ok_or("a list gave a key that does not begin with its prefix")?;
        names.sort();
        Ok(names)
    }
}

/// Fails with words unless both are equal.
pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Kept {
    if is == should { Ok(()) } else { Err(format!("{what} is {is:?}, not {should:?}")) }
}

/// Makes a body of chunks of `chunk` bytes.
pub(super) fn body(bytes: &Bytes, chunk: usize) -> ByteStream {
    let mut rest = bytes.clone();
    ByteStream::from_stream(stream::iter(std::iter::from_fn(move || {
        let piece = rest.split_to(rest.len().min(chunk));
        (!piece.is_empty()).then_some(Ok(piece))
    })))
}

/// Makes bytes that do not compress and differ with `seed`.
pub(super) fn noise(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
