//! A tree out of a tar: what `tar -x` with numeric owners, attributes and access lists gives.
//!
//! As root everything comes back; anybody else keeps what is made, as with `tar`. A member that
//! cannot be made is told and the rest goes on; a broken archive, a full disk or a target that
//! fails ends it.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::archive::apply::{Bearer, Has, Traits};
use crate::archive::index::Entry;
use crate::archive::paths::Rules;
use crate::archive::place::Place;
use crate::archive::reader::{Member, TarError, TarReader};
use crate::base::{BoxError, Cancel, Cancelled, Noted, text};

/// Members that are meant, of a part of an archive that nothing else vouches for.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Their lines of the index.
    pub entries: HashMap<Vec<u8>, Entry>,
    /// Where the part begins in the whole archive.
    pub start: u64,
    /// The part goes on behind the last of them, which is the end then.
    pub stops: bool,
}

impl Expected {
    /// Finds the line of a member; the older copy of a file that changed has none.
    fn line_of(&self, stored: &[u8], member: &Member) -> Option<&Entry> {
        let path = if stored == b"." { b"" } else { stored };
        let entry = self.entries.get(path)?;
        (entry.offset == self.start + member.start).then_some(entry)
    }
}

/// Members that are meant, in the order of the archive.
pub type Picked<'a> = &'a mut dyn FnMut() -> Result<Option<Entry>, BoxError>;

/// Compares members with those that are meant, one by one.
struct Picker<'a> {
    next: Picked<'a>,
    waiting: Option<Entry>,
}

impl<'a> Picker<'a> {
    fn new(next: Picked<'a>) -> Result<Self, UnpackError> {
        let mut picker = Self { next, waiting: None };
        picker.go_on()?;
        Ok(picker)
    }

    fn go_on(&mut self) -> Result<Option<Entry>, UnpackError> {
        let next = (self.next)().map_err(UnpackError::Picked)?;
        Ok(std::mem::replace(&mut self.waiting, next))
    }

    /// Gives the line of the member that begins at `start`; `None` when it is not meant.
    fn line_of(&mut self, start: u64) -> Result<Option<Entry>, UnpackError> {
        match &self.waiting {
            Some(waiting) if waiting.offset == start => self.go_on(),
            Some(waiting) if waiting.offset < start => Err(Self::lost(waiting)),
            _ => Ok(None),
        }
    }

    /// Makes sure that nothing is missing in the end.
    fn end(self) -> Result<(), UnpackError> {
        self.waiting.map_or(Ok(()), |waiting| Err(Self::lost(&waiting)))
    }

    fn lost(entry: &Entry) -> UnpackError {
        UnpackError::Differs { path: text(&entry.path), what: "its place" }
    }
}

/// How an archive is unpacked.
pub struct UnpackOptions {
    /// Only what lies below this stored path is unpacked, without it; a file of that very path
    /// keeps its last component.
    pub strip: Option<Vec<u8>>,
    /// Only these members, each of which must be what its line says; all when unset.
    pub expected: Option<Expected>,
    /// Stores the only member under this path instead: for the data of a hard link.
    pub rename: Option<Vec<u8>>,
    /// Stops after so many members of the archive, wherever it ends then.
    pub members: Option<u64>,
    /// Replaces what is there already; without it only an empty target, or what the archive
    /// itself made just before, is written over.
    pub overwrite: bool,
    /// Hears how many bytes of files were written so far.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
    /// Stops the unpacking.
    pub cancel: Cancel,
}

/// What was unpacked.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// Members that were made.
    pub files: u64,
    /// Members that were meant and lie outside of what [`UnpackOptions::strip`] leaves.
    pub stripped: u64,
    /// Bytes of files, holes included.
    pub bytes: u64,
    /// Members that were meant and could not be made.
    pub failed: Noted,
    /// Members that lack something, in words: an owner, an attribute.
    pub warnings: Vec<String>,
}

/// Why an archive cannot be unpacked to its end.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is cut, damaged or cannot be read.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A member is another one than the index says.
    #[error("{path}: {what} is not what the index says: the archive or the index is damaged")]
    Differs {
        /// The member.
        path: String,
        /// In which respect.
        what: &'static str,
    },
    /// What is meant cannot be told any more.
    #[error("could not read on in the index")]
    Picked(#[source] BoxError),
    /// The target cannot be used.
    #[error("{path}: could not be opened as a folder")]
    Target {
        /// The target.
        path: String,
        /// The system's word.
        source: io::Error,
    },
    /// Nothing more can be written.
    #[error("{path}: could not be written")]
    Write {
        /// The member.
        path: String,
        /// The system's word.
        source: io::Error,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Unpacks `tar` below the folder `into`, which is made if it is missing.
///
/// Confined: a member with `..` in its path is refused, a slash before it means nothing, and no
/// link is followed on the way. Errors: [`UnpackError`], also when the archive lacks its end.
pub fn unpack(
    tar: impl Read,
    into: &Path,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    unpack_with(tar, into, options, None)
}

/// Like [`unpack`], but only the members that `picked` gives, each of which must be what its line
/// says.
pub fn unpack_picked(
    tar: impl Read,
    into: &Path,
    options: &UnpackOptions,
    picked: Picked<'_>,
) -> Result<Unpacked, UnpackError> {
    unpack_with(tar, into, options, Some(Picker::new(picked)?))
}

fn unpack_with<'a>(
    tar: impl Read + 'a,
    into: &Path,
    options: &'a UnpackOptions,
    picker: Option<Picker<'a>>,
) -> Result<Unpacked, UnpackError> {
    let target = |source: io::Error| {
        let path = text(into.as_os_str().as_encoded_bytes());
        UnpackError::Target { path, source }
    };
    std::fs::create_dir_all(into).map_err(target)?;
    let place = Place::open(into).map_err(|error| target(error.into()))?;
    let replaces = options.overwrite || place.is_empty().map_err(|error| target(error.into()))?;
    let rules = Rules { strip: options.strip.as_deref(), rename: options.rename.as_deref() };
    let mut work = Work {
        tar: TarReader::new(tar),
        place,
        rules,
        options,
        replaces,
        last: Vec::new(),
        done: Unpacked::default(),
        told_bytes: 0,
        picker,
    };
    work.run()?;
    work.finish()
}

struct Work<'a> {
    tar: TarReader<'a>,
    place: Place,
    rules: Rules<'a>,
    options: &'a UnpackOptions,
    replaces: bool,
    /// The path of the last member: a copy of it that follows replaces it.
    last: Vec<u8>,
    done: Unpacked,
    told_bytes: u64,
    picker: Option<Picker<'a>>,
}

/// Why a member was not made.
enum Refusal {
    /// Only this one.
    Member(String),
    /// The system said no.
    System(Errno),
    /// There is no going on.
    Fatal(UnpackError),
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl<E: Into<UnpackError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Work<'_> {
    fn run(&mut self) -> Result<(), UnpackError> {
        let (mut seen, mut met) = (0, 0);
        while self.options.members.is_none_or(|most| seen < most) {
            self.options.cancel.check()?;
            let Some(member) = self.tar.next()? else {
                return self.picker.take().map_or(Ok(()), Picker::end);
            };
            seen += 1;
            let stored = trim(&member.path).to_vec();
            if let Some(picker) = &mut self.picker {
                let Some(line) = picker.line_of(member.start)? else { continue };
                if let Some(what) = line.differs_at(&stored, &member) {
                    return Err(UnpackError::Differs { path: text(&stored), what });
                }
            }
            if let Some(expected) = &self.options.expected {
                if expected.stops && met == expected.entries.len() {
                    return Ok(());
                }
                let Some(line) = expected.line_of(&stored, &member) else { continue };
                met += 1;
                if let Some(what) = line.differs(&member) {
                    return Err(UnpackError::Differs { path: text(&stored), what });
                }
            }
            match self.member(member) {
                Ok(true) => self.done.files += 1,
                Ok(false) => self.done.stripped += 1,
                Err(Refusal::Member(why)) => self.done.failed.add(&stored, why),
                Err(Refusal::System(error)) if is_fatal(error) => {
                    return Err(UnpackError::Write { path: text(&stored), source: error.into() });
                }
                Err(Refusal::System(error)) => self.done.failed.add(&stored, explain(error)),
                Err(Refusal::Fatal(error)) => return Err(error),
            }
            self.last = stored;
        }
        Ok(())
    }

    fn finish(self) -> Result<Unpacked, UnpackError> {
        let Self { place, mut done, options, .. } = self;
        let mut tell = |path: &[u8], what: String| warn(&mut done.warnings, path, &what);
        place.leave(&mut tell).map_err(|error| UnpackError::Write {
            path: "a folder that was left".to_owned(),
            source: error.into(),
        })?;
        (options.progress)(done.bytes);
        Ok(done)
    }

    /// Makes one member; answers `false` when it lies outside of what is meant.
    fn member(&mut self, member: Member) -> Result<bool, Refusal> {
        let is_folder = matches!(member.kind, b'5' | b'D')
            || (matches!(member.kind, 0 | b'0') && member.path.ends_with(b"/"));
        let Some(path) = self.rules.place(&member.path, is_folder).map_err(Refusal::Member)? else {
            return Ok(false);
        };
        let Some((name, folders)) = path.split_last() else {
            if is_folder {
                self.place.finish_top(member.into());
            }
            return Ok(is_folder);
        };
        let warnings = &mut self.done.warnings;
        self.place.go(folders, &mut |path, what| warn(warnings, path, &what))?;
        match member.kind {
            _ if is_folder => self.place.go_into(name, member.into())?,
            b'1' => self.hard_link(name, &member)?,
            b'2' => self.symlink(name, member)?,
            b'3' => self.special(name, FileType::CharacterDevice, member)?,
            b'4' => self.special(name, FileType::BlockDevice, member)?,
            b'6' => self.special(name, FileType::Fifo, member)?,
            0 | b'0' | b'7' | b'S' => self.file(name, member)?,
            kind => {
                let what = format!("the unknown type {:?} was taken for a file", char::from(kind));
                warn(&mut self.done.warnings, trim(&member.path), &what);
                self.file(name, member)?;
            }
        }
        Ok(true)
    }

    fn hard_link(&mut self, name: &CStr, member: &Member) -> Result<(), Refusal> {
        let target = self.rules.place(&member.link, false).map_err(Refusal::Member)?;
        let outside = || Refusal::Member("is a link to a file that is not restored".to_owned());
        let target = target.ok_or_else(outside)?;
        let (file, folders) = target.split_last().ok_or_else(outside)?;
        let from = self.place.look_up(folders).map_err(|error| match error {
            Errno::NOENT => outside(),
            error => error.into(),
        })?;
        let to = self.place.here();
        let link = || rustix::fs::linkat(&from, file, to, name, AtFlags::empty());
        self.make(&member.path, name, link).map(drop)
    }

    fn symlink(&mut self, name: &CStr, member: Member) -> Result<(), Refusal> {
        let target = CString::new(member.link.as_slice());
        let target = target.map_err(|_| Refusal::Member("its target holds a NUL".to_owned()))?;
        let here = self.place.here();
        self.make(&member.path, name, || rustix::fs::symlinkat(&target, here, name))?;
        let path = member.path.clone();
        let traits = Traits::from(member);
        let has = self.has(&traits, false);
        let Self { place, done, .. } = self;
        let tell = &mut |what: String| warn(&mut done.warnings, trim(&path), &what);
        place.giver.give(Bearer::Symlink(place.here(), name), &traits, has, tell);
        Ok(())
    }

    fn special(&mut self, name: &CStr, kind: FileType, member: Member) -> Result<(), Refusal> {
        let here = self.place.here();
        let device = rustix::fs::makedev(member.major, member.minor);
        let mode = Mode::from_raw_mode(member.mode & 0o600);
        self.make(&member.path, name, || rustix::fs::mknodat(here, name, kind, mode, device))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(here, name, flags, Mode::empty())?;
        let path = member.path.clone();
        let traits = Traits::from(member);
        let has = self.has(&traits, false);
        let Self { place, done, .. } = self;
        let tell = &mut |what: String| warn(&mut done.warnings, trim(&path), &what);
        place.giver.give(Bearer::Handle(handle.as_fd()), &traits, has, tell);
        Ok(())
    }

    fn file(&mut self, name: &CStr, mut member: Member) -> Result<(), Refusal> {
        // With its mode from the start where that is all there is to it: one call less.
        let mode = member.mode;
        let plain = mode & !0o777 == 0 && mode & self.place.giver.umask == 0;
        let mode = Mode::from_raw_mode(if plain { mode } else { 0o600 });
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW;
        let here = self.place.here();
        let file = self.make(&member.path, name, || rustix::fs::openat(here, name, flags, mode))?;
        self.fill(&file, &mut member)?;
        let path = std::mem::take(&mut member.path);
        let traits = Traits::from(member);
        let has = self.has(&traits, plain);
        let Self { place, done, .. } = self;
        let tell = &mut |what: String| warn(&mut done.warnings, trim(&path), &what);
        place.giver.give(Bearer::Open(file.as_fd()), &traits, has, tell);
        Ok(())
    }

    /// What something that was made just now has already.
    fn has(&self, traits: &Traits, mode: bool) -> Has {
        let foreign = self.place.hands_down();
        let owner = !foreign && self.place.giver.owns(traits);
        Has { owner, mode: mode && !foreign && owner, foreign_acl: foreign }
    }

    /// Writes the data of the present member.
    fn fill(&mut self, file: &OwnedFd, member: &mut Member) -> Result<(), Refusal> {
        let size = member.size;
        match member.extents.take() {
            None => self.write(file, 0, size)?,
            Some(extents) => {
                for extent in &extents {
                    self.write(file, extent.start, extent.bytes)?;
                }
                rustix::fs::ftruncate(file, size)?;
            }
        }
        self.done.bytes += size;
        if self.done.bytes - self.told_bytes >= TOLD {
            self.told_bytes = self.done.bytes;
            (self.options.progress)(self.done.bytes);
        }
        Ok(())
    }

    fn write(&mut self, file: &OwnedFd, start: u64, bytes: u64) -> Result<(), Refusal> {
        let (mut at, end) = (start, start + bytes);
        while at < end {
            let piece = self.tar.data()?;
            let piece = &piece[..piece.len().min(usize::try_from(end - at).unwrap_or(usize::MAX))];
            if piece.is_empty() {
                return Err(Refusal::Member("the archive has less data than it says".to_owned()));
            }
            let written = match rustix::io::pwrite(file, piece, at) {
                Err(Errno::INTR) => 0,
                other => other?,
            };
            self.tar.consume(written);
            at += written as u64;
            self.options.cancel.check()?;
        }
        Ok(())
    }

    /// Makes something of which the name may be taken already.
    fn make<T>(
        &self,
        path: &[u8],
        name: &CStr,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<T, Refusal> {
        match make() {
            Err(Errno::EXIST) if self.replaces || trim(path) == self.last => {
                let here = self.place.here();
                match rustix::fs::unlinkat(here, name, AtFlags::empty()) {
                    Err(Errno::ISDIR | Errno::PERM) => {
                        rustix::fs::unlinkat(here, name, AtFlags::REMOVEDIR)?;
                    }
                    other => other?,
                }
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }
}

fn trim(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    &path[start..end]
}

/// Tells whether no other member would fare better.
fn is_fatal(error: Errno) -> bool {
    matches!(error, Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::STALE)
}

fn explain(error: Errno) -> String {
    match error {
        Errno::EXIST => "is there already; it was left as it is".to_owned(),
        Errno::LOOP | Errno::NOTDIR => "a link or a file stands where a folder must be".to_owned(),
        Errno::NOTEMPTY => "a folder that is not empty stands in its place".to_owned(),
        error => error.to_string(),
    }
}

fn warn(warnings: &mut Vec<String>, path: &[u8], what: &str) {
    match warnings.len() {
        ..WARNINGS => warnings.push(format!("{}: {what}", text(path))),
        WARNINGS => warnings.push("and more warnings like these".to_owned()),
        _ => {}
    }
}

/// Bytes between two words about progress.
const TOLD: u64 = 4 << 20;
const WARNINGS: usize = 1000;
