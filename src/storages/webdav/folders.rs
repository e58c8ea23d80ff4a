//! When an empty folder may go.
//!
//! To delete a folder means on WebDAV to delete all that is in it. So one goes only while nothing
//! else of this process is stored or deleted, and while a lock on the server keeps everybody else
//! out. The lock tables of some servers, Apache's among them, get confused by requests at the same
//! time: this, too, is why a removal is alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The folders of one storage. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Folders(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Puts and deletes under way.
    busy: usize,
    /// A folder is being removed.
    going: bool,
    /// What was last seen in a folder, less what we deleted since: as long as something is left
    /// the folder is not empty, and nobody has to ask.
    members: BTreeMap<String, BTreeSet<String>>,
}

/// A put or a delete, during which every folder stays.
pub(super) struct Busy(Folders);

/// The removal of a folder; puts and deletes wait.
pub(super) struct Going(Folders);

impl Folders {
    /// Begins a put or a delete; waits while a folder is removed.
    pub(super) async fn enter(&self) -> Busy {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.lock();
                if !state.going {
                    state.busy += 1;
                    return Busy(self.clone());
                }
            }
            changed.await;
        }
    }

    /// Begins to remove a folder, unless something goes on or it seems to have members.
    pub(super) fn leave(&self, folder: &str) -> Option<Going> {
        let mut state = self.lock();
        let full = state.members.get(folder).is_some_and(|members| !members.is_empty());
        if full || state.busy > 0 || state.going {
            return None;
        }
        state.members.remove(folder);
        state.going = true;
        Some(Going(self.clone()))
    }

    /// Notes what was seen in a folder.
    pub(super) fn saw(&self, folder: &str, members: impl Iterator<Item = String>) {
        let mut state = self.lock();
        if state.members.len() >= FOLDERS {
            state.members.clear();
        }
        state.members.insert(folder.to_owned(), members.take(MEMBERS).collect());
    }

    /// Notes that something was deleted.
    pub(super) fn lost(&self, folder: &str, name: &str) {
        if let Some(members) = self.lock().members.get_mut(folder) {
            members.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.0.lock().going = false;
        self.0.0.changed.notify_waiters();
    }
}

/// Names that are remembered of one folder: 1000 of 180 bytes.
pub(super) const MEMBERS: usize = 1000;
/// Folders of which names are remembered: 64 times that is 11 MiB.
const FOLDERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_goes_only_while_nothing_else_goes_on() {
        let folders = Folders::default();
        let busy = folders.enter().await;
        assert!(folders.leave("a").is_none());
        drop(busy);
        let going = folders.leave("a").unwrap();
        assert!(folders.leave("b").is_none());
        let waits = tokio::spawn({
            let folders = folders.clone();
            async move { drop(folders.enter().await) }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(going);
        waits.await.unwrap();
    }

    #[test]
    fn a_folder_with_members_is_not_asked_about() {
        let folders = Folders::default();
        folders.saw("a", ["x", "y"].into_iter().map(str::to_owned));
        folders.lost("a", "x");
        assert!(folders.leave("a").is_none());
        folders.lost("a", "y");
        assert!(folders.leave("a").is_some());
    }
}
