//! Deletes, and the folders that they leave empty.

use std::sync::Arc;

use smb::CreateDisposition::Open;

use crate::base::Key;
use crate::storages::names::upwards;
use crate::storages::smb::Site;
use crate::storages::smb::errors::Trouble;
use crate::storages::smb::files::{close, doom, remove};
use crate::storages::smb::link::Wire;

/// Removes the file of `key`, then its folders as far up as they are empty.
pub(super) async fn delete(site: Arc<Site>, key: Key) -> Result<(), Trouble> {
    let (subject, path) = (site.subject(key.as_str()), site.path(key.as_str()));
    let (subject, path) = (subject.as_str(), path.as_str());
    site.link.call(|wire| async move { remove_file(&wire, subject, path).await }).await?;
    remove_empty(&site, key.folder()).await;
    Ok(())
}

/// Removes the file at `path`; nothing, or a folder, is nothing to do.
pub(super) async fn remove_file(wire: &Wire, subject: &str, path: &str) -> Result<(), Trouble> {
    let file = match wire.file(subject, path, Open, remove()).await {
        Ok(file) => file,
        Err(trouble) if trouble.is_nothing() => return Ok(()),
        Err(trouble) => return Err(trouble),
    };
    let doomed = doom(&file, subject).await;
    let closed = file.close().await.map_err(|error| Trouble::about(subject, error));
    match doomed.and(closed) {
        // Somebody else removes it, too.
        Err(trouble) if trouble.is_nothing() => Ok(()),
        done => done,
    }
}

/// Removes `folder` and those above it as far up as they are empty.
///
/// The server refuses to remove a folder that is not empty, so a put at the same time is safe.
pub(super) async fn remove_empty(site: &Site, folder: &str) {
    for folder in upwards(folder) {
        let (subject, path) = (site.subject(folder), site.path(folder));
        let (subject, path) = (subject.as_str(), path.as_str());
        let removed = site.link.call(|wire| async move {
            let opened = wire.folder(subject, path, Open, remove()).await?;
            let doomed = doom(&opened, subject).await;
            close(&opened).await;
            doomed
        });
        if removed.await.is_err_and(|trouble| !trouble.is_nothing()) {
            return;
        }
    }
}
