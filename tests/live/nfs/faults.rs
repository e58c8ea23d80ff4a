//! Networks that cut, stall and refuse, and servers that die.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nxs_backup::base::chain;
use nxs_backup::storages::layers::Timeout;
use nxs_backup::storages::nfs::Config;
use nxs_backup::storages::{Kind, Storage};
use nxs_backup::stream::ByteStream;
use tokio::time::{sleep, timeout};

use crate::live::nfs::{connect, connect_for, key, keys, names, noise, put, read};
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::storage::eventually;

const MIB: usize = 1 << 20;

/// The shared server behind a proxy.
pub(super) fn behind(folder: &str) -> (Proxy, Config) {
    let server = Server::shared("ganesha");
    let proxy = Proxy::mirror([server.port(0), server.port(1)]);
    let config = Config { host: proxy.host(), ..keys(server, "export", folder) };
    (proxy, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_goes_on_when_a_connection_is_cut() {
    let (proxy, config) = behind("cut");
    let storage = connect(config);
    let bytes = noise(30 * MIB + 5);
    put(&*storage, "old", &noise(10)).await.unwrap();
    let before = proxy.connections();
    proxy.cut_after(11 * MIB as u64);
    put(&*storage, "new", &bytes).await.unwrap();
    assert!(proxy.connections() > before, "nothing was cut");
    assert!(read(&*storage, "new").await == bytes);
    assert_eq!(names(&*storage).await, ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_goes_on_when_all_connections_are_cut() {
    let (proxy, config) = behind("cut-get");
    let storage = connect(config);
    let bytes = noise(40 * MIB);
    put(&*storage, "object", &bytes).await.unwrap();
    let mut stream = storage.get(&key("object"), 0..bytes.len() as u64).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await.unwrap() {
        if all.len() < 20 * MIB && all.len() + chunk.len() >= 20 * MIB {
            proxy.cut_all();
        }
        all.extend_from_slice(&chunk);
    }
    assert!(all == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_in_the_middle_fails_the_put_and_the_next_one_works() {
    let (proxy, config) = behind("refused");
    let storage = connect_for(config, 1, 60);
    put(&*storage, "old", &noise(10)).await.unwrap();
    let (feeder, fed) = ByteStream::channel(1);
    let target = key("old");
    let bytes = noise(9 * MIB);
    let feed = async {
        feeder.send(bytes.clone()).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        proxy.refuse(true);
        proxy.cut_all();
        feeder.send(bytes.clone()).await.ok();
        feeder.finish().await.ok();
    };
    let (done, ()) = tokio::join!(storage.put(&target, fed), feed);
    let error = done.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).starts_with("nas: could not put old: "), "{}", chain(&error));
    assert!(chain(&error).contains(&proxy.host()), "{}", chain(&error));
    proxy.heal();
    assert_eq!(read(&*storage, "old").await, noise(10));
    put(&*storage, "old", &bytes).await.unwrap();
    assert!(read(&*storage, "old").await == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named_with_its_port() {
    let (proxy, mut config) = behind("nobody");
    proxy.refuse(true);
    let error = connect(config.clone()).stat(&key("a")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    drop(proxy);
    (config.port, config.mount_port) = (Some(9), Some(9));
    let error = connect(config.clone()).stat(&key("a")).await.unwrap_err();
    let should = format!(
        "nas: could not stat a: no mount service answers on {} port 9: start it, open the port, \
         or set `mount_port`: Connection refused (os error 111)",
        config.host
    );
    assert_eq!((error.kind, chain(&error)), (Kind::Unavailable, should));
    config.host = "no-such-host.invalid".to_owned();
    let error = connect(config).stat(&key("a")).await.unwrap_err();
    let begin = "nas: could not stat a: the host name no-such-host.invalid cannot be resolved: ";
    assert!(chain(&error).starts_with(begin), "{}", chain(&error));
    assert_eq!(error.kind, Kind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_longer_than_the_timeout_ends_the_put() {
    let (proxy, config) = behind("stall");
    let inner = connect_for(config, 1, 1);
    let storage = Timeout::new(Arc::clone(&inner), "nas", Duration::from_secs(1));
    put(&storage, "old", &noise(10)).await.unwrap();
    proxy.stall_after(5 * MIB as u64);
    let begun = Instant::now();
    let error = put(&storage, "new", &noise(30 * MIB)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("no answer for "), "{}", chain(&error));
    assert!(begun.elapsed() < Duration::from_secs(15));
    proxy.heal();
    put(&storage, "old", &noise(20)).await.unwrap();
    assert_eq!(storage.stat(&key("new")).await.unwrap(), None);
    assert_eq!(read(&storage, "old").await, noise(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_replaced() {
    let (proxy, config) = behind("silent");
    let storage = connect_for(config, 3, 3);
    put(&*storage, "old", &noise(10)).await.unwrap();
    let bytes = noise(30 * MIB);
    proxy.stall_after(5 * MIB as u64);
    let heal = async {
        sleep(Duration::from_millis(700)).await;
        proxy.heal();
    };
    let (done, ()) = tokio::join!(put(&*storage, "new", &bytes), heal);
    done.unwrap();
    assert!(read(&*storage, "new").await == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_goes_on_when_the_server_is_killed_and_comes_back() {
    let server = Server::own("ganesha");
    let storage = connect_for(keys(&server, "export", "killed"), 8, 60);
    let bytes = noise(64 * MIB);
    let (feeder, fed) = ByteStream::channel(1);
    let feed = async {
        for (number, chunk) in bytes.chunks(MIB).enumerate() {
            if number == 30 {
                tokio::task::block_in_place(|| server.tell("kill"));
            }
            if number == 31 {
                tokio::task::block_in_place(|| server.tell("start"));
            }
            feeder.send(bytes.slice_ref(chunk)).await.unwrap();
        }
        feeder.finish().await.unwrap();
    };
    let target = key("deep/er/object");
    let (done, ()) = tokio::join!(storage.put(&target, fed), feed);
    assert_eq!(done.unwrap().bytes, bytes.len() as u64);
    assert!(read(&*storage, "deep/er/object").await == bytes);
    assert_eq!(names(&*storage).await, ["deep/er/object"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_for_good_fails_the_put_and_is_found_again_later() {
    let server = Server::own("ganesha");
    let storage = connect_for(keys(&server, "export", "dead"), 1, 60);
    let (feeder, fed) = ByteStream::channel(1);
    let target = key("object");
    let feed = async {
        feeder.send(noise(9 * MIB)).await.unwrap();
        tokio::task::block_in_place(|| server.tell("kill"));
        feeder.send(noise(9 * MIB)).await.ok();
        feeder.finish().await.ok();
    };
    let (done, ()) = tokio::join!(storage.put(&target, fed), feed);
    let error = done.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{}", chain(&error));
    server.tell("start");
    assert_eq!(storage.stat(&target).await.unwrap(), None);
    put(&*storage, "object", &noise(100)).await.unwrap();
    // A restart between two puts: the connection died while nobody looked.
    server.tell("stop");
    server.tell("start");
    put(&*storage, "object", &noise(200)).await.unwrap();
    assert_eq!(read(&*storage, "object").await, noise(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_dropped_is_cleaned_up() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "dropped"));
    put(&*storage, "old", &noise(10)).await.unwrap();
    let (feeder, fed) = ByteStream::channel(1);
    let target = key("new/folder/object");
    {
        let putting = storage.put(&target, fed);
        let feed = async {
            feeder.send(noise(20 * MIB)).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        };
        tokio::select! { _ = putting => panic!("it ended"), () = feed => () }
    }
    eventually(&*storage, &["old"]).await;
    let gone = async {
        while server.path("export/dropped/new").exists() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), gone).await.expect("empty folders were left");
}
