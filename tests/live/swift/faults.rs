//! What goes wrong: tokens, networks, rights, quotas. Clear words, the right kind, nothing left.

use std::process::Command;
use std::time::Duration;

use nxs_backup::storages::layers::Timeout;
use nxs_backup::storages::{Kind, Storage};
use nxs_backup::stream::ByteStream;
use serde_json::{Value, json};

use super::stub::{Answer, Stub};
use super::{
    SEGMENT, at_port, body, chunks, connect, connect_with, holds, key, keystone, list, names,
    no_segments, noise, said, segments, tempauth, with,
};
use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::support::world::reached;

/// Puts four segments; after two of them `between` happens.
async fn put_with_a_break(storage: &dyn Storage, keys: &Value, between: impl FnOnce()) {
    let (half, bytes) = (noise(2 * SEGMENT + 5), noise(2 * SEGMENT));
    let (feeder, stream) = ByteStream::channel(1);
    let name = key("object");
    let feed = async {
        for chunk in chunks(&half) {
            feeder.send(chunk).await.unwrap();
        }
        reached("two segments", async || segments(keys).await.len() >= 2).await;
        tokio::task::block_in_place(between);
        for chunk in chunks(&bytes) {
            feeder.send(chunk).await.unwrap();
        }
        feeder.finish().await.unwrap();
    };
    tokio::join!(storage.put(&name, stream), feed).0.unwrap();
    let whole = [half, bytes].concat().into();
    holds(storage, "object", &whole).await;
    assert_eq!(names(storage).await, ["object"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_in_the_middle_of_an_upload_is_renewed() {
    let server = Server::shared("swift");
    let keys = tempauth(server);
    put_with_a_break(&*connect(&keys), &keys, || server.tell("forget")).await;
    let server = Server::shared("keystone");
    let keys = keystone(server);
    put_with_a_break(&*connect(&keys), &keys, || server.tell("revoke")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_before_the_body_is_read_is_renewed_too() {
    let stub = Stub::new(|request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/auth/v1.0") if request.number == 0 => {
            Answer::Say(200, "x-auth-token: old\r\nx-storage-url: {url}\r\n", "")
        }
        ("GET", "/auth/v1.0") => {
            Answer::Say(200, "x-auth-token: new\r\nx-storage-url: {url}\r\n", "")
        }
        (_, path) if path.ends_with("/small") => Answer::Say(404, "", ""),
        ("HEAD", _) if request.token == "old" => Answer::Say(401, "", ""),
        ("HEAD", _) => Answer::Say(404, "", ""),
        ("PUT", _) if request.token == "old" => Answer::Interrupt(401),
        _ => Answer::Say(201, "", ""),
    });
    let storage = connect_with(&at_port(stub.port), 0);
    assert_eq!(storage.stat(&key("small")).await.unwrap(), None);
    storage.put(&key("object"), body(&noise(4 << 20))).await.unwrap();
    assert_eq!(stub.count("GET /auth"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_refusals_is_sat_out_and_one_without_end_is_told() {
    for (status, calm_after, should) in [
        (503, 2, None),
        (498, 1, None),
        (429, 1, None),
        (503, 9, Some("503 Service Unavailable: it has trouble of its own")),
        (429, 9, Some("it limits how often it may be asked")),
    ] {
        let stub = Stub::new(move |request| match request.method.as_str() {
            "GET" => Answer::Say(200, "x-auth-token: t\r\nx-storage-url: {url}\r\n", ""),
            "HEAD" => Answer::Say(404, "", ""),
            "PUT" if request.number < calm_after => Answer::Say(status, "", ""),
            _ => Answer::Say(201, "", ""),
        });
        let storage = connect_with(&at_port(stub.port), if should.is_some() { 1 } else { 2 });
        let done = storage.put(&key("object"), body(&noise(100))).await;
        match should {
            None => drop(done.unwrap()),
            Some(words) => {
                let error = done.unwrap_err();
                assert_eq!((error.kind, stub.count("PUT")), (Kind::Unavailable, 2));
                said(&error, &[words]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_few_segments_says_which_split_to_set() {
    let stub = Stub::new(|request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/info") => Answer::Say(200, "", r#"{"slo": {"max_manifest_segments": 2}}"#),
        ("GET", _) => Answer::Say(200, "x-auth-token: t\r\nx-storage-url: {url}\r\n", ""),
        ("HEAD", _) => Answer::Say(404, "", ""),
        ("DELETE", _) => Answer::Say(204, "", ""),
        _ => Answer::Say(201, "", ""),
    });
    let storage = connect(&at_port(stub.port));
    let error = storage.put(&key("object"), body(&noise(2 * SEGMENT + 1))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported);
    said(&error, &["takes only 2 segments", "set `split: 10MiB` or less"]);
    assert_eq!(stub.count("DELETE"), 3, "two segments and the mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_missed_while_it_is_replaced_is_asked_for_again() {
    let stub = Stub::new(|request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/auth/v1.0") => {
            Answer::Say(200, "x-auth-token: t\r\nx-storage-url: {url}\r\n", "")
        }
        (_, path) if path.ends_with("/never") || request.number == 0 => Answer::Say(404, "", ""),
        ("GET", _) => Answer::Say(206, "", "bytes"),
        _ => Answer::Say(200, "", "bytes"),
    });
    let storage = connect_with(&at_port(stub.port), 0);
    assert_eq!(storage.stat(&key("object")).await.unwrap().unwrap().bytes, 5);
    let got = storage.get(&key("object"), 0..5).await.unwrap();
    assert_eq!(got.collect(10).await.unwrap(), "bytes");
    assert_eq!(storage.stat(&key("never")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_answer_is_lost_leaves_a_whole_object() {
    let manifest = |request: &super::stub::Request| request.path.contains("multipart-manifest=put");
    let stub = Stub::new(move |request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/auth/v1.0") => {
            Answer::Say(200, "x-auth-token: t\r\nx-storage-url: {url}\r\n", "")
        }
        ("PUT", _) if manifest(request) => Answer::Say(504, "", ""),
        ("HEAD" | "GET", _) => Answer::Say(404, "", ""),
        _ => Answer::Say(201, "", ""),
    });
    let storage = connect_with(&at_port(stub.port), 0);
    let error = storage.put(&key("object"), body(&noise(SEGMENT + 1))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert_eq!(stub.count("DELETE"), 0, "the manifest may have come to pass: its segments stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_of_a_put_costs_nothing() {
    let server = Server::shared("swift");
    let proxy = Proxy::to(server.port(0));
    let keys = at_port(proxy.port());
    let storage = connect(&keys);
    let bytes = noise(3 * SEGMENT);
    storage.put(&key("first"), body(&noise(10))).await.unwrap();
    for cut in [1 << 20, 8 << 20, 14 << 20] {
        proxy.cut_after(cut);
        storage.put(&key("object"), body(&bytes)).await.unwrap();
        holds(&*storage, "object", &bytes).await;
        assert_eq!(segments(&keys).await.len(), 3, "cut after {cut}");
        assert_eq!(names(&*storage).await, ["first", "object"]);
    }
    let fragile = connect_with(&keys, 0);
    proxy.cut_after(8 << 20);
    let error = fragile.put(&key("other"), body(&bytes)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    said(&error, &["cloud: could not put other: the connection to 127.0.0.1", "broke"]);
    assert_eq!(names(&*storage).await, ["first", "object"]);
    assert_eq!(segments(&keys).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_or_hangs_is_told_and_used_again() {
    let server = Server::shared("swift");
    let proxy = Proxy::to(server.port(0));
    let keys = at_port(proxy.port());
    proxy.refuse(true);
    let error = connect_with(&keys, 0).stat(&key("object")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    proxy.refuse(false);
    let storage = Timeout::new(connect_with(&keys, 0), "cloud", Duration::from_secs(1));
    storage.put(&key("first"), body(&noise(10))).await.unwrap();
    proxy.stall_after(7 << 20);
    let error = storage.put(&key("object"), body(&noise(4 * SEGMENT))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    said(&error, &["no answer for 1 s"]);
    let error = storage.stat(&key("first")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    proxy.heal();
    proxy.cut_all();
    holds(&storage, "first", &noise(10)).await;
    no_segments(&with(&keys, json!({"auth_url": tempauth(server)["auth_url"]}))).await;
    storage.put(&key("object"), body(&noise(SEGMENT + 1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_log_in_is_told_what_to_check() {
    let server = Server::shared("swift");
    let error = |keys: Value| async move {
        let storage = connect_with(&keys, 0);
        let error = storage.put(&key("object"), body(&noise(10))).await.unwrap_err();
        let listed = list_error(&*storage).await;
        assert_eq!(listed, error.kind, "list says another thing");
        error
    };
    let keys = tempauth(server);
    let wrong = error(with(&keys, json!({"password": "no$uch'key"}))).await;
    assert_eq!(wrong.kind, Kind::Denied);
    said(&wrong, &["refuses the user svc:admin: check `user` (account:user) and `password`"]);
    assert!(!nxs_backup::base::chain(&wrong).contains("no$uch"));
    let elsewhere = format!("http://127.0.0.1:{}/nothing/v1.0", server.port(0));
    said(&error(with(&keys, json!({"auth_url": elsewhere}))).await, &["check `auth_url`"]);
    let tls = format!("https://127.0.0.1:{}/auth/v1.0", server.port(1));
    let refused = error(with(&keys, json!({"auth_url": tls}))).await;
    assert_eq!(refused.kind, Kind::Denied);
    said(&refused, &["the certificate of 127.0.0.1:", "is not trusted", "`ca_file`"]);

    let keys = keystone(Server::shared("keystone"));
    let credential = json!({
        "user": null, "password": null, "project": null,
        "application_credential_id": "0123", "application_credential_secret": "svcpw",
    });
    for (changes, kind, words) in [
        (json!({"password": "wrong"}), Kind::Denied, "refuses the user svc of the domain Default"),
        (
            json!({"user_domain": "none"}),
            Kind::Denied,
            "check `user`, `password` and `user_domain`",
        ),
        (
            json!({"project": "none"}),
            Kind::Denied,
            "no role in the project none of the domain Default: check `project` and \
             `project_domain`; the user's projects are: svc",
        ),
        (json!({"user": "idle"}), Kind::Denied, "the user's projects are: none"),
        (json!({"region": "Elsewhere"}), Kind::Other, "set `region` to one of RegionOne"),
        (credential, Kind::Denied, "refuses the application credential"),
    ] {
        let wrong = error(with(&keys, changes)).await;
        assert_eq!(wrong.kind, kind, "{words}");
        said(&wrong, &[words]);
    }
}

async fn list_error(storage: &dyn Storage) -> Kind {
    use futures_util::StreamExt;
    match storage.list("").next().await {
        Some(Err(error)) => error.kind,
        other => panic!("the list gave {other:?}"),
    }
}

/// Sets a header of a container by hand.
fn post(server: &Server, container: &str, header: &str) {
    let mut command = Command::new("swift");
    command.args(["-A", &format!("http://127.0.0.1:{}/auth/v1.0", server.port(0))]);
    command.args(["-U", "svc:admin", "-K", "svcpw", "post", container, "-H", header]);
    assert!(command.status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_can_read_and_is_told() {
    let server = Server::shared("swift");
    let keys = tempauth(server);
    let (owner, bytes) = (connect(&keys), noise(SEGMENT + 1));
    owner.put(&key("small"), body(&noise(10))).await.unwrap();
    owner.put(&key("large"), body(&bytes)).await.unwrap();
    let container = keys["container"].as_str().unwrap();
    for container in [container.to_owned(), format!("{container}_segments")] {
        post(server, &container, "X-Container-Read: svc:reader");
    }
    let reader = connect(&with(&keys, json!({"user": "svc:reader"})));
    holds(&*reader, "large", &bytes).await;
    assert_eq!(names(&*reader).await, ["large", "small"]);
    for (verb, error) in [
        ("put", reader.put(&key("new"), body(&noise(10))).await.unwrap_err()),
        ("put", reader.put(&key("large"), body(&bytes)).await.unwrap_err()),
        ("delete", reader.delete(&key("small")).await.unwrap_err()),
        ("delete", reader.delete(&key("large")).await.unwrap_err()),
    ] {
        assert_eq!((error.kind, error.verb), (Kind::Denied, verb));
        said(&error, &["403 Forbidden: give the user a role that may do this"]);
    }
    holds(&*owner, "large", &bytes).await;
    assert_eq!(names(&*owner).await, ["large", "small"]);
    let absent = with(&keys, json!({"user": "svc:reader", "container": "nobody has made this"}));
    let error = connect(&absent).put(&key("new"), body(&noise(10))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_is_told_and_leaves_nothing() {
    let server = Server::shared("swift");
    let keys = tempauth(server);
    let storage = connect(&keys);
    storage.put(&key("large"), body(&noise(SEGMENT + 1))).await.unwrap();
    let container = format!("{}_segments", keys["container"].as_str().unwrap());
    post(server, &container, &format!("X-Container-Meta-Quota-Bytes: {}", SEGMENT + SEGMENT / 2));
    let error = storage.put(&key("other"), body(&noise(4 * SEGMENT))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Full);
    said(&error, &["raise the quota, or keep fewer copies", "Upload exceeds quota"]);
    assert_eq!(names(&*storage).await, ["large"]);
    assert_eq!(segments(&keys).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_stopped_between_two_puts_is_found_again() {
    let server = Server::own("swift");
    let storage = connect(&tempauth(&server));
    storage.put(&key("first"), body(&noise(10))).await.unwrap();
    tokio::task::block_in_place(|| server.tell("stop"));
    let error = storage.stat(&key("first")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    said(&error, &["cannot be reached: is it up"]);
    tokio::task::block_in_place(|| server.tell("start"));
    storage.put(&key("second"), body(&noise(SEGMENT + 1))).await.unwrap();
    assert_eq!(list(&*storage, "").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a figure to look at: 64 MiB over a round trip of 40 ms"]
async fn throughput_over_a_long_line() {
    let server = Server::shared("swift");
    for (round_trip, name) in [(0, "0 ms"), (40, "40 ms")] {
        let proxy = Proxy::to(server.port(0));
        proxy.round_trip(Duration::from_millis(round_trip));
        let config = at_port(proxy.port());
        let config: nxs_backup::storages::swift::Config = serde_json::from_value(config).unwrap();
        let setting = nxs_backup::storages::Setting::alone("cloud");
        let storage = nxs_backup::storages::Section::connect(&config, &setting);
        storage.put(&key("warm"), body(&noise(10))).await.unwrap();
        let (bytes, began) = (noise(64 << 20), std::time::Instant::now());
        storage.put(&key("object"), body(&bytes)).await.unwrap();
        let put = 64.0 / began.elapsed().as_secs_f64();
        let began = std::time::Instant::now();
        holds(&*storage, "object", &bytes).await;
        println!(
            "{name}: put {put:.0} MiB/s, get {:.0} MiB/s",
            64.0 / began.elapsed().as_secs_f64()
        );
    }
}
