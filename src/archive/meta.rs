//! What the file system says about one thing: the fields of `stat` that an archive keeps.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Result;

/// A moment, before or after 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    pub(crate) secs: i64,
    pub(crate) nanos: u32,
}

impl Time {
    /// Returns nanoseconds since 1970, saturating in the years 1677 and 2262.
    pub(crate) fn as_nanos(self) -> i64 {
        self.secs.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanos))
    }
}

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Symlink,
    Char,
    Block,
    Fifo,
    Socket,
}

/// The state of one thing at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) kind: Kind,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u64,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) rdev: u64,
    pub(crate) size: u64,
    /// Allocated blocks of 512 bytes.
    pub(crate) blocks: u64,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
}

impl Meta {
    /// Asks about `name` in the folder `at`, without following a link.
    pub(crate) fn of(at: impl AsFd, name: &CStr) -> Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        rustix::fs::statat(at, name, flags).map(|stat| Self::from_stat(&stat))
    }

    /// Asks about an open file.
    pub(crate) fn of_open(fd: impl AsFd) -> Result<Self> {
        rustix::fs::fstat(fd).map(|stat| Self::from_stat(&stat))
    }

    /// Tells whether `other` is the same thing: the same inode of the same kind.
    pub(crate) fn is_same_thing(&self, other: &Self) -> bool {
        (self.dev, self.ino, self.kind) == (other.dev, other.ino, other.kind)
    }

    /// Tells whether `other` is the same thing with the same content, as far as times tell.
    pub(crate) fn is_unchanged(&self, other: &Self) -> bool {
        self.is_same_thing(other)
            && (self.size, self.mtime, self.ctime) == (other.size, other.mtime, other.ctime)
    }

    // The types of the fields differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_lossless)]
    fn from_stat(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Char,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            _ => Kind::Socket,
        };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: stat.st_nlink as u64,
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            rdev: stat.st_rdev as u64,
            size: stat.st_size.max(0) as u64,
            blocks: stat.st_blocks as u64,
            mtime: Time { secs: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
            ctime: Time { secs: stat.st_ctime as i64, nanos: stat.st_ctime_nsec as u32 },
        }
    }
}
