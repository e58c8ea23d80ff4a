//! The bytes of a put on their way to a file: written over several connections, flushed in
//! batches, kept until they are flushed.
//!
//! A server may forget what it has not flushed when it restarts. It says so by another verifier
//! in the answer to COMMIT; what was written under the old one is then sent again.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use nfs3_client::nfs3_types::nfs3::{COMMIT3args, WRITE3args, nfs_fh3, stable_how, writeverf3};
use nfs3_client::nfs3_types::xdr_codec::Opaque;
use tokio::task::JoinSet;
use tracing::info;

use crate::base::MIB;
use crate::storages::nfs::call::Call;
use crate::storages::{Kind, Result};
use crate::stream::ByteStream;

/// A file that is being filled. Dropped, it stops writing.
///
/// Memory: a batch that is gathered and [`FLYING`] that are not flushed yet, so 3 × 8 MiB, less
/// where several NFS storages are served at once, and 1 MiB for each connection. Large chunks are
/// kept as they came, and held until their last byte is flushed.
pub(super) struct Upload {
    file: Arc<File>,
    piece_bytes: usize,
    batch_bytes: usize,
    /// Where the next piece begins.
    end: u64,
    gathered: BytesMut,
    batch: Vec<Piece>,
    flying: JoinSet<Result<()>>,
}

struct File {
    call: Call,
    handle: nfs_fh3,
}

struct Piece {
    at: u64,
    bytes: Bytes,
}

/// What a piece waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Nothing: it is on the server's disk.
    Durably,
    /// A COMMIT under this verifier.
    Under([u8; 8]),
    /// To be sent again: the server restarted in the middle of it.
    InVain,
}

impl Upload {
    pub(super) fn new(call: Call, handle: nfs_fh3, piece_bytes: usize) -> Self {
        let batch_bytes = (BATCH / call.server.peers).max(piece_bytes);
        Self {
            file: Arc::new(File { call, handle }),
            piece_bytes,
            batch_bytes,
            end: 0,
            gathered: BytesMut::new(),
            batch: Vec::new(),
            flying: JoinSet::new(),
        }
    }

    /// Writes the whole body and has it flushed; returns its length.
    pub(super) async fn fill(mut self, mut body: ByteStream) -> Result<u64> {
        loop {
            tokio::select! {
                biased;
                Some(done) = self.flying.join_next() => landed(&self.file.call, done)?,
                chunk = body.next() => match chunk {
                    Ok(Some(chunk)) => self.take(chunk).await?,
                    Ok(None) => return self.finish().await,
                    Err(error) => return Err(self.broken(&error)),
                }
            }
        }
    }

    async fn take(&mut self, mut chunk: Bytes) -> Result<()> {
        while !chunk.is_empty() {
            if self.gathered.is_empty() && chunk.len() >= self.piece_bytes {
                self.add_piece(chunk.split_to(self.piece_bytes));
            } else {
                let room = self.piece_bytes - self.gathered.len();
                self.gathered.extend_from_slice(&chunk.split_to(room.min(chunk.len())));
                if self.gathered.len() == self.piece_bytes {
                    self.close_piece();
                }
            }
            if self.batch.len() * self.piece_bytes >= self.batch_bytes {
                self.launch().await?;
            }
        }
        Ok(())
    }

    fn close_piece(&mut self) {
        let bytes = std::mem::take(&mut self.gathered).freeze();
        self.add_piece(bytes);
    }

    fn add_piece(&mut self, bytes: Bytes) {
        let at = self.end;
        self.end += bytes.len() as u64;
        self.batch.push(Piece { at, bytes });
    }

    /// Sends a batch on its way; waits while too many are.
    async fn launch(&mut self) -> Result<()> {
        while self.flying.len() >= FLYING
            && let Some(done) = self.flying.join_next().await
        {
            landed(&self.file.call, done)?;
        }
        let (file, batch) = (self.file.clone(), std::mem::take(&mut self.batch));
        self.flying.spawn(async move { file.settle(batch, stable_how::UNSTABLE).await });
        Ok(())
    }

    async fn finish(mut self) -> Result<u64> {
        if !self.gathered.is_empty() {
            self.close_piece();
        }
        if self.end <= self.piece_bytes as u64 {
            let batch = std::mem::take(&mut self.batch);
            self.file.settle(batch, stable_how::FILE_SYNC).await?;
        } else if !self.batch.is_empty() {
            self.launch().await?;
        }
        while let Some(done) = self.flying.join_next().await {
            landed(&self.file.call, done)?;
        }
        Ok(self.end)
    }

    fn broken(&self, error: &crate::stream::Error) -> crate::storages::Error {
        let words =
            format!("the bytes that were to be stored broke off: {}", crate::base::chain(error));
        self.file.call.error(Kind::Body, words)
    }
}

fn landed(
    call: &Call,
    done: std::result::Result<Result<()>, tokio::task::JoinError>,
) -> Result<()> {
    done.unwrap_or_else(|panic| Err(call.error(Kind::Other, panic.to_string())))
}

impl File {
    /// Writes a batch and has it flushed, unless the server says that it flushed it at once; what
    /// a restart cost is sent again.
    async fn settle(&self, mut left: Vec<Piece>, stable: stable_how) -> Result<()> {
        let restarts = self.call.server.retries + 1;
        for _ in 0..=restarts {
            let writes = left.iter().map(|piece| self.write(piece, stable));
            let written = try_join_all(writes).await?;
            let committed = match written.iter().all(|written| *written == Written::Durably) {
                true => return Ok(()),
                false => self.commit(&left).await?,
            };
            let safe = [Written::Durably, Written::Under(committed)];
            left = { left.into_iter() }
                .zip(written)
                .filter_map(|(piece, written)| (!safe.contains(&written)).then_some(piece))
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            let pieces = left.len();
            info!(storage = self.call.server.name, pieces, "the server restarted, sending again");
        }
        let words = "the server restarts again and again before it has flushed what it was sent";
        Err(self.call.error(Kind::Unavailable, words))
    }

    /// Writes a piece, of which the server may take less at a time.
    async fn write(&self, piece: &Piece, stable: stable_how) -> Result<Written> {
        let mut done = 0;
        let mut all = None;
        while done < piece.bytes.len() {
            let rest = &piece.bytes[done..];
            let request = WRITE3args {
                file: self.handle.clone(),
                offset: piece.at + done as u64,
                count: rest.len() as u32,
                stable,
                data: Opaque::borrowed(rest),
            };
            let answer = self.call.ask(&request).await?;
            let answer = answer.map_err(|status| self.call.refused(status))?;
            let count = answer.count as usize;
            if count == 0 || count > rest.len() {
                let words =
                    format!("the server says that it wrote {count} of {} bytes", rest.len());
                return Err(self.call.error(Kind::Other, words));
            }
            done += count;
            let written = how(answer.committed, answer.verf);
            all = match all {
                Some(before) if before != written => Some(Written::InVain),
                _ => Some(written),
            };
        }
        Ok(all.unwrap_or(Written::Durably))
    }

    async fn commit(&self, pieces: &[Piece]) -> Result<[u8; 8]> {
        let offset = pieces.first().map_or(0, |piece| piece.at);
        let end = pieces.last().map_or(offset, |piece| piece.at + piece.bytes.len() as u64);
        let (file, count) = (self.handle.clone(), (end - offset) as u32);
        let request = COMMIT3args { file, offset, count };
        let answer = self.call.ask(&request).await?;
        let answer = answer.map_err(|status| self.call.refused(status))?;
        Ok(answer.verf.0)
    }
}

fn how(committed: stable_how, verifier: writeverf3) -> Written {
    match committed {
        stable_how::FILE_SYNC => Written::Durably,
        stable_how::UNSTABLE | stable_how::DATA_SYNC => Written::Under(verifier.0),
    }
}

/// Bytes between two flushes, shared by the storages of a run.
const BATCH: usize = 8 * MIB;
/// Batches that are being written or flushed while the next one is gathered.
const FLYING: usize = 2;
