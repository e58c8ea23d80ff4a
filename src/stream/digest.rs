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
    stage(move |feeder| {
        Box::pin(async move { pass(stream, [Algorithm::Blake3], feeder).await.map(|[one]| one) })
    })
}

/// Passes a stream on and tells its SHA-256.
pub fn sha256(stream: ByteStream) -> (ByteStream, Pending<Digest>) {
    stage(move |feeder| {
        Box::pin(async move { pass(stream, [Algorithm::Sha256], feeder).await.map(|[one]| one) })
    })
}

/// Passes a stream on and tells its BLAKE3 and its SHA-256: cheaper than one after the other.
pub fn both(stream: ByteStream) -> (ByteStream, Pending<Digest>, Pending<Digest>) {
    let (promise, sha256) = Pending::new();
    let (stream, blake3) = stage(move |feeder| {
        Box::pin(async move {
            let both = [Algorithm::Blake3, Algorithm::Sha256];
            let [blake3, sha256] = pass(stream, both, feeder).await?;
            promise.keep(sha256);
            Ok(blake3)
        })
    });
    (stream, blake3, sha256)
}

/// Reads a stream to its end and tells its digest and its length.
///
/// Errors: those of the stream.
pub async fn digest_of(
    mut stream: ByteStream,
    algorithm: Algorithm,
) -> Result<(Digest, u64), Error> {
    let (mut hashers, mut bytes) = ([Hasher::new(algorithm)], 0);
    while let Some(chunk) = stream.next().await? {
        bytes += chunk.len() as u64;
        hashers = updated(hashers, chunk).await?;
    }
    let [hasher] = hashers;
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
            Self::Sha256(hasher) => bytes.chunks(PIECE).for_each(|piece| {
                fetch(piece);
                hasher.update(piece);
            }),
        }
    }

    /// Tells the digest.
    pub fn finish(self) -> Digest {
        match self {
            Self::Blake3(hasher) => Digest::new(*hasher.finalize().as_bytes()),
            Self::Sha256(hasher) => Digest::new(hasher.finalize().to_vec()),
        }
    }
}

async fn pass<const N: usize>(
    mut stream: ByteStream,
    algorithms: [Algorithm; N],
    feeder: &Feeder,
) -> Result<[Digest; N], Error> {
    let mut hashers = algorithms.map(Hasher::new);
    while let Some(chunk) = stream.next().await? {
        hashers = updated(hashers, chunk.clone()).await?;
        feeder.send(chunk).await?;
    }
    Ok(hashers.map(Hasher::finish))
}

/// Adds a chunk, on a thread that may block when it is a long one.
async fn updated<const N: usize>(
    mut hashers: [Hasher; N],
    chunk: Bytes,
) -> Result<[Hasher; N], Error> {
    let long = chunk.len() >= LONG;
    let hash = move || {
        for piece in chunk.chunks(PIECE) {
            hashers.iter_mut().for_each(|hasher| hasher.update(piece));
        }
        hashers
    };
    if long { spawn_blocking(hash).await.map_err(Error::new) } else { Ok(hash()) }
}

/// Brings bytes that another core has written into this one's cache, with many reads under way:
/// SHA-256 waits for each of its own, and takes half as long again.
fn fetch(bytes: &[u8]) {
    let sum = bytes.iter().step_by(LINE).fold(0_u8, |sum, byte| sum ^ byte);
    std::hint::black_box(sum);
}

/// A chunk that takes longer to hash than a task may hold its thread: about 50 µs.
const LONG: usize = 64 * KIB;
/// What is hashed at once: it stays in the nearest caches from one algorithm to the next.
const PIECE: usize = 64 * KIB;
/// Bytes that a processor fetches at once.
const LINE: usize = 64;

#[cfg(test)]
mod tests;
