//! Deletes, and the folders that they leave empty.

use std::sync::atomic::Ordering;

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};

use crate::base::{Key, chain};
use crate::storages::names::{split, upwards};
use crate::storages::unique::unique;
use crate::storages::webdav::errors::{Trouble, refusal};
use crate::storages::webdav::folders::MEMBERS;
use crate::storages::webdav::properties::{Depth, look};
use crate::storages::webdav::service::{Ask, Service};

/// Removes the object of `key`, then its folders as far up as they are empty.
pub(super) async fn delete(service: &Service, key: &Key) -> Result<(), Trouble> {
    let url = service.place.object(key.as_str());
    let busy = service.folders.enter().await;
    // A folder is no object, and would go with all that is in it.
    match look(service, &url, Depth::Itself).await? {
        Some(found) if !found.itself.folder => remove(service, &url).await?,
        _ => return Ok(()),
    }
    service.folders.lost(key.folder(), key.name());
    drop(busy);
    remove_empty(service, key.folder()).await;
    Ok(())
}

/// Removes what is no folder; what is not there is no error.
pub(super) async fn remove(service: &Service, url: &Url) -> Result<(), Trouble> {
    let response = service.call(&Ask::new("DELETE", url)).await?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
        StatusCode::MULTI_STATUS => Err(refusal("DELETE", response).await),
        status if status.is_success() => Ok(()),
        _ => Err(refusal("DELETE", response).await),
    }
}

/// Removes `folder` and those above it as far up as they are empty.
///
/// Nothing depends on it: whatever goes wrong, an empty folder is left.
pub(super) async fn remove_empty(service: &Service, folder: &str) {
    for folder in upwards(folder) {
        let Some(_going) = service.folders.leave(folder) else { return };
        match remove_if_empty(service, folder).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(trouble) => {
                let (storage, error) = (&service.name, chain(&trouble));
                tracing::debug!(%storage, folder, %error, "an empty folder is left");
                return;
            }
        }
        let (above, name) = split(folder);
        service.folders.lost(above, name);
    }
}

/// Removes a folder under a lock, without which somebody could fill it between the look and the
/// removal. Tells whether it is gone.
async fn remove_if_empty(service: &Service, folder: &str) -> Result<bool, Trouble> {
    let url = service.place.folder(&service.place.inside(folder));
    if service.known.lockless.load(Ordering::Relaxed) {
        return Ok(false);
    }
    match is_empty(service, folder, &url).await? {
        Some(true) => {}
        Some(false) => return Ok(false),
        None => return Ok(true),
    }
    if !shows_dotted(service, folder).await? {
        return Ok(false);
    }
    let Some(lock) = lock(service, &url).await? else { return Ok(false) };
    let empty = match lock.made {
        // What a lock has made is no folder; some servers say so of one that was there.
        true => look(service, &url, Depth::Itself)
            .await
            .is_ok_and(|found| found.is_some_and(|found| !found.itself.folder)),
        false => matches!(is_empty(service, folder, &url).await, Ok(Some(true))),
    };
    // Without the URL Apache demands the lock of the folder above, too.
    let ask = Ask::new("DELETE", &url).with("If", format!("<{url}> ({})", lock.token));
    let gone = if empty { service.must(&ask).await.map(|_| true) } else { Ok(false) };
    // A lock may outlive its folder, and would then keep the next one closed.
    service.call(&Ask::new("UNLOCK", &url).with("Lock-Token", lock.token)).await?;
    gone
}

/// Tells whether a folder has no members; `None` when it is not there.
async fn is_empty(service: &Service, folder: &str, url: &Url) -> Result<Option<bool>, Trouble> {
    let Some(found) = look(service, url, Depth::Members(MEMBERS)).await? else { return Ok(None) };
    let empty = found.itself.folder && found.members.is_empty() && found.foreign == 0;
    service.folders.saw(folder, found.members.into_iter().map(|(name, _)| name));
    Ok(Some(empty))
}

/// Tells whether names that begin with a dot are listed; tried once, in a folder that seems empty.
///
/// Where they are not, a folder that seems empty may hold what others keep or store just now.
async fn shows_dotted(service: &Service, folder: &str) -> Result<bool, Trouble> {
    let mut known = service.known.dotted.lock().await;
    if let Some(known) = *known {
        return Ok(known);
    }
    let (place, name) = (&service.place, format!("{TRIAL}{}", unique()));
    let trial = place.object(&format!("{folder}/{name}"));
    service.must(&Ask::new("PUT", &trial).body("?")).await?;
    let seen = look(service, &place.folder(&place.inside(folder)), Depth::Members(MEMBERS)).await;
    remove(service, &trial).await?;
    let shows = seen?.is_some_and(|seen| seen.members.iter().any(|(member, _)| *member == name));
    if !shows {
        let storage = &service.name;
        tracing::info!(%storage, "names that begin with a dot are hidden: folders are left there");
    }
    *known = Some(shows);
    Ok(shows)
}

/// How an object begins that only shows whether it is listed; it looks like the remains of a put.
const TRIAL: &str = ".nxs-partial.trial.";

struct Lock {
    /// With its angle brackets.
    token: String,
    /// The folder was not there any more, and the lock has made something in its place.
    made: bool,
}

async fn lock(service: &Service, url: &Url) -> Result<Option<Lock>, Trouble> {
    let ask = Ask::new("LOCK", url).with("Depth", "infinity").with("Timeout", "Second-10");
    let ask = ask.with("Content-Type", "application/xml; charset=utf-8").body(EXCLUSIVE);
    let response = service.call(&ask).await?;
    let status = response.status();
    match (status, token(response.headers())) {
        (StatusCode::OK | StatusCode::CREATED, Some(token)) => {
            Ok(Some(Lock { token, made: status == StatusCode::CREATED }))
        }
        // Somebody else is at work there.
        (StatusCode::LOCKED | StatusCode::MULTI_STATUS | StatusCode::CONFLICT, _) => Ok(None),
        _ => {
            service.known.lockless.store(true, Ordering::Relaxed);
            let storage = &service.name;
            tracing::info!(%storage, %status, "the server locks nothing: empty folders are left");
            Ok(None)
        }
    }
}

fn token(headers: &HeaderMap) -> Option<String> {
    headers.get("Lock-Token")?.to_str().ok().map(str::to_owned)
}

const EXCLUSIVE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <lockinfo xmlns=\"DAV:\"><lockscope><exclusive/></lockscope><locktype><write/></locktype>\
    </lockinfo>";
