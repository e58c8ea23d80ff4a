//! Files and folders of a share, opened for what is to be done with them.

use std::time::Duration;

use jiff::Timestamp;
use smb::{
    CreateDisposition, CreateOptions, Directory, File, FileAccessMask, FileAttributes,
    FileCreateArgs, FileDispositionInformation, FileNormalizedNameInformation, GetLen, Resource,
    ResourceHandle,
};
use tokio::time::sleep;

use crate::base::Key;
use crate::storages::smb::errors::{DELETE_PENDING, Trouble};
use crate::storages::smb::link::Wire;
use crate::storages::{Kind, Object};

impl Wire {
    /// Opens the file at `path`.
    pub(super) async fn file(
        &self,
        subject: &str,
        path: &str,
        disposition: CreateDisposition,
        access: FileAccessMask,
    ) -> Result<File, Trouble> {
        let options = CreateOptions::new().with_non_directory_file(true);
        let attributes = FileAttributes::new();
        let args = FileCreateArgs { disposition, attributes, options, desired_access: access };
        let opened = self.within(self.tree().create(path, &args)).await?;
        match opened.map_err(|error| Trouble::about(subject, error))? {
            Resource::File(file) => Ok(file),
            Resource::Directory(folder) => {
                folder.close().await.ok();
                Err(Trouble::new(Kind::NotFound, format!("{subject}: a folder lies there")))
            }
            Resource::Pipe(_) => Err(Trouble::new(Kind::NotFound, format!("{subject}: no file"))),
        }
    }

    /// Opens the folder at `path`, which is the top of the share when it is empty.
    pub(super) async fn folder(
        &self,
        subject: &str,
        path: &str,
        disposition: CreateDisposition,
        access: FileAccessMask,
    ) -> Result<Directory, Trouble> {
        let options = CreateOptions::new().with_directory_file(true);
        let attributes = FileAttributes::new().with_directory(true);
        let args = FileCreateArgs { disposition, attributes, options, desired_access: access };
        let opened = self.within(self.tree().create(path, &args)).await?;
        match opened.map_err(|error| Trouble::about(subject, error))? {
            Resource::Directory(folder) => Ok(folder),
            _ => Err(Trouble::new(Kind::NotFound, format!("{subject}: a file lies there"))),
        }
    }

    /// Makes the folder at `path` and those above it, as far as they are missing.
    pub(super) async fn make_folders(&self, subject: &str, path: &str) -> Result<(), Trouble> {
        let ends = path.match_indices('\\').map(|(end, _)| end).chain([path.len()]);
        for end in ends.filter(|end| *end > 0) {
            let made = self.folder(subject, &path[..end], CreateDisposition::OpenIf, look()).await;
            match made {
                Ok(folder) => close(&folder).await,
                // Somebody removes it at this moment: whoever wants the folder tries again.
                Err(trouble) if trouble.said(&[DELETE_PENDING]) => return Ok(()),
                Err(trouble) if trouble.is_nothing() => {
                    if end < path.len() {
                        return Ok(());
                    }
                    return Err(Trouble::new(Kind::Other, trouble.to_string()));
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }
}

/// Lets the server forget a file or folder; when it cannot hear us, it forgets by itself.
pub(super) async fn close(handle: &ResourceHandle) {
    handle.close().await.ok();
}

/// Lets the server remove an open file or folder as soon as it is closed.
pub(super) async fn doom(handle: &ResourceHandle, subject: &str) -> Result<(), Trouble> {
    let doomed = handle.set_info(FileDispositionInformation::default()).await;
    doomed.map_err(|error| Trouble::about(subject, error))
}

/// Returns the path of an open file as it is spelled on the server's disk, where it tells.
pub(super) async fn spelling(handle: &ResourceHandle) -> Result<Option<String>, Trouble> {
    match handle.query_info::<FileNormalizedNameInformation>().await {
        Ok(name) => Ok(Some(name.file_name.to_string().trim_start_matches('\\').to_owned())),
        Err(error) => match Trouble::about("", error) {
            trouble if trouble.mark.lost => Err(trouble),
            _ => Ok(None),
        },
    }
}

/// Tells size and time of a file as they were when it was opened.
pub(super) async fn describe(key: &Key, file: &File) -> Object {
    let bytes = file.get_len().await.unwrap_or_default();
    let nanos = file.modified().assume_utc().unix_timestamp_nanos();
    Object { key: key.clone(), bytes, modified: Timestamp::from_nanosecond(nanos).ok() }
}

/// Turns a time of the server, in tenths of microseconds since 1601, into ours.
pub(super) fn time(ticks: u64) -> Option<Timestamp> {
    let nanos = (i128::from(ticks) - EPOCH) * 100;
    Timestamp::from_nanosecond(nanos).ok()
}

/// 1970 in tenths of microseconds since 1601.
const EPOCH: i128 = 116_444_736_000_000_000;

/// The right to see what something is.
pub(super) fn look() -> FileAccessMask {
    FileAccessMask::new().with_file_read_attributes(true).with_synchronize(true)
}

/// The right to read a file, or to list a folder.
pub(super) fn read() -> FileAccessMask {
    look().with_file_read_data(true)
}

/// The right to remove.
pub(super) fn remove() -> FileAccessMask {
    look().with_delete(true)
}

/// The right to write a file, to read it back and to rename it.
pub(super) fn write() -> FileAccessMask {
    read().with_file_write_data(true).with_file_append_data(true).with_delete(true)
}

/// Waits a moment that grows, for what goes away by itself.
#[derive(Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    /// Waits, or says that it was enough.
    pub(super) async fn more(&mut self) -> bool {
        if self.tries >= TRIES {
            return false;
        }
        sleep(SHORT * 2_u32.pow(self.tries.min(6))).await;
        self.tries += 1;
        true
    }
}

/// Pauses of 4 ms to 256 ms: 5 s together.
const SHORT: Duration = Duration::from_millis(4);
const TRIES: u32 = 25;
