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
use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::nfs::Config;
use nxs_backup::storages::{self, Setting, Storage};

use crate::support::server::Server;
use crate::support::storage::{body, key, names, noise, read};

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

async fn put(storage: &dyn Storage, name: &str, bytes: &Bytes) -> storages::Result<()> {
    storage.put(&key(name), body(bytes)).await.map(drop)
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
