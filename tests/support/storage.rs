//! What tests of every kind of storage do with one: fill it, read it, list it, judge its errors.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use nxs_backup::base::{Key, chain};
use nxs_backup::storages::{Error, Kind, Object, Storage};
use nxs_backup::stream::ByteStream;
use tokio::time::{sleep, timeout};

use crate::support::tree;

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// Bytes that do not compress, the same every time.
pub(crate) fn noise(length: usize) -> Bytes {
    tree::noise(length).into()
}

/// A body of chunks that fit into no part and no block without a rest.
pub(crate) fn body(bytes: &Bytes) -> ByteStream {
    let chunks: Vec<_> = bytes.chunks(CHUNK).map(|chunk| Ok(bytes.slice_ref(chunk))).collect();
    ByteStream::from_stream(stream::iter(chunks))
}

/// The names of all objects, sorted, unfinished ones included.
pub(crate) async fn names(storage: &dyn Storage) -> Vec<String> {
    names_from(storage, "").await
}

/// The names that begin with `prefix`.
pub(crate) async fn names_from(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    let found: Vec<Object> = storage.list(prefix).try_collect().await.unwrap();
    let mut names: Vec<_> = found.iter().map(|object| object.key.to_string()).collect();
    names.sort();
    names
}

/// Waits until there are these objects alone: what cleans up does so when it can.
pub(crate) async fn eventually(storage: &dyn Storage, should: &[&str]) {
    let settling = async {
        while names(storage).await != should {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let settled = timeout(Duration::from_secs(30), settling).await;
    assert!(settled.is_ok(), "there is {:?}, not {should:?}", names(storage).await);
}

/// Reads a whole object.
pub(crate) async fn read(storage: &dyn Storage, name: &str) -> Bytes {
    let object = storage.stat(&key(name)).await.unwrap().expect("an object");
    let stream = storage.get(&key(name), 0..object.bytes).await.unwrap();
    stream.collect(1 << 30).await.unwrap()
}

/// Expects that an object has these bytes.
pub(crate) async fn holds(storage: &dyn Storage, name: &str, bytes: &Bytes) {
    assert!(read(storage, name).await == *bytes, "{name} came back with other bytes");
}

/// Expects an error of this kind, with these words in it.
#[track_caller]
pub(crate) fn says(error: &Error, kind: Kind, words: &[&str]) {
    let said = chain(error);
    assert_eq!(error.kind, kind, "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.ends_with('.') && !said.contains('\n'), "{said}");
}

const CHUNK: usize = 300_000;
