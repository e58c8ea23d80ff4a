//! An upload in segments: three on their way at a time, none left behind when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, HeaderValue};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::base::{Key, chain};
use crate::storages::layers::step;
use crate::storages::swift::client::{Ask, Client, Shelf};
use crate::storages::swift::large::{self, Segment, octets, segment_name};
use crate::storages::swift::piece::Piece;
use crate::storages::swift::trouble::Trouble;
use crate::storages::unique::unique;
use crate::storages::{Error, Kind, Result};

/// Segments of one key. Dropped before it is kept, it removes them in the background.
pub(super) struct Upload {
    client: Arc<Client>,
    key: Key,
    id: String,
    began: Instant,
    sending: JoinSet<Result<(usize, Segment)>>,
    sent: Vec<Option<Segment>>,
    left: bool,
}

impl Upload {
    /// Marks the key, so that segments are never without a mark or a manifest.
    pub(super) async fn begin(client: &Arc<Client>, key: &Key, began: Instant) -> Result<Self> {
        let (client, key, id) = (client.clone(), key.clone(), unique());
        let upload =
            Self { client, key, id, began, sending: JoinSet::new(), sent: Vec::new(), left: true };
        let (client, key) = (&upload.client, &upload.key);
        let marked = again(client, key, || large::mark(client, key, &upload.id)).await;
        match marked {
            Ok(()) => Ok(upload),
            Err(error) => Err(upload.fail(error).await),
        }
    }

    /// Sends a segment as soon as fewer than three are on their way.
    pub(super) async fn send(&mut self, piece: Piece) -> Result<()> {
        while self.sending.len() >= IN_FLIGHT {
            self.next_sent().await?;
        }
        let limit = again(&self.client, &self.key, || self.client.segments_limit()).await?;
        if self.sent.len() as u64 >= limit {
            let mib = (limit * self.client.segment_bytes) >> 20;
            let problem = format!(
                "the store takes only {limit} segments in one object: set `split: {mib}MiB` or less"
            );
            let trouble = Trouble::new(Kind::Unsupported, problem);
            return Err(self.client.error("put", self.key.as_str(), trouble));
        }
        self.sent.push(None);
        let (client, key, number) = (self.client.clone(), self.key.clone(), self.sent.len());
        let name = segment_name(&self.key, &self.id, number);
        let expiry = expiry(&client, self.began, SLACK);
        self.sending.spawn(async move {
            let ask = Ask::new(Method::PUT, client.path(Shelf::Segments, &name));
            let ask = large::with_expiry(ask, expiry.flatten());
            let segment = put_checked(&client, &key, Shelf::Segments, ask, piece).await?;
            Ok((number, segment))
        });
        Ok(())
    }

    async fn next_sent(&mut self) -> Result<bool> {
        let Some(done) = self.sending.join_next().await else { return Ok(false) };
        let (number, segment) = done.unwrap_or_else(|panic| {
            let trouble = Trouble::new(Kind::Other, "a segment was lost").because(panic);
            Err(self.client.error("put", self.key.as_str(), trouble))
        })?;
        self.sent[number - 1] = Some(segment);
        Ok(true)
    }

    /// Waits for what is on its way, then makes it one object.
    pub(super) async fn commit(mut self) -> Result<()> {
        match self.try_commit().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error).await),
        }
    }

    async fn try_commit(&mut self) -> Result<()> {
        while self.next_sent().await? {}
        let segments: Option<Vec<_>> = self.sent.iter().cloned().collect();
        let segments = segments.expect("every segment was waited for");
        let client = self.client.clone();
        let (key, id) = (&self.key, &self.id);
        let Some(expiry) = expiry(&client, self.began, Duration::ZERO) else {
            let problem = "the upload took longer than `delete_after`";
            return Err(client.error("put", key.as_str(), Trouble::new(Kind::Other, problem)));
        };
        // Whether an answer was lost: it may have come to pass all the same, and what must then not
        // happen is that its segments go.
        let unsure = AtomicBool::new(false);
        let put = again(&client, key, || async {
            let put = large::put_manifest(&client, key, id, &segments, expiry).await;
            let lost = put.as_ref().is_err_and(|error| error.kind == Kind::Unavailable);
            unsure.fetch_or(lost, Ordering::Relaxed);
            put
        });
        if let Err(error) = put.await {
            return match unsure.into_inner() {
                true => {
                    self.left = false;
                    let living = large::upload_of(&client, key).await;
                    match living {
                        Ok(Some(living)) if living == *id => self.settle().await,
                        _ => Err(error),
                    }
                }
                false => Err(error),
            };
        }
        self.settle().await
    }

    /// The object is there: only the mark must go.
    async fn settle(&mut self) -> Result<()> {
        self.left = false;
        if let Err(trouble) = large::unmark(&self.client, &self.key, &self.id).await {
            let (storage, error) = (&self.client.name, chain(&trouble));
            debug!(%storage, key = %self.key, %error, "the mark of an upload stays");
        }
        Ok(())
    }

    /// Removes the segments, and gives the error that this is about.
    pub(super) async fn fail(mut self, error: Error) -> Error {
        if let Some(clearing) = self.clearing() {
            clearing.await;
        }
        error
    }

    /// Tells what is to be done about segments that nobody will want.
    fn clearing(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if !std::mem::take(&mut self.left) {
            return None;
        }
        let (client, key, id) = (self.client.clone(), self.key.clone(), self.id.clone());
        let (mut sending, count) = (std::mem::take(&mut self.sending), self.sent.len());
        Some(async move {
            sending.shutdown().await;
            // Whatever the config says of retries: nobody else comes back for these soon.
            let clear = step(CLEARINGS, || async {
                let cleared = large::remove_numbers(&client, &key, &id, count).await;
                cleared.map_err(|trouble| client.error("delete", key.as_str(), trouble))
            });
            let cleared = timeout(PATIENCE, clear).await;
            let error = match cleared {
                Ok(Ok(())) => return,
                Ok(Err(error)) => chain(&error),
                Err(_) => "no answer".to_owned(),
            };
            warn!(storage = %client.name, %key, %error, "segments of a failed upload stay");
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Ok(runtime), Some(clearing)) = (runtime, self.clearing()) {
            runtime.spawn(clearing);
        }
    }
}

/// Sends an object whose MD5 the store must agree to.
pub(super) async fn put_checked(
    client: &Client,
    key: &Key,
    shelf: Shelf,
    ask: Ask,
    piece: Piece,
) -> Result<Segment> {
    let lost = |panic| {
        let trouble = Trouble::new(Kind::Other, "the MD5 was not computed").because(panic);
        client.error("put", key.as_str(), trouble)
    };
    let hashed = piece.clone();
    let etag = spawn_blocking(move || hashed.md5()).await.map_err(lost)?;
    let value = HeaderValue::from_str(&etag).expect("hex digits make a header");
    let bytes = piece.bytes();
    let ask = ask.header(CONTENT_TYPE, octets()).header(ETAG, value).body(piece);
    let response = again(client, key, || large::put(client, shelf, &ask)).await?;
    let said = response.headers().get(ETAG).and_then(|said| said.to_str().ok());
    if said.is_some_and(|said| said.trim_matches('"') != etag) {
        let problem = "the store holds other bytes than were sent: its ETag differs from their MD5";
        return Err(client.error("put", key.as_str(), Trouble::new(Kind::Corrupt, problem)));
    }
    Ok(Segment { etag, bytes })
}

/// Repeats what is still in memory.
pub(super) async fn again<T, F: Future<Output = std::result::Result<T, Trouble>>>(
    client: &Client,
    key: &Key,
    mut call: impl FnMut() -> F,
) -> Result<T> {
    step(client.retries, || {
        let call = call();
        async { call.await.map_err(|trouble| client.error("put", key.as_str(), trouble)) }
    })
    .await
}

/// Tells how many seconds an object has left of `delete_after`, which counts from the beginning
/// of the put; `None` when there are none.
#[allow(clippy::option_option)] // the outer one is about time, the inner one about the config
pub(super) fn expiry(client: &Client, began: Instant, slack: Duration) -> Option<Option<u64>> {
    let Some(life) = client.delete_after else { return Some(None) };
    let left = (life + slack).checked_sub(began.elapsed())?.as_secs();
    (left > 0).then_some(Some(left))
}

/// Segments on their way at the same time.
const IN_FLIGHT: usize = 3;
/// Segments outlive their manifest by this, so that no object is ever without some of its bytes.
const SLACK: Duration = Duration::from_secs(3600);
/// How often it is tried again to tidy up.
const CLEARINGS: u32 = 3;
/// How long may be tidied up.
const PATIENCE: Duration = Duration::from_secs(120);
