//! What hurts: a digest that another tool does not find, or one of a broken stream.

use super::*;
use crate::base::MIB;

const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const BLAKE3_OF_ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

#[tokio::test]
async fn known_answers_while_the_bytes_pass() {
    let abc = || ByteStream::from_bytes("abc");
    for ((stream, digest), should) in
        [(sha256(abc()), SHA256_OF_ABC), (blake3(abc()), BLAKE3_OF_ABC)]
    {
        assert_eq!(stream.collect(9).await.unwrap(), "abc");
        assert_eq!(digest.get().await.unwrap().to_string(), should);
    }
}

#[tokio::test]
async fn long_chunks_are_not_copied_and_count() {
    let chunk = Bytes::from(vec![5; 3 * MIB]);
    let (mut stream, _) = sha256(ByteStream::from_bytes(chunk.clone()));
    assert_eq!(stream.next().await.unwrap().unwrap().as_ptr(), chunk.as_ptr());
    let (digest, bytes) =
        digest_of(ByteStream::from_bytes(chunk.clone()), Algorithm::Blake3).await.unwrap();
    assert_eq!(bytes, 3 * MIB as u64);
    assert_eq!(digest, Digest::new(*::blake3::hash(&chunk).as_bytes()));
}

#[tokio::test]
async fn a_cut_stream_has_no_digest() {
    let (feeder, stream) = ByteStream::channel(1);
    let (passed, digest) = blake3(stream);
    feeder.send("half".into()).await.unwrap();
    drop(feeder);
    assert!(matches!(passed.collect(9).await, Err(Error::Cut)));
    assert!(digest.get().await.is_err());
    let (feeder, stream) = ByteStream::channel(1);
    drop(feeder);
    assert!(digest_of(stream, Algorithm::Sha256).await.is_err());
}

#[tokio::test]
async fn a_reader_that_goes_lets_an_idle_producer_go() {
    let (feeder, stream) = ByteStream::channel(1);
    drop(sha256(stream));
    feeder.closed().await;
}

#[tokio::test]
async fn beginnings_have_the_digests_that_they_would_have_alone() {
    let bytes = Bytes::from((0..200_000_u32).map(|at| (at / 7) as u8).collect::<Vec<_>>());
    let chunks = [0..3, 3..100_000, 100_000..200_000].map(|part| Ok(bytes.slice(part)));
    let marks = vec![100_000, 200_001, 3, 150_000, 200_000, 4];
    let stream = ByteStream::from_stream(futures_util::stream::iter(chunks));
    let (stream, digest, sums) = both(stream, marks);
    assert_eq!(stream.collect(1 << 20).await.unwrap(), bytes);
    let sha256 = |bytes: &[u8]| Digest::new(sha2::Sha256::digest(bytes).to_vec());
    let sums = sums.get().await.unwrap();
    assert_eq!(sums.whole, sha256(&bytes));
    assert_eq!(digest.get().await.unwrap(), Digest::new(*::blake3::hash(&bytes).as_bytes()));
    let lengths: Vec<_> = sums.beginnings.keys().copied().collect();
    assert_eq!(lengths, [3, 4, 100_000, 150_000, 200_000]);
    for (length, found) in &sums.beginnings {
        assert_eq!(*found, sha256(&bytes[..*length as usize]), "{length}");
    }
}
