//! The calls on one object, each a single request.

use std::ops::Range;

use jiff::Timestamp;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, LAST_MODIFIED};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::OnceCell;

use crate::base::{BoxError, Key};
use crate::storages::s3::client::{Client, Request, Target};
use crate::storages::s3::errors::{Need, Trouble};
use crate::storages::{Error, Kind, Object};
use crate::stream::{self, ByteStream};

/// A folder of a bucket, connected when it is first needed.
pub(super) struct Bucket {
    /// Its name in the config; stands in errors.
    pub(super) name: String,
    pub(super) target: Target,
    /// What stands before each key; empty, or ends with a slash.
    pub(super) prefix: String,
    pub(super) retries: u32,
    pub(super) part_bytes: usize,
    /// Parts of one put that are in memory at the same time.
    pub(super) parts: usize,
    pub(super) storage_class: Option<String>,
    /// What each write says of encryption.
    pub(super) encryption: Vec<(&'static str, String)>,
    pub(super) client: OnceCell<Client>,
}

type Done<T> = Result<T, Trouble>;

impl Bucket {
    /// Returns the client, made by the first call.
    pub(super) async fn client(&self) -> Done<&Client> {
        self.client.get_or_try_init(|| async { Client::new(&self.target) }).await
    }

    /// Returns the object's whole name in the bucket.
    pub(super) fn path(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Says whose call it was that failed.
    pub(super) fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.name, verb, subject)
    }

    /// Returns what a new object of this key is to be like.
    pub(super) fn wishes(&self, key: &Key) -> Vec<(&'static str, String)> {
        let mut headers = self.encryption.clone();
        if let Some(class) = &self.storage_class
            && has_class(key, class)
        {
            headers.push(("x-amz-storage-class", class.clone()));
        }
        headers
    }

    /// Tells size and time of an object.
    pub(super) async fn stat(&self, key: &Key) -> Done<Option<Object>> {
        let path = self.path(key);
        let asked = self.client().await?.send(Request::new(Method::HEAD, &path), Need::Get).await;
        match asked {
            Ok(response) => {
                let bytes = number(response.headers(), CONTENT_LENGTH.as_str());
                let bytes = bytes.ok_or_else(|| strange("an object without a size"))?;
                let modified = modified(response.headers());
                Ok(Some(Object { key: key.clone(), bytes, modified }))
            }
            Err(trouble) if trouble.is_absent() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Begins to read a part of an object.
    pub(super) async fn get(&self, key: &Key, part: Range<u64>) -> Done<Option<Response>> {
        if part.start >= part.end {
            let object = self.stat(key).await?;
            let bytes = object.ok_or_else(absent)?.bytes;
            let fits = part.start == part.end && part.end <= bytes;
            return if fits { Ok(None) } else { Err(outside(&part, bytes)) };
        }
        let path = self.path(key);
        let range = format!("bytes={}-{}", part.start, part.end - 1);
        let request = Request::new(Method::GET, &path).header("range", range);
        let response = self.client().await?.send(request, Need::Get).await?;
        let whole = match response.status() {
            StatusCode::PARTIAL_CONTENT => total(response.headers()),
            // A store that has the whole object and nothing else need not cut.
            _ if part.start == 0 => number(response.headers(), CONTENT_LENGTH.as_str())
                .filter(|bytes| *bytes <= part.end),
            _ => None,
        };
        let whole = whole.ok_or_else(|| strange("a part of another size than was asked for"))?;
        if part.end > whole { Err(outside(&part, whole)) } else { Ok(Some(response)) }
    }

    /// Removes an object; of nothing succeeds.
    pub(super) async fn delete(&self, path: &str) -> Done<()> {
        let request = Request::new(Method::DELETE, path);
        match self.client().await?.send(request, Need::Delete).await {
            Err(trouble) if trouble.is_absent() => Ok(()),
            done => done.map(drop),
        }
    }

    /// Ends an unfinished upload.
    ///
    /// Errors: `NotFound` when there is none of this id any more.
    pub(super) async fn abort(&self, path: &str, id: &str) -> Done<()> {
        let request = Request::new(Method::DELETE, path).query("uploadId", id);
        self.client().await?.send(request, Need::Abort).await.map(drop)
    }
}

/// Gives the bytes of an answer and sees to it that they are all that was asked for.
pub(super) fn stream(response: Response, bytes: u64, wrap: Wrap) -> ByteStream {
    let state = (response, bytes, wrap);
    ByteStream::from_stream(futures_util::stream::try_unfold(
        state,
        |(mut response, left, wrap)| async move {
            match response.chunk().await {
                Ok(Some(chunk)) if chunk.len() as u64 <= left => {
                    let left = left - chunk.len() as u64;
                    Ok(Some((chunk, (response, left, wrap))))
                }
                Ok(None) if left == 0 => Ok(None),
                Ok(_) => Err(wrap(strange("another number of bytes than was asked for"))),
                Err(error) => Err(wrap(Trouble::no_answer(error))),
            }
        },
    ))
}

/// Makes the error of a stream.
pub(super) type Wrap = Box<dyn Fn(Trouble) -> stream::Error + Send + Sync>;

/// Tells whether an object gets the storage class: what is read at every run stays standard, and
/// so does what a check reads back, where the class could not give it back.
fn has_class(key: &Key, class: &str) -> bool {
    let small = [".manifest.json", ".index.zst", ".index.zst.age"];
    let is_small = small.iter().any(|end| key.name().ends_with(end));
    let is_probe = key.as_str().starts_with(".nxs-probe-") && COLD.contains(&class);
    !is_small && !is_probe && key.name() != ".nxs-backup.json"
}

const COLD: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Reads `bytes 0-1/10`.
fn total(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
}

fn modified(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(LAST_MODIFIED)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

fn absent() -> Trouble {
    Trouble::new(Kind::NotFound, "there is no such object")
}

fn outside(part: &Range<u64>, bytes: u64) -> Trouble {
    let problem = format!("bytes {part:?} were asked for, the object has {bytes}");
    Trouble::new(Kind::Corrupt, problem)
}

/// Says that the store broke its own rules.
pub(super) fn strange(what: &str) -> Trouble {
    let advice: BoxError = "is `endpoint` an S3 service, and no proxy changes its answers?".into();
    Trouble::of(Kind::Other, format!("the store answers with {what}"), advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_artefacts_get_the_storage_class() {
        for (key, class, has) in [
            ("a/site_2026.tar.zst", "GLACIER", true),
            ("a/site_2026.tar.zst.002", "GLACIER", true),
            ("a/site_2026.tar.zst.manifest.json", "GLACIER", false),
            ("a/site_2026.tar.zst.index.zst", "GLACIER", false),
            ("a/site_2026.tar.zst.index.zst.age", "GLACIER", false),
            (".nxs-backup.json", "GLACIER", false),
            (".nxs-probe-1/00/object", "GLACIER", false),
            (".nxs-probe-1/00/object", "STANDARD_IA", true),
        ] {
            assert_eq!(has_class(&Key::new(key).unwrap(), class), has, "{key} {class}");
        }
    }
}
