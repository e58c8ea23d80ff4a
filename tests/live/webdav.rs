//! `webdav` against real servers.

use std::sync::Arc;

use nxs_backup::base::Secret;
use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::{Config, Setting, Storage, connect, webdav};

use crate::support::server::Server;

/// The keys for the folder `below` a server on this port, without a login.
fn keys(port: u16, below: &str) -> webdav::Config {
    let backup_dir = format!("run/{}", fastest_name());
    webdav::Config {
        host: format!("http://127.0.0.1:{port}/{below}"),
        backup_dir,
        ..webdav::Config::default()
    }
}

fn fastest_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

fn with_password(keys: webdav::Config) -> webdav::Config {
    webdav::Config { user: Some("svcdav".to_owned()), password: Some(Secret::new("svcpw")), ..keys }
}

fn storage(keys: &webdav::Config) -> Arc<dyn Storage> {
    connect(&Config::Webdav(keys.clone()), &Setting::alone("dav"))
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_keeps_every_promise_over_basic() {
    let server = Server::shared("apache");
    keeps_every_promise(&*storage(&with_password(keys(server.port(0), "basic")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_keeps_every_promise_over_digest() {
    let server = Server::shared("apache");
    keeps_every_promise(&*storage(&with_password(keys(server.port(0), "digest")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_keeps_every_promise_over_tls() {
    let server = Server::shared("apache");
    let host = format!("https://localhost:{}/open", server.port(1));
    let ca_file = Some(server.path("tls/ca.crt"));
    keeps_every_promise(&*storage(&webdav::Config { host, ca_file, ..keys(0, "") })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_every_promise() {
    let server = Server::shared("nginx");
    keeps_every_promise(&*storage(&with_password(keys(server.port(0), "")))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_every_promise_without_locks_and_with_a_token() {
    let server = Server::shared("nginx");
    let token = Some(Secret::new(server.text("token")));
    keeps_every_promise(&*storage(&webdav::Config { token, ..keys(server.port(1), "") })).await;
}
