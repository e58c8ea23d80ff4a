//! `webdav` against real servers: Apache (mod_dav_fs) and nginx (dav-ext).

mod faults;
mod jobs;
mod logins;
mod odd;
mod stub;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use nxs_backup::base::Secret;
use nxs_backup::storages::contract::{Size, check, keeps_every_promise, promises};
use nxs_backup::storages::{Config, Object, Setting, Storage, connect, webdav};
use nxs_backup::stream::{ByteStream, Error};

use crate::support::server::Server;
use crate::support::storage::{key, names, noise, read};

/// The keys for a folder of its own below `path` of the server on this port, without a login.
fn keys(port: u16, path: &str) -> webdav::Config {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let backup_dir = format!("run/{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let host = format!("http://127.0.0.1:{port}{path}");
    webdav::Config { host, backup_dir, ..webdav::Config::default() }
}

/// The same with the login of the test servers.
fn login(keys: webdav::Config) -> webdav::Config {
    let (user, password) = (Some("svcdav".to_owned()), Some(Secret::new("svcpw")));
    webdav::Config { user, password, ..keys }
}

fn storage(keys: &webdav::Config) -> Arc<dyn Storage> {
    connect(&Config::Webdav(keys.clone()), &Setting { retries: 0, ..Setting::alone("dav") })
}

/// Noise and a body of it.
fn body(length: usize) -> (Bytes, ByteStream) {
    let bytes = noise(length);
    (bytes.clone(), crate::support::storage::body(&bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_keeps_every_promise_with_basic() {
    let server = Server::shared("apache");
    let keys = login(keys(server.port(0), "/basic"));
    keeps_every_promise(&*storage(&keys)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_keeps_every_promise_with_digest() {
    let server = Server::shared("apache");
    keeps_every_promise(&*storage(&login(keys(server.port(0), "/digest")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_keeps_every_promise_over_tls() {
    let server = Server::shared("apache");
    let host = format!("https://localhost:{}/open", server.port(1));
    let ca_file = Some(server.path("tls/ca.crt"));
    keeps_every_promise(&*storage(&webdav::Config { host, ca_file, ..keys(0, "") })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_every_promise_but_to_list_names_that_begin_with_a_dot() {
    let server = Server::shared("nginx");
    all_but_dots(&*storage(&login(keys(server.port(0), "")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_does_so_without_locks_and_with_a_token() {
    let server = Server::shared("nginx");
    let token = Some(Secret::new(server.text("token")));
    all_but_dots(&*storage(&webdav::Config { token, ..keys(server.port(1), "") })).await;
}

/// Its module leaves names that begin with a dot out of every listing.
async fn all_but_dots(storage: &dyn Storage) {
    let kept = check(storage, "nxs-probe-test", Size::Full).await;
    let broken: Vec<_> =
        kept.into_iter().filter_map(|(name, kept)| Some((name, kept.err()?))).collect();
    assert_eq!(broken.len(), 1, "{broken:#?}");
    let (name, how) = &broken[0];
    assert_eq!(*name, "odd names are kept as they are");
    let (is, should) = how.split_once("], not [").unwrap();
    let missing = should.split(", \"").filter(|name| !is.contains(name.trim_end_matches(']')));
    assert!(missing.clone().all(|name| name.trim_start_matches('"').starts_with('.')), "{how}");
    for name in [".hidden", "..z"] {
        storage.put(&key(name), body(3).1).await.unwrap();
        assert_eq!(read(storage, name).await.len(), 3, "{name}");
        storage.delete(&key(name)).await.unwrap();
        assert_eq!(storage.stat(&key(name)).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_seems_empty_and_is_not_stays_with_what_is_in_it() {
    let server = Server::shared("nginx");
    let dav = storage(&login(keys(server.port(0), "")));
    for name in ["a/b/.hidden", "a/b/seen"] {
        dav.put(&key(name), body(100).1).await.unwrap();
    }
    dav.delete(&key("a/b/seen")).await.unwrap();
    assert_eq!(read(&*dav, "a/b/.hidden").await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "10,000 objects take a minute"]
async fn ten_thousand_objects_are_listed() {
    let server = Server::shared("apache");
    let dav = storage(&login(keys(server.port(0), "/basic")));
    let puts = (0..10_000).map(|number| {
        let dav = dav.clone();
        async move { dav.put(&key(&format!("d/{number}")), body(10).1).await }
    });
    stream::iter(puts).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(names(&*dav).await.len(), 10_000);
    let begin = std::time::Instant::now();
    let found: Vec<Object> = dav.list("d/").try_collect().await.unwrap();
    eprintln!("{} objects listed in {:?}", found.len(), begin.elapsed());
    for object in found {
        dav.delete(&object.key).await.unwrap();
    }
    assert!(names(&*dav).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn puts_and_deletes_at_the_same_time_do_not_lock_each_other_out() {
    let server = Server::own("apache");
    let dav = storage(&login(keys(server.port(0), "/basic")));
    for round in 0..8 {
        let all = promises(Size::Full).into_iter();
        let promise = all.filter(|promise| promise.name.starts_with("puts at the same time"));
        for promise in promise {
            promise.run(&*dav, &format!("{round}/"), Size::Full).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_go_when_they_are_empty_and_backup_dir_stays() {
    let server = Server::own("apache");
    let keys = login(keys(server.port(0), "/digest"));
    let dav = storage(&keys);
    let there =
        |name: &str| server.path("dav/root/digest").join(&keys.backup_dir).join(name).exists();
    for name in ["a/b/c/x", "a/b/y"] {
        dav.put(&key(name), body(100).1).await.unwrap();
    }
    dav.delete(&key("a/b/c/x")).await.unwrap();
    assert!(there("a/b/y") && !there("a/b/c"));
    dav.delete(&key("a/b/y")).await.unwrap();
    assert!(there("") && !there("a"));
    let broken = ByteStream::from_stream(stream::iter([Err(Error::Cut)]));
    dav.put(&key("d/e/x"), broken).await.unwrap_err();
    assert!(!there("d"));
    dav.put(&key("a/b/y"), body(100).1).await.unwrap();
    assert_eq!(names(&*dav).await, ["a/b/y"]);
}
