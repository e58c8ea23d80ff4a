//! Bad networks and servers in trouble.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use nxs_backup::base::{Secret, chain};
use nxs_backup::storages::layers::Timeout;
use nxs_backup::storages::{Config, Kind, Setting, Storage, connect, webdav};
use nxs_backup::stream::ByteStream;

use crate::live::webdav::{body, key, keys, login, names, read, storage};
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::storage::eventually;

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_cut_leaves_nothing_and_the_next_one_works() {
    for (name, path) in [("apache", "/digest"), ("nginx", "")] {
        let server = Server::shared(name);
        let proxy = Proxy::to(server.port(0));
        let dav = storage(&login(keys(proxy.port(), path)));
        dav.put(&key("d/old"), body(1000).1).await.unwrap();
        proxy.cut_after(4 * MIB as u64);
        let error = dav.put(&key("d/new"), body(16 * MIB).1).await.unwrap_err();
        let said = chain(&error);
        assert_eq!(error.kind, Kind::Unavailable, "{said}");
        let should = format!(
            "dav: could not put d/new: the connection to http://127.0.0.1:{} broke",
            proxy.port()
        );
        assert!(said.starts_with(&should), "{said}");
        assert_eq!(names(&*dav).await, ["d/old"]);
        let (bytes, again) = body(16 * MIB);
        dav.put(&key("d/new"), again).await.unwrap();
        assert_eq!(read(&*dav, "d/new").await, bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_is_said() {
    let server = Server::shared("apache");
    let proxy = Proxy::to(server.port(0));
    let dav = storage(&keys(proxy.port(), "/open"));
    proxy.refuse(true);
    let error = dav.put(&key("x"), body(10).1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{}", chain(&error));
    proxy.refuse(false);
    dav.put(&key("x"), body(10).1).await.unwrap();
    drop(proxy);
    let nobody = storage(&keys(1, "/open"));
    let error = nobody.stat(&key("x")).await.unwrap_err();
    let should = "dav: could not stat x: http://127.0.0.1:1 cannot be reached: check `host`, \
                  `port` and `proxy`: ";
    assert!(chain(&error).starts_with(should), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up_and_nothing_stays() {
    let server = Server::shared("apache");
    let proxy = Proxy::to(server.port(0));
    let keys = login(keys(proxy.port(), "/basic"));
    let dav = Timeout::new(storage(&keys), "dav", Duration::from_secs(1));
    dav.put(&key("old"), body(10).1).await.unwrap();
    proxy.stall_after(4 * MIB as u64);
    let error = dav.put(&key("new"), body(32 * MIB).1).await.unwrap_err();
    assert_eq!(chain(&error), "dav: could not put new: no answer for 1 s");
    proxy.heal();
    proxy.cut_all();
    // What cleans up has to learn that the way is open again.
    eventually(&dav, &["old"]).await;
    dav.put(&key("new"), body(MIB).1).await.unwrap();
    assert_eq!(names(&dav).await, ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_is_cut_is_an_error_and_no_end() {
    let server = Server::shared("apache");
    let proxy = Proxy::to(server.port(0));
    let dav = storage(&keys(proxy.port(), "/open"));
    dav.put(&key("x"), body(32 * MIB).1).await.unwrap();
    let mut stream = dav.get(&key("x"), 0..32 * MIB as u64).await.unwrap();
    stream.next().await.unwrap().unwrap();
    proxy.cut_all();
    let error = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a cut get ended well"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with("dav: could not get x"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_way_costs_little() {
    let server = Server::shared("apache");
    let proxy = Proxy::to(server.port(0));
    proxy.round_trip(Duration::from_millis(40));
    let dav = storage(&login(keys(proxy.port(), "/digest")));
    let begin = Instant::now();
    let (bytes, long) = body(64 * MIB);
    dav.put(&key("x"), long).await.unwrap();
    let put = begin.elapsed().as_secs_f64();
    assert_eq!(read(&*dav, "x").await, bytes);
    let all = begin.elapsed().as_secs_f64();
    eprintln!("40 ms: put {:.0} MiB/s, get {:.0} MiB/s", 64.0 / put, 64.0 / (all - put));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure to read: 1 GiB, ours and curl's"]
async fn a_large_body_goes_as_fast_as_with_curl() {
    let server = Server::own("apache");
    let dav = storage(&keys(server.port(0), "/open"));
    let chunk = body(4 * MIB).0;
    let url = format!("http://127.0.0.1:{}/open/curl", server.port(0));
    for _ in 0..3 {
        let chunks = vec![Ok(chunk.clone()); 256];
        let begin = Instant::now();
        let long = ByteStream::from_stream(futures_util::stream::iter(chunks));
        assert_eq!(dav.put(&key("x"), long).await.unwrap().bytes, 1 << 30);
        let ours = begin.elapsed();
        let file = server.path("dav/root/open").join("large");
        std::fs::write(&file, chunk.repeat(256)).unwrap();
        let begin = Instant::now();
        let mut curl = std::process::Command::new("curl");
        let done = curl.args(["-sfo", "/dev/null", "-T"]).arg(&file).arg(&url).status().unwrap();
        assert!(done.success());
        eprintln!("1 GiB: ours {ours:?}, curl {:?}", begin.elapsed());
    }
}

/// Puts that begin and then wait, so that something can happen in their middle.
async fn in_the_middle(
    dav: &Arc<dyn Storage>,
    happens: impl FnOnce(),
) -> nxs_backup::storages::Error {
    let (feeder, long) = ByteStream::channel(1);
    let putting = tokio::spawn({
        let dav = dav.clone();
        async move { dav.put(&key("d/new"), long).await }
    });
    for _ in 0..8 {
        feeder.send(Bytes::from(vec![1; MIB])).await.unwrap();
    }
    tokio::task::block_in_place(happens);
    while feeder.send(Bytes::from(vec![1; MIB])).await.is_ok() {}
    putting.await.unwrap().unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_is_used_again() {
    for (name, path) in [("apache", "/digest"), ("nginx", "")] {
        let server = Server::own(name);
        let dav = storage(&login(keys(server.port(0), path)));
        dav.put(&key("d/old"), body(2 * MIB).1).await.unwrap();
        let error = in_the_middle(&dav, || server.tell("kill")).await;
        assert_eq!(error.kind, Kind::Unavailable, "{}", chain(&error));
        server.tell("start");
        assert_eq!(names(&*dav).await, ["d/old"]);
        dav.put(&key("d/new"), body(2 * MIB).1).await.unwrap();
        server.tell("stop");
        let error = dav.put(&key("d/third"), body(10).1).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable, "{}", chain(&error));
        server.tell("start");
        let (bytes, long) = body(3 * MIB);
        dav.put(&key("d/third"), long).await.unwrap();
        assert_eq!(read(&*dav, "d/third").await, bytes);
        assert_eq!(names(&*dav).await, ["d/new", "d/old", "d/third"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_what_was_there_stays() {
    let server = Server::shared("apache");
    let dav = storage(&keys(server.port(0), "/small"));
    dav.put(&key("old"), body(MIB).1).await.unwrap();
    let error = dav.put(&key("new"), body(12 * MIB).1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Full, "{}", chain(&error));
    assert!(chain(&error).contains("507 Insufficient Storage"), "{}", chain(&error));
    assert_eq!(names(&*dav).await, ["old"]);
    dav.put(&key("new"), body(2 * MIB).1).await.unwrap();
    assert_eq!(names(&*dav).await, ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_requests_is_said_with_its_remedy() {
    let server = Server::shared("nginx");
    let dav = storage(&login(keys(server.port(0), "/tiny")));
    let error = dav.put(&key("x"), body(4 * MIB).1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported, "{}", chain(&error));
    assert!(chain(&error).contains("413 Payload Too Large"), "{}", chain(&error));
    assert!(chain(&error).ends_with("or set a smaller `split`"), "{}", chain(&error));
    dav.put(&key("x"), body(MIB / 2).1).await.unwrap();
    assert_eq!(names(&*dav).await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_said() {
    let server = Server::shared("apache");
    let frozen = storage(&keys(server.port(0), "/frozen"));
    for length in [10, MIB] {
        let error = frozen.put(&key("x"), body(length).1).await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{}", chain(&error));
        let should = format!(
            "dav: could not put x: http://127.0.0.1:{} answered 403 Forbidden to MKCOL ",
            server.port(0)
        );
        assert!(chain(&error).starts_with(&should), "{}", chain(&error));
    }
    assert_eq!(frozen.list("").next().await.map(|found| found.is_ok()), None);
    let keep = storage(&keys(server.port(0), "/keep"));
    keep.put(&key("x"), body(MIB).1).await.unwrap();
    let error = keep.delete(&key("x")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{}", chain(&error));
    let words = "let `user` delete here, or set `rotation: none`";
    assert!(chain(&error).ends_with(words), "{}", chain(&error));
    assert_eq!(names(&*keep).await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_nowhere_is_no_empty_storage() {
    for (name, path) in [("apache", "/open/nowhere"), ("nginx", "/nowhere")] {
        let server = Server::shared(name);
        let dav = storage(&login(keys(server.port(0), path)));
        let said = chain(&dav.list("").next().await.unwrap().unwrap_err());
        assert!(
            said.contains("there is no folder at ") && said.ends_with("check the path in `host`"),
            "{said}"
        );
        assert!(dav.stat(&key("x")).await.is_err());
        let said = chain(&dav.put(&key("x"), body(10).1).await.unwrap_err());
        assert!(said.ends_with("check the path in `host`"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_used_where_one_is_named() {
    let server = Server::shared("apache");
    // Apache answers for any host that a proxy would be asked for.
    let keys = webdav::Config {
        host: "http://dav.invalid/open".to_owned(),
        proxy: Some(Secret::new(format!("http://127.0.0.1:{}", server.port(0)))),
        ..keys(0, "")
    };
    let error = storage(&keys).stat(&key("x")).await;
    assert!(error.is_ok_and(|found| found.is_none()));
    let broken = webdav::Config { proxy: Some(Secret::new("http://127.0.0.1:1")), ..keys };
    let dav = connect(&Config::Webdav(broken), &Setting { retries: 0, ..Setting::alone("dav") });
    assert_eq!(dav.stat(&key("x")).await.unwrap_err().kind, Kind::Unavailable);
}
