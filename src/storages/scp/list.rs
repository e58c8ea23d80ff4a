//! Listings: a thread walks the one folder that a prefix names.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use tracing::debug;

use crate::base::Key;
use crate::storages::names;
use crate::storages::scp::errors::{Mark, Trouble};
use crate::storages::scp::host::Host;
use crate::storages::scp::read::describe;
use crate::storages::scp::sftp::{Entry, Handle, Sftp};
use crate::storages::threaded::{self, Finds, Found};

/// Gives every object whose key begins with `prefix`. Must be called inside a tokio runtime.
pub(super) fn start(host: Arc<Host>, prefix: String) -> BoxStream<'static, Found<Mark>> {
    threaded::list(move |sender, gate| {
        let Some((folder, name)) = names::first_folder(&prefix) else { return Ok(()) };
        let first = |sftp: &mut Sftp| open(sftp, &host.path(folder));
        let (mut sftp, opened) = host.lease(gate, first)?;
        let mut walk = Walk { host: &host, sender, sftp: &mut sftp };
        walk.all(opened, folder, name)?;
        host.give_back(sftp);
        Ok(())
    })
}

/// Opens a folder; `None` when it is missing or is none.
fn open(sftp: &mut Sftp, path: &str) -> Result<Option<Handle>, Trouble> {
    match sftp.open_folder(path) {
        Ok(folder) => Ok(Some(folder)),
        Err(fault) if fault.is_missing() => Ok(None),
        // Some servers say only that it failed when it is a file.
        Err(fault) => match sftp.look_through(path) {
            Ok(Some(found)) if !found.is_folder() => Ok(None),
            _ => Err(fault.about(path, "list this folder")),
        },
    }
}

struct Walk<'a> {
    host: &'a Host,
    sender: &'a Finds,
    sftp: &'a mut Sftp,
}

impl Walk<'_> {
    /// Walks the folder that was opened and all below it; in the first, only names that begin
    /// with `prefix` count.
    fn all(&mut self, opened: Option<Handle>, folder: &str, prefix: &str) -> Result<(), Trouble> {
        let mut inner = Vec::new();
        if let Some(opened) = opened {
            self.folder(&opened, folder, prefix, &mut inner)?;
        }
        while let Some(folder) = inner.pop() {
            if self.sender.is_closed() {
                return Ok(());
            }
            if let Some(opened) = open(self.sftp, &self.host.path(&folder))? {
                self.folder(&opened, &folder, "", &mut inner)?;
            }
        }
        Ok(())
    }

    fn folder(
        &mut self,
        opened: &Handle,
        folder: &str,
        prefix: &str,
        inner: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let path = self.host.path(folder);
        while let Some(entries) =
            self.sftp.entries(opened).map_err(|fault| fault.about(&path, "list this folder"))?
        {
            for mut entry in entries {
                self.tell_more(&mut entry, &path)?;
                self.entry(&entry, folder, prefix, inner);
            }
        }
        self.sftp.close(opened).map_err(|fault| fault.about(&path, "list this folder"))
    }

    /// Asks about an entry of which the listing tells nothing, as some servers do.
    fn tell_more(&mut self, entry: &mut Entry, folder: &str) -> Result<(), Trouble> {
        if entry.attributes.mode.is_none()
            && let Ok(name) = std::str::from_utf8(&entry.name)
            && !matches!(name, "." | "..")
        {
            let found = self.sftp.look(&format!("{folder}/{name}"));
            let found = found.map_err(|fault| fault.about(folder, "list this folder"))?;
            entry.attributes = found.unwrap_or_default();
        }
        Ok(())
    }

    /// Sends a file, or notes a folder. Links are followed nowhere.
    fn entry(&self, entry: &Entry, folder: &str, prefix: &str, inner: &mut Vec<String>) {
        let Ok(name) = std::str::from_utf8(&entry.name) else {
            let (storage, name) = (&self.host.name, entry.name.escape_ascii().to_string());
            debug!(%storage, folder, ?name, "foreign name");
            return;
        };
        if name == "." || name == ".." || !name.starts_with(prefix) {
            return;
        }
        let key = names::join(folder, name);
        if entry.attributes.is_folder() {
            if key != names::LOST_AND_FOUND {
                inner.push(key);
            }
        } else if entry.attributes.is_file()
            && let Ok(key) = Key::new(key)
        {
            // When nobody listens any more, the next folder sees it.
            self.sender.blocking_send(describe(key, &entry.attributes)).ok();
        }
    }
}
