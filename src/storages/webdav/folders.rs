//! Which folders are in use by puts, and which may go.
//!
//! To delete a folder means on WebDAV to delete all that is in it, so one goes only while no put
//! of this process uses it, and while a lock on the server keeps everybody else out.

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
    used: BTreeMap<String, usize>,
    going: BTreeSet<String>,
    /// What was last seen in a folder, less what we deleted since: as long as something is left
    /// the folder is not empty, and nobody has to ask.
    members: BTreeMap<String, BTreeSet<String>>,
}

/// A folder, and those above it, that must stay.
pub(super) struct Used {
    folders: Folders,
    folder: String,
}

/// A folder that is about to be removed; puts into it wait.
pub(super) struct Going {
    folders: Folders,
    folder: String,
}

impl Folders {
    /// Keeps a folder in being; waits while it is removed.
    pub(super) async fn enter(&self, folder: &str) -> Used {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.lock();
                if !state.going.iter().any(|going| holds(going, folder)) {
                    *state.used.entry(folder.to_owned()).or_default() += 1;
                    return Used { folders: self.clone(), folder: folder.to_owned() };
                }
            }
            changed.await;
        }
    }

    /// Begins to remove a folder, unless it is used or seems to have members.
    pub(super) fn leave(&self, folder: &str) -> Option<Going> {
        let mut state = self.lock();
        let full = state.members.get(folder).is_some_and(|members| !members.is_empty());
        if full || state.used.keys().any(|used| holds(folder, used)) {
            return None;
        }
        state.going.insert(folder.to_owned()).then(|| {
            state.members.remove(folder);
            Going { folders: self.clone(), folder: folder.to_owned() }
        })
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

/// Tells whether `inner` is `outer` or lies below it.
fn holds(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut state = self.folders.lock();
        if let Some(count) = state.used.get_mut(&self.folder) {
            *count -= 1;
            if *count == 0 {
                state.used.remove(&self.folder);
            }
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.folders.lock().going.remove(&self.folder);
        self.folders.0.changed.notify_waiters();
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
    async fn a_folder_goes_only_while_nobody_uses_it() {
        let folders = Folders::default();
        let used = folders.enter("a/b").await;
        assert!(folders.leave("a").is_none() && folders.leave("a/b").is_none());
        assert!(folders.leave("a/bc").is_some());
        drop(used);
        let going = folders.leave("a").unwrap();
        assert!(folders.leave("a").is_none());
        let waits = tokio::spawn({
            let folders = folders.clone();
            async move { drop(folders.enter("a/b").await) }
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
