//! Gives a restored thing its owner, mode, attributes, access lists and times.
//!
//! In this order: a change of owner clears set-id bits and capabilities, and all of it changes
//! the time of the last change of the inode only.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{
    self, AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::{Errno, Result};

use crate::archive::acl;
use crate::archive::attributes::way;
use crate::archive::meta::Time;
use crate::archive::owners::Owners;
use crate::archive::reader::Member;

/// What a thing is given once its data is there.
#[derive(Debug)]
pub(crate) struct Traits {
    pub(crate) mode: u32,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Time,
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The thing that is given them.
#[derive(Clone, Copy)]
pub(crate) enum Bearer<'a> {
    /// An open file or folder.
    Open(BorrowedFd<'a>),
    /// A symlink, by its name in an open folder.
    Symlink(BorrowedFd<'a>, &'a CStr),
    /// Something that must not be opened, held by a handle that only names it (`O_PATH`).
    Handle(BorrowedFd<'a>),
}

/// What the thing has already, so that it need not be given.
#[derive(Clone, Copy, Default)]
pub(crate) struct Has {
    pub(crate) owner: bool,
    pub(crate) mode: bool,
    /// It may have got an access list from its folder, which must go.
    pub(crate) foreign_acl: bool,
}

/// Gives traits; knows who we are.
pub(crate) struct Giver {
    pub(crate) owners: Owners,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) umask: u32,
}

impl Giver {
    /// Looks up who we are.
    pub(crate) fn new() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        Self { owners: Owners::read(), uid, gid, umask: umask() }
    }

    /// Tells whether something that we make belongs to whom it should; only root gives away.
    pub(crate) fn owns(&self, traits: &Traits) -> bool {
        let mine = |wanted: Option<u32>, own| wanted.is_none_or(|id| id == own);
        self.uid != 0 || (mine(traits.uid, self.uid) && mine(traits.gid, self.gid))
    }

    /// Gives `traits` to `bearer`; what the system refuses is told in words.
    pub(crate) fn give(
        &self,
        bearer: Bearer,
        traits: &Traits,
        has: Has,
        told: &mut dyn FnMut(String),
    ) {
        let mut say = |what: &str, result: Result<()>| {
            if let Err(error) = result {
                told(format!("{what} could not be set: {error}"));
            }
        };
        if !has.owner && self.uid == 0 {
            say("its owner", bearer.chown(traits.uid, traits.gid));
        }
        if !has.mode && !matches!(bearer, Bearer::Symlink(..)) {
            say("its mode", bearer.chmod(self.mode_for(traits)));
        }
        if has.foreign_acl && !matches!(bearer, Bearer::Symlink(..)) {
            bearer.remove(ACCESS).ok();
            bearer.remove(DEFAULT).ok();
        }
        for (key, value) in &traits.records {
            match key.strip_prefix(b"SCHILY.") {
                Some(b"acl.access") => say("its access list", self.set_acl(bearer, ACCESS, value)),
                Some(b"acl.default") => {
                    say("its default access list", self.set_acl(bearer, DEFAULT, value));
                }
                Some(rest) => {
                    if let Some(name) = rest.strip_prefix(b"xattr.").and_then(decode) {
                        let what = format!("the attribute {}", name.to_string_lossy());
                        say(&what, bearer.set(&name, value));
                    }
                }
                None => {}
            }
        }
        say("its time", bearer.touch(traits.mtime));
    }

    /// The mode that a thing may have: set-id bits only where the owner is the right one.
    fn mode_for(&self, traits: &Traits) -> u32 {
        let mut mode = traits.mode;
        if self.uid != 0 && traits.uid.is_some_and(|uid| uid != self.uid) {
            mode &= !0o4000;
        }
        if self.uid != 0 && traits.gid.is_some_and(|gid| gid != self.gid) {
            mode &= !0o2000;
        }
        mode
    }

    fn set_acl(&self, bearer: Bearer, list: &CStr, text: &[u8]) -> Result<()> {
        let binary = acl::to_binary(text, &self.owners).ok_or(Errno::INVAL)?;
        // A list without entries means that there is none.
        if binary.len() <= 4 { Ok(()) } else { bearer.set(list, &binary) }
    }
}

impl From<Member> for Traits {
    fn from(member: Member) -> Self {
        let Member { mode, uid, gid, mtime, records, .. } = member;
        Self { mode, uid, gid, mtime, records }
    }
}

impl Bearer<'_> {
    fn chown(self, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        match self {
            Self::Open(fd) => fs::fchown(fd, uid, gid),
            Self::Symlink(at, name) => fs::chownat(at, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
            Self::Handle(fd) => fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH),
        }
    }

    fn chmod(self, mode: u32) -> Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => fs::fchmod(fd, mode),
            Self::Symlink(..) => Ok(()),
            Self::Handle(fd) => fs::chmodat(CWD, itself(fd), mode, AtFlags::empty()),
        }
    }

    fn set(self, name: &CStr, value: &[u8]) -> Result<()> {
        let flags = XattrFlags::empty();
        match self {
            Self::Open(fd) => fs::fsetxattr(fd, name, value, flags),
            Self::Symlink(at, link) => fs::lsetxattr(way(at, link), name, value, flags),
            Self::Handle(fd) => fs::setxattr(itself(fd), name, value, flags),
        }
    }

    fn remove(self, name: &CStr) -> Result<()> {
        match self {
            Self::Open(fd) => fs::fremovexattr(fd, name),
            Self::Symlink(at, link) => fs::lremovexattr(way(at, link), name),
            Self::Handle(fd) => fs::removexattr(itself(fd), name),
        }
    }

    fn touch(self, mtime: Time) -> Result<()> {
        let times = times(mtime);
        match self {
            Self::Open(fd) => fs::futimens(fd, &times),
            Self::Symlink(at, name) => fs::utimensat(at, name, &times, AtFlags::SYMLINK_NOFOLLOW),
            Self::Handle(fd) => fs::utimensat(CWD, itself(fd), &times, AtFlags::empty()),
        }
    }
}

/// The path of what an `O_PATH` handle holds.
fn itself(fd: BorrowedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
    }
}

/// Undoes the escapes that keep `=` out of a record's key.
fn decode(name: &[u8]) -> Option<CString> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        (plain, rest) = match rest {
            [b'%', b'3', b'D', after @ ..] => ([plain.as_slice(), b"="].concat(), after),
            [b'%', b'2', b'5', after @ ..] => ([plain.as_slice(), b"%"].concat(), after),
            _ => ([plain.as_slice(), &[*byte]].concat(), after),
        };
    }
    CString::new(plain).ok()
}

/// What new files are denied; when the system does not tell, as if all were.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o777)
}

pub(crate) const ACCESS: &CStr = c"system.posix_acl_access";
pub(crate) const DEFAULT: &CStr = c"system.posix_acl_default";
