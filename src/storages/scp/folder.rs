//! Folders that are made when they are needed and go when they are empty; deletes.

use crate::base::Key;
use crate::storages::Kind;
use crate::storages::names::upwards;
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::host::Host;
use crate::storages::scp::sftp::{Fault, Sftp, code};

/// Makes the folder `path` and those above it as far as they are missing.
pub(super) fn make(sftp: &mut Sftp, path: &str) -> Result<(), Trouble> {
    match sftp.make_folder(path) {
        Ok(()) => Ok(()),
        Err(fault) if fault.is_missing() => {
            let above = above(path).filter(|above| !above.is_empty());
            let Some(above) = above else { return Err(fault.about(path, MAKE)) };
            make(sftp, above)?;
            match sftp.make_folder(path) {
                Ok(()) => Ok(()),
                Err(fault) => there_already(sftp, path, fault),
            }
        }
        Err(fault) => there_already(sftp, path, fault),
    }
}

const MAKE: &str = "make folders here";

/// Servers say only that it failed when the folder is there, and some that it is denied.
fn there_already(sftp: &mut Sftp, path: &str, fault: Fault) -> Result<(), Trouble> {
    let Fault::Said(_) = fault else { return Err(fault.about(path, MAKE)) };
    match sftp.look_through(path) {
        Ok(Some(found)) if found.is_folder() => Ok(()),
        Ok(Some(_)) => {
            let problem = format!(
                "{path}: a file lies where a folder is needed: move it away or name another"
            );
            Err(Trouble::new(Kind::Other, problem))
        }
        // A delete has removed the empty folder since; the one who puts tries again.
        Ok(None) if fault.is_missing() => Ok(()),
        _ => Err(fault.about(path, MAKE)),
    }
}

/// Returns the folder that holds `path`; `None` when that is the login folder or the root.
pub(super) fn above(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above)
}

/// Removes the file of `key`, then its folders as far up as they are empty.
pub(super) fn delete(sftp: &mut Sftp, host: &Host, key: &Key) -> Result<(), Trouble> {
    let path = host.path(key.as_str());
    match sftp.remove(&path) {
        Ok(()) => remove_empty(sftp, host, key.folder()),
        Err(fault) if fault.is_missing() => Ok(()),
        // A folder is no object; servers do not say that it is one.
        Err(fault @ Fault::Said(_)) => match sftp.look(&path) {
            Ok(None) => Ok(()),
            Ok(Some(found)) if found.is_folder() => Ok(()),
            _ => Err(fault.about(&path, "delete in this folder")),
        },
        Err(fault) => Err(fault.about(&path, "delete in this folder")),
    }
}

/// Removes `folder` and those above it, below `backup_dir`, as far up as they are empty.
///
/// A server refuses to remove a folder that is not empty, so a put at the same time is safe.
pub(super) fn remove_empty(sftp: &mut Sftp, host: &Host, folder: &str) -> Result<(), Trouble> {
    for folder in upwards(folder) {
        match sftp.remove_folder(&host.path(folder)) {
            Ok(()) => (),
            Err(fault) if fault.is_missing() => (),
            Err(Fault::Said(_)) => return Ok(()),
            Err(fault) => return Err(fault.about(folder, "delete folders")),
        }
    }
    Ok(())
}

/// Says why a write may have failed where the server says only that it did: by how much room is
/// left there.
pub(super) fn about_write(sftp: &mut Sftp, fault: Fault, path: &str) -> Trouble {
    if !fault.is(code::FAILURE) {
        return fault.about(path, "write into this folder");
    }
    let folder = above(path).unwrap_or_default();
    match sftp.free_bytes(folder) {
        Some(free) if free < NEARLY_NOTHING => {
            let problem = format!(
                "{path}: the disk of the server is full ({free} bytes left); free some space, or \
                 keep fewer copies"
            );
            Trouble::new(Kind::Full, problem)
        }
        Some(free) => {
            let problem = format!(
                "{path}: the server says only that the write failed, with {} MiB free on its \
                 disk; look there for a quota of this user, a limit on the size of files, a disk \
                 mounted read-only or a broken one",
                free >> 20
            );
            Trouble::new(Kind::Other, problem)
        }
        None => {
            let problem = format!(
                "{path}: the server says only that the write failed; most likely its disk or the \
                 quota of this user is full"
            );
            Trouble::new(Kind::Full, problem)
        }
    }
}

/// Less room than the largest single write needs.
const NEARLY_NOTHING: u64 = 1 << 20;
