//! Deletes, and the folders that they leave empty.

use nfs3_client::nfs3_types::nfs3::{REMOVE3args, nfs_fh3, nfsstat3};

use crate::base::Key;
use crate::storages::Result;
use crate::storages::nfs::call::{Call, entry};
use crate::storages::nfs::errors::Trouble;

/// Removes the file of `key`, then its folders as far up as they are empty.
pub(super) async fn delete(call: &Call, key: &Key) -> Result<()> {
    call.steady(|| async {
        let Some(folders) = call.folders(key.folder()).await? else { return Ok(()) };
        let Some(folder) = folders.last() else { return Ok(()) };
        call.remove(folder, key.name()).await?;
        call.remove_empty(key.folder(), &folders).await;
        Ok(())
    })
    .await
}

impl Call {
    /// Removes a file; what is not there is no error, and a folder is no object.
    pub(super) async fn remove(
        &self,
        folder: &nfs_fh3,
        name: &str,
    ) -> std::result::Result<(), Trouble> {
        let request = REMOVE3args { object: entry(folder, name) };
        match self.ask(&request).await? {
            Ok(_) => Ok(()),
            Err(nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_ISDIR) => Ok(()),
            Err(status) => Err(self.judge(status)),
        }
    }
}
