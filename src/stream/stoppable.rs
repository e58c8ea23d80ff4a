//! A stream that breaks when somebody asks to stop.

use crate::base::{Cancel, Cancelled};
use crate::stream::{ByteStream, Error};

/// Passes `stream` on until a stop is asked for; then it ends with an error, whatever still waits
/// in its buffers.
pub fn stoppable(stream: ByteStream, cancel: &Cancel) -> ByteStream {
    let state = (stream, cancel.clone());
    ByteStream::from_stream(futures_util::stream::try_unfold(state, |(mut stream, cancel)| async {
        let chunk = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::new(Cancelled)),
            chunk = stream.next() => chunk?,
        };
        Ok(chunk.map(|chunk| (chunk, (stream, cancel))))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_in_buffers_is_not_passed_on_after_a_stop() {
        let cancel = Cancel::default();
        let (feeder, stream) = ByteStream::channel(4);
        let mut stream = stoppable(stream, &cancel);
        feeder.send("first".into()).await.unwrap();
        feeder.send("second".into()).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), "first");
        cancel.cancel();
        assert_eq!(stream.next().await.unwrap_err().to_string(), "interrupted");
    }

    #[tokio::test]
    async fn a_stop_is_heard_while_nothing_comes() {
        let cancel = Cancel::default();
        let (_feeder, stream) = ByteStream::channel(4);
        let mut stream = stoppable(stream, &cancel);
        let (chunk, ()) = tokio::join!(stream.next(), async { cancel.cancel() });
        assert!(chunk.is_err());
    }
}
