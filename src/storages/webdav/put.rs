//! A put: a temporary object beside the target, checked, then moved into place.
//!
//! A short body goes from memory and can be sent again. A longer one is sent as it comes, in
//! pieces (Nextcloud), or through a file where the server must know the length.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, StatusCode, Url};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::base::{KIB, Key, chain};
use crate::storages::layers::pause;
use crate::storages::unique::unique;
use crate::storages::webdav::body::{Beginning, Sent, Spool, gather};
use crate::storages::webdav::delete::{remove, remove_empty};
use crate::storages::webdav::errors::{Trouble, refusal};
use crate::storages::webdav::folders::Busy;
use crate::storages::webdav::make::make_folder;
use crate::storages::webdav::pieces;
use crate::storages::webdav::properties::{Depth, Facts, look};
use crate::storages::webdav::read::describe;
use crate::storages::webdav::service::{Ask, Service};
use crate::storages::{Kind, Object, Result};
use crate::stream::ByteStream;

/// Stores `body` under `key`.
pub(super) async fn put(service: &Arc<Service>, key: &Key, body: ByteStream) -> Result<Object> {
    let busy = service.folders.enter().await;
    service.auth.freshen();
    let made = make_folder(service, key.folder()).await;
    made.map_err(|trouble| service.error("put", key.as_str(), trouble))?;
    let partial = key.partial(&unique());
    let mut upload = Upload(Some(Left { service: service.clone(), partial, pieces: None, busy }));
    let done = upload.run(key, body).await;
    upload.close(done.is_ok()).await;
    done.map_err(|error| crate::storages::Error { subject: key.to_string(), ..error })
}

/// A put that cleans up after itself when it fails or is dropped.
struct Upload(Option<Left>);

/// What a put leaves behind when it does not come to its end.
struct Left {
    service: Arc<Service>,
    partial: Key,
    /// The folder with pieces of the body.
    pieces: Option<Url>,
    busy: Busy,
}

impl Upload {
    async fn run(&mut self, key: &Key, body: ByteStream) -> Result<Object> {
        let Some(left) = &mut self.0 else { unreachable!("a put runs once") };
        let bytes = left.fill(body).await?;
        let facts = left.check(bytes).await?;
        move_into_place(&left.service, &left.partial, key, bytes).await?;
        describe(key, facts).map_err(|trouble| left.service.error("put", key.as_str(), trouble))
    }

    /// Ends the put; after a failure it waits, but not for ever, until everything is cleaned up.
    async fn close(mut self, done: bool) {
        match self.0.take() {
            Some(left) if !done => {
                timeout(WAIT, tokio::spawn(left.clean_up())).await.ok();
            }
            _ => {}
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(left), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(left.clean_up());
        }
    }
}

impl Left {
    /// Brings the body to the server under its temporary name, and returns its length.
    async fn fill(&mut self, mut body: ByteStream) -> Result<u64> {
        let service = self.service.clone();
        let subject = self.partial.as_str();
        let failed = |trouble| service.error("put", subject, trouble);
        let url = service.place.object(subject);
        let whole_only = service.known.whole_only.load(Ordering::Relaxed);
        let pieces = service.pieces.as_ref().filter(|_| !whole_only);
        let limit = pieces.map_or(SHORT, |pieces| pieces.bytes);
        let first = gather(&mut body, limit).await.map_err(failed)?;
        if first.whole {
            service.again(subject, async || put_short(&service, &url, &first.bytes).await).await?;
            return Ok(first.bytes.len() as u64);
        }
        if let Some(pieces) = pieces {
            let begin = async || pieces::begin(&service, pieces, &self.partial).await;
            if let Some(folder) = service.again(subject, begin).await? {
                self.pieces = Some(folder.clone());
                let body = (first, body);
                return pieces::send(&service, (&folder, limit), &self.partial, body).await;
            }
        }
        match service.again(subject, async || takes_chunked(&service, &url).await).await? {
            true => stream_body(&service, &url, first, body).await.map_err(failed),
            false => self.spool(&url, first, body).await,
        }
    }

    async fn spool(&self, url: &Url, first: Beginning, body: ByteStream) -> Result<u64> {
        let (service, subject) = (&self.service, self.partial.as_str());
        let spool = Spool::fill(&service.tmp_dir, &first.bytes, body).await;
        let spool = spool.map_err(|trouble| service.error("put", subject, trouble))?;
        drop(first);
        let send = async || {
            get_ready(service, url).await?;
            let response = service.send_once(url, Some(spool.bytes), spool.read()).await?;
            if response.status().is_success() {
                return Ok(());
            }
            Err(refusal("PUT", response).await)
        };
        service.again(subject, send).await?;
        Ok(spool.bytes)
    }

    /// Makes sure that the server kept every byte.
    async fn check(&self, bytes: u64) -> Result<Facts> {
        let (service, subject) = (&self.service, self.partial.as_str());
        let url = service.place.object(subject);
        let look = async || look(service, &url, Depth::Itself).await;
        let found = service.again(subject, look).await?.map(|found| found.itself);
        let problem = match found {
            Some(facts) if facts.bytes == Some(bytes) => return Ok(facts),
            Some(Facts { bytes: Some(kept), .. }) => {
                format!("the server took {bytes} bytes and kept {kept}: look into its log")
            }
            Some(_) => "the server does not tell the size of what it kept".to_owned(),
            None => "the server took the bytes and kept nothing: look into its log".to_owned(),
        };
        Err(service.error("put", subject, Trouble::new(Kind::Corrupt, problem)))
    }

    async fn clean_up(self) {
        let Self { service, partial, pieces, busy } = self;
        let cleaning = async {
            let object = service.place.object(partial.as_str());
            for url in [Some(object), pieces].into_iter().flatten() {
                remove_in_time(&service, &url).await;
            }
            drop(busy);
            remove_empty(&service, partial.folder()).await;
        };
        if timeout(PATIENCE, cleaning).await.is_err() {
            let storage = &service.name;
            tracing::warn!(%storage, %partial, "the remains of a put could not be removed in time");
        }
    }
}

/// Removes what is left of a put, also when the way to the server is closed for a moment.
async fn remove_in_time(service: &Service, url: &Url) {
    let mut failed = 0;
    while let Err(trouble) = remove(service, url).await {
        if trouble.kind != Kind::Unavailable {
            // The path alone: who the server is says the storage.
            let (storage, path, error) = (&service.name, url.path(), chain(&trouble));
            tracing::warn!(%storage, path, %error, "the remains of a put could not be removed");
            return;
        }
        sleep(pause(failed)).await;
        failed += 1;
    }
}

/// Sends a short body from memory.
async fn put_short(
    service: &Service,
    url: &Url,
    bytes: &Bytes,
) -> std::result::Result<(), Trouble> {
    let response = service.call(&Ask::new("PUT", url).body(bytes.clone())).await?;
    let status = response.status();
    if status == StatusCode::INTERNAL_SERVER_ERROR && bytes.is_empty() {
        // nginx stumbles over a body whose length is said to be nothing.
        let nothing = Body::wrap_stream(stream::empty::<std::io::Result<Bytes>>());
        let response = service.send_once(url, None, nothing).await?;
        if response.status().is_success() {
            return Ok(());
        }
    }
    if status.is_success() && status != StatusCode::MULTI_STATUS {
        return Ok(());
    }
    Err(refusal("PUT", response).await)
}

/// Tells whether the server takes a body of unknown length; tried once, with a short one.
///
/// Some servers refuse it, some keep nothing of it. The object that is written is the temporary
/// one, which the real body then replaces.
async fn takes_chunked(service: &Service, url: &Url) -> std::result::Result<bool, Trouble> {
    let mut known = service.known.chunked.lock().await;
    if let Some(known) = *known {
        return Ok(known);
    }
    let probe = Bytes::from_static(PROBE);
    let bytes = Some(probe.len() as u64);
    let body = Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(probe)]));
    let response = service.send_once(url, None, body).await?;
    let takes = match response.status().as_u16() {
        200..=206 => {
            let found = look(service, url, Depth::Itself).await?;
            found.is_some_and(|found| found.itself.bytes == bytes)
        }
        400 | 411 | 501 => false,
        _ => return Err(refusal("PUT", response).await),
    };
    if !takes {
        tracing::info!(storage = service.name, "bodies go through tmp_dir: lengths must be known");
    }
    *known = Some(takes);
    Ok(takes)
}

/// Makes sure that the login still holds: to wait for the body may have taken long.
async fn get_ready(service: &Service, url: &Url) -> std::result::Result<(), Trouble> {
    if service.auth.freshen() {
        look(service, url, Depth::Itself).await?;
    }
    Ok(())
}

/// Sends a body as it comes, and returns its length.
async fn stream_body(
    service: &Service,
    url: &Url,
    first: Beginning,
    rest: ByteStream,
) -> std::result::Result<u64, Trouble> {
    get_ready(service, url).await?;
    let sent = Sent::default();
    let answer = service.send_once(url, None, sent.follow(first.bytes, rest)).await;
    if let Some(error) = sent.broke() {
        return Err(Trouble::body(error));
    }
    let response = answer?;
    if matches!(response.status(), StatusCode::LENGTH_REQUIRED | StatusCode::NOT_IMPLEMENTED) {
        *service.known.chunked.lock().await = Some(false);
    }
    if !response.status().is_success() || response.status() == StatusCode::MULTI_STATUS {
        return Err(refusal("PUT", response).await);
    }
    let early = || Trouble::new(Kind::Unavailable, "the server answered before it had every byte");
    sent.whole().ok_or_else(early)
}

/// Gives the temporary object its name.
async fn move_into_place(service: &Service, partial: &Key, key: &Key, bytes: u64) -> Result<()> {
    let (from, to) = (service.place.object(partial.as_str()), service.place.object(key.as_str()));
    let rename = async || match rename(service, &from, &to, Replace::No).await? {
        Renamed::Done => Ok(()),
        Renamed::Occupied => {
            let _swap = service.swaps.begin().await;
            match rename(service, &from, &to, Replace::Yes).await? {
                Renamed::Done => Ok(()),
                _ => lost_answer(service, &to, bytes).await,
            }
        }
        Renamed::Nothing => lost_answer(service, &to, bytes).await,
    };
    service.again(key.as_str(), rename).await
}

/// Makes sure that a MOVE whose answer was lost had been carried out.
async fn lost_answer(service: &Service, to: &Url, bytes: u64) -> std::result::Result<(), Trouble> {
    match look(service, to, Depth::Itself).await? {
        Some(found) if found.itself.bytes == Some(bytes) => Ok(()),
        _ => {
            let problem = "the bytes were stored and vanished before they had their name";
            Err(Trouble::new(Kind::Corrupt, problem))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Replace {
    Yes,
    No,
}

enum Renamed {
    Done,
    /// There is an object of that name, and it was not to be replaced.
    Occupied,
    /// What was to be renamed is not there.
    Nothing,
}

async fn rename(
    service: &Service,
    from: &Url,
    to: &Url,
    replace: Replace,
) -> std::result::Result<Renamed, Trouble> {
    let overwrite = if replace == Replace::Yes { "T" } else { "F" };
    // Behind a proxy a server may take its own address for a foreign one, and then only a path.
    for destination in [to.as_str(), to.path()] {
        let ask = Ask::new("MOVE", from).with("Overwrite", overwrite);
        let response = service.call(&ask.with("Destination", destination)).await?;
        match response.status() {
            StatusCode::MULTI_STATUS => return Err(refusal("MOVE", response).await),
            status if status.is_success() => return Ok(Renamed::Done),
            StatusCode::PRECONDITION_FAILED if replace == Replace::No => {
                return Ok(Renamed::Occupied);
            }
            StatusCode::NOT_FOUND => return Ok(Renamed::Nothing),
            StatusCode::BAD_REQUEST | StatusCode::BAD_GATEWAY if destination != to.path() => {}
            _ => return Err(refusal("MOVE", response).await),
        }
    }
    unreachable!("the second round returns")
}

/// A body up to this length is kept in memory until it is stored.
const SHORT: usize = 256 * KIB;
const PROBE: &[u8] = b"nxs-backup asks whether a body of unknown length is taken\n";
/// How long it is tried to remove what is left of a put.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a put that failed waits for that.
const WAIT: Duration = Duration::from_secs(5);
