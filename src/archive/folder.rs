//! One folder: opened below its parent without following links, listed, its things asked about.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, RawDir};
use rustix::io::{Errno, Result};

use crate::archive::meta::{Kind, Meta};
use crate::stream::Tree;

/// Things that are asked about in one piece of work.
pub(crate) const BATCH: usize = 256;
/// Names that are read ahead of time; a larger folder waits until its turn has come.
const SHORT: usize = 4096;

/// A folder that was opened, with its names in order.
pub(crate) struct Opened {
    pub(crate) fd: Arc<OwnedFd>,
    pub(crate) meta: Meta,
    pub(crate) listing: Arc<Listing>,
    /// The answers for the first [`BATCH`] names, unless the listing is still short of some.
    pub(crate) first: Vec<Stated>,
    /// What went wrong while the names were read; those read so far are there.
    pub(crate) trouble: Option<Errno>,
    /// Whether names remain to be read.
    more: bool,
}

/// The answer about one name.
pub(crate) enum Stated {
    /// The folder's own list says that it is a folder; opening it tells the rest.
    Folder,
    /// Anything that the list knew nothing about, or that is no folder.
    Other(Result<Meta>),
}

/// Names in one block of memory: nine bytes a name on top of the name itself.
#[derive(Default)]
pub(crate) struct Listing {
    /// A byte for the kind, the name, a NUL, and so on.
    text: Vec<u8>,
    starts: Vec<u32>,
}

/// What a folder holds that the tree leaves out.
pub(crate) struct Filter {
    pub(crate) tree: Arc<dyn Tree>,
    /// The absolute path of the folder as stored, with a slash at its end.
    pub(crate) prefix: Vec<u8>,
}

/// Opens the folder `name` below `at`, reads its names and asks about the first of them.
///
/// With `all` unset, a large folder is only begun; [`Opened::complete`] reads the rest.
pub(crate) fn open(at: impl AsFd, name: &CStr, filter: &Filter, all: bool) -> Result<Opened> {
    let fd = open_folder(at, name)?;
    read(fd, filter, all)
}

/// Opens a folder without following a link and without touching its access time.
pub(crate) fn open_folder(at: impl AsFd, name: &CStr) -> Result<OwnedFd> {
    open_quietly(at, name, OFlags::DIRECTORY)
}

/// Opens something for reading without following a link, without waiting for a fifo and, where
/// we may, without touching its access time.
pub(crate) fn open_quietly(at: impl AsFd, name: &CStr, extra: OFlags) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | extra;
    match rustix::fs::openat(&at, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&at, name, flags, Mode::empty()),
        other => other,
    }
}

/// Reads the folder behind `fd`.
pub(crate) fn read(fd: OwnedFd, filter: &Filter, all: bool) -> Result<Opened> {
    let meta = Meta::of_open(&fd)?;
    let mut opened = Opened {
        fd: Arc::new(fd),
        meta,
        listing: Arc::default(),
        first: Vec::new(),
        trouble: None,
        more: true,
    };
    opened.list(filter, if all { usize::MAX } else { SHORT });
    Ok(opened)
}

impl Opened {
    /// Reads the names that a reading ahead of time left.
    pub(crate) fn complete(&mut self, filter: &Filter) {
        if self.more {
            self.list(filter, usize::MAX);
        }
    }

    fn list(&mut self, filter: &Filter, limit: usize) {
        let mut listing = std::mem::take(&mut self.listing);
        let names = Arc::get_mut(&mut listing).expect("nobody else has seen the listing yet");
        match names.fill(&self.fd, filter, limit) {
            Ok(more) => self.more = more,
            Err(error) => (self.more, self.trouble) = (false, Some(error)),
        }
        if !self.more {
            names.sort();
            self.first = names.state(&self.fd, 0..BATCH.min(names.len()));
        }
        self.listing = listing;
    }
}

impl Listing {
    /// Makes a listing of a single name.
    pub(crate) fn of_one(name: &CStr) -> Self {
        let mut listing = Self::default();
        listing.push(name, FileType::Unknown).expect("one name is not too long");
        listing
    }

    /// Returns how many names there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Returns a name.
    pub(crate) fn name(&self, number: usize) -> &CStr {
        let start = self.starts[number] as usize + 1;
        CStr::from_bytes_until_nul(&self.text[start..]).expect("every name ends with a NUL")
    }

    /// Tells whether the folder's own list says that this is a folder.
    pub(crate) fn is_folder(&self, number: usize) -> bool {
        self.text[self.starts[number] as usize] == FOLDER
    }

    /// Asks about some names.
    pub(crate) fn state(&self, fd: impl AsFd, which: Range<usize>) -> Vec<Stated> {
        let ask = |number| match self.is_folder(number) {
            true => Stated::Folder,
            false => Stated::Other(Meta::of(&fd, self.name(number))),
        };
        which.map(ask).collect()
    }

    /// Lists the names as GNU tar does in a dump directory, sorted by bytes, which it relies on.
    ///
    /// `D` is a folder, `Y` anything else, whether it lies in this archive or in an earlier one,
    /// `N` what cannot be told: the one letter for which nothing is ever removed.
    pub(crate) fn dump_directory(&self, fd: impl AsFd) -> Vec<u8> {
        let mut list = Vec::with_capacity(self.text.len() + 1);
        for number in 0..self.len() {
            let name = self.name(number);
            let letter = match self.text[self.starts[number] as usize] {
                FOLDER => b'D',
                OTHER => b'Y',
                SOCKET => continue,
                _ => match Meta::of(&fd, name).map(|meta| meta.kind) {
                    Ok(Kind::Folder) => b'D',
                    Ok(Kind::Socket) => continue,
                    Ok(_) => b'Y',
                    Err(_) => b'N',
                },
            };
            list.push(letter);
            list.extend_from_slice(name.to_bytes_with_nul());
        }
        list.push(0);
        list
    }

    /// Reads up to about `limit` names more; tells whether there are others.
    fn fill(&mut self, fd: impl AsFd, filter: &Filter, limit: usize) -> Result<bool> {
        let mut path = filter.prefix.clone();
        let stem = path.len();
        let mut room = [MaybeUninit::uninit(); 16 * 1024];
        let mut entries = RawDir::new(fd, &mut room);
        // Names wait in the room that the kernel filled: it may stop only when that is used up.
        while !(self.len() >= limit && entries.is_buffer_empty()) {
            let Some(entry) = entries.next() else { return Ok(false) };
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            path.truncate(stem);
            path.extend_from_slice(name);
            if matches!(name, b"." | b"..") || filter.tree.excludes(&path) {
                continue;
            }
            self.push(entry.file_name(), entry.file_type())?;
        }
        Ok(true)
    }

    fn push(&mut self, name: &CStr, kind: FileType) -> Result<()> {
        let start = u32::try_from(self.text.len()).map_err(|_| Errno::OVERFLOW)?;
        self.starts.push(start);
        self.text.push(match kind {
            FileType::Directory => FOLDER,
            FileType::Socket => SOCKET,
            FileType::Unknown => UNKNOWN,
            _ => OTHER,
        });
        self.text.extend_from_slice(name.to_bytes_with_nul());
        Ok(())
    }

    fn sort(&mut self) {
        let Self { text, starts } = self;
        text.shrink_to_fit();
        // A NUL sorts before every byte of a name: the shorter of two names comes first.
        let name = |start: u32| &text[start as usize + 1..];
        starts.sort_unstable_by(|a, b| compare(name(*a), name(*b)));
    }
}

/// Compares two names that end with a NUL inside longer text.
fn compare(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    for (x, y) in a.iter().zip(b) {
        if x != y || *x == 0 {
            return x.cmp(y);
        }
    }
    std::cmp::Ordering::Equal
}

/// Tells whether something is a folder.
pub(crate) fn is_folder(meta: &Meta) -> bool {
    meta.kind == Kind::Folder
}

const OTHER: u8 = 0;
const FOLDER: u8 = 1;
const SOCKET: u8 = 2;
const UNKNOWN: u8 = 3;
