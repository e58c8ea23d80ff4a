//! The segments of an artefact as the one stream that they are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

use crate::base::Key;
use crate::catalogue::Segment;
use crate::storages::Storage;
use crate::stream::{self, ByteStream};

/// Reads `segments` one after the other; a storage that fails breaks the stream with its error.
pub fn joined(storage: &Arc<dyn Storage>, segments: &[Segment]) -> ByteStream {
    let whole = |segment: &Segment| (segment.key.clone(), 0..segment.bytes);
    read(storage, segments.iter().map(whole).collect())
}

/// Reads the bytes `part` of the stream that `segments` make together.
pub fn joined_part(
    storage: &Arc<dyn Storage>,
    segments: &[Segment],
    part: Range<u64>,
) -> ByteStream {
    let mut begin = 0;
    let mut pieces = Vec::new();
    for segment in segments {
        let end = begin + segment.bytes;
        let (from, to) = (part.start.max(begin), part.end.min(end));
        if from < to {
            pieces.push((segment.key.clone(), from - begin..to - begin));
        }
        begin = end;
    }
    read(storage, pieces)
}

fn read(storage: &Arc<dyn Storage>, pieces: Vec<(Key, Range<u64>)>) -> ByteStream {
    let storage = storage.clone();
    let parts = futures_util::stream::iter(pieces).then(move |(key, part)| {
        let storage = storage.clone();
        async move {
            let body = storage.get(&key, part).await;
            body.map(chunks).map_err(stream::Error::new)
        }
    });
    ByteStream::from_stream(parts.try_flatten())
}

fn chunks(body: ByteStream) -> impl Stream<Item = Result<Bytes, stream::Error>> + Send {
    futures_util::stream::unfold(body, |mut body| async move {
        let chunk = body.next().await.transpose()?;
        Some((chunk, body))
    })
}
