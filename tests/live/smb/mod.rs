//! `smb` against real Samba servers.

mod command;
mod faults;

use std::sync::Arc;

use nxs_backup::base::Secret;
use nxs_backup::storages::contract::{Size, check};
use nxs_backup::storages::{Config, Error, Kind, Object, Setting, Storage, connect, smb};
use nxs_backup::stream::ByteStream;

use crate::support::server::Server;
use crate::support::storage::{key, names, names_from, read, says};

/// Keys of a storage below `folder` of a share.
fn keys(port: u16, share: &str, folder: &str) -> smb::Config {
    smb::Config {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        share: share.to_owned(),
        user: Some("svcsmb".to_owned()),
        password: Some(Secret::new("svcpw")),
        backup_dir: folder.to_owned(),
        ..smb::Config::default()
    }
}

fn storage(config: smb::Config) -> Arc<dyn Storage> {
    connect(&Config::Smb(config), &Setting::alone("offsite"))
}

async fn put(storage: &dyn Storage, name: &str, bytes: &str) -> Result<Object, Error> {
    storage.put(&key(name), ByteStream::from_bytes(bytes.to_owned())).await
}

#[track_caller]
fn failed<T: std::fmt::Debug>(done: Result<T, Error>, kind: Kind, words: &str) {
    says(&done.unwrap_err(), kind, &[words]);
}

/// Tries the promises of `size` in a folder of its own, of which nothing may stay.
async fn promises(config: smb::Config, share: &str, size: Size) {
    let server = Server::shared("samba");
    let kept = check(&*storage(config.clone()), ".nxs-probe-test", size).await;
    let broken: Vec<_> = kept.into_iter().filter(|(_, kept)| kept.is_err()).collect();
    assert!(broken.is_empty(), "broken promises: {broken:#?}");
    let folder = server.path(&format!("shares/{share}/{}", config.backup_dir));
    let left = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 0, "empty folders were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise_on_a_share() {
    let config = keys(Server::shared("samba").port(0), "data", "promises/a/b");
    promises(config, "data", Size::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise_where_encryption_is_demanded() {
    let config = keys(Server::shared("samba").port(0), "sealed", "promises");
    promises(config, "sealed", Size::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_every_promise_where_signing_is_demanded() {
    let config = keys(Server::shared("samba").port(1), "data", "signed");
    promises(smb::Config { encrypt: Some(false), ..config }, "data", Size::Full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_promises_where_we_demand_encryption() {
    let config = keys(Server::shared("samba").port(0), "data", "encrypted");
    promises(smb::Config { encrypt: Some(true), ..config }, "data", Size::Small).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_its_promises_with_the_first_version_of_smb_2() {
    let config = keys(Server::shared("samba").port(3), "data", "first");
    promises(config, "data", Size::Small).await;
}
