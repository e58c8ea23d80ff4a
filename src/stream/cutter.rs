//! Cuts a stream into pieces of one size.

use bytes::{Buf, Bytes};

use crate::stream::{Buffers, ByteStream, Error};

/// Gives pieces of exactly `size` bytes; only the last may be shorter, and none is empty.
pub(super) struct Cutter {
    stream: ByteStream,
    chunk: Bytes,
    size: usize,
    buffers: Buffers,
}

impl Cutter {
    pub(super) fn new(stream: ByteStream, size: usize) -> Self {
        Self { stream, chunk: Bytes::new(), size, buffers: Buffers::new(size, 2) }
    }

    /// Returns the next piece: a slice of its chunk, or a copy where it spans several.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let mut piece = Vec::new();
        loop {
            if piece.is_empty() && self.chunk.len() >= self.size {
                return Ok(Some(self.chunk.split_to(self.size)));
            }
            if !self.chunk.is_empty() {
                if piece.is_empty() {
                    piece = self.buffers.take();
                }
                let taken = self.chunk.len().min(self.size - piece.len());
                piece.extend_from_slice(&self.chunk[..taken]);
                self.chunk.advance(taken);
                if piece.len() == self.size {
                    return Ok(Some(self.buffers.freeze(piece)));
                }
            }
            match self.stream.next().await? {
                Some(chunk) => self.chunk = chunk,
                None if piece.is_empty() => return Ok(None),
                None => return Ok(Some(self.buffers.freeze(piece))),
            }
        }
    }
}
