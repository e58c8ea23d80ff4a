//! What each layer adds to the storage inside.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use nxs_backup::base::{Key, chain};
use nxs_backup::storages::contract::{self, Size};
use nxs_backup::storages::layers::{Fault, Flaky, Prefix, Retry, Throttle, Timeout};
use nxs_backup::storages::{Kind, Local, Memory, Object, ObjectStream, Result, Storage};
use nxs_backup::stream::ByteStream;
use tokio::time::{Instant, sleep};

fn key(name: &str) -> Key {
    Key::new(name).expect("a good key")
}

fn flaky() -> (Memory, Flaky<Memory>) {
    let memory = Memory::default();
    memory.poke("a", "old");
    (memory.clone(), Flaky::new(memory))
}

#[tokio::test(start_paused = true)]
async fn retry_repeats_what_may_succeed_later_and_only_that() {
    for (kind, tries) in [(Kind::Unavailable, 3), (Kind::Denied, 1), (Kind::Full, 1)] {
        let (_, flaky) = flaky();
        flaky.fail_always(Some(Fault::Before(kind)));
        let retry = Retry::new(flaky.clone(), 2);
        assert_eq!(retry.stat(&key("a")).await.unwrap_err().kind, kind);
        assert_eq!(flaky.calls().len(), tries, "{kind:?}");
    }
    let (_, flaky) = flaky();
    let retry = Retry::new(flaky.clone(), 2);
    flaky.fail(1, Fault::Before(Kind::Unavailable));
    flaky.fail(2, Fault::Before(Kind::Unavailable));
    let begin = Instant::now();
    let read = retry.get(&key("a"), 0..3).await.unwrap();
    assert_eq!(read.collect(9).await.unwrap(), "old");
    let took = begin.elapsed().as_secs_f64();
    assert!((0.7..=1.6).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn retry_gives_every_object_of_a_list_once() {
    let (memory, flaky) = flaky();
    memory.poke("b", "2");
    flaky.fail(1, Fault::After(1, Kind::Unavailable));
    let found: Vec<_> = Retry::new(flaky, 1).list("").try_collect().await.unwrap();
    assert_eq!(found.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn retry_repeats_a_put_only_while_its_body_is_untouched() {
    let (memory, flaky) = flaky();
    flaky.fail(1, Fault::Before(Kind::Unavailable));
    let retry = Retry::new(flaky.clone(), 3);
    retry.put(&key("b"), ByteStream::from_bytes("body")).await.unwrap();
    assert_eq!(memory.peek("b").unwrap(), "body");
    flaky.reset();
    flaky.fail(1, Fault::After(2, Kind::Unavailable));
    let error = retry.put(&key("c"), ByteStream::from_bytes("body")).await.unwrap_err();
    assert_eq!((error.kind, flaky.calls().len()), (Kind::Unavailable, 1));
    assert_eq!(memory.keys(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn timeout_ends_a_call_that_hangs() {
    let (_, flaky) = flaky();
    flaky.fail_always(Some(Fault::Hang));
    let timeout = Timeout::new(flaky, "offsite", Duration::from_secs(300));
    let begin = Instant::now();
    let error = timeout.stat(&key("a")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert_eq!(chain(&error), "offsite: could not stat a: no answer for 300 s");
    assert!(timeout.get(&key("a"), 0..1).await.is_err());
    assert!(timeout.delete(&key("a")).await.is_err());
    assert!(timeout.list("").next().await.unwrap().is_err());
    let put = timeout.put(&key("a"), ByteStream::from_bytes("x")).await;
    assert_eq!(put.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(begin.elapsed().as_secs(), 5 * 300);
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_waits_for_a_slow_source_does_not_time_out() {
    let timeout = Timeout::new(Memory::default(), "t", Duration::from_secs(10));
    let slow = stream::iter(["a", "b", "c"]).then(|chunk| async move {
        sleep(Duration::from_secs(60)).await;
        Ok(Bytes::from(chunk))
    });
    timeout.put(&key("a"), ByteStream::from_stream(slow)).await.unwrap();
    let mut read = timeout.get(&key("a"), 0..3).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(read.next().await.unwrap().unwrap(), "abc");
}

/// A storage that takes a chunk and then sleeps on it.
struct Sleepy(Duration);

#[async_trait::async_trait]
impl Storage for Sleepy {
    async fn put(&self, key: &Key, mut body: ByteStream) -> Result<Object> {
        while let Ok(Some(_)) = body.next().await {
            sleep(self.0).await;
        }
        Memory::default().put(key, ByteStream::from_bytes("")).await
    }
    async fn get(&self, _: &Key, _: std::ops::Range<u64>) -> Result<ByteStream> {
        let pause = self.0;
        Ok(ByteStream::from_stream(stream::once(async move {
            sleep(pause).await;
            Ok(Bytes::from_static(b"late"))
        })))
    }
    async fn stat(&self, _: &Key) -> Result<Option<Object>> {
        Ok(None)
    }
    fn list<'a>(&'a self, _: &'a str) -> ObjectStream<'a> {
        stream::empty().boxed()
    }
    async fn delete(&self, _: &Key) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_sleeps_on_a_chunk_times_out_but_a_slow_one_does_not() {
    for (pause, good) in [(9, true), (11, false)] {
        let sleepy = Sleepy(Duration::from_secs(pause));
        let timeout = Timeout::new(sleepy, "t", Duration::from_secs(10));
        let body = ByteStream::from_stream(stream::iter(vec![Ok(Bytes::from_static(b"x")); 5]));
        assert_eq!(timeout.put(&key("a"), body).await.is_ok(), good, "{pause}");
        let read = timeout.get(&key("a"), 0..4).await.unwrap();
        assert_eq!(read.collect(9).await.is_ok(), good, "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_outside_a_timeout_is_no_hang() {
    let timeout = Timeout::new(Memory::default(), "t", Duration::from_secs(5));
    let throttle = Throttle::new(timeout, 1000);
    let begin = Instant::now();
    throttle.put(&key("a"), ByteStream::from_bytes(vec![1; 20_000])).await.unwrap();
    let took = begin.elapsed().as_secs_f64();
    assert!((18.0..=22.0).contains(&took), "{took}");
    throttle.get(&key("a"), 0..20_000).await.unwrap().collect(20_000).await.unwrap();
    let took = begin.elapsed().as_secs_f64();
    assert!((36.0..=44.0).contains(&took), "{took}");
}

#[tokio::test]
async fn prefix_stays_in_its_folder_and_names_keys_relative_to_it() {
    let memory = Memory::default();
    for name in ["a/b/one", "a/bc/two", "one"] {
        memory.poke(name, "x");
    }
    let prefix = Prefix::new(memory.clone(), "a/b");
    let found: Vec<_> = prefix.list("").try_collect().await.unwrap();
    assert_eq!(found.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["one"]);
    prefix.delete(&key("one")).await.unwrap();
    assert_eq!(memory.keys(), ["a/bc/two", "one"]);
}

#[tokio::test]
async fn flaky_does_what_it_is_told() {
    let (memory, flaky) = flaky();
    flaky.fail(2, Fault::Answer(Kind::Other));
    flaky.fail(3, Fault::After(2, Kind::Corrupt));
    assert!(flaky.stat(&key("a")).await.is_ok());
    assert!(flaky.put(&key("b"), ByteStream::from_bytes("new")).await.is_err());
    assert_eq!(memory.peek("b").unwrap(), "new", "only the answer was lost");
    let mut read = flaky.get(&key("a"), 0..3).await.unwrap();
    assert_eq!(read.next().await.unwrap().unwrap(), "ol");
    assert!(read.next().await.is_err());
    let verbs: Vec<_> = flaky.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, ["stat", "put", "get"]);
    let guard = Flaky::read_only(memory.clone());
    let put = guard.put(&key("c"), ByteStream::from_bytes("x")).await;
    assert_eq!(put.unwrap_err().kind, Kind::Denied);
    assert_eq!(guard.delete(&key("a")).await.unwrap_err().kind, Kind::Denied);
    assert_eq!(memory.keys(), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_check_is_small_and_cleans_up() {
    let folder = tempfile::tempdir().unwrap();
    let flaky = Flaky::new(Local::new("disk", folder.path(), false));
    for (name, kept) in contract::check(&flaky, ".nxs-probe-1", Size::Small).await {
        assert_eq!(kept, Ok(()), "{name}");
    }
    let mut keys: Vec<_> = flaky.calls().into_iter().filter(|call| call.verb == "put").collect();
    keys.sort_by(|a, b| a.subject.cmp(&b.subject));
    keys.dedup();
    let stored = keys.iter().filter(|call| !call.subject.ends_with("/new")).count();
    assert!(stored <= 20, "{stored} objects");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_check_of_a_storage_that_refuses_says_so_and_names_what_stays() {
    let (memory, _) = flaky();
    let refused = contract::check(&Flaky::read_only(memory.clone()), ".probe", Size::Small).await;
    assert!(refused[0].1.as_ref().is_err_and(|said| said.contains("takes no writes")));
    let (name, last) =
        contract::check(&NoDelete(memory), ".probe", Size::Small).await.pop().unwrap();
    assert_eq!(name, "what was tried can be removed again");
    let said = last.unwrap_err();
    assert!(said.contains("these stay: .probe/00/0, "), "{said}");
}

/// A storage for which we have no right to delete.
struct NoDelete(Memory);

#[async_trait::async_trait]
impl Storage for NoDelete {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        self.0.put(key, body).await
    }
    async fn get(&self, key: &Key, part: std::ops::Range<u64>) -> Result<ByteStream> {
        self.0.get(key, part).await
    }
    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.0.stat(key).await
    }
    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        self.0.list(prefix)
    }
    async fn delete(&self, key: &Key) -> Result<()> {
        Flaky::read_only(Memory::default()).delete(key).await
    }
}
