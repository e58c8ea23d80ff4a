//! What hurts: a damaged or cut object that restores without a word.

use super::*;
use crate::stream::compress::tests::{chunked, filter, noise, pack, text};

async fn unpack(stored: &[u8], codec: Codec, chunk: usize) -> Result<bytes::Bytes, Error> {
    decompress(chunked(stored, chunk), codec).collect(1 << 30).await
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_any_size_give_the_same() {
    let raw = text(9 * MIB);
    for codec in [Codec::Gzip, Codec::Zstd, Codec::None] {
        let (stored, _) = pack(&raw, codec, MIB).await;
        for chunk in [999, 100_000, MIB, stored.len()] {
            assert!(unpack(&stored, codec, chunk).await.unwrap() == raw, "{codec:?} {chunk}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_stock_tools_are_read() {
    for raw in [text(0), text(1), text(9 * MIB), noise(9 * MIB)] {
        for (codec, tool, options) in [
            (Codec::Gzip, "gzip", &["-c"][..]),
            (Codec::Gzip, "pigz", &["-c"]),
            (Codec::Zstd, "zstd", &["-qc"]),
            (Codec::Zstd, "zstd", &["-qc", "-T2", "-1", "--long=27"]),
        ] {
            let (good, stored) = filter(tool, options, &raw);
            assert!(good);
            let read = unpack(&stored, codec, 64_000).await.unwrap();
            assert!(read == raw, "{tool} {options:?} {}", raw.len());
            // Ours after theirs, and theirs after ours.
            let (ours, _) = pack(&raw, codec, MIB).await;
            for both in [[&stored[..], &ours].concat(), [&ours[..], &stored].concat()] {
                let read = unpack(&both, codec, 100_000).await.unwrap();
                assert!(read[..raw.len()] == raw && read[raw.len()..] == raw, "{tool}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_inside_a_frame_is_an_error() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (stored, frames) = pack(&text(5 * MIB), codec, MIB).await;
        let last = *frames.starts.last().unwrap() as usize;
        for at in [0, 1, 3, 17, 19, 1000, last - 1, last + 1, last + 12, stored.len() - 1] {
            assert!(unpack(&stored[..at], codec, 10_000).await.is_err(), "{codec:?} cut at {at}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_anywhere_is_an_error() {
    let raw = text(30_000);
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (stored, _) = pack(&raw, codec, MIB).await;
        for at in (0..stored.len()).step_by(41).chain(stored.len() - 8..stored.len()) {
            let mut bad = stored.to_vec();
            bad[at] ^= 16;
            // Some bits of a gzip header (time, system) mean nothing; wrong bytes are never given.
            match unpack(&bad, codec, 10_000).await {
                Ok(read) => assert!(codec == Codec::Gzip && at < 10 && read == raw, "{at}"),
                Err(_) => continue,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_after_the_end_is_an_error() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (stored, _) = pack(&text(100_000), codec, MIB).await;
        for garbage in [&b"\0"[..], b"xyz", &[0; 512], &noise(100)] {
            let stored = [&stored, garbage].concat();
            assert!(unpack(&stored, codec, 10_000).await.is_err(), "{codec:?} {}", garbage.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_source_breaks_the_same_way() {
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (stored, _) = pack(&text(5 * MIB), codec, MIB).await;
        let (feeder, cut) = ByteStream::channel(2);
        feeder.send(stored).await.unwrap();
        drop(feeder);
        let error = decompress(cut, codec).collect(1 << 30).await.unwrap_err();
        assert!(matches!(error, Error::Cut), "{codec:?}: {error}");
    }
}
