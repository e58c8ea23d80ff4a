//! Deletes, and the folders that they leave empty.

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::base::Key;
use crate::storages::local::errors::Trouble;
use crate::storages::local::folder::{Root, sync};
use crate::storages::names::{split, upwards};

/// Removes the file of `key`, then its folders as far up as they are empty.
pub(super) fn delete(root: &Root, key: &Key) -> Result<(), Trouble> {
    let Some(folder) = root.folder(key.folder())? else { return Ok(()) };
    let wrap = |error| Trouble::io(&root.path.join(key.as_str()), error);
    match unlinkat(&folder, key.name(), AtFlags::empty()) {
        Ok(()) => sync(&folder).map_err(wrap)?,
        // A folder is no object.
        Err(Errno::NOENT | Errno::ISDIR) => (),
        Err(error) => return Err(wrap(error)),
    }
    remove_empty(root, key.folder());
    Ok(())
}

/// Removes `folder` and those above it as far up as they are empty.
///
/// The system refuses to remove a folder that is not empty, so a put at the same time is safe.
pub(super) fn remove_empty(root: &Root, folder: &str) {
    for folder in upwards(folder) {
        let (above, name) = split(folder);
        let Ok(Some(parent)) = root.folder(above) else { return };
        match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(_) => return,
        }
    }
}
