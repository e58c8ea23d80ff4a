//! Listings: folder by folder, one request each; the members of one folder are in memory.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};

use crate::base::Key;
use crate::storages::webdav::errors::Trouble;
use crate::storages::webdav::properties::{Depth, look};
use crate::storages::webdav::read::describe;
use crate::storages::webdav::service::Service;
use crate::storages::{Object, names};

/// Gives every object whose key begins with `prefix`.
pub(super) fn start(
    service: Arc<Service>,
    prefix: &str,
) -> BoxStream<'static, Result<Object, Trouble>> {
    let first =
        names::first_folder(prefix).map(|(folder, name)| (folder.to_owned(), name.to_owned()));
    let walk = Walk { service, folders: first.into_iter().collect(), found: Vec::new() };
    stream::try_unfold(walk, |mut walk| async move {
        loop {
            if let Some(object) = walk.found.pop() {
                return Ok(Some((object, walk)));
            }
            match walk.folders.pop() {
                Some((folder, prefix)) => walk.look_into(&folder, &prefix).await?,
                None => return Ok(None),
            }
        }
    })
    .boxed()
}

struct Walk {
    service: Arc<Service>,
    /// Folders to look into, and what names in them must begin with.
    folders: Vec<(String, String)>,
    found: Vec<Object>,
}

impl Walk {
    async fn look_into(&mut self, folder: &str, prefix: &str) -> Result<(), Trouble> {
        let place = &self.service.place;
        let url = place.folder(&place.inside(folder));
        // It may have vanished since its name was read, or be an object.
        let found = look(&self.service, &url, Depth::Members(usize::MAX)).await?;
        let Some(found) = found.filter(|found| found.itself.folder) else { return Ok(()) };
        for (name, facts) in found.members {
            match Key::new(names::join(folder, &name)) {
                Ok(_) if !name.starts_with(prefix) => {}
                Ok(key) if facts.folder => self.folders.push((key.into(), String::new())),
                Ok(key) => self.found.push(describe(&key, facts)?),
                Err(_) => {
                    tracing::debug!(storage = self.service.name, folder, name, "foreign name")
                }
            }
        }
        Ok(())
    }
}
