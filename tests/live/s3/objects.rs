//! Every promise on every server, and the sizes around a part.

use bytes::Bytes;
use futures_util::stream::{StreamExt, TryStreamExt};

use nxs_backup::storages::contract::{Size, keeps_every_promise, promises};
use nxs_backup::storages::layers::Retry;
use nxs_backup::storages::s3;
use nxs_backup::stream::ByteStream;

use super::{
    ceph, key, layered, names, names_from, noise, none_unfinished, read, section, small_parts,
    storage, unfinished, witness_as,
};
use crate::support::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn ceph_keeps_every_promise() {
    let port = ceph().port(0);
    keeps_every_promise(&layered(section(port, "promises/a"))).await;
    none_unfinished(port, "main", "promises/a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ceph_keeps_every_promise_over_tls_with_small_parts() {
    let server = ceph();
    let section = s3::Config {
        endpoint: Some(format!("https://localhost:{}", server.port(1))),
        ca_file: Some(server.path("tls/ca.crt")),
        ..section(0, "/promises/tls/")
    };
    keeps_every_promise(&Retry::new(small_parts(section), 3)).await;
    none_unfinished(server.port(0), "main", "promises/tls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sizes_around_a_part_come_back_and_only_the_larger_are_in_parts() {
    let port = ceph().port(0);
    let storage = small_parts(section(port, "sizes"));
    const PART: usize = 5 << 20;
    for (bytes, parts) in
        [(PART - 1, 0), (PART, 0), (PART + 1, 2), (2 * PART, 2), (3 * PART + 7, 4)]
    {
        let (name, bytes) = (format!("{bytes}"), noise(bytes));
        let put = storage.put(&key(&name), super::body(&bytes)).await.unwrap();
        assert_eq!(put.bytes, bytes.len() as u64);
        assert!(read(&*storage, &name).await == bytes, "{name}");
        let head = super::witness(port, "GET", &format!("/main?list-type=2&prefix=sizes/{name}"));
        let etag = head.split_once("<ETag>").unwrap().1.split_once("</ETag>").unwrap().0;
        let made = etag.trim_end_matches("&quot;").split_once('-').map_or("0", |(_, parts)| parts);
        assert_eq!(made, parts.to_string(), "{name}: {etag}");
    }
    assert_eq!(unfinished(port, "main", "sizes"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_every_odd_sign_signs() {
    let server = ceph();
    let secret = std::fs::read_to_string(server.path("odd")).unwrap();
    assert!(secret.contains(['\n', '\'', '"', '$', '\\', ' ', '%', '#', ':', '@', '/']));
    let section = super::of(server.port(0), "oddkey", &secret, "odd");
    assert!(!format!("{section:?}").contains(&secret[..5]));
    let storage = storage(section);
    storage.put(&key("a"), ByteStream::from_bytes("text")).await.unwrap();
    assert_eq!(read(&*storage, "a").await, "text");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_bucket_can_be_the_folder_and_others_objects_are_passed_over() {
    let port = ceph().port(0);
    for folder in ["strange/", "strange//a", "strange/x%2Fy"] {
        super::witness(port, "PUT", &format!("/other/{folder}"));
    }
    let whole = storage(s3::Config { bucket_name: "other".to_owned(), ..section(port, "/") });
    whole.put(&key("top"), ByteStream::from_bytes("text")).await.unwrap();
    let found = names(&*whole).await;
    assert!(found.contains(&"top".to_owned()), "{found:?}");
    assert_eq!(names_from(&*whole, "strange").await, ["strange/x%2Fy"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: 10,000 objects"]
async fn ten_thousand_objects_are_listed_and_removed() {
    let storage = storage(section(ceph().port(0), "many"));
    let all: Vec<_> =
        (0..10_000).map(|number| key(&format!("{:03}/{number}", number % 100))).collect();
    let put = |name| storage.put(name, ByteStream::from_bytes(Bytes::from_static(b"x")));
    futures_util::stream::iter(&all)
        .map(put)
        .buffer_unordered(24)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    assert_eq!(names(&*storage).await.len(), 10_000);
    let delete = |name| storage.delete(name);
    futures_util::stream::iter(&all)
        .map(delete)
        .buffer_unordered(24)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    assert_eq!(names(&*storage).await, [""; 0]);
}

/// The bucket of Swift's S3 face, made by another client.
fn swift(folder: &str) -> s3::Config {
    let port = Server::shared("swift").port(0);
    witness_as("svc:admin", "svcpw", port, "PUT", "/nxs-s3");
    s3::Config { backup_dir: folder.to_owned(), ..super::of(port, "svc:admin", "svcpw", "nxs-s3") }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: 2,500 objects in Swift, one at a time"]
async fn swift_keeps_every_promise() {
    keeps_every_promise(&Retry::new(small_parts(swift("promises")), 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swift_keeps_every_promise_but_the_one_of_many_objects() {
    let storage = Retry::new(small_parts(swift("some")), 3);
    for (number, promise) in promises(Size::Full).into_iter().enumerate() {
        if promise.name != "many objects are all listed" {
            let kept = promise.run(&storage, &format!("p/{number}/"), Size::Full).await;
            assert_eq!(kept, Ok(()), "{}", promise.name);
        }
    }
}
