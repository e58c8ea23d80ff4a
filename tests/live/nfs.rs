//! `nfs` against real servers.

use std::sync::Arc;

use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::nfs::Config;
use nxs_backup::storages::{self, Setting, Storage};

use crate::support::server::Server;

/// The keys of a storage on the export `export` of `server`, in a folder of its own.
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
    storages::connect(&storages::Config::Nfs(config), &Setting::alone("nas"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ganesha_keeps_every_promise() {
    let server = Server::shared("ganesha");
    keeps_every_promise(&*connect(keys(server, "export", "a/b"))).await;
    let left = std::fs::read_dir(server.path("export/a/b")).unwrap().count();
    assert_eq!(left, 0, "empty folders were left");
}
