//! Decompresses a stream: our own frames in parallel, anything else of the format in one thread.

use std::io::{self, BufReader, Read};
use std::thread::available_parallelism;

use bytes::BytesMut;
use flate2::bufread::MultiGzDecoder;
use tokio::task::spawn_blocking;
use zstd::zstd_safe;

use crate::base::MIB;
use crate::stream::ordered::{self, Jobs, Step};
use crate::stream::read::StreamReader;
use crate::stream::{Buffers, ByteStream, Codec, Error, Feeder};

/// Gives the raw bytes of `stored`, which may be the work of any tool.
///
/// Shape: any number of frames or members, one after the other.
/// Errors: those of `stored`; bytes that are not of the format, also after its end; a frame that
/// is cut; no frame at all. Whole frames that are missing at the end are not seen here: a digest
/// tells.
/// Must be called inside a tokio runtime.
pub fn decompress(stored: ByteStream, codec: Codec) -> ByteStream {
    let (feeder, raw) = ByteStream::channel(1);
    match codec {
        Codec::None => return stored,
        Codec::Gzip => {
            spawn_blocking(move || in_one_thread(StreamReader::new(stored), codec, feeder));
        }
        Codec::Zstd => {
            tokio::spawn(async move {
                let rest = tokio::select! {
                    () = feeder.closed() => return,
                    rest = in_parallel(stored, &feeder) => rest,
                };
                match rest {
                    Err(error) => feeder.fail(error).await,
                    Ok(None) => drop(feeder.finish().await),
                    Ok(Some(rest)) => {
                        spawn_blocking(move || in_one_thread(rest, codec, feeder));
                    }
                }
            });
        }
    }
    raw
}

/// Decodes small whole zstd frames on several cores; returns the rest at the first other one.
async fn in_parallel(stored: ByteStream, feeder: &Feeder) -> Result<Option<StreamReader>, Error> {
    let workers = available_parallelism().map_or(1, usize::from).min(WORKERS);
    let buffers = Buffers::new(FRAME, workers + 3);
    let (jobs, results) = ordered::pool(workers, workers, move || step(buffers.clone()));
    let cut = small_frames(stored, jobs);
    let (rest, ()) = tokio::try_join!(cut, results.pass_to(feeder, |_| ()))?;
    Ok(rest)
}

/// Memory: at most `WORKERS * 2 + 3` frames, stored or raw, and one that is being gathered.
const WORKERS: usize = 4;

/// The largest frame that is decoded in one piece; ours are all of this size or smaller.
const FRAME: usize = 4 * MIB;

async fn small_frames(mut stored: ByteStream, jobs: Jobs) -> Result<Option<StreamReader>, Error> {
    let mut bytes = BytesMut::new();
    let mut none_yet = true;
    loop {
        match look(&bytes) {
            Look::Whole(length) => {
                none_yet = false;
                jobs.send(bytes.split_to(length).freeze()).await?;
                continue;
            }
            Look::Odd => return Ok(Some(StreamReader::after(bytes.freeze(), stored))),
            Look::Short => (),
        }
        match stored.next().await? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None if bytes.is_empty() && !none_yet => return Ok(None),
            // Cut, garbage or nothing at all: the decoder says it best.
            None => return Ok(Some(StreamReader::after(bytes.freeze(), stored))),
        }
    }
}

/// What the beginning of `bytes` is.
enum Look {
    /// A small frame of this length.
    Whole(usize),
    /// Maybe a small frame, once there is more of it.
    Short,
    /// Something that only the streaming decoder can judge.
    Odd,
}

fn look(bytes: &[u8]) -> Look {
    if bytes.len() < LONGEST_HEADER {
        return Look::Short;
    }
    match zstd_safe::get_frame_content_size(bytes) {
        Ok(Some(raw)) if raw <= FRAME as u64 => (),
        _ => return Look::Odd,
    }
    match zstd_safe::find_frame_compressed_size(bytes) {
        Ok(length) => Look::Whole(length),
        Err(_) if bytes.len() > zstd_safe::compress_bound(FRAME) => Look::Odd,
        Err(_) => Look::Short,
    }
}

/// Bytes of the longest header of a zstd frame.
const LONGEST_HEADER: usize = 18;

fn step(buffers: Buffers) -> Step {
    let mut context = zstd::bulk::Decompressor::new();
    Box::new(move |frame| {
        let context = context.as_mut().map_err(|error| Error::new(error.to_string()))?;
        let mut raw = buffers.take();
        context.decompress_to_buffer(&frame, &mut raw)?;
        Ok(buffers.freeze(raw))
    })
}

fn in_one_thread(stored: StreamReader, codec: Codec, feeder: Feeder) {
    let stored = BufReader::with_capacity(MIB, stored);
    let done = match codec {
        Codec::Gzip => copy(MultiGzDecoder::new(stored), &feeder),
        _ => zstd::stream::read::Decoder::with_buffer(stored)
            .and_then(|decoder| copy(decoder, &feeder)),
    };
    match done {
        Ok(()) => drop(feeder.blocking_finish()),
        Err(error) => feeder.blocking_fail(from_io(error)),
    }
}

fn copy(mut decoder: impl Read, feeder: &Feeder) -> io::Result<()> {
    let buffers = Buffers::new(MIB, 3);
    loop {
        let mut raw = buffers.take();
        decoder.by_ref().take(MIB as u64).read_to_end(&mut raw)?;
        if raw.is_empty() {
            return Ok(());
        }
        feeder.blocking_send(buffers.freeze(raw)).map_err(io::Error::other)?;
    }
}

/// Takes our own error out of the one that a decoder passed on.
fn from_io(error: io::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(Error::new)
}

#[cfg(test)]
mod tests;
