//! Keys that may not do everything.

use futures_util::StreamExt;
use nxs_backup::storages::contract::{self, Size};
use nxs_backup::storages::{Kind, Storage};
use nxs_backup::stream::ByteStream;

use super::{ceph, impatient, key, names, of, read, said, witness};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_only_put_puts_and_hears_what_it_may_not() {
    let port = ceph().port(0);
    let storage = impatient(of(port, "dropkey", "dropsecret", "dropbox"), 0);
    storage.put(&key("x"), ByteStream::from_bytes("text")).await.unwrap();
    storage.put(&key("large"), super::body(&super::noise(20 << 20))).await.unwrap();
    let listed = storage.list("").next().await.unwrap().unwrap_err();
    let deleted = storage.delete(&key("x")).await.unwrap_err();
    // Its own objects it may read: their owner may.
    witness(port, "PUT", "/dropbox/a/b/theirs");
    let got = storage.get(&key("theirs"), 0..1).await.map(drop).unwrap_err();
    for (error, right) in
        [(listed, "s3:ListBucket"), (deleted, "s3:DeleteObject"), (got, "s3:GetObject")]
    {
        assert_eq!(error.kind, Kind::Denied);
        let text = said::<()>(Err(error));
        assert!(text.contains(&format!("the store forbids it: allow this key {right}")), "{text}");
    }
    let checked = contract::check(&*storage, ".nxs-probe-drop", Size::Small).await;
    let (_, cleaned) = checked.last().unwrap();
    let text = cleaned.as_ref().unwrap_err();
    assert!(text.ends_with("objects below .nxs-probe-drop may stay"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_delete_does_the_rest_and_a_check_says_what_stays() {
    let storage = impatient(of(ceph().port(0), "keepkey", "keepsecret", "keepsafe"), 0);
    storage.put(&key("large"), super::body(&super::noise(20 << 20))).await.unwrap();
    assert_eq!(read(&*storage, "large").await.len(), 20 << 20);
    assert_eq!(names(&*storage).await, ["large"]);
    assert_eq!(storage.stat(&key("absent")).await.unwrap(), None);
    let checked = contract::check(&*storage, ".nxs-probe-keep", Size::Small).await;
    let (_, cleaned) = checked.last().unwrap();
    let text = cleaned.as_ref().unwrap_err();
    assert!(text.contains("allow this key s3:DeleteObject"), "{text}");
    assert!(text.contains("these stay: .nxs-probe-keep/"), "{text}");
}
