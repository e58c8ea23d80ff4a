//! A put: a temporary file beside the target, flushed, then renamed.

use std::time::Duration;

use nfs3_client::nfs3_types::nfs3::{
    CREATE3args, CREATE3resok, Nfs3Option, RENAME3args, createhow3, fattr3, nfs_fh3, nfsstat3,
    sattr3,
};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::debug;

use crate::base::Key;
use crate::storages::nfs::call::{Call, entry};
use crate::storages::nfs::errors::Trouble;
use crate::storages::nfs::read::describe;
use crate::storages::nfs::upload::Upload;
use crate::storages::unique::unique;
use crate::storages::{Kind, Object, Result};
use crate::stream::ByteStream;

/// Stores `body` under `key`.
pub(super) async fn put(call: &Call, key: &Key, body: ByteStream) -> Result<Object> {
    let mut partial = Partial::create(call, key).await?;
    let done = partial.fill_and_commit(body).await;
    if done.is_err() {
        partial.remove().await;
    }
    partial.is_settled = true;
    done
}

/// A temporary file; dropped before it is settled, it is removed in the background.
struct Partial {
    /// Asks again what brings no answer: a body can be read only once.
    call: Call,
    key: Key,
    folder: nfs_fh3,
    name: String,
    handle: nfs_fh3,
    is_settled: bool,
}

impl Partial {
    async fn create(call: &Call, key: &Key) -> Result<Self> {
        let (folder, name, handle) = call.steady(|| create(call, key)).await?;
        let (call, key) = (call.patiently(), key.clone());
        Ok(Self { call, key, folder, name, handle, is_settled: false })
    }

    async fn fill_and_commit(&self, body: ByteStream) -> Result<Object> {
        let call = &self.call;
        let piece = call.mounted().await?.write_bytes;
        let upload = Upload::new(call.clone(), self.handle.clone(), piece);
        let bytes = upload.fill(body).await?;
        let facts = call.facts(&self.handle).await.map_err(|trouble| call.plainly(trouble))?;
        if facts.size != bytes {
            let words = format!("{bytes} bytes were written, the server has {}", facts.size);
            return Err(call.error(Kind::Corrupt, words));
        }
        self.rename(&facts).await?;
        Ok(describe(&self.key, &facts))
    }

    async fn rename(&self, facts: &fattr3) -> Result<()> {
        let (call, target) = (&self.call, self.key.name());
        let (from, to) = (entry(&self.folder, &self.name), entry(&self.folder, target));
        let request = RENAME3args { from, to };
        match call.ask(&request).await? {
            Ok(_) => Ok(()),
            // It may have been done by a request whose answer was lost.
            Err(nfsstat3::NFS3ERR_NOENT) => {
                let found = call.lookup(&self.folder, target).await;
                let found = found.map_err(|trouble| call.plainly(trouble))?;
                match found {
                    Some(found) if found.facts.fileid == facts.fileid => Ok(()),
                    _ => Err(call.error(Kind::Other, "somebody removed the temporary file")),
                }
            }
            Err(status) => Err(call.refused(status)),
        }
    }

    /// Removes the file, and its folders as far up as they are empty.
    async fn remove(&self) {
        remove(&self.call, &self.key, &self.folder, &self.name).await;
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        let (call, key) = (self.call.clone(), self.key.clone());
        let (folder, name) = (self.folder.clone(), self.name.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { remove(&call, &key, &folder, &name).await });
        }
    }
}

/// What cannot be removed, because the server is gone, stays as a partial object for `sweep`.
async fn remove(call: &Call, key: &Key, folder: &nfs_fh3, name: &str) {
    let removing = async {
        call.remove(folder, name).await?;
        if let Some(folders) = call.folders(key.folder()).await? {
            call.remove_empty(key.folder(), &folders).await;
        }
        Ok::<(), Trouble>(())
    };
    if !matches!(timeout(CLEAN_UP, removing).await, Ok(Ok(()))) {
        debug!(storage = call.server.name, name, "a temporary file could not be removed");
    }
}

async fn create(
    call: &Call,
    key: &Key,
) -> std::result::Result<(nfs_fh3, String, nfs_fh3), Trouble> {
    let folder = call.make_folder(key.folder()).await?;
    let name = key.partial(&unique()).name().to_owned();
    let attributes = sattr3 { mode: Nfs3Option::Some(0o600), ..sattr3::default() };
    let how = createhow3::GUARDED(attributes);
    let request = CREATE3args { where_: entry(&folder, &name), how };
    match call.once_more().ask(&request).await? {
        Ok(CREATE3resok { obj: Nfs3Option::Some(handle), .. }) => Ok((folder, name, handle)),
        // Nobody else knows the name: an answer of the server was lost, the file is ours.
        Ok(_) | Err(nfsstat3::NFS3ERR_EXIST) => {
            let found = call.lookup(&folder, &name).await?.ok_or(Trouble::Stale)?;
            Ok((folder, name, found.handle))
        }
        // A delete removed the empty folder.
        Err(nfsstat3::NFS3ERR_NOENT) => Err(Trouble::Stale),
        Err(status) => Err(call.judge(status)),
    }
}

/// How long a put that failed tries to remove what it left.
const CLEAN_UP: Duration = Duration::from_secs(20);
