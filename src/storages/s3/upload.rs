//! An upload in parts, from its beginning to its completion or its end.

use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use reqwest::Method;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::base::{Key, chain};
use crate::storages::layers::step;
use crate::storages::s3::bucket::{Bucket, strange};
use crate::storages::s3::client::{Request, read, refused_late};
use crate::storages::s3::errors::{Need, Trouble};
use crate::storages::s3::parts::Part;
use crate::storages::s3::put::CRC32C;
use crate::storages::s3::xml::{Element, element};
use crate::storages::{Error, Kind, Result};

/// An upload that the store knows by its id; one that is dropped is aborted.
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    key: Key,
    path: String,
    id: String,
    is_open: bool,
}

/// A part that the store has acknowledged.
pub(super) struct Piece {
    pub(super) number: u32,
    etag: String,
    /// Where the store keeps checksums, it must be told all of them in the end; where it does
    /// not, some refuse to be told.
    crc32c: Option<String>,
}

impl Upload {
    /// Begins an upload.
    ///
    /// Given up in the middle, it still learns the id, in order to abort.
    pub(super) async fn begin(bucket: &Arc<Bucket>, key: &Key) -> Result<Self> {
        let (tell, told) = oneshot::channel();
        let (with, of) = (Arc::clone(bucket), key.clone());
        tokio::spawn(async move {
            let begun = step(with.retries, || async {
                let begun = with.begin(&of).await;
                begun.map_err(|trouble| with.error("put", of.as_str(), trouble))
            });
            let begun = begun.await.map(|id| {
                let (bucket, path) = (Arc::clone(&with), with.path(&of));
                Self { bucket, key: of.clone(), path, id, is_open: true }
            });
            // An upload that nobody waits for any more is dropped here.
            drop(tell.send(begun));
        });
        let lost = |error: oneshot::error::RecvError| {
            Error::new(Kind::Other, &bucket.name, "put", key, error)
        };
        told.await.map_err(lost)?
    }

    /// Sends a part.
    pub(super) async fn send(
        &self,
        number: u32,
        part: &Part,
        crc32c: &str,
    ) -> std::result::Result<Piece, Trouble> {
        let request = Request::new(Method::PUT, &self.path)
            .query("partNumber", number)
            .query("uploadId", &self.id)
            .header(CRC32C, crc32c)
            .body(part.chunks.clone());
        let response = self.bucket.client().await?.send(request, Need::Put).await?;
        let header = |name| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let etag = header("etag").ok_or_else(|| strange("a part without an ETag"))?;
        Ok(Piece { number, etag, crc32c: header(CRC32C) })
    }

    /// Makes the object visible; an upload that cannot be completed is aborted.
    pub(super) async fn complete(mut self, pieces: Vec<Piece>, bytes: u64) -> Result<()> {
        let mut asked = 0;
        let done = step(self.bucket.retries, || {
            asked += 1;
            self.complete_once(&pieces, bytes, asked > 1)
        });
        match done.await {
            Ok(()) => {
                self.is_open = false;
                Ok(())
            }
            Err(error) => {
                self.abort().await;
                Err(error)
            }
        }
    }

    /// Ends the upload and waits for that, but not for long.
    pub(super) async fn abort(mut self) {
        if timeout(PATIENCE, self.start_abort()).await.is_err() {
            warn!(storage = %self.bucket.name, key = %self.key, "still aborting an upload");
        }
    }

    async fn complete_once(&self, pieces: &[Piece], bytes: u64, again: bool) -> Result<()> {
        let wrap = |trouble| self.bucket.error("put", self.key.as_str(), trouble);
        match self.bucket.complete(&self.path, &self.id, pieces).await {
            // An answer may have been lost: then the upload is gone, and the object is there.
            Err(trouble) if again && trouble.is_absent() => {
                match self.bucket.holds(&self.path, &etag_of(pieces), bytes).await {
                    Ok(true) => Ok(()),
                    _ => Err(wrap(trouble)),
                }
            }
            done => done.map_err(wrap),
        }
    }

    /// Goes on by itself, also when nobody waits for it.
    fn start_abort(&mut self) -> JoinHandle<()> {
        self.is_open = false;
        let (bucket, key) = (Arc::clone(&self.bucket), self.key.clone());
        let (path, id) = (self.path.clone(), self.id.clone());
        tokio::spawn(async move {
            let aborted = step(bucket.retries, || async {
                let late = |_| Err(Trouble::new(Kind::Unavailable, "the store does not answer"));
                let ended = timeout(PATIENCE * 2, bucket.end(&path, &id)).await;
                let ended = ended.unwrap_or_else(late);
                ended.map_err(|trouble| bucket.error("abort", key.as_str(), trouble))
            });
            if let Err(error) = aborted.await {
                let (storage, error) = (&bucket.name, chain(&error));
                warn!(%storage, %error, "an unfinished upload stays until `sweep` or the bucket removes it");
            }
        })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.is_open && Handle::try_current().is_ok() {
            drop(self.start_abort());
        }
    }
}

impl Bucket {
    async fn begin(&self, key: &Key) -> std::result::Result<String, Trouble> {
        let path = self.path(key);
        let request = Request::new(Method::POST, &path).query("uploads", "");
        let request = request.headers(&self.wishes(key));
        let request = request.header("x-amz-checksum-algorithm", "CRC32C");
        let response = self.client().await?.send(request, Need::Put).await?;
        let document = Element::read(&read(response).await?);
        let id = document.as_ref().and_then(|document| document.text("UploadId"));
        let id = id.filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| strange("an upload without an id"))
    }

    async fn complete(
        &self,
        path: &str,
        id: &str,
        pieces: &[Piece],
    ) -> std::result::Result<(), Trouble> {
        let request = Request::new(Method::POST, path).query("uploadId", id);
        let request = request.header("content-type", "application/xml");
        let request = request.body(vec![list_of(pieces).into()]);
        let response = self.client().await?.send(request, Need::Put).await?;
        let headers = response.headers().clone();
        // A success that took long may turn out to be none.
        let body = read(response).await?;
        match Element::read(&body).map(|document| document.name) {
            Some(name) if name == "Error" => Err(refused_late(&headers, &body, Need::Put)),
            Some(_) => Ok(()),
            None => {
                let problem = "the store's answer to the end of the upload was cut off";
                Err(Trouble::new(Kind::Unavailable, problem))
            }
        }
    }

    /// Aborts until the store knows the upload no more: a part that was on its way may have come
    /// in after the first time.
    async fn end(&self, path: &str, id: &str) -> std::result::Result<(), Trouble> {
        for again in 0..ABORTS {
            sleep(PAUSE * again).await;
            match self.abort(path, id).await {
                Ok(()) => debug!(storage = %self.name, path, "aborted an upload"),
                Err(trouble) if trouble.is_absent() => return Ok(()),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Tells whether the object at `path` is the one that these parts make.
    async fn holds(
        &self,
        path: &str,
        etag: &str,
        bytes: u64,
    ) -> std::result::Result<bool, Trouble> {
        let request = Request::new(Method::HEAD, path);
        let response = self.client().await?.send(request, Need::Get).await?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let is = header("etag").is_some_and(|found| found.trim_matches('"') == etag);
        Ok(is && header("content-length") == Some(bytes.to_string().as_str()))
    }
}

/// Writes what the store is to put together.
fn list_of(pieces: &[Piece]) -> String {
    let part = |piece: &Piece| {
        let number = element("PartNumber", &piece.number.to_string());
        let etag = element("ETag", &piece.etag);
        let sum = piece.crc32c.as_ref().map(|sum| element("ChecksumCRC32C", sum));
        format!("<Part>{number}{etag}{}</Part>", sum.unwrap_or_default())
    };
    let parts: String = pieces.iter().map(part).collect();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

/// Computes the ETag of an object that is put together of these parts.
fn etag_of(pieces: &[Piece]) -> String {
    let mut digest = Md5::new();
    for piece in pieces {
        let hex = piece.etag.trim_matches('"').as_bytes();
        let nibble = |byte: u8| (byte as char).to_digit(16).unwrap_or_default() as u8;
        let bytes: Vec<u8> =
            hex.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect();
        digest.update(&bytes);
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}-{}", pieces.len())
}

/// How long a put waits for its upload to be aborted.
const PATIENCE: Duration = Duration::from_secs(10);
const ABORTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(number: u32, etag: &str, crc32c: Option<&str>) -> Piece {
        Piece { number, etag: etag.to_owned(), crc32c: crc32c.map(str::to_owned) }
    }

    #[test]
    fn checksums_are_told_only_to_a_store_that_told_them() {
        let list = list_of(&[piece(1, "\"a\"", None), piece(2, "\"b\"", Some("4waSgw=="))]);
        let should = "<CompleteMultipartUpload>\
            <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>\
            <Part><PartNumber>2</PartNumber><ETag>&quot;b&quot;</ETag>\
            <ChecksumCRC32C>4waSgw==</ChecksumCRC32C></Part></CompleteMultipartUpload>";
        assert_eq!(list, should);
    }

    #[test]
    fn the_etag_of_the_whole_is_that_of_its_parts() {
        // Two parts, 'a' and 'b'.
        let pieces = [
            piece(1, "\"0cc175b9c0f1b6a831c399e269772661\"", None),
            piece(2, "\"92eb5ffee6ae2fec3ad71c777531578f\"", None),
        ];
        assert_eq!(etag_of(&pieces), "96e024ba2074fe77e8e965ba43a704be-2");
    }
}
