//! A body of unknown length as parts of one size.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};

use crate::base::KIB;
use crate::stream::{ByteStream, Error};

/// Bytes of a body, in the chunks in which they came.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) chunks: Vec<Bytes>,
    pub(super) bytes: usize,
    /// Nothing follows; known of the first part alone.
    pub(super) is_last: bool,
    /// Small chunks, gathered: a part of single bytes must not cost a chunk each.
    small: BytesMut,
}

impl Part {
    /// Computes the checksum as S3 spells it.
    pub(super) fn crc32c(&self) -> String {
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        self.chunks.iter().for_each(|chunk| digest.update(chunk));
        BASE64_STANDARD.encode((digest.finalize() as u32).to_be_bytes())
    }

    fn take(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if chunk.len() < SMALL {
            self.small.extend_from_slice(&chunk);
            return;
        }
        self.settle();
        self.chunks.push(chunk);
    }

    fn settle(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }
}

/// What is left of a body.
pub(super) struct Parts {
    body: ByteStream,
    size: usize,
    filling: Part,
}

impl Parts {
    /// Cuts `body` into parts of `size` bytes, of which the last may be shorter.
    pub(super) fn new(body: ByteStream, size: usize) -> Self {
        Self { body, size, filling: Part::default() }
    }

    /// Gives the first part, empty if the body is, and tells whether it is the only one.
    pub(super) async fn first(&mut self) -> Result<Part, Error> {
        let Some(mut part) = self.next().await? else {
            return Ok(Part { is_last: true, ..Part::default() });
        };
        part.is_last = part.bytes < self.size;
        while !part.is_last {
            match self.body.next().await? {
                None => part.is_last = true,
                Some(chunk) if chunk.is_empty() => (),
                Some(chunk) => {
                    self.body.unread(chunk);
                    break;
                }
            }
        }
        Ok(part)
    }

    /// Gives the next part, or `None` after the end; may be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, Error> {
        while self.filling.bytes < self.size {
            let Some(mut chunk) = self.body.next().await? else { break };
            let room = self.size - self.filling.bytes;
            if chunk.len() > room {
                self.body.unread(chunk.split_off(room));
            }
            if !chunk.is_empty() {
                self.filling.take(chunk);
            }
        }
        self.filling.settle();
        let part = std::mem::take(&mut self.filling);
        Ok((part.bytes > 0).then_some(part))
    }
}

/// Chunks below this are copied together.
const SMALL: usize = 64 * KIB;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn body(chunks: &[usize]) -> ByteStream {
        let chunks: Vec<_> = chunks.iter().map(|len| Ok(Bytes::from(vec![7; *len]))).collect();
        ByteStream::from_stream(stream::iter(chunks))
    }

    async fn cut(chunks: &[usize], size: usize) -> Vec<(usize, bool)> {
        let mut parts = Parts::new(body(chunks), size);
        let first = parts.first().await.unwrap();
        let mut found = vec![(first.bytes, first.is_last)];
        while let Some(part) = parts.next().await.unwrap() {
            assert_eq!(part.chunks.iter().map(Bytes::len).sum::<usize>(), part.bytes);
            found.push((part.bytes, part.is_last));
        }
        found
    }

    #[tokio::test]
    async fn all_parts_but_the_last_are_equal_and_the_first_knows_if_it_is_alone() {
        assert_eq!(cut(&[], 10).await, [(0, true)]);
        assert_eq!(cut(&[0, 0], 10).await, [(0, true)]);
        assert_eq!(cut(&[9], 10).await, [(9, true)]);
        assert_eq!(cut(&[4, 6, 0], 10).await, [(10, true)]);
        assert_eq!(cut(&[4, 0, 7], 10).await, [(10, false), (1, false)]);
        assert_eq!(cut(&[25], 10).await, [(10, false), (10, false), (5, false)]);
        let big = [200 * KIB, 3, 200 * KIB];
        let sizes = [(300 * KIB, false), (100 * KIB + 3, false)];
        assert_eq!(cut(&big, 300 * KIB).await, sizes);
    }

    #[tokio::test]
    async fn single_bytes_are_gathered() {
        let mut parts = Parts::new(body(&[1; 5000]), 4000);
        let part = parts.first().await.unwrap();
        assert_eq!((part.bytes, part.chunks.len()), (4000, 1));
    }

    #[test]
    fn the_checksum_is_that_of_the_store() {
        let mut part = Part::default();
        part.take(Bytes::from_static(b"12345"));
        part.take(Bytes::from_static(b"6789"));
        part.settle();
        assert_eq!(part.crc32c(), "4waSgw==");
    }
}
