//! What hurts: a frame that another tool cannot read, a map that points beside a frame, a broken
//! stream that looks whole, a consumer that goes and leaves its producer hanging.

use std::io::Read;
use std::time::Duration;

use futures_util::stream;
use tokio::time::timeout;

use super::*;
use crate::base::KIB;
use crate::stream::decompress;

/// Text that compresses about as well as a web site.
pub(crate) fn text(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.extend_from_slice(format!("{:x} <p>word</p>\n", state >> 44).as_bytes());
    }
    text.truncate(bytes);
    text
}

pub(crate) fn chunked(bytes: &[u8], chunk: usize) -> ByteStream {
    let chunks: Vec<_> = bytes.chunks(chunk).map(Bytes::copy_from_slice).map(Ok).collect();
    ByteStream::from_stream(stream::iter(chunks))
}

pub(crate) async fn pack(raw: &[u8], codec: Codec, chunk: usize) -> (Bytes, Frames) {
    let (stored, frames) = compress(chunked(raw, chunk), codec.by_default(), 1);
    let stored = stored.collect(1 << 30).await.unwrap();
    (stored, frames.get().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_reads_alone_from_its_start() {
    let raw = text(9 * MIB + 5);
    for codec in [Codec::Gzip, Codec::Zstd, Codec::None] {
        let (stored, frames) = pack(&raw, codec, 700 * KIB).await;
        let size = codec.frame_bytes() as usize;
        assert_eq!(frames.raw_bytes, raw.len() as u64, "{codec:?}");
        assert_eq!(frames.stored_bytes, stored.len() as u64, "{codec:?}");
        assert_eq!(frames.starts.len(), raw.len().div_ceil(size), "{codec:?}");
        for (number, start) in frames.starts.iter().enumerate() {
            let from = stored.slice(*start as usize..);
            let tail = decompress(ByteStream::from_bytes(from), codec);
            assert!(tail.collect(1 << 30).await.unwrap() == raw[number * size..], "{number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_the_chunks_changes_nothing() {
    let raw = text(8 * MIB);
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (whole, frames) = pack(&raw, codec, 4 * MIB).await;
        assert_eq!(frames.starts.len() as u64, (8 * MIB as u64) / codec.frame_bytes());
        for chunk in [1000, 64 * KIB, 3 * MIB, 8 * MIB] {
            assert!(pack(&raw, codec, chunk).await == (whole.clone(), frames.clone()), "{chunk}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_makes_one_empty_frame() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (stored, frames) = pack(b"", codec, 1).await;
        assert!(!stored.is_empty());
        assert_eq!((frames.raw_bytes, frames.starts), (0, vec![0]));
        let raw = decompress(ByteStream::from_bytes(stored), codec);
        assert_eq!(raw.collect(10).await.unwrap(), "");
    }
    let (stored, frames) = pack(b"", Codec::None, 1).await;
    assert!(stored.is_empty() && frames.starts.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_tells_its_size_and_has_a_checksum() {
    let (stored, _) = pack(&text(100_000), Codec::Zstd, 1000).await;
    assert_eq!(zstd::zstd_safe::get_frame_content_size(&stored).unwrap(), Some(100_000));
    assert_eq!(stored[4] & 4, 4, "the flag of the checksum in the frame header");
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_and_every_level_fit_their_buffers() {
    let raw = noise(5 * MIB);
    for (codec, levels) in [(Codec::Gzip, 1..=9), (Codec::Zstd, 1..=4)] {
        for level in levels {
            let (stored, _) = compress(chunked(&raw, MIB), Compression { codec, level }, 1);
            let raw_again = decompress(stored, codec).collect(1 << 30).await.unwrap();
            assert!(raw_again == raw, "{codec:?} {level}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_breaks_the_same_way() {
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        for cut in [true, false] {
            let (feeder, raw) = ByteStream::channel(1);
            let (stored, frames) = compress(raw, codec.by_default(), 1);
            let feed = async move {
                feeder.send(text(6 * MIB).into()).await.ok();
                if !cut {
                    feeder.fail(Error::new("the disk died")).await;
                }
            };
            let error = tokio::join!(stored.collect(1 << 30), feed).0.unwrap_err();
            assert_eq!(matches!(error, Error::Cut), cut, "{codec:?}");
            assert!(cut || error.to_string() == "the disk died", "{error}");
            assert!(frames.get().await.is_err(), "{codec:?}: a map of a broken stream");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_lets_an_idle_producer_go() {
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd] {
        let (feeder, raw) = ByteStream::channel(1);
        let (stored, _) = compress(raw, codec.by_default(), 1);
        feeder.send(text(MIB).into()).await.unwrap();
        drop(stored);
        timeout(Duration::from_secs(10), feeder.closed()).await.expect("the producer hangs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_producer_back() {
    let (feeder, raw) = ByteStream::channel(1);
    let (stored, _) = compress(raw, Codec::Zstd.by_default(), 1);
    let frame = Bytes::from(vec![1; 4 * MIB]);
    let mut taken = 0;
    while timeout(Duration::from_secs(1), feeder.send(frame.clone())).await.is_ok() {
        taken += 1;
        assert!(taken <= 32, "the stage takes frames without end");
    }
    let most = workers(Codec::Zstd.by_default(), 1) + 2 + 3;
    assert!(taken <= most, "{taken} frames are under way, at most {most} may be");
    drop(stored);
}

#[test]
fn the_memory_of_a_stage_stays_within_its_budget_on_any_machine() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let frame = codec.frame_bytes() as usize;
        for level in 1..=9 {
            let how = Compression { codec, level };
            let workers = fitting(how, 1).max(1);
            let most = workers * (2 * frame + context_bytes(how)) + 3 * frame;
            assert!(most <= BUDGET, "{codec:?} {level}: {most}");
        }
    }
    let zstd = |streams| fitting(Codec::Zstd.by_default(), streams);
    assert_eq!([1, 2, 3, 4, 5].map(zstd), [3, 3, 1, 1, 0]);
    assert!(fitting(Codec::Gzip.by_default(), 1) >= 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tools_read_our_frames() {
    for (codec, tools) in [(Codec::Gzip, &["gzip", "pigz"][..]), (Codec::Zstd, &["zstd"][..])] {
        for bytes in [0, 1, 9 * MIB + 3] {
            let raw = text(bytes);
            let (stored, _) = pack(&raw, codec, MIB).await;
            for tool in tools {
                let (good, out) = filter(tool, &["-dc"], &stored);
                assert!(good && out == raw, "{tool} cannot read {bytes} bytes");
            }
        }
    }
}

/// Runs a tool on `input`; tells whether it exited 0, and what it wrote.
pub(crate) fn filter(tool: &str, options: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    file.rewind().unwrap();
    let mut child = std::process::Command::new(tool)
        .args(options)
        .stdin(file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{tool}, which this test needs: {error}"));
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    (child.wait().unwrap().success(), out)
}

pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}
