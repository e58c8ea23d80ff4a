//! Listings: a thread walks the one folder that a prefix names.
//!
//! The library reads a folder in a task that may miss the word to go on when it runs beside its
//! reader, and is then silent for ever. In a runtime of one thread the two take turns, and what
//! is left of that task ends with the runtime.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use smb::CreateDisposition::Open;
use smb::{Directory, FileDirectoryInformation};
use tracing::debug;

use crate::base::{KIB, Key};
use crate::storages::names::{first_folder, join};
use crate::storages::smb::errors::{Mark, NO_MORE_FILES, NO_SUCH_FILE, Trouble};
use crate::storages::smb::files::{close, look, read, time};
use crate::storages::smb::link::Wire;
use crate::storages::smb::{Site, names};
use crate::storages::threaded::{self, Finds, Found};
use crate::storages::{Kind, Object};

/// Gives every object whose key begins with `prefix`.
pub(super) async fn start(
    site: Arc<Site>,
    prefix: String,
) -> Result<BoxStream<'static, Found<Mark>>, Trouble> {
    let Some((folder, name)) = first_folder(&prefix) else { return Ok(stream::empty().boxed()) };
    let (folder, name) = (folder.to_owned(), name.to_owned());
    let Some(wire) = reach(&site, &folder).await? else { return Ok(stream::empty().boxed()) };
    Ok(threaded::list(move |sender, _| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|error| Trouble::new(Kind::Other, error.to_string()))?;
        let walk = Walk { site: &site, wire: &wire, sender };
        wire.note(runtime.block_on(walk.all(folder, name)))
    }))
}

/// Gives a connection that works, unless there is no such folder.
async fn reach(site: &Site, folder: &str) -> Result<Option<Arc<Wire>>, Trouble> {
    let (subject, path) = (site.subject(folder), site.path(folder));
    let (subject, path) = (subject.as_str(), path.as_str());
    let look = |wire: Arc<Wire>| async move {
        let opened = wire.folder(subject, path, Open, look()).await?;
        close(&opened).await;
        Ok(wire)
    };
    match site.link.call(look).await {
        Ok(wire) => Ok(Some(wire)),
        Err(trouble) if trouble.is_nothing() => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

struct Walk<'a> {
    site: &'a Site,
    wire: &'a Wire,
    sender: &'a Finds,
}

/// What a folder holds: `None` stands for a folder's size and time.
type Entries = Vec<(String, Option<Object>)>;

impl Walk<'_> {
    /// Walks `folder`, of which only names that begin with `prefix` count, and all below.
    async fn all(&self, folder: String, prefix: String) -> Result<(), Trouble> {
        let mut folders = vec![(folder, prefix)];
        while let Some((folder, prefix)) = folders.pop() {
            if self.sender.is_closed() {
                return Ok(());
            }
            for (key, object) in self.folder(&folder, &prefix).await? {
                match object {
                    Some(object) => drop(self.sender.send(object).await),
                    None if key.matches('/').count() < DEEPEST => {
                        folders.push((key, String::new()))
                    }
                    None => {
                        let storage = &self.site.name;
                        debug!(%storage, %key, "too deep, as below a link to a folder above");
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads one folder to its end; one that went away is empty.
    async fn folder(&self, folder: &str, prefix: &str) -> Result<Entries, Trouble> {
        let (subject, path) = (self.site.subject(folder), self.site.path(folder));
        let opened = match self.wire.folder(&subject, &path, Open, read()).await {
            Ok(opened) => Arc::new(opened),
            Err(trouble) if trouble.is_nothing() => return Ok(Vec::new()),
            Err(trouble) => return Err(trouble),
        };
        let entries = self.entries(&opened, folder, prefix, &subject).await;
        close(&opened).await;
        entries
    }

    async fn entries(
        &self,
        opened: &Arc<Directory>,
        folder: &str,
        prefix: &str,
        subject: &str,
    ) -> Result<Entries, Trouble> {
        let of = |error| Trouble::about(subject, error);
        let query = Directory::query_with_options::<FileDirectoryInformation>(opened, "*", ROOM);
        let mut query = query.await.map_err(of)?;
        let mut entries = Vec::new();
        while let Some(entry) = query.next().await {
            match entry.map_err(of) {
                Ok(entry) => entries.extend(read_entry(folder, prefix, &entry)),
                Err(trouble) if trouble.said(&[NO_MORE_FILES, NO_SUCH_FILE]) => break,
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(entries)
    }
}

/// Reads one entry, unless it is none of ours.
fn read_entry(
    folder: &str,
    prefix: &str,
    entry: &FileDirectoryInformation,
) -> Option<(String, Option<Object>)> {
    let name = names::decode(&entry.file_name.to_string());
    if name == "." || name == ".." || !name.starts_with(prefix) {
        return None;
    }
    let key = join(folder, &name);
    let attributes = entry.file_attributes;
    if attributes.directory() {
        // Links to folders lead elsewhere. A file that is a reparse point is one that the server
        // has deduplicated or moved to a slower disk: it reads as any other.
        let is_ours = !attributes.reparse_point() && !OF_WINDOWS.contains(&key.as_str());
        return is_ours.then_some((key, None));
    }
    let object = Object {
        key: Key::new(key.clone()).ok()?,
        bytes: entry.end_of_file,
        modified: time(*entry.last_write_time),
    };
    Some((key, Some(object)))
}

/// What Windows keeps for itself at the top of a disk, closed to everybody.
const OF_WINDOWS: [&str; 2] = ["System Volume Information", "$RECYCLE.BIN"];
/// How many bytes of names the server may send at a time.
const ROOM: u32 = 256 * KIB as u32;
/// No folder of ours lies deeper.
const DEEPEST: usize = 64;
