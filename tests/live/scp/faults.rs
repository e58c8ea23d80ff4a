//! What goes wrong between us and an SSH server, and on it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nxs_backup::base::{Key, chain};
use nxs_backup::storages::layers::Timeout;
use nxs_backup::storages::{Config, Error, Kind, Setting, Storage, connect, scp};
use nxs_backup::stream::ByteStream;

use crate::live::scp::{config, key, made, names, noise, put_small, refusal};
use crate::support::proxy::Proxy;
use crate::support::server::Server;

fn server() -> &'static Server {
    Server::shared("sshd")
}

/// The server as it is seen through a proxy.
fn behind(proxy: &Proxy, folder: &str) -> scp::Config {
    scp::Config {
        port: Some(proxy.port()),
        host_key: Some(server().text("host_ed25519.pub")),
        known_hosts: None,
        backup_dir: folder.to_owned(),
        ..config(server(), 0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_is_cut_off_leaves_nothing_and_the_next_one_works() {
    let proxy = Proxy::to(server().port(0));
    let storage = made(behind(&proxy, "cut"));
    put_small(&*storage, "old").await.unwrap();
    proxy.cut_after(5 << 20);
    let error = storage.put(&key("new"), noise(40)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    let said = chain(&error);
    assert!(said.starts_with("offsite: could not put new: the "), "{said}");
    assert!(said.contains("connection"), "{said}");
    assert_eq!(names(&*storage).await, ["old"]);
    assert_eq!(storage.put(&key("new"), noise(2)).await.unwrap().bytes, 2 << 20);
    assert_eq!(names(&*storage).await, ["new", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_is_cut_off_reads_on_over_a_new_connection() {
    let proxy = Proxy::to(server().port(0));
    let storage = made(behind(&proxy, "resumed"));
    let bytes = storage.put(&key("big"), noise(30)).await.unwrap().bytes;
    let mut body = storage.get(&key("big"), 0..bytes).await.unwrap();
    let first = body.next().await.unwrap().unwrap();
    proxy.cut_all();
    let before = proxy.connections();
    let rest = body.collect(64 << 20).await.unwrap();
    let should = noise(30).collect(64 << 20).await.unwrap();
    assert!([first, rest].concat() == should, "other bytes came");
    assert!(proxy.connections() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_while_it_was_idle_is_made_again() {
    let proxy = Proxy::to(server().port(0));
    let storage = made(behind(&proxy, "idle"));
    put_small(&*storage, "a").await.unwrap();
    proxy.cut_all();
    tokio::time::sleep(Duration::from_millis(60)).await;
    put_small(&*storage, "b").await.unwrap();
    proxy.cut_all();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(names(&*storage).await, ["a", "b"]);
    assert_eq!(proxy.connections(), 3);
}

/// A storage that gives up after a silent second, as the plan builds it.
fn impatient(config: scp::Config) -> impl Storage {
    let patience = Duration::from_secs(1);
    let setting = Setting { timeout: Some(patience), ..Setting::alone("offsite") };
    Timeout::new(connect(&Config::Scp(config), &setting), "offsite", patience)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_stalls_ends_and_what_it_left_goes_with_the_next_one() {
    let proxy = Proxy::to(server().port(0));
    let storage = impatient(behind(&proxy, "stalled"));
    put_small(&storage, "old").await.unwrap();
    proxy.stall_after(5 << 20);
    let begun = Instant::now();
    let error = storage.put(&key("new"), noise(40)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    let said = chain(&error);
    assert!(said.contains("no answer for 1 s"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    proxy.heal();
    proxy.cut_all();
    // The thread that tidies up may still wait for its last connection.
    let settled = async {
        while names(&storage).await != ["new", "old"] {
            storage.put(&key("new"), noise(2)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("it stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_anywhere_before_the_first_byte_is_noticed() {
    let proxy = Proxy::to(server().port(0));
    proxy.stall_after(u64::MAX);
    put_small(&*made(behind(&proxy, "never")), "x").await.unwrap();
    let all = proxy.sent();
    for after in [0, all / 8, all / 3, all / 2, all * 3 / 4] {
        proxy.stall_after(after);
        let storage = impatient(behind(&proxy, "never"));
        let begun = Instant::now();
        let (kind, said) = refusal(&storage).await;
        assert_eq!(kind, Kind::Unavailable, "{said}");
        assert!(said.contains("no answer for 1 s"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{after}: {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_said_and_may_come_back() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (kind, said) =
        refusal(&*made(scp::Config { port: Some(port), ..config(server(), 0) })).await;
    assert_eq!(kind, Kind::Unavailable);
    assert!(said.contains("nobody listens there; is `port` right"), "{said}");
    let nowhere = scp::Config { host: "no.such.host.invalid".to_owned(), ..config(server(), 0) };
    let (kind, said) = refusal(&*made(nowhere)).await;
    assert_eq!(kind, Kind::Unavailable);
    assert!(said.contains("no.such.host.invalid: no such host"), "{said}");
    let proxy = Proxy::to(server().port(0));
    proxy.refuse(true);
    let storage = made(behind(&proxy, "back"));
    let (kind, said) = refusal(&*storage).await;
    assert_eq!(kind, Kind::Unavailable);
    assert!(said.contains("ended the connection before SSH began"), "{said}");
    proxy.heal();
    put_small(&*storage, "x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_and_comes_back_is_used_again() {
    let server = Server::own("sshd");
    let setting = Setting { timeout: Some(Duration::from_secs(5)), ..Setting::alone("offsite") };
    let storage = connect(&Config::Scp(config(&server, 0)), &setting);
    put_small(&*storage, "first").await.unwrap();
    let (feeder, body) = ByteStream::channel(1);
    let wanted = key("killed");
    let feed = async {
        let chunk = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..4 {
            feeder.send(chunk.clone()).await.unwrap();
        }
        tokio::task::block_in_place(|| server.tell("kill"));
        while feeder.send(chunk.clone()).await.is_ok() {}
    };
    let (put, ()) = tokio::join!(storage.put(&wanted, body), feed);
    assert_eq!(put.unwrap_err().kind, Kind::Unavailable);
    let (kind, said) = refusal(&*storage).await;
    assert_eq!(kind, Kind::Unavailable);
    assert!(said.contains("nobody listens there"), "{said}");
    tokio::task::block_in_place(|| server.tell("start"));
    // What the dead put left goes when the server is there again.
    put_small(&*storage, "second").await.unwrap();
    assert_eq!(names(&*storage).await, ["first", "second"]);
    tokio::task::block_in_place(|| server.tell("stop"));
    tokio::task::block_in_place(|| server.tell("start"));
    put_small(&*storage, "third").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_may_not_be_written_is_denied() {
    for folder in ["locked", "locked/inner", "/etc/nxs", "/"] {
        let locked = scp::Config { backup_dir: folder.to_owned(), ..config(server(), 0) };
        let (kind, said) = refusal(&*made(locked)).await;
        assert_eq!(kind, Kind::Denied, "{said}");
        let path = if folder == "/" { "/x" } else { folder };
        assert!(said.contains(path) && said.contains("permission denied"), "{said}");
        assert!(said.contains("give the user that logs in the right to"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_is_refused_is_said() {
    let delete = |error: Result<(), Error>| {
        let error = error.unwrap_err();
        assert_eq!(error.kind, Kind::Denied);
        let said = chain(&error);
        assert!(said.contains("could not delete"), "{said}");
        assert!(said.contains("permission denied; give the user that logs in the right"), "{said}");
    };
    let sticky = made(scp::Config { backup_dir: "sticky".to_owned(), ..config(server(), 0) });
    delete(sticky.delete(&key("theirs")).await);
    let keeping = made(scp::Config { backup_dir: "kept".to_owned(), ..config(server(), 4) });
    put_small(&*keeping, "x").await.unwrap();
    put_small(&*keeping, "x").await.unwrap();
    delete(keeping.delete(&key("x")).await);
    assert_eq!(names(&*keeping).await, ["x"]);
    keeping.delete(&key("never/was")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_nothing_stays() {
    let server = Server::own("sshd");
    for (port, words) in [
        (0, "the disk of the server is full ("),
        (2, "most likely its disk or the quota of this user is full"),
    ] {
        let storage = made(scp::Config { backup_dir: "small".to_owned(), ..config(&server, port) });
        let error = storage.put(&key("big"), noise(8)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Full);
        assert!(chain(&error).contains(words), "{}", chain(&error));
        assert_eq!(names(&*storage).await, [""; 0]);
        put_small(&*storage, "x").await.unwrap();
        storage.delete(&key("x")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_sftp_is_said() {
    let (kind, said) = refusal(&*made(config(server(), 1))).await;
    assert_eq!(kind, Kind::Unsupported);
    assert!(said.contains("offers no SFTP") && said.contains("Subsystem sftp"), "{said}");
    let noisy = scp::Config { user: "svcnoise".to_owned(), ..config(server(), 0) };
    let (kind, said) = refusal(&*made(noisy)).await;
    assert_eq!(kind, Kind::Unsupported);
    assert!(said.contains("instead of SFTP it sends \"Welcome! Your mail is waiting.\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_a_folder_is_said() {
    let storage = made(scp::Config { backup_dir: "files".to_owned(), ..config(server(), 0) });
    put_small(&*storage, "a").await.unwrap();
    let error = storage.put(&Key::new("a/b/c").unwrap(), noise(1)).await.unwrap_err();
    let said = chain(&error);
    assert!(said.contains("a file lies where a folder is needed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_round_trip_is_hidden() {
    let proxy = Proxy::to(server().port(0));
    proxy.round_trip(Duration::from_millis(40));
    let storage = made(behind(&proxy, "far"));
    put_small(&*storage, "warm").await.unwrap();
    let begun = Instant::now();
    let bytes = storage.put(&key("big"), noise(48)).await.unwrap().bytes;
    let put = begun.elapsed();
    let body = storage.get(&key("big"), 0..bytes).await.unwrap();
    let got = body.collect(64 << 20).await.unwrap();
    let get = begun.elapsed() - put;
    assert!(got == noise(48).collect(64 << 20).await.unwrap());
    // By eye: `--nocapture` shows it.
    let rate = |time: Duration| 48.0 / time.as_secs_f64();
    println!("40 ms: put {:.1} MiB/s, get {:.1} MiB/s", rate(put), rate(get));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, to be compared by eye with sftp"]
async fn how_fast_it_is_without_a_round_trip() {
    let storage = made(scp::Config { backup_dir: "near".to_owned(), ..config(server(), 0) });
    put_small(&*storage, "warm").await.unwrap();
    let begun = Instant::now();
    let bytes = storage.put(&key("big"), noise(512)).await.unwrap().bytes;
    let put = begun.elapsed();
    let mut body = storage.get(&key("big"), 0..bytes).await.unwrap();
    while body.next().await.unwrap().is_some() {}
    let get = begun.elapsed() - put;
    println!("put {put:?}, get {get:?} for 512 MiB");
    let source = server().path("noise");
    std::fs::copy(server().path("home/svcsftp/near/big"), &source).unwrap();
    let own = server().path("own_key");
    std::fs::copy(server().path("keys/ed25519"), &own).unwrap();
    let script = format!(
        "chmod 600 {own} && time sftp -q -i {own} -P {port} -o Ciphers=aes128-gcm@openssh.com \
         -o UserKnownHostsFile={known} -b - svcsftp@127.0.0.1 <<< 'put {source} near/stock'",
        own = own.display(),
        port = server().port(0),
        known = server().path("known_hosts").display(),
        source = source.display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
}
