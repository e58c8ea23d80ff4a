//! What goes wrong on the way and on the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use nxs_backup::base::Secret;
use nxs_backup::storages::ftp::{Config, Passive, Tls};
use nxs_backup::storages::layers::Timeout;
use nxs_backup::storages::{Kind, Section, Setting, Storage};
use nxs_backup::stream::ByteStream;

use crate::live::ftp::{
    body, config, connect, holds, key, names, noise, proftpd, says, secure, vsftpd,
};
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::storage::eventually;
use crate::support::world::until;

/// A way to a server that can be troubled, with its passive ports.
fn troubled(server: &Server, number: u16) -> Proxy {
    Proxy::mirror(std::iter::once(server.port(number)).chain((16..64).map(|at| server.port(at))))
}

fn through(proxy: &Proxy, folder: &str) -> Config {
    Config { host: proxy.host(), ..config(proxy.port(), folder) }
}

fn once(config: &Config) -> Arc<dyn Storage> {
    config.connect(&Setting { retries: 0, ..Setting::alone("offsite") })
}

/// A body that goes on only when it is told.
fn slow(bytes: &bytes::Bytes) -> (ByteStream, tokio::sync::oneshot::Sender<()>) {
    let (go, wait) = tokio::sync::oneshot::channel();
    let (feeder, stream) = ByteStream::channel(1);
    let mut rest = bytes.clone();
    tokio::spawn(async move {
        feeder.send(rest.split_to(rest.len() / 2)).await.unwrap();
        wait.await.ok();
        feeder.send(rest).await.ok();
        feeder.finish().await.ok();
    });
    (stream, go)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_goes_on_where_the_server_has_it() {
    for (server, number) in [(proftpd(), 0), (vsftpd(), 1)] {
        let proxy = troubled(server, number);
        let storage = connect(&through(&proxy, "cut"));
        let bytes = noise(12 << 20);
        for at in [3_000_000, 9_000_000] {
            proxy.cut_after(at);
            storage.put(&key("a/x"), body(&bytes)).await.unwrap();
            let sent = proxy.sent();
            assert!(sent < 20 << 20, "{sent} bytes were sent for 12 MiB");
            holds(&*storage, "a/x", &bytes).await;
        }
        assert_eq!(names(&*storage).await, ["a/x"]);
        storage.delete(&key("a/x")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_every_connection_was_cut() {
    let proxy = troubled(proftpd(), 0);
    let storage = connect(&through(&proxy, "cut-all"));
    let bytes = noise(5 << 20);
    let (stream, go) = slow(&bytes);
    let put = tokio::spawn({
        let storage = Arc::clone(&storage);
        async move { storage.put(&key("x"), stream).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.cut_all();
    go.send(()).unwrap();
    put.await.unwrap().unwrap();
    holds(&*storage, "x", &bytes).await;
    storage.delete(&key("x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_upload_that_may_not_be_tried_again_leaves_nothing() {
    let proxy = troubled(vsftpd(), 1);
    let storage = once(&through(&proxy, "cut-once"));
    let bytes = noise(8 << 20);
    proxy.cut_after(3_000_000);
    let error = storage.put(&key("a/x"), body(&bytes)).await.unwrap_err();
    says(&error, Kind::Unavailable, &["offsite: could not put a/x", "/cut-once/a/"]);
    assert_eq!(names(&*storage).await, Vec::<String>::new());
    storage.put(&key("a/x"), body(&bytes)).await.unwrap();
    holds(&*storage, "a/x", &bytes).await;
    storage.delete(&key("a/x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_resumes_nothing_is_sent_all_again_while_it_is_held() {
    let proxy = troubled(proftpd(), 3);
    let storage = connect(&through(&proxy, "no-resume"));
    let bytes = noise(6 << 20);
    proxy.cut_after(3_000_000);
    storage.put(&key("x"), body(&bytes)).await.unwrap();
    holds(&*storage, "x", &bytes).await;
    storage.delete(&key("x")).await.unwrap();
    // A file that nothing has come into yet is in the way all the same.
    let bytes = noise(1000);
    let (stream, go) = slow(&bytes);
    let put = tokio::spawn({
        let storage = Arc::clone(&storage);
        async move { storage.put(&key("x"), stream).await }
    });
    let folder = proftpd().path("home/no-resume");
    until("a file of no bytes", || std::fs::read_dir(&folder).is_ok_and(|all| all.count() == 1));
    proxy.cut_all();
    tokio::time::sleep(Duration::from_millis(500)).await;
    go.send(()).unwrap();
    put.await.unwrap().unwrap();
    holds(&*storage, "x", &bytes).await;
    storage.delete(&key("x")).await.unwrap();
    let bytes = noise(40 << 20);
    proxy.cut_after(30_000_000);
    let error = storage.put(&key("x"), body(&bytes)).await.unwrap_err();
    says(&error, Kind::Unavailable, &["not permitted"]);
    assert_eq!(names(&*storage).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_dies_while_an_object_is_replaced_costs_neither_the_old_nor_the_new() {
    let proxy = troubled(proftpd(), 3);
    let storage = once(&through(&proxy, "replaced"));
    let (old, new) = (noise(1000), noise(2000));
    storage.put(&key("a/x"), body(&old)).await.unwrap();
    proxy.heal();
    storage.put(&key("a/x"), body(&new)).await.unwrap();
    let all = proxy.sent();
    let mut broken = 0;
    let direct = connect(&config(proftpd().port(3), "replaced"));
    for at in (1..all).step_by(25) {
        direct.put(&key("a/x"), body(&old)).await.unwrap();
        proxy.cut_after(at);
        let done = storage.put(&key("a/x"), body(&new)).await;
        proxy.heal();
        broken += u32::from(done.is_err());
        eventually(&*storage, &["a/x"]).await;
        match storage.stat(&key("a/x")).await.unwrap().unwrap().bytes {
            1000 if done.is_err() => holds(&*storage, "a/x", &old).await,
            _ => holds(&*storage, "a/x", &new).await,
        }
    }
    assert!(broken > 5, "only {broken} puts met the cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_made_way_for_one_that_never_came_has_its_name_again_in_a_listing() {
    let storage = connect(&config(proftpd().port(3), "aside"));
    let bytes = noise(1000);
    storage.put(&key("a/x.1"), body(&bytes)).await.unwrap();
    let folder = proftpd().path("home/aside/a");
    let aside = |name: &str| folder.join(format!(".nxs-partial.{name}.old-0123456789abcdef-1"));
    // As a put leaves it that is killed between its two renames.
    std::fs::rename(folder.join("x.1"), aside("x.1")).unwrap();
    assert_eq!(names(&*storage).await, ["a/x.1"]);
    holds(&*storage, "a/x.1", &bytes).await;
    // One whose place is taken is no more than the remains of a put.
    std::fs::copy(folder.join("x.1"), aside("x.1")).unwrap();
    assert_eq!(names(&*storage).await.len(), 2);
    std::fs::remove_file(aside("x.1")).unwrap();
    storage.delete(&key("a/x.1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_the_middle_may_come_back() {
    let server = Server::own("proftpd");
    let storage = connect(&config(server.port(0), "killed"));
    let bytes = noise(4 << 20);
    let (stream, go) = slow(&bytes);
    let put = tokio::spawn({
        let storage = Arc::clone(&storage);
        async move { storage.put(&key("x"), stream).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.tell("kill");
    server.tell("start");
    go.send(()).unwrap();
    put.await.unwrap().unwrap();
    holds(&*storage, "x", &bytes).await;
    // Between two puts; the connections that were kept are dead.
    server.tell("kill");
    server.tell("start");
    storage.put(&key("y"), body(&bytes)).await.unwrap();
    // And for good.
    server.tell("stop");
    let error = storage.put(&key("z"), body(&bytes)).await.unwrap_err();
    says(&error, Kind::Unavailable, &["connection is refused", "does the server run"]);
    server.tell("start");
    assert_eq!(names(&*storage).await, ["x", "y"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cut_says_so() {
    let proxy = troubled(proftpd(), 0);
    let storage = connect(&through(&proxy, "cut-get"));
    let bytes = noise(8 << 20);
    storage.put(&key("x"), body(&bytes)).await.unwrap();
    proxy.rate(4 << 20);
    let mut stream = storage.get(&key("x"), 0..bytes.len() as u64).await.unwrap();
    stream.next().await.unwrap().unwrap();
    proxy.cut_all();
    let broken = loop {
        match stream.next().await {
            Ok(Some(_)) => (),
            Ok(None) => panic!("a stream that was cut ended well"),
            Err(error) => break error,
        }
    };
    assert!(format!("{broken}").contains("could not get x"), "{broken}");
    proxy.rate(0);
    storage.delete(&key("x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_early_breaks_nothing() {
    for config in [config(proftpd().port(0), "early"), secure(vsftpd(), 0, "early", Tls::Explicit)]
    {
        let storage = connect(&config);
        let bytes = noise(6 << 20);
        storage.put(&key("x"), body(&bytes)).await.unwrap();
        for _ in 0..3 {
            let mut stream = storage.get(&key("x"), 0..bytes.len() as u64).await.unwrap();
            stream.next().await.unwrap().unwrap();
            drop(stream);
            let part = storage.get(&key("x"), 1000..500_000).await.unwrap();
            assert!(part.collect(1 << 20).await.unwrap() == bytes[1000..500_000]);
        }
        holds(&*storage, "x", &bytes).await;
        storage.delete(&key("x")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_names_the_server() {
    let proxy = troubled(proftpd(), 0);
    proxy.refuse(true);
    let storage = once(&through(&proxy, "refused"));
    let error = storage.put(&key("x"), body(&noise(10))).await.unwrap_err();
    says(&error, Kind::Unavailable, &["offsite: could not put x", &proxy.host()]);
    proxy.heal();
    storage.put(&key("x"), body(&noise(10))).await.unwrap();
    storage.delete(&key("x")).await.unwrap();
    let nobody = once(&config(1, "x"));
    let error = nobody.stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Unavailable, &["127.0.0.1:1: the connection is refused", "is `port` right"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_ends_with_the_timeout_and_the_next_put_works() {
    let proxy = troubled(vsftpd(), 1);
    let inner = connect(&through(&proxy, "stall"));
    let storage = Timeout::new(inner, "offsite", Duration::from_secs(4));
    let bytes = noise(8 << 20);
    storage.put(&key("before"), body(&bytes)).await.unwrap();
    proxy.stall_after(2_000_000);
    let error = storage.put(&key("x"), body(&bytes)).await.unwrap_err();
    says(&error, Kind::Unavailable, &["no answer for 4 s"]);
    proxy.heal();
    proxy.cut_all();
    storage.put(&key("x"), body(&bytes)).await.unwrap();
    eventually(&storage, &["before", "x"]).await;
    for name in ["before", "x"] {
        storage.delete(&key(name)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passive_ports_that_a_firewall_keeps_are_named() {
    // Only the port for commands is there.
    let proxy = Proxy::mirror([proftpd().port(0)]);
    for passive in [Passive::Auto, Passive::Epsv, Passive::Pasv] {
        let storage = once(&Config { passive, ..through(&proxy, "blocked") });
        let error = storage.put(&key("x"), body(&noise(10))).await.unwrap_err();
        says(
            &error,
            Kind::Unavailable,
            &["passive ports through the firewall", "cannot be reached"],
        );
        assert!(storage.list("").try_collect::<Vec<_>>().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_epsv_is_asked_by_pasv() {
    let wanted = config(vsftpd().port(2), "pasv");
    let storage = connect(&wanted);
    storage.put(&key("a/x"), body(&noise(1000))).await.unwrap();
    storage.put(&key("a/y"), body(&noise(1000))).await.unwrap();
    assert_eq!(names(&*storage).await, ["a/x", "a/y"]);
    let epsv = once(&Config { passive: Passive::Epsv, ..wanted });
    let error = epsv.put(&key("x"), body(&noise(10))).await.unwrap_err();
    says(&error, Kind::Denied, &["Permission denied"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_in_an_answer_is_not_believed() {
    // The server calls itself 127.0.0.1; the way to it is another address.
    let proxy = troubled(proftpd(), 0);
    let storage = once(&Config { passive: Passive::Pasv, ..through(&proxy, "nat") });
    storage.put(&key("x"), body(&noise(1000))).await.unwrap();
    let before = proxy.connections();
    storage.put(&key("x"), body(&noise(1000))).await.unwrap();
    assert_eq!(proxy.connections() - before, 1);
    storage.delete(&key("x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_denied_and_not_repeated() {
    for port in [proftpd().port(0), vsftpd().port(1)] {
        let wrong = Config { password: Some(Secret::new("hunter2")), ..config(port, "x") };
        let error = connect(&wrong).stat(&key("x")).await.unwrap_err();
        says(&error, Kind::Denied, &["user svcftp", "check `user` and `password`", "530"]);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_with_every_awkward_character_works() {
    let password = Some(Secret::new(proftpd().text("odd.password")));
    for tls in [Tls::No, Tls::Explicit] {
        let config = match tls {
            Tls::No => config(proftpd().port(0), "p"),
            _ => secure(proftpd(), 1, "p", tls),
        };
        let odd = Config { user: Some("odd".to_owned()), password: password.clone(), ..config };
        let storage = connect(&odd);
        storage.put(&key("x"), body(&noise(10))).await.unwrap();
        storage.delete(&key("x")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_tls_is_said() {
    let (proftpd, vsftpd) = (proftpd(), vsftpd());
    let unknown = Config { ca_file: None, ..secure(proftpd, 1, "x", Tls::Explicit) };
    let error = once(&unknown).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Denied, &["certificate is refused", "`ca_file`"]);
    let implicit = Config { ca_file: None, ..secure(proftpd, 2, "x", Tls::Implicit) };
    let error = once(&implicit).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Denied, &["certificate is refused"]);
    let other = Config { host: "127.0.0.2".to_owned(), ..secure(vsftpd, 1, "x", Tls::Explicit) };
    let proxy = troubled(vsftpd, 1);
    let other = Config { host: proxy.host(), ..other };
    let error = once(&other).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Denied, &["certificate is refused", "`host`"]);
    let error = once(&config(proftpd.port(1), "x")).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Denied, &["demands TLS", "`tls: explicit`"]);
    let error = once(&secure(proftpd, 0, "x", Tls::Explicit)).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Unsupported, &["takes up no TLS"]);
    let error = once(&secure(proftpd, 0, "x", Tls::Implicit)).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Unsupported, &["no TLS is spoken there"]);
    let error = once(&secure(proftpd, 4, "x", Tls::Explicit)).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Unsupported, &["no TLS version in common"]);
    let gone = Config { ca_file: Some("/no/ca".into()), ..secure(proftpd, 1, "x", Tls::Explicit) };
    let error = once(&gone).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Other, &["`ca_file` /no/ca: could not be read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_is_recognised() {
    let sshd = Server::shared("sshd");
    let error = once(&config(sshd.port(0), "x")).stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Unsupported, &["no FTP is spoken there"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named() {
    let as_user = |port, user: &str, folder: &str| {
        once(&Config { user: Some(user.to_owned()), ..config(port, folder) })
    };
    let owner = once(&config(proftpd().port(0), "rights"));
    owner.put(&key("a/x"), body(&noise(10))).await.unwrap();
    let reader = as_user(proftpd().port(0), "reader", "rights");
    for name in ["a/y", "new/y"] {
        let error = reader.put(&key(name), body(&noise(10))).await.unwrap_err();
        says(&error, Kind::Denied, &["give it the right", "Operation not permitted"]);
    }
    holds(&*reader, "a/x", &noise(10)).await;
    let keeper = as_user(proftpd().port(0), "keeper", "rights");
    keeper.put(&key("a/z"), body(&noise(10))).await.unwrap();
    for storage in [&reader, &keeper] {
        let error = storage.delete(&key("a/x")).await.unwrap_err();
        says(&error, Kind::Denied, &["could not delete a/x", "give it the right"]);
    }
    assert_eq!(names(&*owner).await, ["a/x", "a/z"]);
    for name in ["a/x", "a/z"] {
        owner.delete(&key(name)).await.unwrap();
    }
    let locked = as_user(vsftpd().port(1), "locked", "b");
    let error = locked.put(&key("x"), body(&noise(10))).await.unwrap_err();
    says(&error, Kind::Denied, &["give it the right", "553"]);
    assert_eq!(names(&*locked).await, Vec::<String>::new());
    let keeper = as_user(vsftpd().port(2), "svcftp", "kept");
    keeper.put(&key("x"), body(&noise(10))).await.unwrap();
    let error = keeper.delete(&key("x")).await.unwrap_err();
    says(&error, Kind::Denied, &["could not delete x", "Permission denied"]);
    keeper.delete(&key("nothing")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_full_and_nothing_stays() {
    let small = Config { user: Some("small".to_owned()), ..config(proftpd().port(0), "b") };
    let storage = connect(&small);
    for _ in 0..2 {
        let error = storage.put(&key("a/x"), body(&noise(20 << 20))).await.unwrap_err();
        says(&error, Kind::Full, &["disk or quota is full"]);
        assert_eq!(names(&*storage).await, Vec::<String>::new());
    }
    storage.put(&key("a/x"), body(&noise(1 << 20))).await.unwrap();
    storage.delete(&key("a/x")).await.unwrap();
    let small =
        Config { user: Some("small".to_owned()), ..secure(proftpd(), 1, "t", Tls::Explicit) };
    let error = connect(&small).put(&key("x"), body(&noise(20 << 20))).await.unwrap_err();
    says(&error, Kind::Full, &["disk or quota is full"]);
    let small = Config { user: Some("small".to_owned()), ..config(vsftpd().port(1), "b") };
    let error = connect(&small).put(&key("x"), body(&noise(20 << 20))).await.unwrap_err();
    says(&error, Kind::Full, &["most likely full"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_few_connections_is_waited_for() {
    let storage = connect(&config(proftpd().port(5), "few"));
    let bytes = noise(300_000);
    let names = ["a", "b", "c", "d", "e", "f"].map(key);
    let puts = names.iter().map(|name| storage.put(name, body(&bytes)));
    futures_util::future::try_join_all(puts).await.unwrap();
    for name in &names {
        storage.delete(name).await.unwrap();
    }
    // Another client has them all: that is for the layer around to wait.
    let (first, second) = (connect(&config(proftpd().port(5), "few")), storage);
    let (stream, go) = slow(&bytes);
    let (stream2, go2) = slow(&bytes);
    let both = tokio::spawn(async move {
        let (x, y) = (key("x"), key("y"));
        tokio::try_join!(first.put(&x, stream), first.put(&y, stream2)).map(drop)
    });
    drop(second);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let third = once(&config(proftpd().port(5), "few"));
    let error = third.stat(&key("x")).await.unwrap_err();
    says(&error, Kind::Unavailable, &["no more connections"]);
    go.send(()).unwrap();
    go2.send(()).unwrap();
    both.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_a_line_break_is_refused_before_it_is_sent() {
    let storage = once(&config(proftpd().port(0), "odd"));
    for name in ["a\nDELE x", "a\rb"] {
        let error = storage.put(&key(name), body(&noise(10))).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unsupported, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure to look at, not a promise: throughput with a round trip of 40 ms"]
async fn how_fast_with_a_round_trip() {
    let proxy = troubled(proftpd(), 0);
    proxy.round_trip(Duration::from_millis(40));
    let storage = connect(&through(&proxy, "far"));
    let bytes = noise(64 << 20);
    let begun = Instant::now();
    storage.put(&key("x"), body(&bytes)).await.unwrap();
    let put = 64.0 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    holds(&*storage, "x", &bytes).await;
    let get = 64.0 / begun.elapsed().as_secs_f64();
    panic!("put {put:.0} MiB/s, get {get:.0} MiB/s");
}
