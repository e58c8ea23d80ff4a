//! The tar stream on its way out: chunks of one size that file data is read straight into.
//!
//! What was written since the last [`Chunks::send`] can be taken back: a small file that changes
//! while it is read is written again in its place. Chunks come back for use once their readers
//! have dropped them, so their memory is made and cleared once.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::base::MIB;
use crate::stream::{Closed, Feeder};

/// A file up to this length is held back until it is known not to have changed.
pub(crate) const HELD: usize = 4 * MIB;
/// Bytes of chunks that wait for the next stage.
pub(crate) const AHEAD: usize = 4 * MIB;
/// Bytes of chunks that wait for use.
const SPARE: usize = 16 * MIB;

/// The writing end of a tar stream.
pub(crate) struct Chunks {
    feeder: Feeder,
    /// Bytes in every chunk but the last.
    chunk: usize,
    spare: Arc<Spare>,
    full: Vec<Vec<u8>>,
    now: Vec<u8>,
    filled: usize,
    /// Where the first chunk that was not sent begins.
    sent: u64,
}

struct Spare {
    chunk: usize,
    chunks: Mutex<Vec<Vec<u8>>>,
}

/// A chunk that the readers hold.
struct Lent {
    bytes: Vec<u8>,
    filled: usize,
    home: Arc<Spare>,
}

impl Chunks {
    /// Begins a stream in chunks of `chunk` bytes.
    pub(crate) fn new(feeder: Feeder, chunk: usize) -> Self {
        let spare = Arc::new(Spare { chunk, chunks: Mutex::default() });
        let now = spare.take();
        Self { feeder, chunk, spare, full: Vec::new(), now, filled: 0, sent: 0 }
    }

    /// Returns how many bytes were written, those taken back not counted.
    pub(crate) fn position(&self) -> u64 {
        self.sent + (self.full.len() * self.chunk + self.filled) as u64
    }

    /// Writes `bytes`.
    pub(crate) fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room();
            let taken = room.len().min(bytes.len());
            room[..taken].copy_from_slice(&bytes[..taken]);
            self.advance(taken);
            bytes = &bytes[taken..];
        }
    }

    /// Writes zeros up to the next multiple of 512.
    pub(crate) fn pad(&mut self) {
        let over = (self.position() % 512) as usize;
        if over > 0 {
            self.put(&[0; 512][over..]);
        }
    }

    /// Returns the rest of the present chunk, to be written; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.now[self.filled..]
    }

    /// Says that the first `count` bytes of [`Chunks::room`] are written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.filled += count;
        if self.filled == self.chunk {
            self.full.push(std::mem::replace(&mut self.now, self.spare.take()));
            self.filled = 0;
        }
    }

    /// Takes back everything from `position` on; it must not have been sent.
    pub(crate) fn rewind(&mut self, position: u64) {
        let kept = (position - self.sent) as usize;
        while self.full.len() > kept / self.chunk {
            let earlier = self.full.pop().expect("the list was just seen not to be empty");
            self.spare.give(std::mem::replace(&mut self.now, earlier));
        }
        self.filled = kept % self.chunk;
    }

    /// Hands over what fills a chunk; waits while the next stage is busy.
    pub(crate) fn send(&mut self) -> Result<(), Closed> {
        for bytes in self.full.drain(..) {
            let lent = Lent { bytes, filled: self.chunk, home: Arc::clone(&self.spare) };
            self.feeder.blocking_send(Bytes::from_owner(lent))?;
            self.sent += self.chunk as u64;
        }
        Ok(())
    }

    /// Hands over the rest and says that it was all.
    pub(crate) fn finish(mut self) -> Result<(), Closed> {
        self.send()?;
        if self.filled > 0 {
            let lent = Lent { bytes: self.now, filled: self.filled, home: self.spare };
            self.feeder.blocking_send(Bytes::from_owner(lent))?;
        }
        self.feeder.blocking_finish()
    }

    /// Breaks the stream and says why.
    pub(crate) fn fail(self, error: crate::stream::Error) {
        self.feeder.blocking_fail(error);
    }
}

impl Spare {
    fn take(&self) -> Vec<u8> {
        let kept = self.chunks.lock().ok().and_then(|mut spare| spare.pop());
        kept.unwrap_or_else(|| vec![0; self.chunk])
    }

    fn give(&self, bytes: Vec<u8>) {
        if let Ok(mut spare) = self.chunks.lock()
            && spare.len() < SPARE / self.chunk
        {
            spare.push(bytes);
        }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::ByteStream;

    #[test]
    fn what_is_taken_back_may_span_chunks() {
        let (feeder, mut stream) = ByteStream::channel(16);
        let mut chunks = Chunks::new(feeder, 4);
        chunks.put(b"abcdef");
        chunks.send().unwrap();
        for (put, left) in [("0123456789ab", 6), ("x", 6), ("0123", 9)] {
            chunks.put(put.as_bytes());
            chunks.rewind(left);
            assert_eq!(chunks.position(), left);
        }
        chunks.put(b"zz");
        chunks.finish().unwrap();
        let mut all = Vec::new();
        while let Some(chunk) = stream.blocking_next().unwrap() {
            all.push(chunk);
        }
        assert_eq!(all, ["abcd", "ef01", "2zz"]);
    }
}
