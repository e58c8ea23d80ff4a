//! What hurts: one reader that spoils the bytes of another, or holds a source for ever.

use std::time::Duration;

use tokio::time::timeout;

use super::*;

fn numbered(count: u64) -> ByteStream {
    let chunk = |number: u64| Ok(Bytes::copy_from_slice(&number.to_le_bytes()));
    ByteStream::from_stream(futures_util::stream::iter((0..count).map(chunk)))
}

async fn count(mut stream: ByteStream) -> u64 {
    let mut next = 0_u64;
    while let Some(chunk) = stream.next().await.unwrap() {
        assert_eq!(chunk[..], next.to_le_bytes());
        next += 1;
    }
    next
}

#[tokio::test]
async fn every_reader_gets_every_chunk() {
    let counts = join_all(tee(numbered(1000), 3, 2).into_iter().map(count)).await;
    assert_eq!(counts, [1000; 3]);
}

#[tokio::test(start_paused = true)]
async fn the_slowest_reader_sets_the_pace_and_memory_is_bounded() {
    let (feeder, stream) = ByteStream::channel(1);
    let mut readers = tee(stream, 2, 3);
    let (slow, fast) = (readers.remove(0), readers.remove(0));
    let reading = tokio::spawn(async move { fast.collect(1 << 20).await });
    let mut sent = 0;
    while timeout(Duration::from_secs(5), feeder.send("x".into())).await.is_ok() {
        sent += 1;
    }
    assert!(sent <= 3 + 2 + 1, "{sent} chunks are held for a reader that does not read");
    drop(slow);
    feeder.send("y".into()).await.unwrap();
    feeder.finish().await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap().len(), sent + 1);
}

#[tokio::test]
async fn a_reader_that_goes_in_the_middle_is_forgotten() {
    let mut readers = tee(numbered(500), 3, 1);
    let mut gone = readers.pop().unwrap();
    gone.next().await.unwrap();
    drop(gone);
    assert_eq!(join_all(readers.into_iter().map(count)).await, [500; 2]);
}

#[tokio::test]
async fn when_all_are_gone_an_idle_source_is_let_go() {
    let (feeder, stream) = ByteStream::channel(1);
    let readers = tee(stream, 2, 1);
    drop(readers);
    timeout(Duration::from_secs(10), feeder.closed()).await.expect("the source hangs");
}

#[tokio::test]
async fn an_error_and_a_cut_reach_every_reader() {
    for cut in [true, false] {
        let (feeder, stream) = ByteStream::channel(1);
        let readers = tee(stream, 3, 1);
        let feed = async move {
            feeder.send("abc".into()).await.unwrap();
            if !cut {
                feeder.fail(Error::new("the dump died")).await;
            }
        };
        let reads = join_all(readers.into_iter().map(|reader| reader.collect(9)));
        for read in tokio::join!(reads, feed).0 {
            let error = read.unwrap_err();
            assert_eq!(matches!(error, Error::Cut), cut, "{error}");
        }
    }
}
