//! Servers that are odd in one way, and Nextcloud's upload in pieces: against the stub.

use futures_util::{StreamExt, stream};
use nxs_backup::base::{Secret, chain};
use nxs_backup::storages::contract::keeps_every_promise;
use nxs_backup::storages::{Config, Kind, Section, Setting, Storage, connect, webdav};
use nxs_backup::stream::{ByteStream, Error};

use crate::live::webdav::stub::{Quirks, Stub};
use crate::live::webdav::{body, key, keys, names, read, storage};

const MIB: usize = 1 << 20;

fn cloud(stub: &Stub, path: &str) -> webdav::Config {
    let (user, password) = (Some("us er".to_owned()), Some(Secret::new("p")));
    webdav::Config { user, password, ..keys(stub.port, path) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_lengths_gets_them_and_no_body_is_lost() {
    for quirks in [
        Quirks { wants_length: true, ..Quirks::default() },
        Quirks { loses_chunked: true, ..Quirks::default() },
    ] {
        let stub = Stub::new(quirks);
        let tmp = tempfile::tempdir().unwrap();
        let setting = Setting { tmp_dir: tmp.path(), ..Setting::alone("dav") };
        let dav = connect(&Config::Webdav(keys(stub.port, "")), &setting);
        let (bytes, long) = body(3 * MIB);
        dav.put(&key("a/b"), long).await.unwrap();
        assert_eq!(read(&*dav, "a/b").await, bytes);
        let (bytes, long) = body(2 * MIB);
        dav.put(&key("a/b"), long).await.unwrap();
        assert_eq!(read(&*dav, "a/b").await, bytes);
        // The question is asked once: a trial and two bodies.
        assert_eq!(stub.seen("PUT").len(), 3);
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0);
        keeps_every_promise(&*dav).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_cannot_be_made_is_named() {
    let stub = Stub::new(Quirks { wants_length: true, ..Quirks::default() });
    let setting = Setting { tmp_dir: "/nowhere/at/all".as_ref(), ..Setting::alone("dav") };
    let dav = connect(&Config::Webdav(keys(stub.port, "")), &setting);
    let error = dav.put(&key("a"), body(MIB).1).await.unwrap_err();
    let should = "dav: could not put a: the body could not be kept in `tmp_dir` /nowhere/at/all: \
                  give it a place that is large enough: No such file";
    assert!(chain(&error).starts_with(should), "{}", chain(&error));
    assert_eq!(names(&*dav).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_and_without_locks_keeps_every_promise() {
    let stub = Stub::new(Quirks { no_ranges: true, ..Quirks::default() });
    keeps_every_promise(&*storage(&keys(stub.port, ""))).await;
    // It was asked for a lock once, and empty folders were then left alone.
    assert_eq!(stub.seen("LOCK").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nextcloud_keeps_every_promise() {
    let stub = Stub::new(Quirks::default());
    keeps_every_promise(&*storage(&cloud(&stub, "/remote.php/dav/files/us%20er"))).await;
    assert_eq!(stub.below("/remote.php/dav/uploads/us er/"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nextcloud_gets_long_bodies_in_pieces() {
    for path in ["/remote.php/dav/files/us%20er/", "/remote.php/webdav"] {
        let stub = Stub::new(Quirks::default());
        let dav = storage(&cloud(&stub, path));
        let sizes = [(10 * MIB - 1, 0), (10 * MIB, 1), (10 * MIB + 1, 2), (25 * MIB + 3, 3)];
        for (bytes, pieces) in sizes {
            let before = stub.seen("PUT /remote.php/dav/uploads/us er/").len();
            let (bytes, long) = body(bytes);
            assert_eq!(dav.put(&key("d/x"), long).await.unwrap().bytes, bytes.len() as u64);
            assert_eq!(read(&*dav, "d/x").await, bytes);
            let after = stub.seen("PUT /remote.php/dav/uploads/us er/").len();
            assert_eq!(after - before, pieces, "{}", bytes.len());
        }
        assert_eq!(stub.below("/remote.php/dav/uploads/us er/"), [""; 0]);
        assert_eq!(names(&*dav).await, ["d/x"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_was_refused_for_a_moment_is_sent_again() {
    let answers =
        vec![("PUT /remote.php/dav/uploads", 2, "503"), ("MOVE /remote.php/dav/uploads", 1, "504")];
    let stub = Stub::new(Quirks { answers, ..Quirks::default() });
    let keys = cloud(&stub, "/remote.php/dav/files/us%20er/");
    let dav = connect(&Config::Webdav(keys), &Setting::alone("dav"));
    let (bytes, long) = body(11 * MIB);
    dav.put(&key("x"), long).await.unwrap();
    assert_eq!(read(&*dav, "x").await, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_leaves_no_pieces() {
    let stub = Stub::new(Quirks::default());
    let dav = storage(&cloud(&stub, "/remote.php/dav/files/us%20er/"));
    let chunks = stream::repeat_with(|| Ok(bytes::Bytes::from(vec![7; MIB]))).take(15);
    let broken = chunks.chain(stream::iter([Err(Error::new("the dump died"))]));
    let error = dav.put(&key("x"), ByteStream::from_stream(broken)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Body);
    assert!(chain(&error).ends_with("the dump died"), "{}", chain(&error));
    assert_eq!(stub.below("/remote.php/dav/uploads/us er/"), [""; 0]);
    assert_eq!(names(&*dav).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nextcloud_without_a_place_for_pieces_gets_the_body_as_it_comes() {
    let answers = vec![("MKCOL /remote.php/dav/uploads", 9, "405")];
    let stub = Stub::new(Quirks { answers, ..Quirks::default() });
    let dav = storage(&cloud(&stub, "/remote.php/dav/files/us%20er/"));
    for _ in 0..2 {
        let (bytes, long) = body(11 * MIB);
        dav.put(&key("x"), long).await.unwrap();
        assert_eq!(read(&*dav, "x").await, bytes);
    }
    assert_eq!(stub.seen("MKCOL /remote.php/dav/uploads").len(), 1);
}

#[test]
fn the_longest_object_is_what_fits_into_ten_thousand_pieces() {
    let of = |host: &str| {
        let host = host.to_owned();
        let keys = webdav::Config { host, ..webdav::Config::default() };
        keys.largest_object(&Setting::alone("dav"))
    };
    assert_eq!(of("https://h/remote.php/dav/files/u"), Some(10_000 * 10 * MIB as u64));
    assert_eq!(of("https://h/dav"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_what_to_do() {
    let cases = [
        (
            "302\nlocation: https://sso.example/login?token=secret",
            Kind::Other,
            "answered 302 Found and sends to https://sso.example/login: name that in `host`",
        ),
        (
            "200\ncontent-type: text/html; charset=utf-8\n\n<html>",
            Kind::Unsupported,
            "answered 200 OK to PROPFIND / with a web page, perhaps for a login: check the path in `host`",
        ),
        (
            "403\n\nno\nway.",
            Kind::Denied,
            "answered 403 Forbidden to PROPFIND / (no way): let `user` read here, or name another `backup_dir`",
        ),
        (
            "405",
            Kind::Denied,
            "answered 405 Method Not Allowed to PROPFIND /: is this the address of a WebDAV server, and may `user` write there?",
        ),
        ("404", Kind::Other, "check the path in `host`"),
        (
            "401\nwww-authenticate: Negotiate",
            Kind::Denied,
            "(401) asks who we are: set `user` and `password`, or `token`",
        ),
        (
            "503\n\n<s:message>down for maintenance</s:message>",
            Kind::Unavailable,
            "answered 503 Service Unavailable to PROPFIND / (down for maintenance): the server is busy",
        ),
        ("207\n\n<multistatus xmlns=\"DAV:\">", Kind::Unavailable, "broke off or is no WebDAV"),
    ];
    for (answer, kind, words) in cases {
        let stub =
            Stub::new(Quirks { answers: vec![("PROPFIND", 99, answer)], ..Quirks::default() });
        let keys = webdav::Config { backup_dir: String::new(), ..keys(stub.port, "") };
        let dav = storage(&keys);
        let error = dav.list("").next().await.unwrap().unwrap_err();
        let said = chain(&error);
        assert!(error.kind == kind && said.contains(words), "{answer}\n{:?} {said}", error.kind);
        assert!(!said.contains("secret"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_a_put_says_what_to_do_and_leaves_nothing() {
    let cases = [
        (
            "413",
            Kind::Unsupported,
            "raise the limit on the size of a request there, or set a smaller `split`",
        ),
        ("507", Kind::Full, "free some space, raise the quota, or keep fewer copies"),
        ("423", Kind::Unavailable, "another client holds a lock there"),
        ("403", Kind::Denied, "let `user` write here"),
        ("401\nwww-authenticate: Basic realm=x", Kind::Denied, "asks who we are"),
    ];
    for (answer, kind, words) in cases {
        for (length, verb) in [(MIB, "PUT"), (10, "PUT"), (MIB, "MOVE")] {
            // The first PUT of a long body is the trial.
            let stub = Stub::new(Quirks { answers: vec![(verb, 99, answer)], ..Quirks::default() });
            let dav = storage(&keys(stub.port, ""));
            let error = dav.put(&key("a/x"), body(length).1).await.unwrap_err();
            let said = chain(&error);
            assert!(error.kind == kind && said.contains(words), "{verb} {answer}\n{said}");
            assert!(said.starts_with("dav: could not put a/x: "), "{said}");
            assert_eq!(names(&*dav).await, [""; 0], "{verb} {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_less_than_it_took_is_found_out() {
    let half =
        "207\n\n<multistatus xmlns=\"DAV:\"><response><href>/</href></response></multistatus>";
    let stub =
        Stub::new(Quirks { answers: vec![("PROPFIND /run/x", 99, half)], ..Quirks::default() });
    let dav = storage(&webdav::Config { backup_dir: "run/x".to_owned(), ..keys(stub.port, "") });
    let error = dav.list("").next().await.unwrap().unwrap_err();
    assert!(chain(&error).contains("names other paths: a proxy"), "{}", chain(&error));
    let stub = Stub::new(Quirks { answers: vec![("PUT /", 1, "201")], ..Quirks::default() });
    let dav = storage(&keys(stub.port, ""));
    let error = dav.put(&key("x"), body(10).1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt);
    assert!(
        chain(&error).contains("the server took the bytes and kept nothing"),
        "{}",
        chain(&error)
    );
}
