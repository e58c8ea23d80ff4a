//! What hurts: a limit that drifts, or that saves up a burst.

use super::*;

#[tokio::test(start_paused = true)]
async fn twenty_seconds_at_a_limit_take_twenty_seconds() {
    let (bucket, begin) = (Bucket::new(1_000_003), Instant::now());
    for _ in 0..20 {
        for _ in 0..1000 {
            bucket.take(1000).await;
        }
    }
    let took = begin.elapsed().as_secs_f64();
    assert!((19.5..20.5).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_large_chunk_comes_in_slices_at_the_pace() {
    let begin = Instant::now();
    let mut stream = Bucket::new(1000).limit(ByteStream::from_bytes(vec![7; 5000]));
    let mut total = 0;
    while let Some(slice) = stream.next().await.unwrap() {
        assert!(slice.len() <= 100);
        total += slice.len();
    }
    assert_eq!(total, 5000);
    let took = begin.elapsed().as_secs_f64();
    assert!((4.8..5.2).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_not_made_up_for_by_a_burst_and_streams_share() {
    let bucket = Bucket::new(1000);
    bucket.take(1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begin = Instant::now();
    let other = bucket.clone();
    tokio::join!(bucket.take(1000), other.take(1000));
    let took = begin.elapsed().as_secs_f64();
    assert!((1.8..2.1).contains(&took), "{took}");
}
