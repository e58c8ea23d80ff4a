//! Deletes, the folders that they leave empty, and what broken puts leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::base::Key;
use crate::storages::ftp::Shared;
use crate::storages::ftp::errors::Trouble;
use crate::storages::ftp::session::{Refusal, Session, join};
use crate::storages::names::upwards;
use crate::storages::unique::unique;

/// Removes the file of `key`, then its folders as far up as they are empty.
pub(super) async fn delete(shared: &Shared, key: &Key) -> Result<(), Trouble> {
    let mut session = shared.pool.take().await?;
    remove(shared, &mut session, key).await?;
    remove_empty(shared, &mut session, key.folder()).await?;
    shared.pool.give(session);
    Ok(())
}

/// Removes the file of `key` and tells whether there was one.
async fn remove(shared: &Shared, session: &mut Session, key: &Key) -> Result<bool, Trouble> {
    let path = shared.path(session, key);
    match session.remove(&path).await {
        Ok(()) => Ok(true),
        // The code is the same for a file that is not there and for one that may not go.
        Err(Refusal::Refused(reply)) if reply.is_about_file() => match session.size(&path).await? {
            Some(_) => Err(Trouble::refused(&path, reply)),
            None => Ok(false),
        },
        Err(refusal) => Err(refusal.into_trouble(&path)),
    }
}

/// Removes `folder` and those above it as far up as they are empty.
///
/// The server refuses to remove a folder that is not empty, so a put at the same time is safe.
async fn remove_empty(shared: &Shared, session: &mut Session, folder: &str) -> Result<(), Trouble> {
    for folder in upwards(folder) {
        let path = join(&session.absolute(&shared.folder), folder);
        match session.remove_folder(&path).await {
            Ok(()) => (),
            Err(Refusal::Refused(_)) => return Ok(()),
            Err(Refusal::Broken(trouble)) => return Err(trouble),
        }
    }
    Ok(())
}

/// Gives a temporary name to an object that makes way for a new one of its name.
pub(super) fn aside(key: &Key) -> Key {
    key.partial(&format!("{ASIDE}{}", unique()))
}

/// Returns the key of an object that was set aside, if it was.
pub(super) fn aside_of(key: &Key) -> Option<Key> {
    let (_, unique) = key.name().rsplit_once('.')?;
    if unique.starts_with(ASIDE) { key.partial_of() } else { None }
}

/// What tells an old object under a temporary name from one that was never whole.
const ASIDE: &str = "old-";

/// The temporary file of a put. Dropped before it is gone, it lets a task remove it.
pub(super) struct Leftover {
    shared: Arc<Shared>,
    names: Names,
    is_gone: bool,
}

/// The names under which a put may leave something.
#[derive(Clone)]
struct Names {
    key: Key,
    partial: Key,
    /// Where the old object went that is being replaced.
    aside: Option<Key>,
}

impl Leftover {
    pub(super) fn new(shared: &Arc<Shared>, key: &Key, partial: &Key) -> Self {
        let names = Names { key: key.clone(), partial: partial.clone(), aside: None };
        Self { shared: Arc::clone(shared), names, is_gone: false }
    }

    /// Gives the name under which the old object makes way, the same for every attempt.
    pub(super) fn aside(&mut self) -> Key {
        let key = &self.names.key;
        self.names.aside.get_or_insert_with(|| aside(key)).clone()
    }

    /// Tells where the old object went, if it had to.
    pub(super) fn was_aside(&self) -> Option<&Key> {
        self.names.aside.as_ref()
    }

    /// Notes that there is nothing to remove any more.
    pub(super) fn is_gone(&mut self) {
        self.is_gone = true;
    }

    /// Removes it now, if the server answers; else a task tries a little longer. An old object
    /// that was set aside has its name again first.
    pub(super) async fn remove(&mut self) {
        let removed = timeout(NOW, try_remove(&self.shared, &self.names)).await;
        self.is_gone = matches!(removed, Ok(Ok(_)));
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_gone {
            let (shared, names) = (Arc::clone(&self.shared), self.names.clone());
            runtime.spawn(unconstrained(async move {
                if timeout(LATER, try_longer(&shared, &names)).await.is_err() {
                    let (storage, key) = (&shared.name, &names.partial);
                    debug!(%storage, %key, "a temporary file may be left");
                }
            }));
        }
    }
}

/// Tries until the file was removed, or for as long as a command that was on its way may still
/// make it.
async fn try_longer(shared: &Shared, names: &Names) {
    for _ in 0..ATTEMPTS {
        if let Ok(true) = try_remove(shared, names).await {
            return;
        }
        sleep(PAUSE).await;
    }
}

async fn try_remove(shared: &Shared, names: &Names) -> Result<bool, Trouble> {
    let mut session = shared.pool.take().await?;
    if let Some(aside) = &names.aside {
        put_back(shared, &mut session, aside, &names.key).await?;
    }
    let removed = remove(shared, &mut session, &names.partial).await?;
    remove_empty(shared, &mut session, names.partial.folder()).await?;
    shared.pool.give(session);
    Ok(removed)
}

/// Gives an old object its name back; where that is taken, by the new one or by itself, what is
/// aside is of no use any more.
async fn put_back(
    shared: &Shared,
    session: &mut Session,
    aside: &Key,
    key: &Key,
) -> Result<(), Trouble> {
    let (from, to) = (shared.path(session, aside), shared.path(session, key));
    if session.size(&to).await?.is_some() {
        return remove(shared, session, aside).await.map(drop);
    }
    match session.rename(&from, &to).await {
        Err(Refusal::Refused(reply)) if session.size(&from).await?.is_some() => {
            Err(Trouble::refused(&from, reply))
        }
        Err(Refusal::Broken(trouble)) => Err(trouble),
        _ => Ok(()),
    }
}

const NOW: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(400);
