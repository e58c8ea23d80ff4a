//! What hurts: a byte that is lost between two segments, an empty object at the end.

use super::*;

fn stream_of(chunks: &[&'static str]) -> ByteStream {
    let chunks: Vec<_> =
        chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
    ByteStream::from_stream(stream::iter(chunks))
}

async fn cut(chunks: &[&'static str], limit: Option<u64>) -> Vec<String> {
    let mut segments = segments(stream_of(chunks), limit);
    let mut all = Vec::new();
    while let Some(segment) = segments.next().await.unwrap() {
        let bytes = segment.collect(1000).await.unwrap();
        all.push(String::from_utf8(bytes.to_vec()).unwrap());
    }
    assert!(segments.next().await.unwrap().is_none());
    all
}

#[tokio::test]
async fn segments_are_full_but_for_the_last() {
    assert_eq!(cut(&["abc", "", "defg", "h"], Some(3)).await, ["abc", "def", "gh"]);
    assert_eq!(cut(&["abcdefgh"], Some(3)).await, ["abc", "def", "gh"]);
    assert_eq!(cut(&["a", "b", "c"], Some(1)).await, ["a", "b", "c"]);
    assert_eq!(cut(&["abc", "d"], None).await, ["abcd"]);
}

#[tokio::test]
async fn no_empty_segment_follows_an_exact_multiple() {
    assert_eq!(cut(&["abc", "def"], Some(3)).await, ["abc", "def"]);
    assert_eq!(cut(&["abcdef", "", ""], Some(3)).await, ["abc", "def"]);
    assert_eq!(cut(&["abcdef"], Some(6)).await, ["abcdef"]);
}

#[tokio::test]
async fn an_empty_stream_is_one_empty_segment() {
    assert_eq!(cut(&[], Some(3)).await, [""]);
    assert_eq!(cut(&["", ""], None).await, [""]);
}

#[tokio::test]
async fn an_error_breaks_the_segment_and_the_list() {
    let (feeder, source) = ByteStream::channel(3);
    feeder.send("abcd".into()).await.unwrap();
    feeder.fail(Error::new("the dump died")).await;
    let mut segments = segments(source, Some(3));
    assert_eq!(segments.next().await.unwrap().unwrap().collect(9).await.unwrap(), "abc");
    let broken = segments.next().await.unwrap().unwrap();
    assert_eq!(broken.collect(9).await.unwrap_err().to_string(), "the dump died");
    assert_eq!(segments.next().await.err().unwrap().to_string(), "the dump died");
    assert!(segments.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_source_that_is_cut_at_the_limit_is_not_an_end() {
    let (feeder, source) = ByteStream::channel(3);
    feeder.send("abc".into()).await.unwrap();
    drop(feeder);
    let mut segments = segments(source, Some(3));
    assert_eq!(segments.next().await.unwrap().unwrap().collect(9).await.unwrap(), "abc");
    assert!(matches!(segments.next().await, Err(Error::Cut)));
}

#[tokio::test]
async fn a_segment_that_is_dropped_early_ends_all() {
    let mut segments = segments(stream_of(&["abcdef"]), Some(3));
    drop(segments.next().await.unwrap());
    assert!(segments.next().await.is_err());
    assert!(segments.next().await.unwrap().is_none());
}
