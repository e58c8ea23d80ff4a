//! One stream, several readers.

use bytes::Bytes;
use futures_util::future::join_all;

use crate::stream::{ByteStream, Error, Feeder};

/// Gives `n` streams with the bytes of one; the slowest living reader sets the pace.
///
/// Shape: the chunks of `stream`, shared. A reader that is dropped is forgotten; once all are,
/// the source is dropped. The readers must be read at the same time.
/// Units: at most `depth + 2` chunks of the source are held, whatever `n` is.
/// Errors: an error of the source goes to every reader.
/// Must be called inside a tokio runtime.
pub fn tee(stream: ByteStream, n: usize, depth: usize) -> Vec<ByteStream> {
    let (feeders, readers): (Vec<_>, Vec<_>) = (0..n).map(|_| ByteStream::channel(depth)).unzip();
    tokio::spawn(pump(stream, feeders));
    readers
}

/// Lets the source of a stream work up to `depth + 1` chunks ahead of its reader.
///
/// Must be called inside a tokio runtime.
pub fn ahead(stream: ByteStream, depth: usize) -> ByteStream {
    tee(stream, 1, depth).pop().expect("one reader was asked for")
}

async fn pump(mut stream: ByteStream, mut feeders: Vec<Feeder>) {
    loop {
        let got = tokio::select! {
            biased;
            () = all_closed(&feeders) => return,
            got = stream.next() => got,
        };
        match got {
            Ok(Some(chunk)) => feeders = send_all(feeders, chunk).await,
            Ok(None) => {
                join_all(feeders.into_iter().map(Feeder::finish)).await;
                return;
            }
            Err(error) => return fail_all(feeders, error).await,
        }
    }
}

async fn all_closed(feeders: &[Feeder]) {
    join_all(feeders.iter().map(Feeder::closed)).await;
}

async fn send_all(feeders: Vec<Feeder>, chunk: Bytes) -> Vec<Feeder> {
    let sends = feeders.into_iter().map(|feeder| async {
        let sent = feeder.send(chunk.clone()).await;
        sent.is_ok().then_some(feeder)
    });
    join_all(sends).await.into_iter().flatten().collect()
}

async fn fail_all(feeders: Vec<Feeder>, error: Error) {
    join_all(feeders.into_iter().map(|feeder| feeder.fail(error.clone()))).await;
}

#[cfg(test)]
mod tests;
