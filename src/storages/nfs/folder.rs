//! Folders below the export, found one component at a time so that no link is followed.

use nfs3_client::nfs3_types::nfs3::{
    MKDIR3args, MKDIR3resok, Nfs3Option, RMDIR3args, nfs_fh3, nfsstat3, sattr3,
};

use crate::storages::Kind;
use crate::storages::names::{split, upwards};
use crate::storages::nfs::call::{Call, entry};
use crate::storages::nfs::errors::{IN_THE_WAY, Trouble};

type Result<T> = std::result::Result<T, Trouble>;

impl Call {
    /// Returns the handles from `backup_dir` down to `folder`, both included; `None` when one is
    /// missing, or a file or a link lies in its place, below which there can be no object.
    pub(super) async fn folders(&self, folder: &str) -> Result<Option<Vec<nfs_fh3>>> {
        let mut at = self.mounted().await?.root;
        for part in parts(&self.server.way.below) {
            let Some(inner) = self.step_into(&at, part).await? else { return Ok(None) };
            at = inner;
        }
        let mut all = vec![at];
        for part in parts(folder) {
            let Some(inner) = self.step_into(last(&all), part).await? else { return Ok(None) };
            all.push(inner);
        }
        Ok(Some(all))
    }

    /// Returns the handle of `folder` below `backup_dir`.
    pub(super) async fn folder(&self, folder: &str) -> Result<Option<nfs_fh3>> {
        Ok(self.folders(folder).await?.map(|all| last(&all).clone()))
    }

    /// Makes what is missing of `backup_dir` and `folder` below it.
    pub(super) async fn make_folder(&self, folder: &str) -> Result<nfs_fh3> {
        let mut at = self.mounted().await?.root;
        for part in parts(&self.server.way.below).chain(parts(folder)) {
            at = match self.lookup(&at, part).await? {
                Some(found) if found.is_folder() => found.handle,
                Some(_) => {
                    let words = format!("{}: {IN_THE_WAY}", self.server.way.place());
                    return Err(self.error(Kind::Other, words).into());
                }
                None => self.make_one(&at, part).await?,
            };
        }
        Ok(at)
    }

    /// Removes `folder` and those above it, up to `backup_dir`, as far as they are empty.
    ///
    /// The server refuses to remove a folder that is not empty, so a put at the same time is
    /// safe. What goes wrong here costs an empty folder at most.
    pub(super) async fn remove_empty(&self, folder: &str, handles: &[nfs_fh3]) {
        for (folder, above) in upwards(folder).zip(handles.iter().rev().skip(1)) {
            let (_, name) = split(folder);
            let request = RMDIR3args { object: entry(above, name) };
            match self.ask(&request).await {
                Ok(Ok(_) | Err(nfsstat3::NFS3ERR_NOENT)) => (),
                _ => return,
            }
        }
    }

    async fn step_into(&self, at: &nfs_fh3, part: &str) -> Result<Option<nfs_fh3>> {
        let found = self.lookup(at, part).await?;
        Ok(found.filter(|found| found.is_folder()).map(|found| found.handle))
    }

    async fn make_one(&self, at: &nfs_fh3, part: &str) -> Result<nfs_fh3> {
        let attributes = sattr3 { mode: Nfs3Option::Some(0o700), ..sattr3::default() };
        let request = MKDIR3args { where_: entry(at, part), attributes };
        match self.ask(&request).await? {
            Ok(MKDIR3resok { obj: Nfs3Option::Some(handle), .. }) => Ok(handle),
            Ok(_) | Err(nfsstat3::NFS3ERR_EXIST) => {
                self.step_into(at, part).await?.ok_or(Trouble::Stale)
            }
            // The folder around it went away under our hands.
            Err(nfsstat3::NFS3ERR_NOENT) => Err(Trouble::Stale),
            Err(status) => Err(self.judge(status)),
        }
    }
}

fn last(handles: &[nfs_fh3]) -> &nfs_fh3 {
    handles.last().expect("`backup_dir` itself is always among them")
}

fn parts(folder: &str) -> impl Iterator<Item = &str> {
    folder.split('/').filter(|part| !part.is_empty())
}
