//! One stream, cut into objects that a storage takes.

use bytes::Bytes;
use futures_util::stream;
use tokio::sync::oneshot;

use crate::stream::{ByteStream, Error};

/// Cuts `stream` into segments of at most `limit` bytes; without a limit there is one.
///
/// A limit of 0 is taken as 1.
pub fn segments(stream: ByteStream, limit: Option<u64>) -> Segments {
    let limit = limit.unwrap_or(u64::MAX).max(1);
    Segments { limit, state: State::Fresh(stream) }
}

/// The segments of a stream, one after the other.
pub struct Segments {
    limit: u64,
    state: State,
}

enum State {
    /// Nothing was read yet.
    Fresh(ByteStream),
    /// A segment is out; it gives the source back at its end.
    Out(oneshot::Receiver<Rest>),
    /// Nothing more comes.
    Over,
}

/// What is left of the source when a segment is full: the stream and the chunk that was begun.
type Rest = Result<Option<(ByteStream, Bytes)>, Error>;

impl Segments {
    /// Gives the next segment once the one before was read to its end; `None` after the last.
    ///
    /// Shape: segments of exactly `limit` bytes, the last of 1 to `limit`; an empty stream gives
    /// one empty segment.
    /// Errors: those of the source, which also break the segment that was being read; a segment
    /// that was dropped before its end. After an error there are no more segments.
    pub async fn next(&mut self) -> Result<Option<ByteStream>, Error> {
        let (stream, rest, first) = match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return Ok(None),
            State::Fresh(stream) => (stream, Bytes::new(), true),
            State::Out(back) => match back.await {
                Err(_) => return Err(Error::new("a segment was not read to its end")),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some((stream, rest)))) => (stream, rest, false),
            },
        };
        self.begin(stream, rest, first).await
    }

    /// Looks for a first byte, so that no empty segment follows a full one.
    async fn begin(
        &mut self,
        mut stream: ByteStream,
        mut rest: Bytes,
        first: bool,
    ) -> Result<Option<ByteStream>, Error> {
        while rest.is_empty() {
            match stream.next().await? {
                Some(chunk) => rest = chunk,
                None if first => return Ok(Some(ByteStream::from_bytes(Bytes::new()))),
                None => return Ok(None),
            }
        }
        let (back, out) = oneshot::channel();
        self.state = State::Out(out);
        let source = Source { stream, rest, left: self.limit, back };
        Ok(Some(ByteStream::from_stream(stream::unfold(Some(source), |source| async move {
            source?.step().await
        }))))
    }
}

/// The segment that is being read.
struct Source {
    stream: ByteStream,
    rest: Bytes,
    left: u64,
    back: oneshot::Sender<Rest>,
}

impl Source {
    async fn step(mut self) -> Option<(Result<Bytes, Error>, Option<Self>)> {
        if self.left == 0 {
            self.back.send(Ok(Some((self.stream, self.rest)))).ok();
            return None;
        }
        if self.rest.is_empty() {
            match self.stream.next().await {
                Ok(Some(chunk)) => self.rest = chunk,
                Ok(None) => {
                    self.back.send(Ok(None)).ok();
                    return None;
                }
                Err(error) => {
                    self.back.send(Err(error.clone())).ok();
                    return Some((Err(error), None));
                }
            }
        }
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.rest.len());
        let chunk = self.rest.split_to(taken);
        self.left -= taken as u64;
        Some((Ok(chunk), Some(self)))
    }
}

#[cfg(test)]
mod tests;
