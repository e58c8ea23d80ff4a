//! The last step of a put: the temporary file takes the place of the object.

use std::sync::Arc;

use smb::CreateDisposition::Open;
use smb::FileRenameInformation;

use crate::storages::Object;
use crate::storages::smb::errors::{
    ACCESS_DENIED, COLLISION, DELETE_PENDING, SHARING_VIOLATION, Trouble,
};
use crate::storages::smb::files::{Patience, close, describe, look, spelling};
use crate::storages::smb::link::Wire;
use crate::storages::smb::write::{Upload, given_up};

impl Upload {
    /// Renames the file over whatever lies there.
    ///
    /// A server replaces no file that somebody holds open, as a reader of the old object does for
    /// a moment: that is tried again for some seconds.
    pub(super) async fn commit(&mut self) -> Result<Object, Trouble> {
        let mut patience = Patience::default();
        loop {
            if self.is_given_up() {
                return Err(given_up());
            }
            let renamed = self.rename().await;
            match self.wire.note(renamed) {
                Ok(object) => return Ok(object),
                Err(trouble) if trouble.mark.lost => {
                    if let Some(object) = self.recover_rename(trouble).await? {
                        return Ok(object);
                    }
                }
                Err(trouble) if trouble.said(BUSY) && patience.more().await => (),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn rename(&self) -> Result<Object, Trouble> {
        let object = self.stored().await?;
        match self.rename_over(false).await {
            Err(trouble) if trouble.said(&[COLLISION]) => {
                self.check_twin().await?;
                self.rename_over(true).await?;
            }
            done => done?,
        }
        Ok(object)
    }

    async fn rename_over(&self, replace: bool) -> Result<(), Trouble> {
        let to = self.site.path(self.key.as_str());
        let rename = FileRenameInformation {
            replace_if_exists: replace.into(),
            root_directory: 0,
            file_name: to.as_str().into(),
        };
        let renamed = self.file.set_info(rename).await;
        renamed.map_err(|error| Trouble::about(&self.subject, error))
    }

    /// Refuses to replace an object whose name differs only in upper and lower case.
    async fn check_twin(&self) -> Result<(), Trouble> {
        let path = self.site.path(self.key.as_str());
        let twin = match self.wire.file(&self.subject, &path, Open, look()).await {
            Ok(twin) => twin,
            // It went away meanwhile, or may not be looked at: then the rename tells.
            Err(trouble) if !trouble.mark.lost => return Ok(()),
            Err(trouble) => return Err(trouble),
        };
        let there = spelling(&twin).await;
        close(&twin).await;
        there?.map_or(Ok(()), |there| self.same_spelling(&there, &path))
    }

    /// Finds out whether a rename whose answer was lost was carried out.
    async fn recover_rename(&mut self, trouble: Trouble) -> Result<Option<Object>, Trouble> {
        match self.recover(trouble).await {
            Ok(()) => Ok(None),
            Err(trouble) if trouble.is_nothing() => self.renamed().await.map(Some).ok_or(trouble),
            Err(trouble) => Err(trouble),
        }
    }

    /// The object, if it is there with the size of ours.
    async fn renamed(&self) -> Option<Object> {
        let (subject, path) = (self.subject.as_str(), self.site.path(self.key.as_str()));
        let (path, key) = (path.as_str(), &self.key);
        let look = |wire: Arc<Wire>| async move {
            let file = wire.file(subject, path, Open, look()).await?;
            let object = describe(key, &file).await;
            close(&file).await;
            Ok(object)
        };
        let object = self.site.link.call(look).await.ok()?;
        (object.bytes == self.pipe.bytes()).then_some(object)
    }
}

const BUSY: &[u32] = &[ACCESS_DENIED, SHARING_VIOLATION, DELETE_PENDING, COLLISION];
