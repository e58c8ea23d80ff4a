//! Ways to a bucket, and what is said when there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nxs_backup::base::Secret;
use nxs_backup::storages::contract::{self, Size};
use nxs_backup::storages::s3::{self, PathStyle};
use nxs_backup::storages::{Kind, Storage};
use nxs_backup::stream::ByteStream;

use super::{
    body, ceph, front, impatient, key, layered, noise, of, read, said, section, storage, with,
};

async fn put(storage: &dyn Storage) -> nxs_backup::storages::Result<()> {
    storage.put(&key("x"), ByteStream::from_bytes("text")).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_can_be_a_virtual_host_behind_an_http_proxy() {
    let port = ceph().port(0);
    let (seen, hosts) = (Arc::new(AtomicU32::new(0)), format!("http://main.localhost:{port}/"));
    let count = Arc::clone(&seen);
    let proxy = front::before(port, move |first| {
        assert!(first.contains(&hosts), "{first}");
        count.fetch_add(1, Ordering::Relaxed);
        None
    });
    let section = s3::Config {
        endpoint: Some(format!("http://localhost:{port}")),
        path_style: PathStyle::No,
        proxy: Some(Secret::new(format!("http://127.0.0.1:{proxy}"))),
        ..section(port, "virtual")
    };
    for (promise, kept) in contract::check(&layered(section), ".nxs-probe-v", Size::Small).await {
        assert_eq!(kept, Ok(()), "{promise}");
    }
    assert!(seen.load(Ordering::Relaxed) > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_keys_or_the_bucket_is_said_in_one_sentence() {
    let server = ceph();
    let port = server.port(0);
    let https = s3::Config {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port(1))),
        ..section(port, "wrong")
    };
    let nobody = s3::Config {
        endpoint: Some(format!("http://127.0.0.1:{}", server.port(60))),
        ..section(port, "wrong")
    };
    for (section, kind, words) in [
        (of(port, "nokey", "svcsecret", "main"), Kind::Denied, "does not know `access_key_id`"),
        (of(port, "svckey", "wrong", "main"), Kind::Denied, "check `secret_access_key`"),
        (of(port, "svckey", "svcsecret", "absent"), Kind::Other, "there is no such bucket"),
        (https, Kind::Denied, "the certificate of the store is refused: name its CA in `ca_file`"),
        (nobody, Kind::Unavailable, "the store cannot be reached: check `endpoint`"),
    ] {
        let storage = impatient(section, 0);
        let error = put(&*storage).await.unwrap_err();
        let text = nxs_backup::base::chain(&error);
        assert_eq!(error.kind, kind, "{text}");
        assert!(text.starts_with("offsite: could not put x: ") && text.contains(words), "{text}");
        assert!(!text.contains("svcsecret") && !text.ends_with('.'), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_said() {
    let answer = front::error("403 Forbidden", "RequestTimeTooSkewed");
    let port = front::before(0, move |_| Some(answer.clone()));
    let text = said(put(&*storage(section(port, "skewed"))).await);
    assert!(text.contains("set the clock, best by NTP"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_asks_to_come_back_is_asked_again() {
    let port = ceph().port(0);
    let turns = AtomicU32::new(0);
    // Two of three requests are refused: of the beginning, of parts, of the end.
    let front = front::before(port, move |_| {
        let is_storm = turns.fetch_add(1, Ordering::Relaxed) % 3 != 2;
        is_storm.then(|| front::error("503 Slow Down", "SlowDown"))
    });
    let bytes = noise(11 << 20);
    with(section(front, "storm"), 8, 4).put(&key("x"), body(&bytes)).await.unwrap();
    assert!(read(&*storage(section(port, "storm")), "x").await == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_that_does_not_end_is_said() {
    let port = front::before(0, |_| Some(front::error("503 Slow Down", "SlowDown")));
    let error = put(&*impatient(section(port, "storm"), 1)).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(said::<()>(Err(error)).contains("the store is overloaded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_answer_was_lost_is_found_to_have_come() {
    let port = ceph().port(0);
    let ends = AtomicU32::new(0);
    let front = front::before(port, move |first| {
        let is_end = first.starts_with("POST") && first.contains("uploadId=");
        if is_end && ends.fetch_add(1, Ordering::Relaxed) == 0 {
            // The server does it, the client hears nothing of it.
            return Some(front::SWALLOW.to_owned());
        }
        None
    });
    let bytes = noise(6 << 20);
    with(section(front, "lost"), 2, 4).put(&key("x"), body(&bytes)).await.unwrap();
    assert!(read(&*storage(section(port, "lost")), "x").await == bytes);
}
