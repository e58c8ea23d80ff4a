//! Folders below `backup_dir`, opened one component at a time so that no link is followed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags, fsync, mkdirat, open, openat, stat,
    statx,
};
use rustix::io::Errno;

use crate::storages::Kind;
use crate::storages::local::errors::Trouble;

/// The folder of one storage.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) name: String,
    pub(super) path: PathBuf,
    must_be_mounted: bool,
    /// Held from making a folder until its parent is on disk.
    making: Mutex<()>,
}

impl Root {
    pub(super) fn new(name: &str, path: &Path, must_be_mounted: bool) -> Self {
        let making = Mutex::new(());
        Self { name: name.to_owned(), path: path.to_owned(), must_be_mounted, making }
    }

    /// Opens `backup_dir`; `None` when it is missing.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>, Trouble> {
        let opened = open(&self.path, FOLDER.union(OFlags::CLOEXEC), Mode::empty());
        let folder = match opened {
            Ok(folder) => folder,
            Err(Errno::NOENT) if self.must_be_mounted => return Err(self.not_mounted()),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Trouble::io(&self.path, error)),
        };
        if self.must_be_mounted && !self.is_mounted()? {
            return Err(self.not_mounted());
        }
        Ok(Some(folder))
    }

    /// Opens `folder` below `backup_dir`; `None` when it is missing, or a file or a link lies in
    /// its place, below which there can be no object.
    pub(super) fn folder(&self, folder: &str) -> Result<Option<OwnedFd>, Trouble> {
        let Some(mut at) = self.open()? else { return Ok(None) };
        let mut path = self.path.clone();
        for part in parts(folder) {
            path.push(part);
            match openat(&at, part, INNER, Mode::empty()) {
                Ok(inner) => at = inner,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(Trouble::io(&path, error)),
            }
        }
        Ok(Some(at))
    }

    /// Opens `folder` below `backup_dir` and makes what is missing.
    pub(super) fn make_folder(&self, folder: &str) -> Result<OwnedFd, Trouble> {
        for _ in 0..ATTEMPTS {
            if let Some(opened) = self.try_make_folder(folder)? {
                return Ok(opened);
            }
        }
        let path = self.path.join(folder);
        let problem = format!("{}: somebody removes the folder all the time", path.display());
        Err(Trouble::new(Kind::Unavailable, problem))
    }

    /// Waits until the folders that others are making are on disk too.
    pub(super) fn settle(&self) {
        drop(self.making.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns `None` when a folder went away under our hands.
    fn try_make_folder(&self, folder: &str) -> Result<Option<OwnedFd>, Trouble> {
        let mut at = match self.open()? {
            Some(root) => root,
            None => {
                self.make_root()?;
                let Some(root) = self.open()? else { return Ok(None) };
                root
            }
        };
        let mut path = self.path.clone();
        for part in parts(folder) {
            path.push(part);
            at = match self.step_into(&at, part) {
                Ok(inner) => inner,
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(Trouble::io(&path, error)),
            };
        }
        Ok(Some(at))
    }

    fn step_into(&self, at: &OwnedFd, part: &str) -> Result<OwnedFd, Errno> {
        match openat(at, part, INNER, Mode::empty()) {
            Err(Errno::NOENT) => (),
            opened => return opened,
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        match mkdirat(at, part, Mode::RWXU) {
            Ok(()) => sync(at)?,
            Err(Errno::EXIST) => (),
            Err(error) => return Err(error),
        }
        openat(at, part, INNER, Mode::empty())
    }

    fn make_root(&self) -> Result<(), Trouble> {
        let wrap = |error: io::Error| Trouble::io(&self.path, error);
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made: Vec<_> = self.path.ancestors().take_while(missing).collect();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(wrap)?;
        for path in made {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let parent = parent.unwrap_or(Path::new("."));
            std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(wrap)?;
        }
        Ok(())
    }

    fn not_mounted(&self) -> Trouble {
        let problem = format!(
            "{} is not a mount point, and `must_be_mounted` is set: mount the disk first",
            self.path.display()
        );
        Trouble::new(Kind::Unavailable, problem)
    }

    fn is_mounted(&self) -> Result<bool, Trouble> {
        let own = statx(CWD, &self.path, AtFlags::empty(), StatxFlags::BASIC_STATS);
        if let Ok(own) = own
            && own.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        {
            return Ok(own.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
        }
        // A kernel before 5.8 does not tell; bind mounts of one file system are then not seen.
        let device = |path: &Path| stat(path).map_err(|error| Trouble::io(path, error));
        let (own, above) = (device(&self.path)?, device(&self.path.join(".."))?);
        let is_top = own.st_dev == above.st_dev && own.st_ino == above.st_ino;
        Ok(is_top || own.st_dev != above.st_dev)
    }
}

/// Brings the names in a folder to the disk, where the file system can.
pub(super) fn sync(folder: &OwnedFd) -> Result<(), Errno> {
    match fsync(folder) {
        // Some file servers flush files only.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        done => done,
    }
}

fn parts(folder: &str) -> impl Iterator<Item = &str> {
    folder.split('/').filter(|part| !part.is_empty())
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
const INNER: OFlags = FOLDER.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const ATTEMPTS: usize = 100;
