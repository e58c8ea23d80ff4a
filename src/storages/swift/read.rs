//! Single objects: what the store knows of them, and their bytes.

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, LAST_MODIFIED, RANGE};
use reqwest::{Method, Response, StatusCode};

use crate::base::Key;
use crate::storages::swift::client::{Ask, Client, Shelf};
use crate::storages::swift::trouble::Trouble;
use crate::storages::{Kind, Object};
use crate::stream::{ByteStream, Error};

/// Asks for size and time.
pub(super) async fn stat(client: &Client, key: &Key) -> Result<Option<Object>, Trouble> {
    let path = client.path(Shelf::Objects, key.as_str());
    let response = client.look_up(&Ask::new(Method::HEAD, path)).await?;
    match response.status() {
        StatusCode::NOT_FOUND => return Ok(None),
        status if status.is_success() => {}
        _ => return Err(Trouble::answer(response).await),
    }
    let bytes = number(response.headers(), CONTENT_LENGTH.as_str());
    let Some(bytes) = bytes else {
        return Err(Trouble::new(Kind::Other, "the store does not tell the size of the object"));
    };
    Ok(Some(Object { key: key.clone(), bytes, modified: modified(response.headers()) }))
}

/// Gives the bytes of `part`.
pub(super) async fn get(
    client: &Client,
    key: &Key,
    part: Range<u64>,
) -> Result<ByteStream, Trouble> {
    if part.is_empty() {
        return nothing(client, key, part).await;
    }
    let range = HeaderValue::from_str(&format!("bytes={}-{}", part.start, part.end - 1))
        .expect("digits make a header");
    let path = client.path(Shelf::Objects, key.as_str());
    let response = client.look_up(&Ask::new(Method::GET, path).header(RANGE, range).long()).await?;
    let wanted = part.end - part.start;
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::NOT_FOUND => return Err(absent()),
        StatusCode::RANGE_NOT_SATISFIABLE => return Err(outside(&part)),
        // The whole may be what was asked for.
        StatusCode::OK if part.start == 0 && response.content_length() == Some(wanted) => {}
        StatusCode::OK => {
            let problem = "the store gives whole objects only, not parts of them";
            return Err(Trouble::new(Kind::Unsupported, problem));
        }
        _ => return Err(Trouble::answer(response).await),
    }
    if response.content_length() != Some(wanted) {
        return Err(outside(&part));
    }
    Ok(body(client, key, response, wanted))
}

/// Checks an empty range, which HTTP cannot ask for.
async fn nothing(client: &Client, key: &Key, part: Range<u64>) -> Result<ByteStream, Trouble> {
    match stat(client, key).await? {
        None => Err(absent()),
        Some(object) if part.start > object.bytes => Err(outside(&part)),
        Some(_) => Ok(ByteStream::from_stream(stream::empty())),
    }
}

/// Passes on exactly `wanted` bytes: fewer are an error.
fn body(client: &Client, key: &Key, response: Response, wanted: u64) -> ByteStream {
    let (storage, key, url) = (client.name.clone(), key.clone(), response.url().clone());
    let failed = move |trouble: Trouble| Error::new(trouble.on(&storage, "get", &key));
    let broken = failed.clone();
    let bytes = response.bytes_stream();
    let bytes = bytes.map_err(move |error| broken(Trouble::failed(&url, error)));
    ByteStream::from_stream(stream::try_unfold((bytes.boxed(), 0), move |(mut bytes, sum)| {
        let failed = failed.clone();
        async move {
            match bytes.next().await.transpose()? {
                Some(chunk) => {
                    let sum = sum + chunk.len() as u64;
                    Ok(Some((chunk, (bytes, sum))))
                }
                None if sum == wanted => Ok(None),
                None => {
                    let problem = format!("{sum} bytes came where {wanted} should have");
                    Err(failed(Trouble::new(Kind::Unavailable, problem)))
                }
            }
        }
    }))
}

fn absent() -> Trouble {
    Trouble::new(Kind::NotFound, "there is no such object")
}

fn outside(part: &Range<u64>) -> Trouble {
    let problem = format!("bytes {} to {} are not all in the object", part.start, part.end);
    Trouble::new(Kind::Other, problem)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn modified(headers: &HeaderMap) -> Option<Timestamp> {
    let exact = || {
        let text = headers.get("x-timestamp")?.to_str().ok()?;
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        Timestamp::new(seconds.parse().ok()?, nanos.parse().ok()?).ok()
    };
    let rounded = || {
        let text = headers.get(LAST_MODIFIED)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp())
    };
    exact().or_else(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_time_goes_before_the_rounded_one() {
        let mut headers = HeaderMap::new();
        assert_eq!(modified(&headers), None);
        headers.insert(LAST_MODIFIED, "Fri, 27 Nov 2026 00:58:15 GMT".parse().unwrap());
        assert_eq!(modified(&headers).unwrap().to_string(), "2026-11-27T00:58:15Z");
        headers.insert("x-timestamp", "1795741094.95870".parse().unwrap());
        assert_eq!(modified(&headers).unwrap().to_string(), "2026-11-27T00:58:14.9587Z");
    }
}
