//! `scp` against OpenSSH, in all the ways that it can be set up.

mod faults;
mod jobs;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use nxs_backup::base::{Secret, chain};
use nxs_backup::storages::contract::{Size, keeps_every_promise, promises};
use nxs_backup::storages::{Config, Error, Kind, Setting, Storage, connect, scp};
use nxs_backup::stream::ByteStream;

use crate::support::server::Server;
use crate::support::storage::{key, names};

/// A config for one of the server's ports, with its key and its password known.
pub(super) fn config(server: &Server, port: u16) -> scp::Config {
    scp::Config {
        host: "127.0.0.1".to_owned(),
        port: Some(server.port(port)),
        user: "svcsftp".to_owned(),
        password: Some(Secret::new("svcpw")),
        known_hosts: Some(server.path("known_hosts")),
        backup_dir: "backups".to_owned(),
        ..scp::Config::default()
    }
}

pub(super) fn made(config: scp::Config) -> Arc<dyn Storage> {
    connect(&Config::Scp(config), &Setting::alone("offsite"))
}

/// A storage in a folder of its own of the server that all share.
fn shared(folder: &str) -> Arc<dyn Storage> {
    let config = config(Server::shared("sshd"), 0);
    made(scp::Config { backup_dir: folder.to_owned(), ..config })
}

/// Bytes that do not compress, in chunks of 1 MiB.
pub(super) fn noise(mib: usize) -> ByteStream {
    let chunk: Bytes =
        (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    ByteStream::from_stream(stream::iter((0..mib).map(move |_| Ok(chunk.clone()))))
}

pub(super) async fn put_small(storage: &dyn Storage, name: &str) -> Result<(), Error> {
    storage.put(&key(name), ByteStream::from_bytes("hello")).await.map(drop)
}

pub(super) async fn refusal(storage: &dyn Storage) -> (Kind, String) {
    let error = put_small(storage, "x").await.unwrap_err();
    (error.kind, chain(&error))
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise_on_openssh() {
    let server = Server::shared("sshd");
    keeps_every_promise(&*shared("contract/deep")).await;
    let left = std::fs::read_dir(server.path("home/svcsftp/contract/deep")).unwrap().count();
    assert_eq!(left, 0, "empty folders were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise_with_an_absolute_folder_and_a_key() {
    let server = Server::shared("sshd");
    let folder = server.path("home/svcsftp/absolute").to_str().unwrap().to_owned();
    let config = scp::Config {
        password: None,
        path_to_key: Some(server.path("keys/ed25519")),
        backup_dir: folder,
        ..config(server, 5)
    };
    keeps_every_promise(&*made(config)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_extensions_keeps_all_promises_but_to_replace() {
    let config = config(Server::shared("sshd"), 2);
    let storage = made(scp::Config { backup_dir: "plain".to_owned(), ..config });
    let mut broken = Vec::new();
    for (number, promise) in promises(Size::Full).into_iter().enumerate() {
        if let Err(why) = promise.run(&*storage, &format!("p/{number:02}/"), Size::Full).await {
            assert!(why.contains("cannot replace a file in one step"), "{}: {why}", promise.name);
            broken.push(promise.name);
        }
    }
    let should = [
        "an object comes back as it was put",
        "a put replaces the whole object",
        "of puts of one key at the same time one wins whole",
        "a reader sees the old object or the new one",
    ];
    assert_eq!(broken, should, "each puts a key twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dialled_before_the_first_call() {
    let server = Server::shared("sshd");
    let proxy = crate::support::proxy::Proxy::to(server.port(0));
    let config = scp::Config { port: Some(proxy.port()), ..config(server, 0) };
    let storage = made(config);
    assert_eq!(proxy.connections(), 0);
    storage.stat(&key("x")).await.unwrap_err();
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_folder_lists_as_empty_and_is_made_by_the_first_put() {
    let server = Server::shared("sshd");
    let storage = shared("made/by/the first");
    assert_eq!(names(&*storage).await, [""; 0]);
    put_small(&*storage, "a/b").await.unwrap();
    assert_eq!(names(&*storage).await, ["a/b"]);
    let path = server.path("home/svcsftp/made/by/the first/a");
    let mode = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!((mode(&path), mode(&path.join("b"))), (0o700, 0o600));
    storage.delete(&key("a/b")).await.unwrap();
    assert!(!path.exists() && path.parent().unwrap().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_foreign_names_are_no_objects() {
    let folder = Server::shared("sshd").path("home/svcsftp/links");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    std::fs::write(folder.join("file"), "x").unwrap();
    std::os::unix::fs::symlink("file", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("/", folder.join("inner/root")).unwrap();
    let odd = std::ffi::OsStr::new;
    let latin: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"latin-\xe9");
    for name in [odd("e\u{301}"), latin] {
        std::fs::write(folder.join(name), "x").unwrap();
    }
    let storage = shared("links");
    assert_eq!(names(&*storage).await, ["e\u{301}", "file"]);
    assert_eq!(storage.stat(&key("link")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute on a busy machine: ten thousand objects"]
async fn ten_thousand_objects_are_listed() {
    let storage = shared("many");
    let put = |number: u32| {
        let storage = storage.clone();
        async move { put_small(&*storage, &format!("{:02}/{number:05}", number % 50)).await }
    };
    futures_util::StreamExt::buffer_unordered(stream::iter((0..10_000).map(put)), 16)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(names(&*storage).await.len(), 10_000);
    println!("10,000 objects listed in {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_waits_long_for_its_body_is_not_taken_for_dead() {
    // The server hangs up after some six silent seconds.
    let storage =
        made(scp::Config { backup_dir: "patient".to_owned(), ..config(Server::shared("sshd"), 5) });
    let (feeder, body) = ByteStream::channel(1);
    let slow = async move {
        feeder.send(Bytes::from_static(b"first ")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(14)).await;
        feeder.send(Bytes::from_static(b"last")).await.unwrap();
        feeder.finish().await.unwrap();
    };
    let wanted = key("slow");
    let (put, ()) = tokio::join!(storage.put(&wanted, body), slow);
    assert_eq!(put.unwrap().bytes, 10);
    let got = storage.get(&wanted, 0..10).await.unwrap().collect(100).await.unwrap();
    assert_eq!(got, "first last");
}
