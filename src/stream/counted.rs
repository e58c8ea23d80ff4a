//! Counts what goes by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream;

use crate::stream::ByteStream;

/// Passes a stream on and adds the length of every chunk to `count`.
pub fn counted(stream: ByteStream, count: Arc<AtomicU64>) -> ByteStream {
    ByteStream::from_stream(stream::try_unfold((stream, count), |(mut stream, count)| async move {
        let Some(chunk) = stream.next().await? else { return Ok(None) };
        count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Ok(Some((chunk, (stream, count))))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_stream_stays_cut_and_what_came_is_counted() {
        let (feeder, stream) = ByteStream::channel(2);
        let count = Arc::new(AtomicU64::new(5));
        let mut stream = counted(stream, count.clone());
        feeder.send("abc".into()).await.unwrap();
        drop(feeder);
        assert_eq!(stream.next().await.unwrap().unwrap(), "abc");
        assert!(stream.next().await.is_err());
        assert!(stream.next().await.unwrap().is_none());
        assert_eq!(count.load(Ordering::Relaxed), 8);
    }
}
