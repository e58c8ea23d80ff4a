//! Bytes on the move: a stream of chunks whose end is said aloud, and what shapes it.
//!
//! A stream that just stops is an error, never an end of file: a producer that dies, a task that
//! is cancelled, a thread that panics can therefore not make a truncated object look complete.

mod buffers;
mod codec;
mod compress;
mod cutter;
mod decompress;
mod digest;
mod ordered;
mod pending;
mod read;
mod segments;
mod spool;
mod stoppable;
mod tee;
mod throttle;
mod watched;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, Stream};
use tokio::sync::mpsc;

pub use buffers::Buffers;
pub use codec::{Codec, Compression, Frames};
pub use compress::compress;
pub use decompress::decompress;
pub use digest::{Algorithm, Hasher, blake3, digest_of, sha256};
pub use pending::{Pending, Promise};
pub use read::StreamReader;
pub use segments::{Segments, segments};
pub use spool::spool;
pub use stoppable::stoppable;
pub use tee::tee;
pub use throttle::Bucket;
pub use watched::watched;

/// Why a stream broke. Cheap to clone: a tee tells every reader.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The producer went away without saying that it was done.
    #[error("the stream ended without its end mark")]
    Cut,
    /// The producer failed and said why.
    #[error(transparent)]
    Producer(Arc<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps the reason of a producer.
    pub fn new(reason: impl Into<crate::base::BoxError>) -> Self {
        Self::Producer(Arc::from(reason.into()))
    }

    /// Returns the reason of the producer, if it is an `E`.
    pub fn reason<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Cut => None,
            Self::Producer(reason) => reason.downcast_ref(),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

impl From<Closed> for Error {
    fn from(closed: Closed) -> Self {
        Self::new(closed)
    }
}

/// Nobody reads the stream any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody reads the stream any more")]
pub struct Closed;

/// A sequence of chunks with an explicit end.
///
/// Shape: any number of chunks of any size; empty chunks are allowed and mean nothing.
/// Units: bounded by the depth of its channel times the size of its chunks.
pub struct ByteStream {
    inner: Inner,
    unread: Option<Bytes>,
}

enum Inner {
    Channel(mpsc::Receiver<Message>),
    Boxed(BoxStream<'static, Result<Bytes, Error>>),
    Over,
}

enum Message {
    Chunk(Bytes),
    End,
    Failed(Error),
}

/// The writing end of a [`ByteStream`]. Dropped without [`Feeder::finish`], it cuts the stream.
pub struct Feeder(mpsc::Sender<Message>);

impl ByteStream {
    /// Makes a stream fed through a channel that holds at most `depth` chunks.
    pub fn channel(depth: usize) -> (Feeder, Self) {
        let (sender, receiver) = mpsc::channel(depth);
        (Feeder(sender), Self::of(Inner::Channel(receiver)))
    }

    /// Makes a stream of one chunk.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::from_stream(futures_util::stream::once(async move { Ok(bytes) }))
    }

    /// Wraps a stream whose own end is trustworthy: one from a library that checks lengths.
    pub fn from_stream(stream: impl Stream<Item = Result<Bytes, Error>> + Send + 'static) -> Self {
        Self::of(Inner::Boxed(stream.boxed()))
    }

    /// Returns the next chunk, or `None` after the end mark.
    ///
    /// Errors: [`Error`] once; after it, and after the end, always `None`.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(chunk) = self.unread.take() {
            return Ok(Some(chunk));
        }
        let got = match &mut self.inner {
            Inner::Channel(receiver) => from_message(receiver.recv().await),
            Inner::Boxed(stream) => stream.next().await.transpose(),
            Inner::Over => return Ok(None),
        };
        self.note_end(got)
    }

    /// Like [`ByteStream::next`], for a thread that may block.
    ///
    /// Must not be called from an async task.
    pub fn blocking_next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(chunk) = self.unread.take() {
            return Ok(Some(chunk));
        }
        let got = match &mut self.inner {
            Inner::Channel(receiver) => from_message(receiver.blocking_recv()),
            Inner::Boxed(stream) => futures_util::FutureExt::now_or_never(stream.next())
                .unwrap_or_else(|| tokio::runtime::Handle::current().block_on(stream.next()))
                .transpose(),
            Inner::Over => return Ok(None),
        };
        self.note_end(got)
    }

    /// Reads everything into memory.
    ///
    /// Errors: [`Error`], also when there are more than `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next().await? {
            if all.len() + chunk.len() > limit {
                return Err(Error::new(format!(
                    "more than {limit} bytes, which is not expected here"
                )));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// Reads everything and drops it; returns how many bytes there were.
    ///
    /// Errors: [`Error`].
    pub async fn drain(mut self) -> Result<u64, Error> {
        let mut bytes = 0;
        while let Some(chunk) = self.next().await? {
            bytes += chunk.len() as u64;
        }
        Ok(bytes)
    }

    /// Puts a chunk back, so that it comes first again; at most one at a time.
    pub fn unread(&mut self, chunk: Bytes) {
        debug_assert!(self.unread.is_none(), "only one chunk can be put back");
        self.unread = Some(chunk);
    }

    fn of(inner: Inner) -> Self {
        Self { inner, unread: None }
    }

    fn note_end(&mut self, got: Result<Option<Bytes>, Error>) -> Result<Option<Bytes>, Error> {
        if !matches!(got, Ok(Some(_))) {
            self.inner = Inner::Over;
        }
        got
    }
}

fn from_message(message: Option<Message>) -> Result<Option<Bytes>, Error> {
    match message {
        Some(Message::Chunk(chunk)) => Ok(Some(chunk)),
        Some(Message::End) => Ok(None),
        Some(Message::Failed(error)) => Err(error),
        None => Err(Error::Cut),
    }
}

impl Feeder {
    /// Hands over a chunk; waits while the channel is full.
    ///
    /// Errors: [`Closed`] when the reader is gone.
    pub async fn send(&self, chunk: Bytes) -> Result<(), Closed> {
        self.0.send(Message::Chunk(chunk)).await.map_err(|_| Closed)
    }

    /// Like [`Feeder::send`], for a thread that may block.
    pub fn blocking_send(&self, chunk: Bytes) -> Result<(), Closed> {
        self.0.blocking_send(Message::Chunk(chunk)).map_err(|_| Closed)
    }

    /// Says that everything was sent.
    pub async fn finish(self) -> Result<(), Closed> {
        self.0.send(Message::End).await.map_err(|_| Closed)
    }

    /// Like [`Feeder::finish`], for a thread that may block.
    pub fn blocking_finish(self) -> Result<(), Closed> {
        self.0.blocking_send(Message::End).map_err(|_| Closed)
    }

    /// Waits until the reader is gone, so that an idle source can be let go.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Breaks the stream and says why; a reader that is gone does not care.
    pub async fn fail(self, error: Error) {
        self.0.send(Message::Failed(error)).await.ok();
    }

    /// Like [`Feeder::fail`], for a thread that may block.
    pub fn blocking_fail(self, error: Error) {
        self.0.blocking_send(Message::Failed(error)).ok();
    }
}

/// What a source gives for one target: bytes that a tool has framed, or a tree that we frame.
pub enum Payload {
    /// What a tool or a server has framed.
    Dump(Dump),
    /// Files and folders; `archive` makes a tar of them.
    Tree(Box<dyn Tree>),
}

/// Bytes that are whole once their end mark has come, and what is known of them then.
pub struct Dump {
    /// The bytes. Their end comes only after whoever made them has ended well.
    pub bytes: ByteStream,
    /// Known at their end.
    pub facts: Pending<DumpFacts>,
}

/// What a dump says of itself, for the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpFacts {
    /// Versions of the tools that took part, by name.
    pub tools: BTreeMap<String, String>,
    /// Version of the server that was dumped.
    pub server_version: Option<String>,
    /// How it was known to be whole, beside the exit code: `end mark`, `length and checksum`.
    pub checked: Option<String>,
    /// What an increment of it would begin at: a log position.
    pub position: Option<String>,
}

impl Dump {
    /// Makes one of bytes whose facts are known beforehand.
    pub fn new(bytes: ByteStream, facts: DumpFacts) -> Self {
        let (promise, pending) = Pending::new();
        promise.keep(facts);
        Self { bytes, facts: pending }
    }
}

/// A tree of files that is to be packed.
pub trait Tree: Send + Sync {
    /// Where the tree is read; may lie inside a snapshot.
    fn root(&self) -> &Path;
    /// The absolute path under which its members are stored.
    fn stored_as(&self) -> &Path;
    /// Tells whether the absolute `path` (as stored, raw bytes) is left out, with all below it.
    fn excludes(&self, path: &[u8]) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_feeder_that_vanishes_is_an_error_not_an_end() {
        let (feeder, mut stream) = ByteStream::channel(4);
        feeder.send(Bytes::from_static(b"half")).await.unwrap();
        drop(feeder);
        assert_eq!(stream.next().await.unwrap().unwrap(), "half");
        assert!(matches!(stream.next().await, Err(Error::Cut)));
    }

    #[tokio::test]
    async fn a_finished_stream_ends_once_and_stays_ended() {
        let (feeder, mut stream) = ByteStream::channel(4);
        feeder.send(Bytes::from_static(b"all")).await.unwrap();
        feeder.finish().await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "all");
        assert!(stream.next().await.unwrap().is_none());
        assert!(stream.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn collecting_stops_at_the_limit() {
        assert_eq!(ByteStream::from_bytes("abc").collect(3).await.unwrap(), "abc");
        assert!(ByteStream::from_bytes("abcd").collect(3).await.is_err());
    }
}
