//! Nextcloud's way for large bodies: numbered pieces in a folder of their own, put together by
//! a last request.
//!
//! Source: <https://docs.nextcloud.com/server/latest/developer_manual/client_apis/WebDAV/chunking.html>
//! (second version).

use std::sync::atomic::Ordering;

use reqwest::{StatusCode, Url};

use crate::base::{Key, MIB};
use crate::storages::unique::unique;
use crate::storages::webdav::body::{Beginning, gather};
use crate::storages::webdav::errors::{Trouble, refusal};
use crate::storages::webdav::place::{below, encode};
use crate::storages::webdav::service::{Ask, Service};
use crate::storages::{Kind, Result};
use crate::stream::ByteStream;

/// Where pieces go, and how long one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// The user's own folder for uploads.
    uploads: Url,
    /// A put holds one piece in memory: 10 MiB, with several storages at once 20 MiB in all, but
    /// never fewer than 5 MiB each, the smallest that the server takes.
    pub(super) bytes: usize,
}

impl Pieces {
    /// Finds out from the address whether there is a Nextcloud behind it.
    pub(super) fn of(base: &Url, user: &str, peers: usize) -> Option<Self> {
        let (before, after) = base.path().split_once("/remote.php/")?;
        let mut parts = after.split('/').filter(|part| !part.is_empty());
        let user = match (parts.next(), parts.next(), parts.next()) {
            (Some("dav"), Some("files"), Some(user)) => user.to_owned(),
            (Some("webdav"), ..) if !user.is_empty() => encode(user).to_string(),
            _ => return None,
        };
        let mut uploads = base.clone();
        uploads.set_path(&format!("{before}/remote.php/dav/uploads/{user}/"));
        let bytes = (20 * MIB / peers.max(1)).clamp(5 * MIB, 10 * MIB);
        Some(Self { uploads, bytes })
    }

    /// The longest body that fits into as many pieces as the server takes.
    pub(super) fn largest_object(&self) -> u64 {
        self.bytes as u64 * MOST
    }
}

/// Makes a folder for the pieces of one body; `None` when the server has no place for them.
pub(super) async fn begin(
    service: &Service,
    pieces: &Pieces,
    partial: &Key,
) -> std::result::Result<Option<Url>, Trouble> {
    let (folder, to) = (below(&pieces.uploads, &unique(), "/"), destination(service, partial));
    let response = service.call(&Ask::new("MKCOL", &folder).with("Destination", to)).await?;
    match response.status() {
        status if status.is_success() => Ok(Some(folder)),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
            service.known.whole_only.store(true, Ordering::Relaxed);
            Ok(None)
        }
        _ => Err(refusal("MKCOL", response).await),
    }
}

/// Sends a body piece by piece, each again where it must be, and lets the server put them
/// together as `partial`. Returns the length.
pub(super) async fn send(
    service: &Service,
    (folder, size): (&Url, usize),
    partial: &Key,
    (first, mut rest): (Beginning, ByteStream),
) -> Result<u64> {
    let (subject, to) = (partial.as_str(), destination(service, partial));
    let failed = |trouble| service.error("put", subject, trouble);
    let (mut piece, mut number, mut total) = (first, 0, 0);
    loop {
        if !piece.bytes.is_empty() {
            number += 1;
            total += piece.bytes.len() as u64;
            if number > MOST {
                let problem =
                    format!("the server takes {MOST} pieces of {size} bytes: set `split`");
                return Err(failed(Trouble::new(Kind::Unsupported, problem)));
            }
            let url = below(folder, &format!("{number:05}"), "");
            let ask = Ask::new("PUT", &url).with("Destination", &to).body(piece.bytes.clone());
            service.again(subject, async || service.must(&ask).await.map(drop)).await?;
        }
        if piece.whole {
            break;
        }
        // The last piece must be gone before the next one is gathered.
        piece.bytes.clear();
        piece = gather(&mut rest, size).await.map_err(failed)?;
    }
    assemble(service, folder, partial, total).await?;
    Ok(total)
}

async fn assemble(service: &Service, folder: &Url, partial: &Key, total: u64) -> Result<()> {
    let (url, to) = (below(folder, ".file", ""), destination(service, partial));
    let ask = Ask::new("MOVE", &url).with("Destination", to).with("Overwrite", "T");
    let ask = ask.with("OC-Total-Length", total.to_string());
    service
        .again(partial.as_str(), async || {
            let response = service.call(&ask).await?;
            match response.status() {
                // An answer was lost, and the pieces are an object already; its size is checked.
                StatusCode::NOT_FOUND => Ok(()),
                status if status.is_success() => Ok(()),
                _ => Err(refusal("MOVE", response).await),
            }
        })
        .await
}

fn destination(service: &Service, key: &Key) -> String {
    service.place.object(key.as_str()).into()
}

/// Pieces that the server takes for one body.
const MOST: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nextcloud_is_known_by_its_address() {
        let of = |url: &str, user: &str| {
            let pieces = Pieces::of(&Url::parse(url).unwrap(), user, 1);
            pieces.map(|pieces| pieces.uploads.to_string())
        };
        let uploads = Some("https://h/nc/remote.php/dav/uploads/a%40b/".to_owned());
        assert_eq!(of("https://h/nc/remote.php/dav/files/a%40b/x/", "u"), uploads);
        assert_eq!(of("https://h/nc/remote.php/webdav/", "a@b"), uploads);
        assert_eq!(of("https://h/nc/remote.php/webdav/", ""), None);
        assert_eq!(of("https://h/remote.php/dav/files/", "u"), None);
        assert_eq!(of("https://h/dav/", "u"), None);
    }

    #[test]
    fn pieces_become_smaller_where_more_storages_need_memory() {
        let url = Url::parse("https://h/remote.php/dav/files/u/").unwrap();
        let size = |peers| Pieces::of(&url, "u", peers).unwrap().bytes / MIB;
        assert_eq!([1, 2, 3, 4, 9].map(size), [10, 10, 6, 5, 5]);
    }
}
