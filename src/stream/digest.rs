//! Digests of what goes by.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use sha2::Digest as _;
use tokio::task::spawn_blocking;

use crate::base::{Digest, KIB};
use crate::stream::{ByteStream, Error, Pending};

/// A kind of digest, both of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// For what is inside: `b3sum`.
    Blake3,
    /// For what is stored: `sha256sum`.
    Sha256,
}

/// The SHA-256 of a stream, and those of its beginnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Of all of it.
    pub whole: Digest,
    /// Of so many of its first bytes; only of as many as it has.
    pub beginnings: BTreeMap<u64, Digest>,
}

/// Passes a stream on and tells its BLAKE3.
pub fn blake3(stream: ByteStream) -> (ByteStream, Pending<Digest>) {
    let (blake3, digest) = Hashing::of_all(Algorithm::Blake3);
    (hashed(stream, [blake3]), digest)
}

/// Passes a stream on and tells its SHA-256.
pub fn sha256(stream: ByteStream) -> (ByteStream, Pending<Digest>) {
    let (sha256, digest) = Hashing::of_all(Algorithm::Sha256);
    (hashed(stream, [sha256]), digest)
}

/// Passes a stream on and tells its SHA-256 and those of its first bytes up to each of `marks`.
pub fn sums(stream: ByteStream, marks: Vec<u64>) -> (ByteStream, Pending<Sums>) {
    let (sha256, sums) = Hashing::of_beginnings(marks);
    (hashed(stream, [sha256]), sums)
}

/// Passes a stream on and tells its BLAKE3 and what [`sums`] tells: cheaper than one after the
/// other.
pub fn both(stream: ByteStream, marks: Vec<u64>) -> (ByteStream, Pending<Digest>, Pending<Sums>) {
    let (blake3, digest) = Hashing::of_all(Algorithm::Blake3);
    let (sha256, sums) = Hashing::of_beginnings(marks);
    (hashed(stream, [blake3, sha256]), digest, sums)
}

/// Reads a stream to its end and tells its digest and its length.
///
/// Errors: those of the stream.
pub async fn digest_of(stream: ByteStream, algorithm: Algorithm) -> Result<(Digest, u64), Error> {
    let (hashing, digest) = Hashing::of_all(algorithm);
    let (mut stream, mut bytes) = (hashed(stream, [hashing]), 0);
    while let Some(chunk) = stream.next().await? {
        bytes += chunk.len() as u64;
    }
    Ok((digest.get().await?, bytes))
}

/// A digest that is being made.
#[derive(Clone)]
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

/// A digest of a stream on its way, and who waits for it.
struct Hashing {
    hasher: Hasher,
    at: u64,
    /// The lengths of beginnings that are still to come, the largest first.
    marks: Vec<u64>,
    beginnings: BTreeMap<u64, Digest>,
    tell: Box<dyn FnOnce(Sums) + Send>,
}

impl Hashing {
    fn of_all(algorithm: Algorithm) -> (Self, Pending<Digest>) {
        let (promise, digest) = Pending::new();
        (Self::new(algorithm, Vec::new(), |sums| promise.keep(sums.whole)), digest)
    }

    fn of_beginnings(marks: Vec<u64>) -> (Self, Pending<Sums>) {
        let (promise, sums) = Pending::new();
        (Self::new(Algorithm::Sha256, marks, |sums| promise.keep(sums)), sums)
    }

    fn new(
        algorithm: Algorithm,
        mut marks: Vec<u64>,
        tell: impl FnOnce(Sums) + Send + 'static,
    ) -> Self {
        marks.sort_by_key(|mark| std::cmp::Reverse(*mark));
        let (hasher, tell) = (Hasher::new(algorithm), Box::new(tell));
        Self { hasher, at: 0, marks, beginnings: BTreeMap::new(), tell }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while let Some(mark) = self.marks.pop_if(|mark| *mark <= self.at + bytes.len() as u64) {
            let (before, after) = bytes.split_at((mark - self.at) as usize);
            self.hasher.update(before);
            self.at = mark;
            self.beginnings.insert(mark, self.hasher.clone().finish());
            bytes = after;
        }
        self.hasher.update(bytes);
        self.at += bytes.len() as u64;
    }

    fn finish(self) {
        (self.tell)(Sums { whole: self.hasher.finish(), beginnings: self.beginnings });
    }
}

/// Hashes each chunk before it is handed on; no chunk waits here.
fn hashed<const N: usize>(stream: ByteStream, all: [Hashing; N]) -> ByteStream {
    let step = |(mut stream, all): (ByteStream, [Hashing; N])| async move {
        let Some(chunk) = stream.next().await? else {
            all.into_iter().for_each(Hashing::finish);
            return Ok(None);
        };
        let all = updated(all, chunk.clone()).await?;
        Ok(Some((chunk, (stream, all))))
    };
    ByteStream::from_stream(try_unfold((stream, all), step))
}

/// Adds a chunk, on a thread that may block when it is a long one.
async fn updated<const N: usize>(
    mut all: [Hashing; N],
    chunk: Bytes,
) -> Result<[Hashing; N], Error> {
    let long = chunk.len() >= LONG;
    let hash = move || {
        for piece in chunk.chunks(PIECE) {
            all.iter_mut().for_each(|hashing| hashing.update(piece));
        }
        all
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
