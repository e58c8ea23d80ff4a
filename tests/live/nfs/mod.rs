//! `nfs` against real servers.

mod command;
mod faults;
mod forgetful;
mod ports;
mod reading;
mod refusals;
mod speed;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use nxs_backup::base::Key;
use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::nfs::Config;
use nxs_backup::storages::{self, Setting, Storage};
use nxs_backup::stream::ByteStream;

use crate::support::server::Server;

/// The keys of a storage on the export `export` of `server`, in the folder `folder`.
fn keys(server: &Server, export: &str, folder: &str) -> Config {
    let export = server.path(export).display().to_string();
    Config {
        host: "127.0.0.1".to_owned(),
        backup_dir: format!("{export}/{folder}"),
        export: Some(export),
        port: Some(server.port(0)),
        mount_port: Some(server.port(1)),
        uid: None,
        gid: None,
        connections: None,
        extra_keys: None,
    }
}

fn connect(config: Config) -> Arc<dyn Storage> {
    connect_for(config, 3, 60)
}

fn connect_for(config: Config, retries: u32, timeout_secs: u64) -> Arc<dyn Storage> {
    let timeout = Some(Duration::from_secs(timeout_secs));
    let setting = Setting { retries, timeout, ..Setting::alone("nas") };
    storages::connect(&storages::Config::Nfs(config), &setting)
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// Bytes that do not repeat.
fn noise(length: usize) -> Bytes {
    let words = (0..length.div_ceil(8) as u64).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut bytes: Vec<u8> = words.flat_map(|word| word.rotate_left(17).to_le_bytes()).collect();
    bytes.truncate(length);
    bytes.into()
}

/// A body of chunks of 64 KiB.
fn body(bytes: &Bytes) -> ByteStream {
    let chunks: Vec<_> = bytes.chunks(64 << 10).map(|chunk| Ok(bytes.slice_ref(chunk))).collect();
    ByteStream::from_stream(stream::iter(chunks))
}

async fn put(storage: &dyn Storage, name: &str, bytes: &Bytes) -> storages::Result<()> {
    storage.put(&key(name), body(bytes)).await.map(drop)
}

async fn got(storage: &dyn Storage, name: &str) -> Bytes {
    let object = storage.stat(&key(name)).await.unwrap().expect("an object");
    let stream = storage.get(&key(name), 0..object.bytes).await.unwrap();
    stream.collect(1 << 30).await.unwrap()
}

/// The names of all objects, partial ones included.
async fn names(storage: &dyn Storage) -> Vec<String> {
    let found: Vec<_> = storage.list("").try_collect().await.unwrap();
    let mut names: Vec<_> = found.iter().map(|object| object.key.as_str().to_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn ganesha_keeps_every_promise() {
    let server = Server::shared("ganesha");
    keeps_every_promise(&*connect(keys(server, "export", "a/b"))).await;
    let left = std::fs::read_dir(server.path("export/a/b")).unwrap().count();
    assert_eq!(left, 0, "empty folders were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_keeps_every_promise() {
    let server = Server::shared("ganesha");
    let config = Config { connections: Some(1), ..keys(server, "export", "one") };
    keeps_every_promise(&*connect(config)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_keeps_every_promise() {
    let server = Server::shared("ganesha");
    let config = Config { uid: Some(4711), gid: Some(4712), ..keys(server, "export", "4711") };
    keeps_every_promise(&*connect(config)).await;
    let owner = std::fs::metadata(server.path("export/4711")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((owner.uid(), owner.gid(), owner.mode() & 0o777), (4711, 4712, 0o700));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: ten thousand objects"]
async fn ten_thousand_objects_are_listed() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "many"));
    let bytes = noise(3);
    let all: Vec<_> = (0..10_000).map(|number| format!("d{}/{number:05}", number % 7)).collect();
    let puts: Vec<_> = all.iter().map(|name| put(&*storage, name, &bytes)).collect();
    use futures_util::StreamExt;
    stream::iter(puts).buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(names(&*storage).await.len(), 10_000);
}
