//! Listings: one folder after another, from the one that a prefix names.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tracing::{info, warn};

use crate::base::Key;
use crate::storages::ftp::Shared;
use crate::storages::ftp::errors::{Reply, Trouble};
use crate::storages::ftp::listing::{Entry, What};
use crate::storages::ftp::session::{Refusal, Session, join};
use crate::storages::ftp::tidy::aside_of;
use crate::storages::{Object, names};

/// The objects of a listing.
pub(super) type Listing = BoxStream<'static, Result<Object, Trouble>>;

/// Gives every object whose key begins with `prefix`.
pub(super) fn list(shared: &Arc<Shared>, prefix: &str) -> Listing {
    let Some((folder, name)) = names::first_folder(prefix) else { return stream::empty().boxed() };
    let walk = Walk {
        shared: Arc::clone(shared),
        session: None,
        name: name.to_owned(),
        folders: vec![folder.to_owned()],
        found: VecDeque::new(),
    };
    stream::try_unfold(walk, |mut walk| async move {
        let object = walk.next().await?;
        Ok(object.map(|object| (object, walk)))
    })
    .boxed()
}

struct Walk {
    shared: Arc<Shared>,
    session: Option<Session>,
    /// What names in the first folder begin with.
    name: String,
    /// Folders that are still to be listed.
    folders: Vec<String>,
    found: VecDeque<Object>,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Object>, Trouble> {
        loop {
            if let Some(object) = self.found.pop_front() {
                return Ok(Some(object));
            }
            let mut session = match self.session.take() {
                Some(session) => session,
                None => self.shared.pool.take().await?,
            };
            let Some(folder) = self.folders.pop() else {
                self.shared.pool.give(session);
                return Ok(None);
            };
            self.folder(&mut session, &folder).await?;
            // Nobody knows how long the reader takes: what is known is enough for now.
            if self.folders.is_empty() {
                self.shared.pool.give(session);
                return Ok(self.found.pop_front());
            }
            self.session = Some(session);
        }
    }

    async fn folder(&mut self, session: &mut Session, folder: &str) -> Result<(), Trouble> {
        let name = std::mem::take(&mut self.name);
        let path = join(&session.absolute(&self.shared.folder), folder);
        let mut entries = entries(session, &path).await?;
        self.put_back(session, folder, &mut entries).await?;
        for Entry { name, what } in
            entries.into_iter().filter(|entry| entry.name.starts_with(&name))
        {
            let key = names::join(folder, &name);
            match what {
                What::Folder => self.folders.push(key),
                What::File { bytes, modified } => {
                    if let Ok(key) = Key::new(key) {
                        self.found.push_back(Object { key, bytes, modified });
                    }
                }
                What::Other => (),
            }
        }
        if !session.lists_exactly() {
            self.ask_times(session).await?;
        }
        Ok(())
    }

    /// Gives objects their names back that made way for new ones which then never came.
    async fn put_back(
        &self,
        session: &mut Session,
        folder: &str,
        entries: &mut [Entry],
    ) -> Result<(), Trouble> {
        for at in 0..entries.len() {
            let Ok(aside) = Key::new(names::join(folder, &entries[at].name)) else { continue };
            let Some(key) = aside_of(&aside) else { continue };
            if entries.iter().any(|entry| entry.name == key.name()) {
                continue;
            }
            let (from, to) = (self.shared.path(session, &aside), self.shared.path(session, &key));
            let storage = &self.shared.name;
            match session.rename(&from, &to).await {
                Ok(()) => {
                    info!(%storage, %key, "an object has its name back: replacing it was cut off");
                    entries[at].name = key.name().to_owned();
                }
                Err(Refusal::Broken(trouble)) => return Err(trouble),
                // Also when the put that it made way for is just being done.
                Err(Refusal::Refused(reply)) => {
                    let error = Trouble::refused(&from, reply);
                    warn!(%storage, %error, "an object must get its name back: rename it to {to}");
                }
            }
        }
        Ok(())
    }

    /// Asks for the time of unfinished objects, by which they may be swept.
    async fn ask_times(&mut self, session: &mut Session) -> Result<(), Trouble> {
        for object in self.found.iter_mut().filter(|object| object.key.partial_of().is_some()) {
            let path = self.shared.path(session, &object.key);
            object.modified = session.modified(&path).await?;
        }
        Ok(())
    }
}

/// Lists a folder; one that is missing is empty.
async fn entries(session: &mut Session, path: &str) -> Result<Vec<Entry>, Trouble> {
    match session.list(path).await {
        Ok(entries) => Ok(entries),
        Err(Refusal::Refused(reply)) if reply.is_about_file() => {
            match is_missing(session, path, &reply).await? {
                true => Ok(Vec::new()),
                false => Err(Trouble::refused(path, reply)),
            }
        }
        Err(refusal) => Err(refusal.into_trouble(path)),
    }
}

/// Tells whether a folder that the server would not list does not exist.
///
/// The code is the same for one that may not be listed: what lies above it tells them apart.
async fn is_missing(session: &mut Session, path: &str, reply: &Reply) -> Result<bool, Trouble> {
    let mut path = path.trim_end_matches('/');
    if reply.is_denial() {
        return Ok(false);
    }
    loop {
        let Some((above, name)) = path.rsplit_once('/') else { return Ok(false) };
        let above = if above.is_empty() { "/" } else { above };
        match session.list(above).await {
            Ok(entries) => {
                let here = |entry: &Entry| entry.name == name && entry.what == What::Folder;
                return Ok(!entries.iter().any(here));
            }
            Err(Refusal::Refused(reply)) if reply.is_about_file() && above != "/" => path = above,
            Err(refusal) => return Err(refusal.into_trouble(above)),
        }
    }
}
