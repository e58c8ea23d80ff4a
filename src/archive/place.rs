//! The folder that an archive is unpacked into, and the way down to where a member goes.
//!
//! Every step goes from an open folder to a name in it and never follows a link: nothing is
//! written outside, whatever the archive or somebody else plants on the way. Folders get their
//! modes and times when they are left.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::archive::apply::{Bearer, DEFAULT, Giver, Has, Traits};
use crate::archive::meta::{Kind, Meta, Time};

/// The folders from the target down to the present one.
pub(crate) struct Place {
    levels: Vec<Level>,
    pub(crate) giver: Giver,
}

struct Level {
    name: CString,
    /// Closed while the present folder is far below.
    fd: Option<OwnedFd>,
    identity: (u64, u64),
    /// What is made in it may get another group or an access list from it.
    hands_down: bool,
    finish: Finish,
}

/// What a folder is given when it is left.
enum Finish {
    Nothing,
    Time(Time),
    Traits(Box<Traits>, Has),
}

/// What the system refused when a folder was left, in words.
pub(crate) type Told<'a> = &'a mut dyn FnMut(&[u8], String);

impl Place {
    /// Opens the target folder.
    pub(crate) fn open(into: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, into, flags, Mode::empty())?;
        let giver = Giver::new();
        let mut level = Level::new(c".", fd, &giver, true)?;
        level.finish = Finish::Nothing;
        Ok(Self { levels: vec![level], giver })
    }

    /// Tells whether the target holds nothing.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        let mut room = Vec::with_capacity(4096);
        let mut entries = rustix::fs::RawDir::new(self.here(), room.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the present folder.
    pub(crate) fn here(&self) -> BorrowedFd<'_> {
        let level = self.levels.last().expect("the target itself is never left");
        level.fd.as_ref().expect("the present folder is open").as_fd()
    }

    /// Tells whether what is made here may get another group or an access list than ours.
    pub(crate) fn hands_down(&self) -> bool {
        self.levels.last().is_some_and(|level| level.hands_down)
    }

    /// Goes to the folder `path` below the target; folders that are missing are made.
    pub(crate) fn go(&mut self, path: &[CString], told: Told) -> Result<()> {
        self.back_to(self.common(path), told)?;
        for name in &path[self.levels.len() - 1..] {
            self.down(name, None)?;
        }
        Ok(())
    }

    /// Goes into the folder `name` below the present one, which will get `traits`; it is made if
    /// it is missing.
    pub(crate) fn go_into(&mut self, name: &CStr, traits: Traits) -> Result<()> {
        self.down(name, Some(traits))
    }

    /// Gives the target itself `traits` in the end.
    pub(crate) fn finish_top(&mut self, traits: Traits) {
        self.levels[0].finish = Finish::Traits(Box::new(traits), Has::default());
    }

    /// Opens the folder `path` below the target, which must be there, without going to it.
    pub(crate) fn look_up(&self, path: &[CString]) -> Result<OwnedFd> {
        let mut known = self.common(path);
        while self.levels[known].fd.is_none() {
            known -= 1;
        }
        let mut fd = self.levels[known].fd.as_ref().ok_or(Errno::BADF)?.try_clone();
        for name in &path[known..] {
            let above = fd.map_err(|_| Errno::MFILE)?;
            fd = Ok(open_folder(above.as_fd(), name)?);
        }
        fd.map_err(|_| Errno::MFILE)
    }

    /// Leaves every folder, so that each gets what it is due.
    pub(crate) fn leave(mut self, told: Told) -> Result<()> {
        self.back_to(0, told)?;
        self.finish_last(told);
        Ok(())
    }

    /// How many levels below the target the present folder and `path` share.
    fn common(&self, path: &[CString]) -> usize {
        let levels = self.levels[1..].iter().map(|level| &level.name);
        levels.zip(path).take_while(|(level, name)| level == name).count()
    }

    fn back_to(&mut self, depth: usize, told: Told) -> Result<()> {
        while self.levels.len() - 1 > depth {
            self.finish_last(told);
            let left = self.levels.pop().and_then(|level| level.fd);
            let at = self.levels.len() - 1;
            if self.levels[at].fd.is_none() {
                let left = left.ok_or(Errno::BADF)?;
                let fd = open_folder(left.as_fd(), c"..")?;
                let meta = Meta::of_open(&fd)?;
                if (meta.dev, meta.ino) != self.levels[at].identity {
                    return Err(Errno::STALE);
                }
                self.levels[at].fd = Some(fd);
            }
        }
        Ok(())
    }

    fn finish_last(&mut self, told: Told) {
        let Some(Level { fd: Some(fd), finish, .. }) = self.levels.last() else { return };
        match finish {
            Finish::Nothing => {}
            Finish::Time(time) => {
                let none =
                    Traits { mode: 0, uid: None, gid: None, mtime: *time, records: Vec::new() };
                let has = Has { owner: true, mode: true, foreign_acl: false };
                self.giver.give(Bearer::Open(fd.as_fd()), &none, has, &mut |_| {});
            }
            Finish::Traits(traits, has) => {
                let names = self.levels[1..].iter().map(|level| level.name.to_bytes());
                let path = names.collect::<Vec<_>>().join(b"/".as_slice());
                self.giver.give(Bearer::Open(fd.as_fd()), traits, *has, &mut |what| {
                    told(&path, what);
                });
            }
        }
    }

    /// Goes one level down. With traits, whatever else has the name is replaced.
    fn down(&mut self, name: &CStr, traits: Option<Traits>) -> Result<()> {
        let (here, hands_down) = (self.here(), self.hands_down());
        let made = match rustix::fs::mkdirat(here, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error),
        };
        let fd = match open_folder(here, name) {
            Err(Errno::NOTDIR | Errno::LOOP) if traits.is_some() => {
                rustix::fs::unlinkat(here, name, AtFlags::empty())?;
                rustix::fs::mkdirat(here, name, Mode::RWXU)?;
                open_folder(here, name)?
            }
            other => other?,
        };
        let mut level = Level::new(name, fd, &self.giver, hands_down || !made)?;
        match traits {
            Some(traits) => {
                let owner = made && !level.hands_down && !hands_down && self.giver.owns(&traits);
                level.be_writable(made);
                let has = Has { owner, mode: false, foreign_acl: hands_down || !made };
                level.finish = Finish::Traits(Box::new(traits), has);
            }
            None if made => level.be_ordinary(self.giver.umask),
            None => level.let_us_in(),
        }
        self.levels.push(level);
        if let Some(far) = self.levels.len().checked_sub(OPEN).filter(|far| *far > 0) {
            self.levels[far].fd = None;
        }
        Ok(())
    }
}

impl Level {
    /// Takes in an open folder; with `unknown`, it may have a default access list.
    fn new(name: &CStr, fd: OwnedFd, giver: &Giver, unknown: bool) -> Result<Self> {
        let meta = Meta::of_open(&fd)?;
        let lists = || rustix::fs::fgetxattr_query(&fd, DEFAULT).is_ok_and(|size| size > 0);
        let sets_group = meta.mode & 0o2000 != 0 || meta.gid != giver.gid;
        let hands_down = sets_group || (unknown && lists());
        let identity = (meta.dev, meta.ino);
        let finish = Finish::Time(meta.mtime);
        Ok(Self { name: name.to_owned(), fd: Some(fd), identity, hands_down, finish })
    }

    /// Lets us work in a folder that was there before; it gets its mode in the end.
    fn be_writable(&self, made: bool) {
        let Some(fd) = self.fd.as_ref().filter(|_| !made) else { return };
        if let Ok(meta) = Meta::of_open(fd)
            && meta.kind == Kind::Folder
            && meta.mode & 0o700 != 0o700
        {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode | 0o700)).ok();
        }
    }

    /// A folder that was there, and into which something comes that it may not let in, is given
    /// its mode and its time back when it is left.
    fn let_us_in(&mut self) {
        let Some(fd) = &self.fd else { return };
        let Ok(meta) = Meta::of_open(fd) else { return };
        if meta.mode & 0o700 == 0o700 {
            return;
        }
        if rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode | 0o700)).is_ok() {
            let Meta { mode, mtime, .. } = meta;
            let traits = Traits { mode, uid: None, gid: None, mtime, records: Vec::new() };
            let has = Has { owner: true, mode: false, foreign_acl: false };
            self.finish = Finish::Traits(Box::new(traits), has);
        }
    }

    /// A folder of which the archive says nothing is like one that a person makes.
    fn be_ordinary(&mut self, umask: u32) {
        if let Some(fd) = &self.fd {
            rustix::fs::fchmod(fd, Mode::from_raw_mode(0o777 & !umask)).ok();
        }
        self.finish = Finish::Nothing;
    }
}

fn open_folder(at: BorrowedFd, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Levels of folders that stay open above the present one.
const OPEN: usize = 32;
