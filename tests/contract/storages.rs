//! Every storage and every layer keeps every promise.

use std::time::Duration;

use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::layers::{Flaky, Prefix, Retry, Throttle, Timeout};
use nxs_backup::storages::{Config, Local, Memory, Setting, connect, local};

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    let memory = Memory::default();
    keeps_every_promise(&memory).await;
    assert_eq!(memory.keys(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn local() {
    let folder = tempfile::tempdir().unwrap();
    keeps_every_promise(&Local::new("disk", &folder.path().join("a/b"), false)).await;
    let left = std::fs::read_dir(folder.path().join("a/b")).unwrap().count();
    assert_eq!(left, 0, "empty folders were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn local_as_the_config_describes_it() {
    let folder = in_memory();
    let backup_dir = folder.path().to_owned();
    let config = Config::Local(local::Config { backup_dir, must_be_mounted: false });
    keeps_every_promise(&*connect(&config, &Setting::alone("disk"))).await;
}

#[tokio::test]
async fn retry() {
    keeps_every_promise(&Retry::new(Memory::default(), 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timeout() {
    keeps_every_promise(&Timeout::new(Memory::default(), "t", Duration::from_secs(60))).await;
}

#[tokio::test]
async fn throttle() {
    keeps_every_promise(&Throttle::new(Memory::default(), 10 << 30)).await;
}

#[tokio::test]
async fn prefix() {
    let memory = Memory::default();
    memory.poke("a/bc", "a neighbour");
    keeps_every_promise(&Prefix::new(memory.clone(), "a/b")).await;
    keeps_every_promise(&Prefix::new(memory.clone(), "")).await;
    assert_eq!(memory.keys(), ["a/bc"]);
}

#[tokio::test]
async fn flaky() {
    keeps_every_promise(&Flaky::new(Memory::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_layers_around_a_folder() {
    let folder = in_memory();
    let local = Local::new("disk", folder.path(), false);
    let limited = Throttle::new(Timeout::new(local, "disk", Duration::from_secs(60)), 10 << 30);
    keeps_every_promise(&Retry::new(Prefix::new(limited, "x/y"), 2)).await;
}

/// A folder where a flush costs nothing, for what is not about flushes.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}
