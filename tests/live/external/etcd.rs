//! A real etcd, backed up by the script of the article and started again from the copy.

use std::path::Path;
use std::process::Command;

use super::{bed, data};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

fn etcdctl(server: &Server, port: u16, args: &[&str]) -> String {
    let endpoint = format!("https://127.0.0.1:{}", server.port(port));
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").arg("--cacert").arg(server.path("tls/ca.crt"));
    let output = command.args(["--endpoints", &endpoint]).args(args).output().unwrap();
    let (out, err) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{args:?}: {err}");
    String::from_utf8(out).unwrap()
}

fn with_etcd(server: &Server, patience: &str) -> Bed {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/external/etcd.py");
    let bed = bed(
        &format!(
            "compress: zstd\n  dump_timeout: {patience}\n  dump_cmd: 'python3 {}'",
            script.display()
        ),
        "",
    );
    let (ca, port) = (server.path("tls/ca.crt"), server.port(0));
    let bed = bed.env("SNAPSHOT", "$DIR/snapshot.db").env("ETCD_CA", ca.to_str().unwrap());
    bed.env("ETCD", &format!("https://127.0.0.1:{port}"))
}

#[test]
fn etcd_is_backed_up_by_the_script_of_the_article_and_starts_again_from_the_copy() {
    let server = Server::own("etcd");
    for number in 0..200 {
        let (key, value) = (format!("/app/key{number:03}"), format!("välue \"{number}\""));
        etcdctl(&server, 0, &["put", &key, &value]);
    }
    let before = etcdctl(&server, 0, &["get", "--prefix", "/app"]);
    let bed = with_etcd(&server, "1m");
    bed.run(["start"]);
    assert_eq!(data(&bed), ["daily/etcd_2026-11-21_03-00-00.tar.zst"]);
    assert!(!bed.path("snapshot.db.tar").exists());
    etcdctl(&server, 0, &["del", "--prefix", "/app"]);
    // By stock tools alone, and by ours: the same bytes.
    sh(&bed, "zstd -dc store/daily/etcd_*.tar.zst > stock.tar; tar -xf stock.tar");
    bed.run(["restore", "--to", "out"]);
    sh(&bed, "cmp stock.tar out/etcd_2026-11-21_03-00-00.tar");
    std::fs::copy(bed.path("snapshot.db"), server.path("restored.db")).unwrap();
    server.tell("restored");
    assert_eq!(etcdctl(&server, 2, &["get", "--prefix", "/app"]), before);
}

#[test]
fn an_etcd_that_is_down_lets_the_script_hang_and_that_is_a_failure() {
    let server = Server::own("etcd");
    let bed = with_etcd(&server, "4s");
    server.tell("stop");
    let ran = bed.run(["start"]).exit(1).noisy();
    assert!(
        ran.out().contains("snap: dump_cmd gave nothing for 4 s and was ended"),
        "{}",
        ran.out()
    );
    assert!(!bed.path("snapshot.db").exists());
    assert_eq!(data(&bed), Vec::<String>::new());
}
