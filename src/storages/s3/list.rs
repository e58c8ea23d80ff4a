//! Listings: the objects below a prefix, and the uploads there that nobody has finished.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use percent_encoding::percent_decode_str;
use reqwest::Method;
use tracing::debug;

use crate::base::{Key, chain};
use crate::storages::s3::bucket::{Bucket, strange};
use crate::storages::s3::client::{Request, read};
use crate::storages::s3::errors::{Need, Trouble};
use crate::storages::s3::unfinished;
use crate::storages::s3::xml::Element;
use crate::storages::{Kind, Object};

type Found = Result<Object, Trouble>;

/// Gives every object whose key begins with `prefix`, then every unfinished upload under its
/// temporary name.
pub(super) fn list(bucket: Arc<Bucket>, prefix: String) -> BoxStream<'static, Found> {
    let objects = pages(Arc::clone(&bucket), prefix.clone(), objects);
    objects.chain(unfinished_below(bucket, prefix)).boxed()
}

/// Uploads are a comfort: a store or a key that does not tell of them can still be listed.
fn unfinished_below(bucket: Arc<Bucket>, prefix: String) -> BoxStream<'static, Found> {
    let storage = bucket.name.clone();
    let uploads = pages(bucket, unfinished::search(&prefix).to_owned(), uploads);
    uploads
        .filter_map(move |found| {
            let kept = match found {
                Err(trouble) if trouble.kind != Kind::Unavailable => {
                    let error = chain(&trouble);
                    debug!(%storage, %error, "unfinished uploads are not told");
                    None
                }
                Ok(object) if !object.key.as_str().starts_with(&prefix) => None,
                other => Some(other),
            };
            async move { kept }
        })
        .boxed()
}

/// Where a listing goes on.
type Next = Vec<(&'static str, String)>;
/// What one page says: objects, and where the next page begins, if there is one.
type Page = (Vec<Object>, Option<Next>);
type ReadPage = fn(&Element, &Bucket) -> Result<Page, Trouble>;

fn pages(bucket: Arc<Bucket>, prefix: String, page: ReadPage) -> BoxStream<'static, Found> {
    let first: Option<Next> = Some(Vec::new());
    stream::try_unfold(first, move |next| {
        let (bucket, prefix) = (Arc::clone(&bucket), prefix.clone());
        async move {
            let Some(next) = next else { return Ok(None) };
            let (objects, after) = ask(&bucket, &prefix, next.clone(), page).await?;
            if after.as_ref() == Some(&next) {
                return Err(strange("the same page of a listing again and again"));
            }
            let next = after;
            Ok(Some((stream::iter(objects.into_iter().map(Ok)), next)))
        }
    })
    .try_flatten()
    .boxed()
}

async fn ask(bucket: &Bucket, prefix: &str, next: Next, page: ReadPage) -> Result<Page, Trouble> {
    let is_uploads = std::ptr::fn_addr_eq(page, uploads as ReadPage);
    let request = Request::new(Method::GET, "");
    let (request, need) = match is_uploads {
        true => (request.query("uploads", ""), Need::Uploads),
        false => (request.query("list-type", 2), Need::List),
    };
    let request = request.query("encoding-type", "url").query("max-keys", 1000);
    let mut request = request.query("prefix", format!("{}{prefix}", bucket.prefix));
    for (name, value) in next {
        request = request.query(name, value);
    }
    let response = bucket.client().await?.send(request, need).await?;
    let document = Element::read(&read(response).await?);
    let document = document.ok_or_else(|| strange("a listing that is cut off or no XML"))?;
    page(&document, bucket)
}

fn objects(document: &Element, bucket: &Bucket) -> Result<Page, Trouble> {
    expect_root(document, "ListBucketResult")?;
    let decode = decoder(document);
    let mut objects = Vec::new();
    for found in document.all("Contents") {
        let Some(key) = found.text("Key").and_then(|key| own(&decode(key), bucket)) else {
            continue;
        };
        let bytes = found.text("Size").and_then(|size| size.parse().ok());
        let bytes = bytes.ok_or_else(|| strange("a listing without sizes"))?;
        let modified = found.text("LastModified").and_then(|time| time.parse().ok());
        objects.push(Object { key, bytes, modified });
    }
    let next = match document.text("IsTruncated") {
        Some("true") => {
            let token = document.text("NextContinuationToken");
            let token = token.ok_or_else(|| strange("a listing that cannot be gone on with"))?;
            Some(vec![("continuation-token", token.to_owned())])
        }
        _ => None,
    };
    Ok((objects, next))
}

/// Anything else, such as an error that came late, would look like an empty bucket.
fn expect_root(document: &Element, name: &str) -> Result<(), Trouble> {
    if document.name == name { Ok(()) } else { Err(strange("something else than a listing")) }
}

fn uploads(document: &Element, bucket: &Bucket) -> Result<Page, Trouble> {
    expect_root(document, "ListMultipartUploadsResult")?;
    let decode = decoder(document);
    let mut objects = Vec::new();
    for found in document.all("Upload") {
        let key = found.text("Key").and_then(|key| own(&decode(key), bucket));
        let (Some(key), Some(id)) = (key, found.text("UploadId")) else { continue };
        let modified = found.text("Initiated").and_then(|time| time.parse().ok());
        objects.push(Object { key: unfinished::name(&key, id), bytes: 0, modified });
    }
    let next = match document.text("IsTruncated") {
        Some("true") => {
            let marker = |name| document.text(name).filter(|marker| !marker.is_empty());
            let key = marker("NextKeyMarker").map(decode);
            let key = key.ok_or_else(|| strange("a listing that cannot be gone on with"))?;
            let id = marker("NextUploadIdMarker").unwrap_or_default().to_owned();
            Some(vec![("key-marker", key), ("upload-id-marker", id)])
        }
        _ => None,
    };
    Ok((objects, next))
}

/// Names come escaped where the store heard that we ask for it: XML holds no control characters.
fn decoder(document: &Element) -> fn(&str) -> String {
    match document.text("EncodingType") {
        Some("url") => {
            |text| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        }
        _ => str::to_owned,
    }
}

/// Makes a key of a name in the bucket; others' names that are none are left out.
fn own(name: &str, bucket: &Bucket) -> Option<Key> {
    Key::new(name.strip_prefix(&bucket.prefix)?).ok()
}
