//! `swift` against real servers: tempauth and Keystone.

mod contract;
mod faults;
mod jobs;
mod segments;
mod stub;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use nxs_backup::base::{MIB, chain};
use nxs_backup::storages::{Error, Object, Section, Setting, Storage, swift};
use serde_json::{Value, json};

use crate::support::server::Server;
use crate::support::storage::{body, holds, key, names, noise};

/// Bytes of a segment in these tests: the smallest that there is.
const SEGMENT: usize = 5 * MIB;

/// The keys for the user `admin` of tempauth, with a container of its own.
fn tempauth(server: &Server) -> Value {
    at_port(server.port(0))
}

fn at_port(port: u16) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    json!({
        "auth_url": format!("http://127.0.0.1:{port}/auth/v1.0"), "user": "svc:admin",
        "password": "svcpw", "container": format!("box {number}"), "backup_dir": "web/1",
    })
}

/// The keys for the user `svc` of Keystone.
fn keystone(server: &Server) -> Value {
    let mut keys = tempauth(server);
    keys["auth_url"] = json!(format!("http://127.0.0.1:{}/v3", server.port(0)));
    keys["user"] = json!("svc");
    keys["project"] = json!("svc");
    keys
}

fn with(keys: &Value, changes: Value) -> Value {
    let mut keys = keys.clone();
    for (key, value) in changes.as_object().unwrap() {
        keys[key] = value.clone();
    }
    keys.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    keys
}

/// Connects with segments of [`SEGMENT`].
fn connect(keys: &Value) -> Arc<dyn Storage> {
    connect_with(keys, 3)
}

fn connect_with(keys: &Value, retries: u32) -> Arc<dyn Storage> {
    let config: swift::Config = serde_json::from_value(keys.clone()).unwrap();
    let problems = config.problems();
    assert!(problems.is_empty(), "{problems:?}");
    config.connect(&Setting { peers: 4, retries, ..Setting::alone("cloud") })
}

fn chunks(bytes: &Bytes) -> Vec<Bytes> {
    (0..bytes.len())
        .step_by(256 << 10)
        .map(|at| bytes.slice(at..bytes.len().min(at + (256 << 10))))
        .collect()
}

async fn list(storage: &dyn Storage, prefix: &str) -> Vec<Object> {
    let mut found: Vec<Object> = storage.list(prefix).try_collect().await.unwrap();
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// The names in `<container>_segments`, below the folder.
async fn segments(keys: &Value) -> Vec<String> {
    let container = format!("{}_segments", keys["container"].as_str().unwrap());
    names(&*connect(&with(keys, json!({"container": container})))).await
}

/// Waits for what is tidied up in the background.
async fn no_segments(keys: &Value) {
    for _ in 0..300 {
        if segments(keys).await.is_empty() && !has_partial(&*connect(keys)).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("segments stay: {:?}, {:?}", segments(keys).await, names(&*connect(keys)).await);
}

async fn has_partial(storage: &dyn Storage) -> bool {
    list(storage, "").await.iter().any(|object| object.key.partial_of().is_some())
}

#[track_caller]
fn said(error: &Error, parts: &[&str]) {
    let said = chain(error);
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} are not all in: {said}");
    assert!(!said.contains("svcpw") && !said.contains("Token"), "{said}");
}
