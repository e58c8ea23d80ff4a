//! What goes wrong between us and an SMB server, and on it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use nxs_backup::base::chain;
use nxs_backup::storages::layers::Timeout;
use nxs_backup::storages::{Config, Kind, Setting, Storage, connect, smb};
use nxs_backup::stream::{ByteStream, Feeder};
use tokio::task::block_in_place;

use crate::live::smb::{failed, key, keys, names, names_from, put, read, storage};
use crate::support::proxy::Proxy;
use crate::support::server::Server;

fn server() -> &'static Server {
    Server::shared("samba")
}

/// The share `data` as it is seen through a proxy.
fn behind(proxy: &Proxy, folder: &str) -> smb::Config {
    keys(proxy.port(), "data", folder)
}

fn with(config: smb::Config, change: fn(&mut Setting<'_>)) -> Arc<dyn Storage> {
    let mut setting = Setting::alone("offsite");
    change(&mut setting);
    connect(&Config::Smb(config), &setting)
}

/// The `number`-th MiB of a body that does not repeat itself.
fn piece(number: u64) -> Bytes {
    let words =
        (0..(1_u64 << 17)).map(|word| (number << 40 | word).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    words.flat_map(u64::to_le_bytes).collect()
}

fn noise(mib: u64) -> ByteStream {
    ByteStream::from_stream(stream::iter((0..mib).map(|number| Ok(piece(number)))))
}

fn whole(mib: u64) -> Vec<u8> {
    (0..mib).flat_map(piece).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_cut_off_goes_on_where_it_stood() {
    let proxy = Proxy::to(server().port(0));
    let storage = storage(behind(&proxy, "goes-on"));
    put(&*storage, "big", "small").await.unwrap();
    for at in [100_u64, 3 << 20, 20 << 20] {
        proxy.cut_after(at);
        storage.put(&key("big"), noise(40)).await.unwrap();
        assert!(read(&*storage, "big").await == whole(40), "other bytes came");
        assert_eq!(names(&*storage).await, ["big"]);
    }
    assert!(proxy.connections() >= 4, "{}", proxy.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retries_a_put_that_is_cut_off_leaves_nothing_and_the_next_one_works() {
    let proxy = Proxy::to(server().port(0));
    let storage = with(behind(&proxy, "cut"), |setting| setting.retries = 0);
    put(&*storage, "old", "old").await.unwrap();
    proxy.cut_after(5 << 20);
    let done = storage.put(&key("deep/new"), noise(40)).await;
    failed(done, Kind::Unavailable, "offsite: could not put deep/new: smb://127.0.0.1:");
    assert_eq!(names(&*storage).await, ["old"]);
    storage.put(&key("deep/new"), noise(2)).await.unwrap();
    assert_eq!(names(&*storage).await, ["deep/new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_is_cut_off_reads_on_over_a_new_connection() {
    let proxy = Proxy::to(server().port(0));
    let storage = storage(behind(&proxy, "read-on"));
    let bytes = storage.put(&key("big"), noise(30)).await.unwrap().bytes;
    let mut body = storage.get(&key("big"), 0..bytes).await.unwrap();
    let first = body.next().await.unwrap().unwrap();
    proxy.cut_all();
    let rest = body.collect(64 << 20).await.unwrap();
    assert!([first, rest].concat() == whole(30), "other bytes came");
    assert!(proxy.connections() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_while_it_was_idle_is_made_again() {
    let proxy = Proxy::to(server().port(0));
    let storage = storage(behind(&proxy, "idle"));
    for name in ["a", "b", "c"] {
        put(&*storage, name, name).await.unwrap();
        proxy.cut_all();
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    assert_eq!(names(&*storage).await, ["a", "b", "c"]);
    assert_eq!(proxy.connections(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_stalls_ends_and_what_it_left_goes() {
    let proxy = Proxy::to(server().port(0));
    let patience = Duration::from_secs(2);
    let inner = with(behind(&proxy, "stalled"), |setting| {
        setting.timeout = Some(Duration::from_secs(2));
    });
    let storage = Timeout::new(inner, "offsite", patience);
    put(&storage, "old", "old").await.unwrap();
    proxy.stall_after(5 << 20);
    let begun = Instant::now();
    failed(storage.put(&key("new"), noise(40)).await, Kind::Unavailable, "no answer for 2 s");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    proxy.heal();
    proxy.cut_all();
    let settled = async {
        while storage.put(&key("new"), noise(2)).await.is_err()
            || names(&storage).await != ["new", "old"]
        {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("it stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_said_and_may_come_back() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = storage(keys(port, "data", "x"));
    failed(put(&*nobody, "x", "x").await, Kind::Unavailable, "Connection refused");
    failed(put(&*nobody, "x", "x").await, Kind::Unavailable, "are `host` and `port` right?");
    let nowhere = smb::Config { host: "no.such.host.invalid".to_owned(), ..keys(1, "data", "x") };
    let said = "the name \"no.such.host.invalid\" does not resolve";
    failed(put(&*storage(nowhere), "x", "x").await, Kind::Unavailable, said);
    let proxy = Proxy::to(server().port(0));
    proxy.refuse(true);
    let storage = storage(behind(&proxy, "back"));
    failed(put(&*storage, "x", "x").await, Kind::Unavailable, "hangs up at the greeting");
    proxy.heal();
    put(&*storage, "x", "x").await.unwrap();
}

/// Feeds 24 MiB, and does something to the server after 12.
async fn feed(feeder: Feeder, at_half: impl FnOnce()) {
    let mut at_half = Some(at_half);
    for number in 0..24 {
        if number == 12
            && let Some(act) = at_half.take()
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
            block_in_place(act);
        }
        if feeder.send(piece(number)).await.is_err() {
            return;
        }
    }
    feeder.finish().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_comes_back_in_the_middle_of_a_put_gets_the_rest() {
    let server = Server::own("samba");
    let storage = storage(keys(server.port(0), "data", "killed"));
    put(&*storage, "first", "1").await.unwrap();
    let (feeder, body) = ByteStream::channel(1);
    let wanted = key("big");
    let restart = || {
        server.tell("kill");
        server.tell("start");
    };
    let (done, ()) = tokio::join!(storage.put(&wanted, body), feed(feeder, restart));
    assert_eq!(done.unwrap().bytes, 24 << 20);
    assert!(read(&*storage, "big").await == whole(24), "other bytes came");
    block_in_place(|| server.tell("stop"));
    failed(put(&*storage, "second", "2").await, Kind::Unavailable, "Connection refused");
    block_in_place(|| server.tell("start"));
    put(&*storage, "second", "2").await.unwrap();
    assert_eq!(names(&*storage).await, ["big", "first", "second"]);
    forgets(&server).await;
}

/// A server that lost what it had taken and not flushed is found out.
async fn forgets(server: &Server) {
    let storage = storage(keys(server.port(0), "data", "forgot"));
    let (feeder, body) = ByteStream::channel(1);
    let wanted = key("big");
    let restart = || {
        server.tell("kill");
        let partial = partials(server, "forgot").pop().unwrap();
        std::fs::OpenOptions::new().write(true).open(partial).unwrap().set_len(5 << 20).unwrap();
        server.tell("start");
    };
    let (done, ()) = tokio::join!(storage.put(&wanted, body), feed(feeder, restart));
    failed(done, Kind::Corrupt, "the server lost bytes that it had taken");
    assert_eq!(names(&*storage).await, Vec::<String>::new());
}

fn partials(server: &Server, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(server.path(&format!("shares/data/{folder}"))).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_come_in_is_told_why() {
    let good = || keys(server().port(0), "data", "x");
    let secret = |text: &str| Some(nxs_backup::base::Secret::new(text));
    let cases = [
        (smb::Config { password: secret("wrong"), ..good() }, Kind::Denied, "STATUS_LOGON_FAILURE"),
        (
            smb::Config { user: Some("nobodyhere".to_owned()), ..good() },
            Kind::Denied,
            "would let us in as a guest without a key",
        ),
        (
            smb::Config { share: "none".to_owned(), ..good() },
            Kind::Other,
            "STATUS_BAD_NETWORK_NAME",
        ),
        (smb::Config { user: None, password: None, ..good() }, Kind::Denied, "check `user` and"),
        (keys(server().port(2), "data", "x"), Kind::Unavailable, "if it speaks SMB 1 alone"),
        (
            smb::Config { encrypt: Some(true), ..keys(server().port(4), "data", "x") },
            Kind::Denied,
            "the server cannot encrypt; take `encrypt: yes` away",
        ),
        (
            smb::Config { encrypt: Some(false), ..keys(server().port(0), "sealed", "x") },
            Kind::Denied,
            "",
        ),
    ];
    for (config, kind, words) in cases {
        let words = words.to_owned();
        let said = format!("{config:?}");
        let error = put(&*storage(config), "x", "x").await.unwrap_err();
        let text = chain(&error);
        assert!(error.kind == kind && text.contains(&words), "{said}: {:?} {text}", error.kind);
        assert!(!text.contains("wrong") && !text.contains("svcpw"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_may_hold_every_awkward_character() {
    let password = std::fs::read_to_string(server().path("odd.password")).unwrap();
    let config = smb::Config {
        user: Some("SVC\\odd".to_owned()),
        password: Some(nxs_backup::base::Secret::new(password)),
        ..keys(server().port(0), "data", "odd")
    };
    put(&*storage(config), "x", "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_may_only_be_read_is_denied() {
    let guest = storage(keys(server().port(0), "guest", ""));
    assert_eq!(read(&*guest, "file").await, "read me\n");
    failed(put(&*guest, "x", "x").await, Kind::Denied, "give the user the right to do this");
    assert_eq!(names(&*guest).await, ["file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_is_refused_is_said() {
    let kept = storage(keys(server().port(0), "kept", ""));
    failed(kept.delete(&key("a/old")).await, Kind::Denied, "offsite: could not delete a/old");
    failed(put(&*kept, "a/old", "new").await, Kind::Denied, "STATUS_ACCESS_DENIED");
    assert_eq!(read(&*kept, "a/old").await, "old\n");
    put(&*kept, "a/own", "own").await.unwrap();
    assert_eq!(names_from(&*kept, "a/").await, ["a/old", "a/own"]);
    kept.delete(&key("a/own")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_without_room_is_said_and_keeps_what_it_had() {
    let small = storage(keys(server().port(0), "small", "a"));
    put(&*small, "old", "old").await.unwrap();
    failed(small.put(&key("b/big"), noise(40)).await, Kind::Full, "no room is left on the share");
    assert_eq!(names(&*small).await, ["old"]);
    small.put(&key("b/small"), noise(5)).await.unwrap();
    assert!(read(&*small, "b/small").await == whole(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_server_takes_for_one_are_not_mixed_up() {
    let any = storage(keys(server().port(0), "any", "Some/Where"));
    put(&*any, "Site/daily/a", "1").await.unwrap();
    put(&*any, "Site/daily/a", "2").await.unwrap();
    for (name, there) in [
        ("site/daily/a", "\"Site/daily\" is there already"),
        ("Site/daily/A", "\"Site/daily/a\" is there already"),
        ("Site/DAILY/b", "\"Site/daily\" is there already"),
    ] {
        failed(put(&*any, name, "3").await, Kind::Unsupported, there);
    }
    assert_eq!(names(&*any).await, ["Site/daily/a"]);
    assert_eq!(read(&*any, "Site/daily/a").await, "2");
    let other = storage(keys(server().port(0), "any", "some/where"));
    put(&*other, "Site/daily/b", "4").await.unwrap();
    assert_eq!(names(&*other).await, ["Site/daily/a", "Site/daily/b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_smb_refuses_come_back_as_they_were() {
    let any = storage(keys(server().port(0), "any", "names"));
    let mut all =
        ["CON", "aux/nul.tar.zst", "dot.", "end ", "a:b*c?d\"e<f>g|h\\i", "tab\there", "..."];
    for name in all {
        put(&*any, name, name).await.unwrap();
    }
    all.sort_unstable();
    assert_eq!(names(&*any).await, all);
    assert_eq!(names_from(&*any, "aux/n").await, ["aux/nul.tar.zst"]);
    for name in all {
        assert_eq!(read(&*any, name).await, name.as_bytes());
        any.delete(&key(name)).await.unwrap();
    }
    failed(put(&*any, "a\u{f022}", "x").await, Kind::Unsupported, "private range");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run when the storage changes"]
async fn many_small_objects_and_a_long_one() {
    use futures_util::{StreamExt, TryStreamExt};
    let storage = storage(keys(server().port(0), "data", "many"));
    let puts = (0..10_000).map(|number| {
        let storage = storage.clone();
        async move { put(&*storage, &format!("{:02}/{number}", number % 50), "x").await }
    });
    stream::iter(puts).buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(names(&*storage).await.len(), 10_000);
    let object = storage.put(&key("long"), noise(300)).await.unwrap();
    let read = storage.get(&key("long"), 0..object.bytes).await.unwrap();
    assert!(read.collect(400 << 20).await.unwrap() == whole(300));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement for the eye: --nocapture"]
async fn how_fast_it_is_here_and_over_a_long_way() {
    let chunk = piece(1);
    let long = |mib: u64| {
        let chunk = chunk.clone();
        ByteStream::from_stream(stream::iter((0..mib).map(move |_| Ok(chunk.clone()))))
    };
    let proxy = Proxy::to(server().port(0));
    proxy.round_trip(Duration::from_millis(40));
    for (name, port, mib) in [("here", server().port(0), 512), ("40 ms", proxy.port(), 128)] {
        let storage = storage(keys(port, "data", "fast"));
        put(&*storage, "warm", "up").await.unwrap();
        let begun = Instant::now();
        storage.put(&key("big"), long(mib)).await.unwrap();
        let put = begun.elapsed();
        let got = storage.get(&key("big"), 0..mib << 20).await.unwrap();
        nxs_backup::stream::digest_of(got, nxs_backup::stream::Algorithm::Blake3).await.unwrap();
        let took = begun.elapsed() - put;
        println!("{name}: {mib} MiB put in {put:?}, got in {took:?}");
    }
}
