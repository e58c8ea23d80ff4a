//! A limit on bytes a second that many streams may share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};

use crate::stream::ByteStream;

/// A token bucket. Clones share it.
///
/// It keeps the time at which all that was taken is paid for, so that sleeping too long now is
/// made good later and the average does not drift.
#[derive(Clone, Debug)]
pub struct Bucket {
    bytes_per_sec: u64,
    paid_until: Arc<Mutex<Option<Instant>>>,
}

impl Bucket {
    /// Makes a bucket; a rate of 0 is taken as 1.
    pub fn new(bytes_per_sec: u64) -> Self {
        Self { bytes_per_sec: bytes_per_sec.max(1), paid_until: Arc::default() }
    }

    /// Returns its rate in bytes a second.
    pub fn rate(&self) -> u64 {
        self.bytes_per_sec
    }

    /// Waits until `bytes` more may go.
    pub async fn take(&self, bytes: u64) {
        sleep_until(self.pay(bytes)).await;
    }

    /// Passes a stream on, in slices of at most a tenth of a second.
    pub fn limit(&self, stream: ByteStream) -> ByteStream {
        let slice = usize::try_from(self.bytes_per_sec / 10).unwrap_or(usize::MAX).max(1);
        let state = (stream, Bytes::new(), self.clone());
        ByteStream::from_stream(stream::try_unfold(state, move |state| async move {
            let (mut stream, mut chunk, bucket) = state;
            while chunk.is_empty() {
                let Some(next) = stream.next().await? else { return Ok(None) };
                chunk = next;
            }
            let piece = chunk.split_to(chunk.len().min(slice));
            bucket.take(piece.len() as u64).await;
            Ok(Some((piece, (stream, chunk, bucket))))
        }))
    }

    /// Takes bytes out and tells when they are paid for.
    fn pay(&self, bytes: u64) -> Instant {
        let now = Instant::now();
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_sec as f64);
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        // An idle bucket saves up no more than this, or a pause would become a burst.
        let earliest = now.checked_sub(SAVED).unwrap_or(now);
        let paid = paid_until.map_or(now, |paid| paid.max(earliest)) + cost;
        *paid_until = Some(paid);
        paid
    }
}

const SAVED: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
