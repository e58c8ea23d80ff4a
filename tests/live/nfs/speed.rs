//! How fast it is: figures to look at, nothing is asserted.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::stream;
use nxs_backup::storages::Storage;
use nxs_backup::stream::{Algorithm, ByteStream, digest_of};

use crate::live::nfs::faults::behind;
use crate::live::nfs::{connect, key, keys, noise};
use crate::support::server::Server;

/// Puts `mib` MiB and reads them back; returns MiB/s of both.
async fn both_ways(storage: &dyn Storage, mib: usize) -> (f64, f64) {
    let chunk = noise(4 << 20);
    let chunks = (0..mib / 4).map(move |_| Ok(chunk.clone()));
    let body = ByteStream::from_stream(stream::iter(chunks));
    let rate = |begun: Instant| mib as f64 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let object = storage.put(&key("object"), body).await.unwrap();
    let put = rate(begun);
    let begun = Instant::now();
    let back = storage.get(&key("object"), 0..object.bytes).await.unwrap();
    let (_, bytes) = digest_of(back, Algorithm::Blake3).await.unwrap();
    assert_eq!(bytes, object.bytes);
    let get = rate(begun);
    storage.delete(&key("object")).await.unwrap();
    (put, get)
}

fn tell(what: &str, (put, get): (f64, f64)) {
    writeln!(std::io::stderr(), "{what}: put {put:.0} MiB/s, get {get:.0} MiB/s").ok();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run it with --release --nocapture"]
async fn with_a_round_trip_of_40_ms() {
    let (proxy, config) = behind("slow");
    proxy.round_trip(Duration::from_millis(40));
    tell("40 ms", both_ways(&*connect(config), 256).await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: run it with --release --nocapture"]
async fn beside_nfs_cp() {
    let server = Server::shared("ganesha");
    let storage = connect(keys(server, "export", "fast"));
    let source = server.path("source");
    std::fs::write(&source, noise(1 << 30)).unwrap();
    let url = |round| {
        format!(
            "nfs://127.0.0.1{}/stock{round}?nfsport={}&mountport={}",
            server.path("export").display(),
            server.port(0),
            server.port(1)
        )
    };
    for round in 0..3 {
        let begun = Instant::now();
        let copied = Command::new("nfs-cp").arg(&source).arg(url(round)).output().unwrap();
        assert!(copied.status.success());
        let stock = 1024.0 / begun.elapsed().as_secs_f64();
        std::fs::remove_file(server.path(&format!("export/stock{round}"))).unwrap();
        writeln!(std::io::stderr(), "nfs-cp: put {stock:.0} MiB/s").ok();
        tell("ours", both_ways(&*storage, 1024).await);
    }
}
