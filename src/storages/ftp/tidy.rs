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

/// The temporary file of a put. Dropped before it is gone, it lets a task remove it.
pub(super) struct Leftover {
    shared: Arc<Shared>,
    partial: Key,
    is_gone: bool,
}

impl Leftover {
    pub(super) fn new(shared: &Arc<Shared>, partial: &Key) -> Self {
        Self { shared: Arc::clone(shared), partial: partial.clone(), is_gone: false }
    }

    /// Notes that there is nothing to remove any more.
    pub(super) fn is_gone(&mut self) {
        self.is_gone = true;
    }

    /// Removes it now, if the server answers; else a task tries a little longer.
    pub(super) async fn remove(&mut self) {
        let removed = timeout(NOW, try_remove(&self.shared, &self.partial)).await;
        self.is_gone = matches!(removed, Ok(Ok(_)));
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.is_gone {
            let (shared, partial) = (Arc::clone(&self.shared), self.partial.clone());
            runtime.spawn(unconstrained(async move {
                if timeout(LATER, try_longer(&shared, &partial)).await.is_err() {
                    debug!(storage = %shared.name, key = %partial, "a temporary file may be left");
                }
            }));
        }
    }
}

/// Tries until the file was removed, or for as long as a command that was on its way may still
/// make it.
async fn try_longer(shared: &Shared, partial: &Key) {
    for _ in 0..ATTEMPTS {
        if let Ok(true) = try_remove(shared, partial).await {
            return;
        }
        sleep(PAUSE).await;
    }
}

async fn try_remove(shared: &Shared, partial: &Key) -> Result<bool, Trouble> {
    let mut session = shared.pool.take().await?;
    let removed = remove(shared, &mut session, partial).await?;
    remove_empty(shared, &mut session, partial.folder()).await?;
    shared.pool.give(session);
    Ok(removed)
}

const NOW: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(120);
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(400);
