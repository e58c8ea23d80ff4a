//! The promises, kept by both kinds of servers.

use nxs_backup::storages::contract::{Size, check, keeps_every_promise};
use serde_json::json;

use super::{connect, holds, key, keystone, names, noise, tempauth, with};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_tempauth_keeps_every_promise() {
    let keys = tempauth(Server::shared("swift"));
    keeps_every_promise(&*connect(&keys)).await;
    super::no_segments(&keys).await;
}

/// The small form: behind the token it is the same store.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_keystone_keeps_the_promises_that_a_check_tries() {
    let keys = keystone(Server::shared("keystone"));
    for (promise, kept) in check(&*connect(&keys), ".nxs-probe-test", Size::Small).await {
        assert_eq!(kept, Ok(()), "{promise}");
    }
    super::no_segments(&keys).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "2,500 objects more take a minute; run by hand"]
async fn a_store_with_keystone_keeps_every_promise() {
    let keys = keystone(Server::shared("keystone"));
    keeps_every_promise(&*connect(&keys)).await;
    super::no_segments(&keys).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_log_in_leads_to_the_same_project() {
    let server = Server::shared("keystone");
    let keys = keystone(server);
    let text = server.text("ks/credential");
    let (id, secret) = text.split_once('\n').unwrap();
    let awkward = std::fs::read_to_string(server.path("ks/awkward")).unwrap();
    assert!(awkward.contains('\n') && awkward.contains('\''));
    let credential = json!({
        "user": null, "password": null, "project": null,
        "application_credential_id": id, "application_credential_secret": secret,
    });
    let ways = [
        json!({}),
        json!({"region": "RegionOne", "user_domain": "Default", "project_domain": "Default"}),
        json!({"auth_url": format!("http://127.0.0.1:{}", server.port(0))}),
        json!({"user": "awkward", "password": awkward}),
        json!({
            "auth_url": format!("https://127.0.0.1:{}/v3/", server.port(1)),
            "ca_file": server.path("tls/ca.crt"),
        }),
        credential,
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let storage = connect(&with(&keys, way));
        let name = format!("way-{number}");
        storage.put(&key(&name), super::body(&noise(10))).await.unwrap();
        assert_eq!(names(&*storage).await.len(), number + 1);
        holds(&*storage, "way-0", &noise(10)).await;
    }
    let corp = json!({
        "user_domain": "corp", "project_domain": "corp", "project": "corp", "password": "corppw",
    });
    assert!(names(&*connect(&with(&keys, corp))).await.is_empty(), "another project was seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn tempauth_takes_an_awkward_key_and_is_reached_over_tls() {
    let server = Server::shared("swift");
    let keys = tempauth(server);
    let key_of = server.text("awkward");
    let changes = json!({
        "user": "svc:awkward", "password": key_of, "ca_file": server.path("tls/ca.crt"),
        "auth_url": format!("https://localhost:{}/auth/v1.0", server.port(1)),
    });
    let storage = connect(&with(&keys, changes));
    let bytes = noise(12 << 20);
    storage.put(&key("a b/ü"), super::body(&bytes)).await.unwrap();
    holds(&*storage, "a b/ü", &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "10,000 objects take minutes; run by hand"]
async fn ten_thousand_objects_and_more_are_all_listed() {
    use futures_util::{StreamExt, stream};
    let storage = connect(&tempauth(Server::shared("swift")));
    let puts = (0..10_050).map(|number| {
        let storage = storage.clone();
        async move {
            let name = key(&format!("many/{number:05}"));
            storage.put(&name, super::body(&noise(3))).await.unwrap();
        }
    });
    stream::iter(puts).buffer_unordered(8).collect::<Vec<_>>().await;
    let found = names(&*storage).await;
    assert_eq!(found.len(), 10_050);
    assert!(found.iter().enumerate().all(|(at, name)| *name == format!("many/{at:05}")));
}
