//! A stream as `std::io::Read`, for the blocking libraries.

use std::io::{self, Read};

use bytes::{Buf, Bytes};

use crate::stream::ByteStream;

/// Reads a [`ByteStream`] from a thread that may block; a cut stream is an error.
pub struct StreamReader {
    stream: ByteStream,
    chunk: Bytes,
}

impl StreamReader {
    /// Wraps `stream`.
    pub fn new(stream: ByteStream) -> Self {
        Self::after(Bytes::new(), stream)
    }

    /// Wraps `stream`, of which `chunk` was read already.
    pub(super) fn after(chunk: Bytes, stream: ByteStream) -> Self {
        Self { stream, chunk }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.stream.blocking_next().map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.chunk.len());
        buffer[..taken].copy_from_slice(&self.chunk[..taken]);
        self.chunk.advance(taken);
        Ok(taken)
    }
}
