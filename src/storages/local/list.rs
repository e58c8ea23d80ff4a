//! Listings: a thread walks the one folder that a prefix names.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use tracing::debug;

use crate::base::Key;
use crate::storages::local::errors::Trouble;
use crate::storages::local::folder::Root;
use crate::storages::local::read::{describe, is_file};
use crate::storages::names;
use crate::storages::threaded::{self, Finds, Found};

/// Gives every object whose key begins with `prefix`. Must be called inside a tokio runtime.
pub(super) fn start(root: Arc<Root>, prefix: String) -> BoxStream<'static, Found<()>> {
    threaded::list(move |sender, _| Walk { root: &root, sender }.all(&prefix))
}

struct Walk<'a> {
    root: &'a Root,
    sender: &'a Finds,
}

impl Walk<'_> {
    fn all(&self, prefix: &str) -> Result<(), Trouble> {
        let Some((folder, name)) = names::first_folder(prefix) else { return Ok(()) };
        match self.root.folder(folder)? {
            Some(opened) => self.folder(opened, folder, name),
            None => Ok(()),
        }
    }

    /// Walks one folder; only names that begin with `prefix` count.
    fn folder(&self, opened: OwnedFd, folder: &str, prefix: &str) -> Result<(), Trouble> {
        let path = self.root.path.join(folder);
        let wrap = |error| Trouble::io(&path, error);
        let mut inner = Vec::new();
        if self.sender.is_closed() {
            return Ok(());
        }
        for entry in Dir::read_from(&opened).map_err(wrap)? {
            let entry = entry.map_err(wrap)?;
            let name = match entry.file_name().to_str() {
                Ok("." | "..") => continue,
                Ok(name) if name.starts_with(prefix) => name,
                Ok(_) => continue,
                Err(_) => {
                    let (storage, folder) = (&self.root.name, path.display());
                    debug!(%storage, %folder, name = ?entry.file_name(), "foreign name");
                    continue;
                }
            };
            let key = names::join(folder, name);
            match entry.file_type() {
                FileType::Directory => inner.push(key),
                FileType::RegularFile | FileType::Unknown => {
                    self.file(&opened, name, key, &mut inner)?;
                }
                _ => (),
            }
        }
        for folder in inner.into_iter().filter(|folder| folder != names::LOST_AND_FOUND) {
            let (_, name) = names::split(&folder);
            match openat(&opened, name, INNER, Mode::empty()) {
                Ok(opened) => self.folder(opened, &folder, "")?,
                // Removed, or replaced by something else, since we read its name.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => (),
                Err(error) => return Err(Trouble::io(&self.root.path.join(&folder), error)),
            }
        }
        Ok(())
    }

    /// Sends a file, or notes a folder.
    fn file(
        &self,
        opened: &OwnedFd,
        name: &str,
        key: String,
        inner: &mut Vec<String>,
    ) -> Result<(), Trouble> {
        let facts = match statat(opened, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(facts) => facts,
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(Trouble::io(&self.root.path.join(&key), error)),
        };
        if FileType::from_raw_mode(facts.st_mode) == FileType::Directory {
            inner.push(key);
        } else if is_file(&facts)
            && let Ok(key) = Key::new(key)
        {
            // When nobody listens any more, the next folder sees it.
            self.sender.blocking_send(describe(&key, &facts)).ok();
        }
        Ok(())
    }
}

const INNER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
