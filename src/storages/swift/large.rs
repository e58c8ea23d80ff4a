//! Large objects: their segments, their manifests, and the marks of those that are not whole.

use futures_util::{TryStreamExt, stream};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::base::Key;
use crate::storages::Kind;
use crate::storages::swift::client::{Ask, Client, Shelf};
use crate::storages::swift::list;
use crate::storages::swift::piece::Piece;
use crate::storages::swift::trouble::Trouble;

/// A segment that the store has acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) etag: String,
    pub(super) bytes: u64,
}

/// Names a segment of an upload, below `backup_dir`; numbers count from 1.
pub(super) fn segment_name(key: &Key, upload: &str, number: usize) -> String {
    format!("{key}/{upload}/{number:06}")
}

/// Sends an object; its container is made when it is missing.
pub(super) async fn put(client: &Client, shelf: Shelf, ask: &Ask) -> Result<Response, Trouble> {
    match client.done(ask).await {
        Err(trouble) if trouble.kind == Kind::NotFound => {
            make_container(client, shelf).await?;
            client.done(ask).await
        }
        done => done,
    }
}

async fn make_container(client: &Client, shelf: Shelf) -> Result<(), Trouble> {
    let made = client.done(&Ask::new(Method::PUT, client.shelf_path(shelf))).await;
    match made {
        Err(trouble) if trouble.kind == Kind::Denied => {
            let problem = format!(
                "there is no container {}, and the user may not make it: make it first",
                client.container(shelf)
            );
            Err(Trouble::new(Kind::Denied, problem).because(trouble))
        }
        made => made.map(drop),
    }
}

/// Lays the mark of an upload that is not whole beside the key.
pub(super) async fn mark(client: &Client, key: &Key, upload: &str) -> Result<(), Trouble> {
    let path = client.path(Shelf::Objects, key.partial(upload).as_str());
    let ask = Ask::new(Method::PUT, path).header(CONTENT_TYPE, octets());
    put(client, Shelf::Objects, &ask).await.map(drop)
}

/// Takes the mark of an upload away.
pub(super) async fn unmark(client: &Client, key: &Key, upload: &str) -> Result<(), Trouble> {
    let path = client.path(Shelf::Objects, key.partial(upload).as_str());
    remove(client, path).await
}

/// Deletes one object; of nothing succeeds.
pub(super) async fn remove(client: &Client, path: String) -> Result<(), Trouble> {
    let response = client.send(&Ask::new(Method::DELETE, path)).await?;
    match response.status() {
        status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
        _ => Err(Trouble::answer(response).await),
    }
}

/// Deletes the segments of an upload that the store lists, then its mark.
pub(super) async fn remove_upload(client: &Client, key: &Key, upload: &str) -> Result<(), Trouble> {
    let prefix = client.full(&format!("{key}/{upload}/"));
    let entries = list::entries(client, Shelf::Segments, prefix);
    let names =
        entries.try_filter_map(async |entry| Ok(client.below(&entry.name).map(str::to_owned)));
    let paths = names.map_ok(|name| client.path(Shelf::Segments, &name));
    paths.try_for_each_concurrent(AT_ONCE, |path| remove(client, path)).await?;
    unmark(client, key, upload).await
}

/// Deletes segments by their numbers, whether the store lists them yet or not, then the mark.
pub(super) async fn remove_numbers(
    client: &Client,
    key: &Key,
    upload: &str,
    count: usize,
) -> Result<(), Trouble> {
    let paths = (1..=count)
        .map(|number| Ok(client.path(Shelf::Segments, &segment_name(key, upload, number))));
    stream::iter(paths).try_for_each_concurrent(AT_ONCE, |path| remove(client, path)).await?;
    unmark(client, key, upload).await
}

/// Tells which upload the object of a key consists of; `None` when there is no object, when it
/// has no segments, and when others than we made them.
pub(super) async fn upload_of(client: &Client, key: &Key) -> Result<Option<String>, Trouble> {
    let path = client.path(Shelf::Objects, key.as_str());
    let response = client.send(&Ask::new(Method::HEAD, path.clone())).await?;
    match response.status() {
        StatusCode::NOT_FOUND => return Ok(None),
        status if status.is_success() => {}
        _ => return Err(Trouble::answer(response).await),
    }
    if response.headers().get("x-static-large-object").is_none() {
        return Ok(None);
    }
    let response =
        client.send(&Ask::new(Method::GET, format!("{path}?multipart-manifest=get"))).await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !response.status().is_success() {
        return Err(Trouble::answer(response).await);
    }
    let unreadable = |error: String| {
        Trouble::new(Kind::Other, "the store gave no readable list of segments").because(error)
    };
    let body = response.bytes().await.map_err(|error| unreadable(error.to_string()))?;
    let segments: Vec<Named> =
        serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
    let ours = format!("/{}/{}/", client.container(Shelf::Segments), client.full(key.as_str()));
    let first = segments.first().and_then(|segment| segment.name.strip_prefix(&ours));
    Ok(first.and_then(|rest| rest.split('/').next()).map(str::to_owned))
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Makes the segments of an upload one object.
pub(super) async fn put_manifest(
    client: &Client,
    key: &Key,
    upload: &str,
    segments: &[Segment],
    expiry: Option<u64>,
) -> Result<(), Trouble> {
    let container = client.container(Shelf::Segments);
    let rows = segments.iter().enumerate().map(|(at, segment)| {
        let name = client.full(&segment_name(key, upload, at + 1));
        let path = format!("/{container}/{name}");
        json!({"path": path, "etag": segment.etag, "size_bytes": segment.bytes})
    });
    let manifest = serde_json::Value::Array(rows.collect()).to_string();
    // The store looks at every segment and says by blanks that it is still there.
    let query = "multipart-manifest=put&heartbeat=on";
    let path = format!("{}?{query}", client.path(Shelf::Objects, key.as_str()));
    let ask = Ask::new(Method::PUT, path).body(Piece::of(manifest)).long();
    let ask = ask.header(CONTENT_TYPE, octets()).header(ACCEPT, HeaderValue::from_static(JSON));
    let response = put(client, Shelf::Objects, &with_expiry(ask, expiry)).await?;
    match response.status() {
        StatusCode::ACCEPTED => verdict(response).await,
        _ => Ok(()),
    }
}

#[derive(Deserialize)]
struct Verdict {
    #[serde(rename = "Response Status")]
    status: String,
    #[serde(rename = "Response Body", default)]
    body: String,
    #[serde(rename = "Errors", default)]
    errors: Vec<Vec<String>>,
}

/// Reads what the store says once it has looked at the segments.
async fn verdict(response: Response) -> Result<(), Trouble> {
    let lost = |error: String| {
        let problem = "the store did not say whether the segments were joined";
        Trouble::new(Kind::Unavailable, problem).because(error)
    };
    let body = response.bytes().await.map_err(|error| lost(error.without_url().to_string()))?;
    let verdict: Verdict =
        serde_json::from_slice(&body).map_err(|error| lost(error.to_string()))?;
    let number = verdict.status.split(' ').next().and_then(|number| number.parse().ok());
    let status = number.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR.as_u16());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_success() {
        return Ok(());
    }
    if let Some(error) = verdict.errors.first() {
        let (count, first) = (verdict.errors.len(), error.join(": "));
        let problem = format!("the store finds {count} of the segments missing or damaged");
        return Err(Trouble::new(Kind::Unavailable, problem).because(first));
    }
    let words: Vec<_> = verdict.body.split_whitespace().collect();
    Err(Trouble::status(status, words.join(" ").trim_end_matches('.')))
}

/// Lets an object vanish after so many seconds.
pub(super) fn with_expiry(ask: Ask, expiry: Option<u64>) -> Ask {
    match expiry {
        Some(seconds) => ask.header(reqwest::header::HeaderName::from_static(DELETE), seconds),
        None => ask,
    }
}

pub(super) fn octets() -> HeaderValue {
    HeaderValue::from_static("application/octet-stream")
}

const JSON: &str = "application/json";
const DELETE: &str = "x-delete-after";
/// Deletions at the same time.
const AT_ONCE: usize = 8;
