//! Logging in: passwords of every kind, what is refused, and nonces that grow old.

use std::time::Duration;

use futures_util::StreamExt;
use nxs_backup::base::{Secret, chain};
use nxs_backup::storages::{Kind, Storage, webdav};

use crate::live::webdav::{body, key, keys, login, names, read, storage};
use crate::support::server::Server;

/// What tests/services/apache.sh gives the user `odd`.
const ODD: &str = "p'\"$\\ %#:@/\nä";

#[tokio::test(flavor = "multi_thread")]
async fn passwords_may_hold_anything() {
    let server = Server::shared("apache");
    for path in ["/basic", "/digest"] {
        let (user, password) = (Some("odd".to_owned()), Some(Secret::new(ODD)));
        let dav = storage(&webdav::Config { user, password, ..keys(server.port(0), path) });
        dav.put(&key("x"), body(1000).1).await.unwrap();
        assert_eq!(names(&*dav).await, ["x"], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_said_and_the_secret_is_not() {
    let (apache, nginx) = (Server::shared("apache"), Server::shared("nginx"));
    let wrong = || Some(Secret::new("wrong-hunter2"));
    let user = "refuses the user or the password: check `user` and `password`";
    let cases = [
        (webdav::Config { password: wrong(), ..login(keys(apache.port(0), "/basic")) }, user),
        (webdav::Config { password: wrong(), ..login(keys(apache.port(0), "/digest")) }, user),
        (keys(apache.port(0), "/digest"), "asks who we are: set `user` and `password`, or `token`"),
        (webdav::Config { token: wrong(), ..keys(nginx.port(1), "") }, "refuses the token"),
    ];
    for (keys, words) in cases {
        let dav = storage(&keys);
        let put = dav.put(&key("x"), body(1 << 20).1).await.unwrap_err();
        let list = dav.list("").next().await.unwrap().unwrap_err();
        for error in [put, list] {
            let said = chain(&error);
            assert!(error.kind == Kind::Denied && said.contains(words), "{said}");
            assert!(!said.contains("hunter2") && !format!("{error:?}").contains("hunter2"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_grows_old_is_replaced_between_two_puts_and_no_body_is_lost() {
    let server = Server::shared("apache");
    let dav = storage(&login(keys(server.port(0), "/digest/short")));
    for round in 0..3 {
        let (bytes, long) = body(2 << 20);
        dav.put(&key("x"), long).await.unwrap();
        assert_eq!(read(&*dav, "x").await, bytes, "{round}");
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Server::shared("apache");
    let host = format!("https://localhost:{}/open", server.port(1));
    let dav = storage(&webdav::Config { host, ..keys(0, "") });
    let error = dav.put(&key("x"), body(10).1).await.unwrap_err();
    let should = format!(
        "dav: could not put x: the certificate of https://localhost:{} is not trusted: \
         name its CA in `ca_file`",
        server.port(1)
    );
    assert!(chain(&error).starts_with(&should), "{}", chain(&error));
    assert_eq!(error.kind, Kind::Denied);
}
