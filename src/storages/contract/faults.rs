//! Promises about puts that do not come to their end.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use crate::base::KIB;
use crate::storages::Kind;
use crate::storages::contract::Kept;
use crate::storages::contract::at::{At, noise, same};
use crate::stream::{ByteStream, Error, Feeder};

pub(super) async fn failed_body(at: &At<'_>) -> Kept {
    broken(at, |feeder| Box::pin(feeder.fail(Error::new("a fault for a test")))).await
}

pub(super) async fn cut_body(at: &At<'_>) -> Kept {
    broken(at, |feeder| Box::pin(async move { drop(feeder) })).await
}

type Ending = fn(Feeder) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Breaks a body at its beginning and in its middle, over nothing and over an older object.
async fn broken(at: &At<'_>, end: Ending) -> Kept {
    let old = noise(1, 100);
    at.put("old", &old).await?;
    for (name, chunks) in [("new", 0), ("new", 3), ("old", 0), ("old", 3)] {
        let (feeder, body) = ByteStream::channel(1);
        let key = at.key(name)?;
        let feed = async move {
            feed(&feeder, chunks).await;
            end(feeder).await;
        };
        match tokio::join!(at.storage.put(&key, body), feed).0 {
            Ok(_) => return Err(format!("a put of {name} whose body broke succeeded")),
            Err(error) => same("the kind of the error", error.kind, Kind::Body)?,
        }
        same("the list", at.names("").await?, vec!["old".to_owned()])?;
        at.holds("old", &old).await?;
    }
    Ok(())
}

async fn feed(feeder: &Feeder, chunks: u64) {
    for seed in 0..chunks {
        if feeder.send(noise(seed, 100 * KIB)).await.is_err() {
            return;
        }
    }
}

pub(super) async fn given_up(at: &At<'_>) -> Kept {
    let old = noise(1, 100);
    at.put("old", &old).await?;
    for (name, chunks) in [("new", 0), ("old", 3)] {
        let (feeder, body) = ByteStream::channel(1);
        let key = at.key(name)?;
        let put = at.storage.put(&key, body);
        let fed = async {
            feed(&feeder, chunks).await;
            sleep(Duration::from_millis(20)).await;
        };
        tokio::select! {
            _ = put => return Err("a put ended before its body".to_owned()),
            () = fed => (),
        }
        // Dropped: what cleans up may need a moment.
        feeder.send(Bytes::from_static(b"more")).await.ok();
        feeder.finish().await.ok();
        settled(at, "old", &old).await?;
    }
    Ok(())
}

async fn settled(at: &At<'_>, name: &str, bytes: &Bytes) -> Kept {
    let alone = async {
        while at.names("").await? != [name] {
            sleep(Duration::from_millis(20)).await;
        }
        Ok::<(), String>(())
    };
    match timeout(Duration::from_secs(30), alone).await {
        Ok(done) => done?,
        Err(_) => return Err(format!("there is more than {name}: {:?}", at.names("").await?)),
    }
    at.holds(name, bytes).await
}
