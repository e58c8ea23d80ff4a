//! `s3` against real servers: Ceph's gateway and Swift's S3 face.

mod command;
mod faults;
mod front;
mod keys;
mod killed;
mod objects;
mod rights;
mod way;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nxs_backup::base::{Secret, chain};
use nxs_backup::storages::layers::Retry;
use nxs_backup::storages::{Config, Error, Setting, Storage, connect, s3};

use crate::support::server::Server;
use crate::support::storage::{body, key, names, names_from, noise, read};

/// The gateway that all tests share.
fn ceph() -> &'static Server {
    Server::shared("ceph")
}

/// The keys of a folder of the bucket `main` behind `port`.
fn section(port: u16, folder: &str) -> s3::Config {
    s3::Config {
        bucket_name: "main".to_owned(),
        backup_dir: folder.to_owned(),
        access_key_id: Some("svckey".to_owned()),
        secret_access_key: Some(Secret::new("svcsecret")),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        ..s3::Config::default()
    }
}

/// The same with keys of another user, and their bucket.
fn of(port: u16, key: &str, secret: &str, bucket: &str) -> s3::Config {
    s3::Config {
        bucket_name: bucket.to_owned(),
        access_key_id: Some(key.to_owned()),
        secret_access_key: Some(Secret::new(secret)),
        ..section(port, "a/b")
    }
}

fn storage(section: s3::Config) -> Arc<dyn Storage> {
    impatient(section, 2)
}

/// A storage as a job has it: a gateway that is busy with an object may ask to come back.
fn layered(section: s3::Config) -> Retry<Arc<dyn Storage>> {
    Retry::new(storage(section), 3)
}

/// A storage that tries again so many times.
fn impatient(section: s3::Config, retries: u32) -> Arc<dyn Storage> {
    with(section, retries, 1)
}

fn with(section: s3::Config, retries: u32, peers: usize) -> Arc<dyn Storage> {
    connect(&Config::S3(section), &Setting { retries, peers, ..Setting::alone("offsite") })
}

/// A storage beside so many others that its parts are small.
fn small_parts(section: s3::Config) -> Arc<dyn Storage> {
    with(section, 2, 4)
}

/// What an error says, whole.
fn said<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => chain(&error),
    }
}

/// What another client hears from the server.
fn witness(port: u16, method: &str, target: &str) -> String {
    witness_as("svckey", "svcsecret", port, method, target)
}

fn witness_as(key: &str, secret: &str, port: u16, method: &str, target: &str) -> String {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services/ask_s3.py");
    let at = format!("127.0.0.1:{port}");
    let words = [tool, &at, key, secret, method, target];
    let output = Command::new("python3").args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{target}: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The keys of the unfinished uploads below a folder of a bucket, as another client sees them.
fn unfinished(port: u16, bucket: &str, folder: &str) -> Vec<String> {
    let text = witness(port, "GET", &format!("/{bucket}?uploads&prefix={folder}"));
    text.split("<Upload>")
        .skip(1)
        .filter_map(|upload| Some(upload.split_once("<Key>")?.1.split_once("</Key>")?.0.to_owned()))
        .collect()
}

/// Waits until another client sees no unfinished upload.
async fn none_unfinished(port: u16, bucket: &str, folder: &str) {
    let begun = Instant::now();
    while !unfinished(port, bucket, folder).is_empty() {
        let found = unfinished(port, bucket, folder);
        assert!(begun.elapsed() < Duration::from_secs(20), "unfinished uploads stay: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
