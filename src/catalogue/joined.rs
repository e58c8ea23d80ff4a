//! The segments of an artefact as the one stream that they are.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

use crate::catalogue::Segment;
use crate::storages::Storage;
use crate::stream::{self, ByteStream};

/// Reads `segments` one after the other; a storage that fails breaks the stream with its error.
pub fn joined(storage: &Arc<dyn Storage>, segments: &[Segment]) -> ByteStream {
    let storage = storage.clone();
    let parts = futures_util::stream::iter(segments.to_vec()).then(move |segment| {
        let storage = storage.clone();
        async move {
            let body = storage.get(&segment.key, 0..segment.bytes).await;
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
