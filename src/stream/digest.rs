//! Digests of what goes by.

use bytes::Bytes;
use sha2::Digest as _;
use tokio::task::spawn_blocking;

use crate::base::{Digest, KIB};
use crate::stream::pending::stage;
use crate::stream::{ByteStream, Error, Feeder, Pending};

/// A kind of digest, both of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// For what is inside: `b3sum`.
    Blake3,
    /// For what is stored: `sha256sum`.
    Sha256,
}

/// Passes a stream on and tells its BLAKE3.
pub fn blake3(stream: ByteStream) -> (ByteStream, Pending<Digest>) {
    hashed(stream, Algorithm::Blake3)
}

/// Passes a stream on and tells its SHA-256.
pub fn sha256(stream: ByteStream) -> (ByteStream, Pending<Digest>) {
    hashed(stream, Algorithm::Sha256)
}

/// Reads a stream to its end and tells its digest and its length.
///
/// Errors: those of the stream.
pub async fn digest_of(
    mut stream: ByteStream,
    algorithm: Algorithm,
) -> Result<(Digest, u64), Error> {
    let (mut hasher, mut bytes) = (Hasher::new(algorithm), 0);
    while let Some(chunk) = stream.next().await? {
        bytes += chunk.len() as u64;
        hasher = hasher.updated(chunk).await?;
    }
    Ok((hasher.finish(), bytes))
}

/// A digest that is being made.
pub enum Hasher {
    /// BLAKE3.
    Blake3(Box<blake3::Hasher>),
    /// SHA-256.
    Sha256(sha2::Sha256),
}

impl Hasher {
    /// Starts one.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Blake3 => Self::Blake3(Box::default()),
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Blake3(hasher) => drop(hasher.update(bytes)),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Adds a chunk, on a thread that may block when it is a long one.
    async fn updated(mut self, chunk: Bytes) -> Result<Self, Error> {
        if chunk.len() < LONG {
            self.update(&chunk);
            return Ok(self);
        }
        let hashing = spawn_blocking(move || {
            self.update(&chunk);
            self
        });
        hashing.await.map_err(Error::new)
    }

    /// Tells the digest.
    pub fn finish(self) -> Digest {
        match self {
            Self::Blake3(hasher) => Digest::new(*hasher.finalize().as_bytes()),
            Self::Sha256(hasher) => Digest::new(hasher.finalize().to_vec()),
        }
    }
}

fn hashed(stream: ByteStream, algorithm: Algorithm) -> (ByteStream, Pending<Digest>) {
    stage(move |feeder| Box::pin(pass(stream, algorithm, feeder)))
}

async fn pass(
    mut stream: ByteStream,
    algorithm: Algorithm,
    feeder: &Feeder,
) -> Result<Digest, Error> {
    let mut hasher = Hasher::new(algorithm);
    while let Some(chunk) = stream.next().await? {
        hasher = hasher.updated(chunk.clone()).await?;
        feeder.send(chunk).await?;
    }
    Ok(hasher.finish())
}

/// A chunk that takes longer to hash than a task may hold its thread: about 50 µs.
const LONG: usize = 64 * KIB;

#[cfg(test)]
mod tests;
