//! `s3` against real servers: Ceph's gateway and Swift's S3 face.

mod command;
mod faults;
mod front;
mod killed;
mod objects;
mod rights;
mod way;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use nxs_backup::base::{Key, Secret, chain};
use nxs_backup::storages::layers::Retry;
use nxs_backup::storages::{Config, Error, Object, Setting, Storage, connect, s3};
use nxs_backup::stream::ByteStream;

use crate::support::server::Server;

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

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// Bytes that differ from place to place.
fn noise(bytes: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut noise: Vec<u8> = (0..bytes / 8 + 1).flat_map(|_| next().to_le_bytes()).collect();
    noise.truncate(bytes);
    noise.into()
}

/// A body of chunks of 300 KB.
fn body(bytes: &Bytes) -> ByteStream {
    let chunks: Vec<_> = bytes.chunks(300_000).map(|chunk| Ok(bytes.slice_ref(chunk))).collect();
    ByteStream::from_stream(stream::iter(chunks))
}

async fn read(storage: &dyn Storage, name: &str) -> Bytes {
    let object = storage.stat(&key(name)).await.unwrap().unwrap();
    let stream = storage.get(&key(name), 0..object.bytes).await.unwrap();
    stream.collect(1 << 30).await.unwrap()
}

async fn names(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    let found: Vec<Object> = storage.list(prefix).try_collect().await.unwrap();
    let mut names: Vec<_> = found.into_iter().map(|object| object.key.to_string()).collect();
    names.sort();
    names
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
