//! A put: one request for what fits into a part, an upload in parts for everything else.
//!
//! Parts are equal, which some stores demand. Each is kept until it is acknowledged and can be
//! sent again; the object appears when the upload is completed. An upload that does not get there
//! is aborted, also when the put is dropped.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use reqwest::Method;

use crate::base::Key;
use crate::storages::layers::step;
use crate::storages::s3::bucket::Bucket;
use crate::storages::s3::client::Request;
use crate::storages::s3::errors::{Need, Trouble};
use crate::storages::s3::parts::{Part, Parts};
use crate::storages::s3::upload::{Piece, Upload};
use crate::storages::{Object, Result};
use crate::stream::ByteStream;

/// Stores `body` under `key`.
pub(super) async fn put(bucket: &Arc<Bucket>, key: &Key, body: ByteStream) -> Result<Object> {
    let mut parts = Parts::new(body, bucket.part_bytes);
    let wrap = |trouble| bucket.error("put", key.as_str(), trouble);
    let first = parts.first().await.map_err(|error| wrap(Trouble::body(error)))?;
    let bytes = if first.is_last {
        let bytes = first.bytes as u64;
        let whole = || async { bucket.put_whole(key, &first).await.map_err(wrap) };
        step(bucket.retries, whole).await?;
        bytes
    } else {
        in_parts(bucket, key, first, parts).await?
    };
    Ok(Object { key: key.clone(), bytes, modified: None })
}

async fn in_parts(bucket: &Arc<Bucket>, key: &Key, first: Part, parts: Parts) -> Result<u64> {
    let upload = Upload::begin(bucket, key).await?;
    match send_all(bucket, key, &upload, first, parts).await {
        Ok((pieces, bytes)) => {
            upload.complete(pieces, bytes).await?;
            Ok(bytes)
        }
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

/// Sends parts while the next one is filled; at most [`Bucket::parts`] are in memory.
async fn send_all(
    bucket: &Arc<Bucket>,
    key: &Key,
    upload: &Upload,
    first: Part,
    mut parts: Parts,
) -> Result<(Vec<Piece>, u64)> {
    let wrap = |trouble| bucket.error("put", key.as_str(), trouble);
    let send = |number, part| send(bucket, key, upload, number, part);
    let mut bytes = first.bytes as u64;
    let mut flying = FuturesUnordered::from_iter([send(1, first)]);
    let mut pieces = Vec::new();
    let mut number = 1;
    loop {
        tokio::select! {
            biased;
            Some(piece) = flying.next() => pieces.push(piece?),
            part = parts.next(), if flying.len() < bucket.parts => match part {
                Ok(Some(part)) => {
                    number += 1;
                    bytes += part.bytes as u64;
                    flying.push(send(number, part));
                }
                Ok(None) => break,
                Err(error) => return Err(wrap(Trouble::body(error))),
            },
        }
    }
    while let Some(piece) = flying.next().await {
        pieces.push(piece?);
    }
    pieces.sort_by_key(|piece| piece.number);
    Ok((pieces, bytes))
}

/// Sends one part, again and again if it must be.
async fn send(
    bucket: &Arc<Bucket>,
    key: &Key,
    upload: &Upload,
    number: u32,
    part: Part,
) -> Result<Piece> {
    let crc32c = part.crc32c();
    let once = || async {
        let sent = upload.send(number, &part, &crc32c).await;
        sent.map_err(|trouble| bucket.error("put", key.as_str(), trouble))
    };
    step(bucket.retries, once).await
}

impl Bucket {
    /// Stores an object with one request.
    async fn put_whole(&self, key: &Key, part: &Part) -> std::result::Result<(), Trouble> {
        let path = self.path(key);
        let request = Request::new(Method::PUT, &path).headers(&self.wishes(key));
        let request = request.header(CRC32C, part.crc32c()).body(part.chunks.clone());
        self.client().await?.send(request, Need::Put).await.map(drop)
    }
}

/// The header that carries a part's checksum, there and back.
pub(super) const CRC32C: &str = "x-amz-checksum-crc32c";
