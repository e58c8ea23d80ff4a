//! `ftp` against real servers: ProFTPD and vsftpd.

mod command;
mod faults;

use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt;
use nxs_backup::base::Secret;
use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::ftp::{Config, Passive, Tls};
use nxs_backup::storages::{Section, Setting, Storage};

use crate::support::server::Server;
use crate::support::storage::{body, holds, key, names, noise, says};

/// The server of ProFTPD that all share.
fn proftpd() -> &'static Server {
    Server::shared("proftpd")
}

/// The server of vsftpd that all share.
fn vsftpd() -> &'static Server {
    Server::shared("vsftpd")
}

/// A storage of the usual user, in a folder of its own.
fn config(port: u16, folder: &str) -> Config {
    Config {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        user: Some("svcftp".to_owned()),
        password: Some(Secret::new("svcpw")),
        tls: Tls::No,
        passive: Passive::Auto,
        backup_dir: folder.to_owned(),
        ca_file: None,
    }
}

/// The same with TLS.
fn secure(server: &Server, number: u16, folder: &str, tls: Tls) -> Config {
    let ca_file = Some(server.path("tls/ca.crt"));
    let host = "localhost".to_owned();
    Config { tls, ca_file, host, ..config(server.port(number), folder) }
}

fn connect(config: &Config) -> Arc<dyn Storage> {
    assert_eq!(config.problems(), []);
    config.connect(&Setting { retries: 2, ..Setting::alone("offsite") })
}

/// Expects that nothing is left in a folder of the server.
fn is_empty(folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Lets one test at a time run the contract: a server has 48 ports for transfers.
async fn alone() -> tokio::sync::MutexGuard<'static, ()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TURN.lock().await
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_keeps_every_promise() {
    let _turn = alone().await;
    let server = proftpd();
    keeps_every_promise(&*connect(&config(server.port(0), "plain"))).await;
    is_empty(&server.path("home/plain"));
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_with_explicit_tls_keeps_every_promise() {
    let _turn = alone().await;
    keeps_every_promise(&*connect(&secure(proftpd(), 1, "/explicit/", Tls::Explicit))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_with_implicit_tls_keeps_every_promise() {
    let _turn = alone().await;
    keeps_every_promise(&*connect(&secure(proftpd(), 2, "//implicit/x y", Tls::Implicit))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proftpd_that_replaces_no_file_keeps_every_promise_but_that_of_readers() {
    let _turn = alone().await;
    let storage = connect(&config(proftpd().port(3), "strict"));
    let kept = nxs_backup::storages::contract::check(
        &*storage,
        ".nxs-probe-test",
        nxs_backup::storages::contract::Size::Small,
    )
    .await;
    let broken: Vec<_> = kept.iter().filter(|(_, kept)| kept.is_err()).collect();
    let racy = [
        "a reader sees the old object or the new one",
        "of puts of one key at the same time one wins whole",
    ];
    assert!(broken.iter().all(|(name, _)| racy.contains(name)), "{broken:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd_keeps_every_promise() {
    let _turn = alone().await;
    keeps_every_promise(&*connect(&config(vsftpd().port(1), "plain"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd_that_demands_the_session_of_the_connection_keeps_every_promise() {
    let _turn = alone().await;
    keeps_every_promise(&*connect(&secure(vsftpd(), 0, "strict", Tls::Explicit))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vsftpd_with_tls_keeps_every_promise() {
    let _turn = alone().await;
    keeps_every_promise(&*connect(&secure(vsftpd(), 1, "loose", Tls::Explicit))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "half a minute: 10,000 objects"]
async fn ten_thousand_objects_are_all_listed() {
    use futures_util::{StreamExt, stream};
    let storage = &connect(&config(vsftpd().port(1), "many"));
    let keys: Vec<_> = (0..10_000).map(|number| key(&format!("many/{number:05}"))).collect();
    let bytes = &noise(100);
    let puts = keys.iter().map(|key| async move { storage.put(key, body(bytes)).await });
    stream::iter(puts).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
    let should: Vec<_> = keys.iter().map(|key| key.as_str().to_owned()).collect();
    assert_eq!(names(&**storage).await, should);
    for key in &keys {
        storage.delete(key).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure to look at: 512 MiB beside curl"]
async fn how_fast_beside_curl() {
    let (bytes, file) = (noise(512 << 20), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), &bytes).unwrap();
    let mut said = String::new();
    for config in [config(vsftpd().port(1), "fast"), secure(vsftpd(), 0, "fast", Tls::Explicit)] {
        let storage = connect(&config);
        for _ in 0..2 {
            let begun = std::time::Instant::now();
            storage.put(&key("x"), body(&bytes)).await.unwrap();
            let ours = begun.elapsed();
            let ca_file = vsftpd().path("tls/ca.crt");
            let mut curl = std::process::Command::new("curl");
            curl.args(["-sS", "-u", "svcftp:svcpw", "-T"]).arg(file.path());
            if config.tls != Tls::No {
                curl.args(["--ssl-reqd", "--tls-max", "1.2", "--cacert"]).arg(ca_file);
            }
            curl.arg(format!("ftp://{}:{}/fast/y", config.host, config.port.unwrap()));
            let begun = std::time::Instant::now();
            assert!(curl.status().unwrap().success());
            said += &format!("{:?}: ours {ours:.2?}, curl {:.2?}\n", config.tls, begun.elapsed());
        }
        storage.delete(&key("x")).await.unwrap();
    }
    panic!("{said}");
}
