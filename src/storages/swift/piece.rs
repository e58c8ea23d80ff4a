//! Pieces of a body: as much of it as is in memory at a time, ready to be sent again.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use md5::{Digest, Md5};

use crate::base::KIB;
use crate::storages::swift::trouble::Trouble;
use crate::stream::ByteStream;

/// Bytes in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    chunks: Arc<Vec<Bytes>>,
    bytes: u64,
}

impl Piece {
    /// Makes a piece of one chunk.
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        let chunk = bytes.into();
        Self { bytes: chunk.len() as u64, chunks: Arc::new(vec![chunk]) }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Computes the MD5 in hex, as the store does; blocks.
    pub(super) fn md5(&self) -> String {
        let mut hash = Md5::new();
        self.chunks.iter().for_each(|chunk| hash.update(chunk));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(super) fn to_body(&self) -> reqwest::Body {
        let chunks = self.chunks.clone();
        let chunks = (0..chunks.len()).map(move |at| Ok::<_, std::io::Error>(chunks[at].clone()));
        reqwest::Body::wrap_stream(stream::iter(chunks))
    }
}

/// A body, cut into pieces.
pub(super) struct Pieces {
    body: ByteStream,
    limit: u64,
    begun: VecDeque<Bytes>,
}

impl Pieces {
    /// Cuts `body` into pieces of `limit` bytes; the last may be shorter.
    pub(super) fn new(body: ByteStream, limit: u64) -> Self {
        Self { body, limit, begun: VecDeque::new() }
    }

    /// Gives the next piece; `None` when there is nothing more.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, Trouble> {
        let (mut chunks, mut small, mut bytes) = (Vec::new(), BytesMut::new(), 0);
        while bytes < self.limit {
            let Some(mut chunk) = self.chunk().await? else { break };
            let room = usize::try_from(self.limit - bytes).unwrap_or(usize::MAX);
            if chunk.len() > room {
                self.begun.push_front(chunk.split_off(room));
            }
            bytes += chunk.len() as u64;
            if chunk.len() < SMALL {
                small.extend_from_slice(&chunk);
            }
            if !small.is_empty() && (small.len() >= SMALL || chunk.len() >= SMALL) {
                chunks.push(small.split().freeze());
            }
            if chunk.len() >= SMALL {
                chunks.push(chunk);
            }
        }
        if !small.is_empty() {
            chunks.push(small.freeze());
        }
        Ok((bytes > 0).then(|| Piece { chunks: Arc::new(chunks), bytes }))
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self.begun.pop_front() {
            Some(chunk) => Ok(Some(chunk)),
            None => self.body.next().await.map_err(Trouble::body),
        }
    }
}

/// Chunks below this are gathered; larger ones are kept as they are.
const SMALL: usize = 16 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_full_in_order_and_nothing_is_lost() {
        let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        for chunk in [1, 1000, 16 * KIB, 70_000, 200_000] {
            let parts = text.chunks(chunk).map(|part| Ok(Bytes::copy_from_slice(part)));
            let body = ByteStream::from_stream(stream::iter(parts.collect::<Vec<_>>()));
            let mut pieces = Pieces::new(body, 66_666);
            let (mut sizes, mut all) = (Vec::new(), Vec::new());
            while let Some(piece) = pieces.next().await.unwrap() {
                sizes.push(piece.bytes());
                piece.chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
            }
            assert_eq!(sizes, [66_666, 66_666, 66_666, 2], "chunks of {chunk}");
            assert!(all == text, "chunks of {chunk}");
        }
    }

    #[test]
    fn the_md5_is_that_of_the_whole() {
        let piece = Piece { chunks: Arc::new(vec!["ab".into(), "c".into()]), bytes: 3 };
        assert_eq!(piece.md5(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(Piece::default().md5(), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
