//! A stream that tells how far it has come.

use std::sync::Arc;

use crate::stream::ByteStream;

/// Passes `stream` on and calls `tell` with the bytes so far after each chunk.
pub fn watched(stream: ByteStream, tell: Arc<dyn Fn(u64) + Send + Sync>) -> ByteStream {
    let counted = futures_util::stream::unfold((stream, 0), move |(mut stream, mut bytes)| {
        let tell = tell.clone();
        async move {
            let chunk = stream.next().await.transpose()?;
            if let Ok(chunk) = &chunk {
                bytes += chunk.len() as u64;
                tell(bytes);
            }
            Some((chunk, (stream, bytes)))
        }
    });
    ByteStream::from_stream(counted)
}
