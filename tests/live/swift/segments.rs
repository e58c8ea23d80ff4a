//! Large objects: whole or not there, and no segment is left behind.

use std::time::Duration;

use nxs_backup::storages::{Kind, Storage};
use nxs_backup::stream::{ByteStream, Error};
use serde_json::json;

use super::{
    SEGMENT, body, chunks, connect, holds, key, list, names, no_segments, noise, segments,
    tempauth, with,
};
use crate::support::server::Server;
use crate::support::world::reached;

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_more_than_a_segment_makes_two() {
    let keys = tempauth(Server::shared("swift"));
    let storage = connect(&keys);
    for (length, should) in [(SEGMENT, 0), (SEGMENT + 1, 2), (2 * SEGMENT, 2), (3 * SEGMENT + 7, 4)]
    {
        let bytes = noise(length);
        let object = storage.put(&key("a/object"), body(&bytes)).await.unwrap();
        assert_eq!(object.bytes, length as u64);
        holds(&*storage, "a/object", &bytes).await;
        let listed = list(&*storage, "").await;
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].bytes, length as u64, "the listing tells the size of the whole");
        assert_eq!(segments(&keys).await.len(), should, "segments of {length} bytes");
    }
    let (end, bytes) = (3 * SEGMENT as u64 + 7, noise(3 * SEGMENT + 7));
    for part in [0..1, SEGMENT as u64 - 1..SEGMENT as u64 + 1, end - 1..end, 5..end - 5] {
        let got = storage.get(&key("a/object"), part.clone()).await.unwrap();
        let got = got.collect(1 << 30).await.unwrap();
        assert!(got == bytes[part.start as usize..part.end as usize], "{part:?}");
    }
    storage.put(&key("a/object"), body(&noise(3))).await.unwrap();
    no_segments(&keys).await;
    storage.put(&key("a/object"), body(&bytes)).await.unwrap();
    storage.delete(&key("a/object")).await.unwrap();
    no_segments(&keys).await;
    assert!(names(&*storage).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_that_breaks_or_is_given_up_leaves_no_segment() {
    let keys = tempauth(Server::shared("swift"));
    let storage = connect(&keys);
    let (old, bytes) = (noise(SEGMENT + 1), noise(3 * SEGMENT));
    storage.put(&key("object"), body(&old)).await.unwrap();
    let before = segments(&keys).await;
    let mut parts: Vec<_> = chunks(&bytes).into_iter().map(Ok).collect();
    parts.push(Err(Error::new("a fault for a test")));
    let broken = ByteStream::from_stream(futures_util::stream::iter(parts));
    let error = storage.put(&key("object"), broken).await.unwrap_err();
    assert_eq!(error.kind, Kind::Body);
    assert_eq!(segments(&keys).await, before);
    assert_eq!(names(&*storage).await, ["object"]);

    let (feeder, endless) = ByteStream::channel(1);
    let name = key("object");
    let feed = async {
        for chunk in chunks(&bytes) {
            feeder.send(chunk).await.unwrap();
        }
        reached("two segments", async || segments(&keys).await.len() >= before.len() + 2).await;
        assert!(names(&*storage).await.len() == 2, "an upload that goes on has no mark");
    };
    tokio::select! {
        done = storage.put(&name, endless) => panic!("the put ended: {done:?}"),
        () = feed => {}
    }
    for _ in 0..200 {
        if segments(&keys).await == before && names(&*storage).await == ["object"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(segments(&keys).await, before);
    assert_eq!(names(&*storage).await, ["object"]);
    holds(&*storage, "object", &old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_outlived_its_upload_costs_no_segment() {
    let keys = tempauth(Server::shared("swift"));
    let storage = connect(&keys);
    let bytes = noise(2 * SEGMENT);
    storage.put(&key("a/object"), body(&bytes)).await.unwrap();
    let segment = segments(&keys).await.remove(0);
    let upload = segment.split('/').nth(2).unwrap().to_owned();
    let mark = key("a/object").partial(&upload);
    storage.put(&mark, body(&noise(0))).await.unwrap();
    assert_eq!(names(&*storage).await, [mark.as_str(), "a/object"]);
    storage.delete(&mark).await.unwrap();
    assert_eq!(names(&*storage).await, ["a/object"]);
    holds(&*storage, "a/object", &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_store_keeps_of_an_upload_is_listed_and_can_be_deleted() {
    let server = Server::own("swift");
    let keys = tempauth(&server);
    let storage = super::connect_with(&keys, 0);
    let (first, bytes) = (noise(1000), noise(3 * SEGMENT));
    storage.put(&key("a/first"), body(&first)).await.unwrap();
    let (feeder, endless) = ByteStream::channel(1);
    let name = key("a/object");
    let kill = async {
        for chunk in chunks(&bytes) {
            feeder.send(chunk).await.unwrap();
        }
        reached("two segments", async || segments(&keys).await.len() >= 2).await;
        tokio::task::block_in_place(|| server.tell("kill"));
        for chunk in chunks(&bytes) {
            feeder.send(chunk).await.ok();
        }
        feeder.finish().await.ok();
    };
    let error = tokio::join!(storage.put(&name, endless), kill).0.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    super::said(&error, &["cloud: could not put a/object", "127.0.0.1"]);

    tokio::task::block_in_place(|| server.tell("start"));
    let found = list(&*storage, "a/").await;
    let partial = found.iter().find(|object| object.key.partial_of() == Some(name.clone()));
    let partial = partial.expect("what is left is listed").key.clone();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(!segments(&keys).await.is_empty());
    assert_eq!(list(&*storage, "a/.nxs-partial.object").await.len(), 1);
    assert_eq!(storage.stat(&name).await.unwrap(), None);
    // The same storage goes on, and what is put now is not touched by the sweeping.
    storage.put(&name, body(&bytes)).await.unwrap();
    storage.delete(&partial).await.unwrap();
    assert_eq!(names(&*storage).await, ["a/first", "a/object"]);
    assert_eq!(segments(&keys).await.len(), 3);
    holds(&*storage, "a/object", &bytes).await;
    holds(&*storage, "a/first", &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_vanish_when_they_are_told_to() {
    let keys = with(&tempauth(Server::shared("swift")), json!({"delete_after": "4s"}));
    let storage = connect(&keys);
    let bytes = noise(SEGMENT + 1);
    storage.put(&key("large"), body(&bytes)).await.unwrap();
    storage.put(&key("small"), body(&noise(3))).await.unwrap();
    holds(&*storage, "large", &bytes).await;
    for _ in 0..100 {
        let large = storage.stat(&key("large")).await.unwrap();
        let small = storage.stat(&key("small")).await.unwrap();
        if large.is_none() && small.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("they are still there");
}
