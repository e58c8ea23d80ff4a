//! Gets and stats.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use reqwest::header::CONTENT_RANGE;
use reqwest::{Response, StatusCode};
use tokio::time::sleep;

use crate::base::Key;
use crate::storages::webdav::errors::{Trouble, refusal};
use crate::storages::webdav::properties::{Depth, Facts, look};
use crate::storages::webdav::service::{Ask, Service};
use crate::storages::{Kind, Object};

/// Tells size and time of the object of `key`.
pub(super) async fn stat(service: &Service, key: &Key) -> Result<Option<Object>, Trouble> {
    let url = service.place.object(key.as_str());
    loop {
        let moment = service.swaps.now();
        match look(service, &url, Depth::Itself).await? {
            Some(found) if found.itself.folder => return Ok(None),
            Some(found) => return describe(key, found.itself).map(Some),
            None if service.swaps.quiet_since(moment) => return Ok(None),
            None => sleep(SWAP).await,
        }
    }
}

/// What the server tells about the object of `key`.
pub(super) fn describe(key: &Key, facts: Facts) -> Result<Object, Trouble> {
    let Some(bytes) = facts.bytes else {
        let problem = format!("the server does not tell the size of {key} (getcontentlength)");
        return Err(Trouble::new(Kind::Unsupported, problem));
    };
    Ok(Object { key: key.clone(), bytes, modified: facts.modified })
}

/// The bytes of a part, as they come; their errors are not yet those of a call.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, Trouble>>;

/// Opens the object of `key` at the beginning of `part`.
pub(super) async fn open(
    service: &Service,
    key: &Key,
    part: Range<u64>,
) -> Result<Chunks, Trouble> {
    if part.start >= part.end {
        let Some(object) = stat(service, key).await? else { return Err(missing(key)) };
        return match part.start == part.end && part.end <= object.bytes {
            true => Ok(stream::empty().boxed()),
            false => Err(outside(key, &part)),
        };
    }
    loop {
        let moment = service.swaps.now();
        let asked = ask(service, key, &part).await;
        if let Ok(Some(opened)) = asked {
            return Ok(opened);
        }
        // A file that vanishes under its hands makes a server say many things.
        if service.swaps.quiet_since(moment) {
            asked?;
            return Err(missing(key));
        }
        sleep(SWAP).await;
    }
}

async fn ask(service: &Service, key: &Key, part: &Range<u64>) -> Result<Option<Chunks>, Trouble> {
    let url = service.place.object(key.as_str());
    let range = format!("bytes={}-{}", part.start, part.end - 1);
    let ask = Ask::new("GET", &url).with("Range", range).with("Accept-Encoding", "identity");
    let response = service.call(&ask).await?;
    let left = part.end - part.start;
    match response.status() {
        StatusCode::PARTIAL_CONTENT if is_exactly(&response, part) => {
            Ok(Some(pump(response, key, 0, left)))
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Err(outside(key, part)),
        // It does not know ranges, and sends the whole object.
        StatusCode::OK if response.content_length().is_some_and(|all| all < part.end) => {
            Err(outside(key, part))
        }
        StatusCode::OK => Ok(Some(pump(response, key, part.start, left))),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        // Servers have many words for a folder where an object is asked for.
        _ => match stat(service, key).await? {
            None => Err(missing(key)),
            Some(_) => Err(refusal("GET", response).await),
        },
    }
}

/// Tells whether the answer holds all of `part` and nothing else.
fn is_exactly(response: &Response, part: &Range<u64>) -> bool {
    let header = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let given = header.and_then(|text| text.trim().strip_prefix("bytes"));
    let given = given.and_then(|text| text.split('/').next()?.trim().split_once('-'));
    let (start, last) = (part.start.to_string(), (part.end - 1).to_string());
    given.is_some_and(|given| given == (start.as_str(), last.as_str()))
}

/// Gives `left` bytes of an answer after `skip`; less is an error.
fn pump(response: Response, key: &Key, skip: u64, left: u64) -> Chunks {
    let (bytes, key) = (response.bytes_stream().boxed(), key.clone());
    let state = (bytes, key, skip, left);
    stream::try_unfold(state, |(mut bytes, key, mut skip, mut left)| async move {
        while left > 0 {
            let Some(chunk) = bytes.next().await else {
                let problem = format!("{key} ended {left} bytes early");
                return Err(Trouble::new(Kind::Corrupt, problem));
            };
            let mut chunk = chunk.map_err(|error| {
                let problem = format!("the connection broke while {key} was read");
                Trouble::of(Kind::Unavailable, problem, error.without_url())
            })?;
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let mut chunk = chunk.split_off(skipped as usize);
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Ok(Some((chunk, (bytes, key, skip, left))));
            }
        }
        Ok(None)
    })
    .boxed()
}

fn missing(key: &Key) -> Trouble {
    Trouble::new(Kind::NotFound, format!("there is no object {key}"))
}

fn outside(key: &Key, part: &Range<u64>) -> Trouble {
    Trouble::new(Kind::Corrupt, format!("bytes {part:?} were asked for, {key} has fewer"))
}

/// How long to wait for the end of a replacement.
const SWAP: Duration = Duration::from_millis(10);
