//! Compresses a stream as independent frames, on all cores.
//!
//! Any `zstd` or `gzip` reads the frames as one file; each can also be read alone, so that a
//! piece of a huge stream is found by its offset.

use std::io;
use std::thread::available_parallelism;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use libdeflater::{CompressionLvl, Compressor as Deflate};
use zstd::bulk::Compressor as Zstd;
use zstd::zstd_safe::CParameter;

use crate::base::MIB;
use crate::stream::cutter::Cutter;
use crate::stream::ordered::{self, Step};
use crate::stream::pending::stage;
use crate::stream::{
    Buffers, ByteStream, Codec, Compression, Error, Feeder, Frames, Pending, Promise,
};

/// Cuts `raw` into frames of `codec.frame_bytes()` and compresses them in parallel, beside others
/// that make `streams` of them.
///
/// Shape: one chunk a frame; an empty stream makes one empty frame. `none` passes the chunks on
/// as they are. Chunks that are a whole number of frames are not copied.
/// Errors: those of `raw`, as they are.
/// Must be called inside a tokio runtime.
pub fn compress(
    raw: ByteStream,
    how: Compression,
    streams: usize,
) -> (ByteStream, Pending<Frames>) {
    match how.codec {
        Codec::None => pass(raw),
        Codec::Gzip | Codec::Zstd => {
            let workers = workers(how, streams);
            stage(move |feeder| Box::pin(frames(raw, how, workers, feeder)))
        }
    }
}

async fn frames(
    raw: ByteStream,
    how: Compression,
    workers: usize,
    feeder: &Feeder,
) -> Result<Frames, Error> {
    let frame_bytes = how.codec.frame_bytes();
    let mut map = Frames { frame_bytes, ..Frames::default() };
    let (jobs, results) = ordered::pool(workers, workers, stepper(how, workers));
    let cut = async move {
        let mut cutter = Cutter::new(raw, frame_bytes as usize);
        let mut raw_bytes = 0;
        while let Some(frame) = cutter.next().await? {
            raw_bytes += frame.len() as u64;
            jobs.send(frame).await?;
        }
        if raw_bytes == 0 {
            jobs.send(Bytes::new()).await?;
        }
        Ok(raw_bytes)
    };
    let note = |bytes| {
        map.starts.push(map.stored_bytes);
        map.stored_bytes += bytes;
    };
    let (raw_bytes, ()) = tokio::try_join!(cut, results.pass_to(feeder, note))?;
    Ok(Frames { raw_bytes, ..map })
}

/// Only counts: a stage of its own would be one more hand for every chunk to go through.
fn pass(raw: ByteStream) -> (ByteStream, Pending<Frames>) {
    let (promise, frames) = Pending::new();
    let step = |(mut raw, bytes, promise): (ByteStream, u64, Promise<Frames>)| async move {
        let Some(chunk) = raw.next().await? else {
            promise.keep(uncompressed(bytes));
            return Ok(None);
        };
        let bytes = bytes + chunk.len() as u64;
        Ok(Some((chunk, (raw, bytes, promise))))
    };
    (ByteStream::from_stream(try_unfold((raw, 0, promise), step)), frames)
}

fn uncompressed(bytes: u64) -> Frames {
    let frame_bytes = Codec::None.frame_bytes();
    let starts = (0..bytes).step_by(frame_bytes as usize).collect();
    Frames { raw_bytes: bytes, stored_bytes: bytes, frame_bytes, starts }
}

/// Bounds the memory of one compressed stream.
///
/// `workers` frames in work, each raw + compressed + context; `ahead + 2 - workers` = 2 more,
/// raw or compressed; one in the channel to the reader: at most
/// `workers * (2 * frame + context) + 3 * frame`, whatever the number of cores.
const BUDGET: usize = 48 * MIB;
/// Several streams share this.
const SHARED: usize = 96 * MIB;

fn workers(how: Compression, streams: usize) -> usize {
    available_parallelism().map_or(1, usize::from).min(fitting(how, streams)).max(1)
}

/// Tells how many workers the budget allows; 0 where it does not even allow one.
fn fitting(how: Compression, streams: usize) -> usize {
    let frame = how.codec.frame_bytes() as usize;
    let budget = BUDGET.min(SHARED / streams.max(1));
    budget.saturating_sub(3 * frame) / (2 * frame + context_bytes(how))
}

/// Tells what a compression context takes at most, by the tables of each level.
fn context_bytes(how: Compression) -> usize {
    match (how.codec, how.level) {
        (Codec::Zstd, ..=4) => 3 * MIB,
        (Codec::Zstd, 5..=8) => 8 * MIB,
        (Codec::Zstd, 9..=11) => 28 * MIB,
        (Codec::Zstd, 12..) => 68 * MIB,
        (Codec::Gzip, ..=9) => MIB,
        (Codec::Gzip, 10..) => 10 * MIB,
        (Codec::None, _) => 0,
    }
}

/// Makes what one worker does, with a context and output buffers that are used again.
fn stepper(how: Compression, workers: usize) -> impl Fn() -> Step + Send + Sync + 'static {
    let frame = how.codec.frame_bytes() as usize;
    let buffers = Buffers::new(zstd::zstd_safe::compress_bound(frame), workers + 3);
    move || match how.codec {
        Codec::Zstd => zstd_step(how.level, buffers.clone()),
        _ => gzip_step(how.level),
    }
}

fn zstd_step(level: i32, buffers: Buffers) -> Step {
    let mut context = zstd_context(level);
    Box::new(move |raw| {
        let context = context.as_mut().map_err(|error| Error::new(error.to_string()))?;
        let mut frame = buffers.take();
        context.compress_to_buffer(&raw, &mut frame)?;
        Ok(buffers.freeze(frame))
    })
}

fn zstd_context(level: i32) -> io::Result<Zstd<'static>> {
    let mut context = Zstd::new(level)?;
    context.set_parameter(CParameter::ContentSizeFlag(true))?;
    context.set_parameter(CParameter::ChecksumFlag(true))?;
    if level == 3 {
        // Tables that stay in a core's own cache: a sixth less CPU for 1 % of size.
        context.set_parameter(CParameter::HashLog(15))?;
        context.set_parameter(CParameter::ChainLog(14))?;
        context.set_parameter(CParameter::MinMatch(6))?;
    }
    Ok(context)
}

fn gzip_step(level: i32) -> Step {
    let level = CompressionLvl::new(level).unwrap_or_default();
    let mut context = Deflate::new(level);
    let mut room = Vec::new();
    Box::new(move |raw| {
        let bound = context.gzip_compress_bound(raw.len());
        room.resize(bound.max(room.len()), 0);
        let bytes = context
            .gzip_compress(&raw, &mut room)
            .map_err(|error| Error::new(format!("gzip: {error}")))?;
        // A copy, so that a storage that keeps a frame keeps no more than its bytes.
        Ok(Bytes::copy_from_slice(&room[..bytes]))
    })
}

#[cfg(test)]
pub(crate) mod tests;
