//! Puts: what fits in one segment is a plain object, what is longer is joined of segments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use reqwest::Method;
use tokio::time::Instant;
use tracing::debug;

use crate::base::{Key, chain};
use crate::storages::swift::client::{Ask, Client, Shelf};
use crate::storages::swift::large;
use crate::storages::swift::piece::{Piece, Pieces};
use crate::storages::swift::trouble::Trouble;
use crate::storages::swift::upload::{Upload, again, expiry, put_checked};
use crate::storages::{Kind, Object, Result};
use crate::stream::ByteStream;

/// Stores `body` under `key`; what lay there before goes once the new object is visible.
pub(super) async fn put(client: &Arc<Client>, key: &Key, body: ByteStream) -> Result<Object> {
    let began = Instant::now();
    let mut pieces = Pieces::new(body, client.segment_bytes);
    let broken = |trouble| client.error("put", key.as_str(), trouble);
    let first = pieces.next().await.map_err(broken)?.unwrap_or_default();
    let (new, bytes) = match pieces.next().await.map_err(broken)? {
        None => (New::Plain(first.clone()), first.bytes()),
        Some(second) => {
            let mut upload = Upload::begin(client, key, began).await?;
            match send_all(&mut upload, &mut pieces, [first, second], &broken).await {
                Ok(bytes) => (New::Large(upload), bytes),
                Err(error) => return Err(upload.fail(error).await),
            }
        }
    };
    commit(client, key, new, began).await?;
    Ok(Object { key: key.clone(), bytes, modified: Some(Timestamp::now()) })
}

async fn send_all(
    upload: &mut Upload,
    pieces: &mut Pieces,
    begun: [Piece; 2],
    broken: &(dyn Fn(Trouble) -> crate::storages::Error + Sync),
) -> Result<u64> {
    let mut bytes = 0;
    for piece in begun {
        bytes += piece.bytes();
        upload.send(piece).await?;
    }
    while let Some(piece) = pieces.next().await.map_err(broken)? {
        bytes += piece.bytes();
        upload.send(piece).await?;
    }
    Ok(bytes)
}

/// What becomes the object.
enum New {
    Plain(Piece),
    Large(Upload),
}

/// Makes the object visible. A task of its own, so that a put that is given up meanwhile leaves
/// either the old object or the new one, whole.
async fn commit(client: &Arc<Client>, key: &Key, new: New, began: Instant) -> Result<()> {
    let waiting = Waiting::default();
    let given_up = waiting.0.clone();
    let (of, name) = (client.clone(), key.clone());
    let task = tokio::spawn(async move {
        let _turn = of.committing(&name).await;
        let old = again(&of, &name, || mark_old(&of, &name)).await;
        let (old, new) = match (old, new) {
            (Ok(old), new) => (old, new),
            (Err(error), New::Large(upload)) => return Err(upload.fail(error).await),
            (Err(error), New::Plain(_)) => return Err(error),
        };
        if given_up.load(Ordering::Acquire) {
            let trouble = Trouble::new(Kind::Body, "the put was given up");
            return Err(of.error("put", name.as_str(), trouble));
        }
        let done = match new {
            New::Plain(piece) => put_plain(&of, &name, piece, began).await,
            New::Large(upload) => upload.commit().await,
        };
        if let Some(old) = old {
            let kind = done.as_ref().err().map(|error| error.kind);
            clear_old(&of, &name, &old, kind).await;
        }
        done
    });
    let done = task.await;
    drop(waiting);
    done.unwrap_or_else(|panic| {
        let trouble = Trouble::new(Kind::Other, "the object was not completed").because(panic);
        Err(client.error("put", key.as_str(), trouble))
    })
}

/// Says, once dropped, that nobody waits any more.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Marks the segments of the object that is about to be replaced.
async fn mark_old(client: &Client, key: &Key) -> std::result::Result<Option<String>, Trouble> {
    let old = large::upload_of(client, key).await?;
    if let Some(old) = &old {
        large::mark(client, key, old).await?;
    }
    Ok(old)
}

/// Removes the segments of the object that was replaced; where nothing was replaced only their
/// mark, and where that cannot be told neither.
async fn clear_old(client: &Client, key: &Key, old: &str, failed: Option<Kind>) {
    let cleared = match failed {
        None => large::remove_upload(client, key, old).await,
        Some(Kind::Unavailable) => Ok(()),
        Some(_) => large::unmark(client, key, old).await,
    };
    if let Err(trouble) = cleared {
        let error = chain(&trouble);
        debug!(storage = %client.name, %key, %error, "segments of the old object stay");
    }
}

async fn put_plain(client: &Client, key: &Key, piece: Piece, began: Instant) -> Result<()> {
    let ask = Ask::new(Method::PUT, client.path(Shelf::Objects, key.as_str()));
    let left = expiry(client, began, std::time::Duration::ZERO);
    let Some(left) = left else {
        let trouble = Trouble::new(Kind::Other, "the put took longer than `delete_after`");
        return Err(client.error("put", key.as_str(), trouble));
    };
    let ask = large::with_expiry(ask, left);
    put_checked(client, key, Shelf::Objects, ask, piece).await.map(drop)
}
