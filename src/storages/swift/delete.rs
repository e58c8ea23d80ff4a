//! Deletes, and the segments that go with them.

use crate::base::Key;
use crate::storages::swift::client::{Client, Shelf};
use crate::storages::swift::large::{self, remove, remove_upload, upload_of};
use crate::storages::swift::trouble::Trouble;

/// Removes the object of `key`; of an unfinished upload, its segments and its mark.
pub(super) async fn delete(client: &Client, key: &Key) -> Result<(), Trouble> {
    if let Some((target, upload)) = unfinished(key) {
        return delete_upload(client, key, &target, upload).await;
    }
    let _turn = client.committing(key).await;
    let path = client.path(Shelf::Objects, key.as_str());
    let Some(upload) = upload_of(client, key).await? else { return remove(client, path).await };
    // Should we die after the object and before its segments, the mark tells of them.
    large::mark(client, key, &upload).await?;
    remove(client, path).await?;
    remove_upload(client, key, &upload).await
}

/// A mark may have outlived the moment in which the upload became an object: its segments then
/// stay.
async fn delete_upload(
    client: &Client,
    mark: &Key,
    target: &Key,
    upload: &str,
) -> Result<(), Trouble> {
    let _turn = client.committing(target).await;
    if upload_of(client, target).await?.as_deref() == Some(upload) {
        return remove(client, client.path(Shelf::Objects, mark.as_str())).await;
    }
    remove_upload(client, target, upload).await
}

/// Splits the name of a mark into key and upload.
fn unfinished(key: &Key) -> Option<(Key, &str)> {
    let target = key.partial_of()?;
    let (_, upload) = key.name().rsplit_once('.')?;
    Some((target, upload)).filter(|(_, upload)| !upload.is_empty())
}
