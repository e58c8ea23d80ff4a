//! Folders that are made when they are needed.

use std::sync::atomic::Ordering;

use reqwest::StatusCode;

use crate::storages::Kind;
use crate::storages::names::split;
use crate::storages::webdav::errors::{Trouble, refusal, server};
use crate::storages::webdav::properties::{Depth, look};
use crate::storages::webdav::service::{Ask, Service};

/// Makes sure that `folder` of the storage is there, and the URL's own below which it lies.
///
/// It asks every time: the answer also tells whether the connection, the login and the rights
/// still stand, before a body is touched that can be read only once.
pub(super) async fn make_folder(service: &Service, folder: &str) -> Result<(), Trouble> {
    let wanted = service.place.inside(folder);
    // From the inside out until one is made or there, then back in.
    let mut missing = vec![wanted.as_str()];
    while let Some(folder) = missing.last() {
        if folder.is_empty() {
            return top(service).await;
        }
        if make_one(service, folder).await? {
            missing.pop();
        } else {
            let (above, _) = split(folder);
            if above.is_empty() {
                top(service).await?;
            }
            if missing.len() > DEEPEST || above.is_empty() {
                let problem = format!("{folder} could not be made: somebody removes what is above");
                return Err(Trouble::new(Kind::Unavailable, problem));
            }
            missing.push(above);
        }
    }
    Ok(())
}

/// Makes one folder. Tells `false` when the one above is missing.
async fn make_one(service: &Service, inside: &str) -> Result<bool, Trouble> {
    let url = service.place.folder(inside);
    let response = service.call(&Ask::new("MKCOL", &url)).await?;
    match response.status() {
        StatusCode::CREATED => {
            service.speaks();
            Ok(true)
        }
        // There is something already; only a WebDAV server means that by it.
        StatusCode::METHOD_NOT_ALLOWED if service.known.speaks.load(Ordering::Relaxed) => Ok(true),
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(false),
        status if status.is_redirection() => Err(refusal("MKCOL", response).await),
        // A server may also refuse what is there already in other words.
        _ => match look(service, &url, Depth::Itself).await {
            Ok(Some(found)) if found.itself.folder => Ok(true),
            Ok(Some(_)) => {
                let problem = format!("{url} is no folder: move it away, or name another");
                Err(Trouble::new(Kind::Other, problem))
            }
            _ => Err(refusal("MKCOL", response).await),
        },
    }
}

/// Makes sure that there is a folder at the URL itself, which is never made.
async fn top(service: &Service) -> Result<(), Trouble> {
    let base = service.place.base();
    match look(service, base, Depth::Itself).await? {
        Some(found) if found.itself.folder => Ok(()),
        _ => {
            let path = base.path();
            let problem = format!("{} has no folder {path}: check `host`", server(base));
            Err(Trouble::new(Kind::Other, problem))
        }
    }
}

/// Rounds of making folders that vanish again at once.
const DEEPEST: usize = 100;
