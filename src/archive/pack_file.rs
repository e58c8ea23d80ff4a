//! The data of one file: read straight into the stream, and read again when it changed meanwhile.
//!
//! A small one is written again in its place. A larger file was sent already: a second copy
//! follows the first, and the later member of a name is the one that counts in a tar.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::io::{Errno, pread};

use crate::archive::attributes::Bearer;
use crate::archive::chunks::HELD;
use crate::archive::folder::open_quietly;
use crate::archive::index::Entry;
use crate::archive::meta::{Kind, Meta};
use crate::archive::pack::{PackError, Packer, stored};
use crate::archive::sparse::{self, Extent};
use crate::archive::walk::Walk;
use crate::base::KIB;

/// How a file lies in the archive.
struct Shape {
    /// The parts that are stored; one for a file without holes.
    extents: Vec<Extent>,
    /// The map of a file with holes.
    map: Option<Vec<u8>>,
    /// Bytes that follow the header.
    bytes: u64,
}

/// What came of copying.
struct Copied {
    digest: Option<[u8; 16]>,
    /// The file was shorter than its header says.
    short: bool,
    error: Option<Errno>,
}

impl Packer {
    /// Stores a regular file.
    pub(crate) fn file(&mut self, walk: &Walk, meta: Meta) -> Result<(), PackError> {
        match open_quietly(walk.parent(), walk.name(), OFlags::empty()) {
            Ok(fd) => self.open_file(walk, &fd, meta),
            Err(Errno::LOOP | Errno::NXIO) => self.replaced(walk),
            Err(error) => {
                self.lost(walk.path(), error);
                Ok(())
            }
        }
    }

    fn open_file(&mut self, walk: &Walk, fd: &OwnedFd, meta: Meta) -> Result<(), PackError> {
        let mut meta = meta;
        if meta.size > HELD as u64 {
            // What is about to be sent cannot be taken back: the header must be right.
            meta = Meta::of_open(fd).unwrap_or(meta);
        }
        for again in [false, true] {
            if meta.kind != Kind::File {
                return self.replaced(walk);
            }
            let shape = match Shape::of(fd, &meta) {
                Ok(shape) => shape,
                Err(Errno::SPIPE | Errno::ISDIR) => return self.replaced(walk),
                Err(error) => {
                    self.lost(walk.path(), error);
                    return Ok(());
                }
            };
            let start = self.out.position();
            let takes_back = shape.bytes <= HELD as u64;
            let pax = self.read_attributes(walk.path(), Bearer::Open(fd), &meta);
            self.file_header(walk.path(), &meta, &shape);
            let copied = self.copy(fd, &shape, &meta, takes_back)?;
            let after = match meta.size {
                0 => meta.clone(),
                _ => Meta::of_open(fd).unwrap_or_else(|_| meta.clone()),
            };
            if after.kind != Kind::File {
                // What has the name now was opened instead; nothing of it was sent.
                self.out.rewind(start);
                return self.replaced(walk);
            }
            let torn = copied.short || !after.is_unchanged(&meta);
            if torn && copied.error.is_none() && !again {
                if takes_back {
                    self.out.rewind(start);
                }
                meta = after;
                continue;
            }
            match copied.error {
                Some(error) => self.warnings.unreadable.add(walk.path(), error),
                None if torn => self.warnings.changed.add(walk.path(), "changed while it was read"),
                None => {}
            }
            let mut entry = Entry::new(stored(walk.path()), &meta, start);
            (entry.digest, entry.pax) = (copied.digest, pax);
            entry.fresh = torn || copied.error.is_some();
            return self.store(&meta, entry);
        }
        Ok(())
    }

    /// Tells whether a file has the content and the attributes of `entry`; nothing of one that
    /// cannot be read, or changes meanwhile.
    ///
    /// Errors: when the run is cancelled.
    pub(crate) fn holds_the_same(
        &mut self,
        walk: &Walk,
        meta: &Meta,
        entry: &Entry,
    ) -> Result<Option<bool>, PackError> {
        let Ok(fd) = open_quietly(walk.parent(), walk.name(), OFlags::empty()) else {
            return Ok(None);
        };
        let stays = |meta: &Meta| Meta::of_open(&fd).is_ok_and(|now| now.is_unchanged(meta));
        if !stays(meta) {
            return Ok(None);
        }
        let pax = self.read_attributes(walk.path(), Bearer::Open(&fd), meta);
        if pax != entry.pax {
            return Ok(Some(false));
        }
        let digest = if meta.size == 0 { entry.digest } else { self.digest_of(&fd, meta)? };
        let is_read = stays(meta) && (meta.size == 0 || digest.is_some());
        Ok(is_read.then(|| digest == entry.digest))
    }

    /// Reads a file for its digest alone; `None` when it cannot be read, or has none.
    fn digest_of(&self, fd: &OwnedFd, meta: &Meta) -> Result<Option<[u8; 16]>, PackError> {
        let Ok(shape) = Shape::of(fd, meta) else { return Ok(None) };
        let mut content = Content::new(meta.size, shape.map.is_some());
        let mut piece = vec![0; PIECE.min(usize::try_from(meta.size).unwrap_or(PIECE))];
        for extent in &shape.extents {
            content.skip_to(extent.start);
            let (mut at, end) = (extent.start, extent.start + extent.bytes);
            while at < end {
                self.cancel.check()?;
                let want = piece.len().min((end - at) as usize);
                match read_at(fd, &mut piece[..want], at) {
                    Ok(got) if got == want => content.update(&piece[..want]),
                    _ => return Ok(None),
                }
                at += want as u64;
            }
        }
        content.skip_to(meta.size);
        Ok(content.digest())
    }

    /// Stores what now has the name of something that was another thing a moment ago.
    ///
    /// What a new folder holds appeared after its name was listed, so it is for the next run, as
    /// a file made in a folder that is done with.
    pub(crate) fn replaced(&mut self, walk: &Walk) -> Result<(), PackError> {
        let meta = match Meta::of(walk.parent(), walk.name()) {
            Ok(meta) => meta,
            Err(error) => {
                self.lost(walk.path(), error);
                return Ok(());
            }
        };
        let changed = match meta.kind {
            Kind::Folder => "became a folder while it was read; the next run stores what it holds",
            Kind::Socket => "became a socket while it was read and was left out",
            _ if self.replaced == PATIENCE => {
                let why = "was replaced over and over; left out";
                self.warnings.unreadable.add(walk.path(), why);
                return Ok(());
            }
            Kind::File => {
                self.replaced += 1;
                return self.file(walk, meta);
            }
            _ => {
                self.replaced += 1;
                self.warnings.changed.add(walk.path(), "was replaced while it was read");
                return self.plain(walk, &meta);
            }
        };
        self.warnings.changed.add(walk.path(), changed);
        Ok(())
    }

    fn file_header(&mut self, path: &[u8], meta: &Meta, shape: &Shape) {
        let path = stored(path);
        if shape.map.is_none() {
            return self.write_header(path, meta, shape.bytes, None);
        }
        self.records.add(b"GNU.sparse.major", b"1");
        self.records.add(b"GNU.sparse.minor", b"0");
        self.records.add(b"GNU.sparse.name", path);
        self.records.add(b"GNU.sparse.realsize", meta.size.to_string().as_bytes());
        let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        let plain = [&path[..cut], b"GNUSparseFile.0/", &path[cut..]].concat();
        self.write_header(&plain, meta, shape.bytes, None);
    }

    /// Copies what the header promised, filled up with zeros where the file has less.
    fn copy(
        &mut self,
        fd: &OwnedFd,
        shape: &Shape,
        meta: &Meta,
        takes_back: bool,
    ) -> Result<Copied, PackError> {
        let mut content = Content::new(meta.size, shape.map.is_some());
        let mut copied = Copied { digest: None, short: false, error: None };
        if let Some(map) = &shape.map {
            self.out.put(map);
        }
        for extent in &shape.extents {
            content.skip_to(extent.start);
            let (mut at, end) = (extent.start, extent.start + extent.bytes);
            while at < end {
                let room = self.out.room();
                let want = room.len().min(PIECE).min((end - at) as usize);
                let piece = &mut room[..want];
                let whole = copied.error.is_none() && !copied.short;
                let got = match if whole { read_at(fd, piece, at) } else { Ok(0) } {
                    Ok(got) => got,
                    Err(error) => {
                        copied.error = Some(error);
                        0
                    }
                };
                copied.short |= got < want && copied.error.is_none();
                piece[got..].fill(0);
                content.update(piece);
                self.out.advance(want);
                at += want as u64;
                if !takes_back {
                    self.cancel.check()?;
                    self.send()?;
                }
            }
        }
        self.out.pad();
        content.skip_to(meta.size);
        copied.digest = content.digest();
        Ok(copied)
    }
}

impl Shape {
    fn of(fd: &OwnedFd, meta: &Meta) -> rustix::io::Result<Self> {
        let may_have_holes = meta.blocks.saturating_mul(512) < meta.size;
        let holes = if may_have_holes { sparse::extents(fd, meta.size)? } else { None };
        Ok(match holes {
            Some(extents) => {
                let map = sparse::map(&extents, meta.size);
                let data: u64 = extents.iter().map(|extent| extent.bytes).sum();
                Self { extents, bytes: map.len() as u64 + data, map: Some(map) }
            }
            None => {
                let extents = vec![Extent { start: 0, bytes: meta.size }];
                Self { extents, map: None, bytes: meta.size }
            }
        })
    }
}

/// The digest of what was read, holes as zeros.
enum Content {
    Empty,
    /// Too many zeros to be hashed.
    Untold,
    Hashed {
        hasher: Box<blake3::Hasher>,
        at: u64,
        size: u64,
    },
    /// All of it came in one piece.
    Whole([u8; 16]),
}

impl Content {
    fn new(size: u64, has_holes: bool) -> Self {
        match size {
            0 => Self::Empty,
            HUGE.. if has_holes => Self::Untold,
            _ => Self::Hashed { hasher: Box::default(), at: 0, size },
        }
    }

    fn update(&mut self, piece: &[u8]) {
        let Self::Hashed { hasher, at, size } = self else { return };
        if *at == 0 && piece.len() as u64 == *size {
            *self = Self::Whole(first(&blake3::hash(piece)));
            return;
        }
        hasher.update(piece);
        *at += piece.len() as u64;
    }

    fn skip_to(&mut self, target: u64) {
        let Self::Hashed { hasher, at, .. } = self else { return };
        while *at < target {
            let count = (target - *at).min(ZEROS.len() as u64);
            hasher.update(&ZEROS[..count as usize]);
            *at += count;
        }
    }

    fn digest(self) -> Option<[u8; 16]> {
        match self {
            Self::Empty | Self::Untold => None,
            Self::Hashed { hasher, .. } => Some(first(&hasher.finalize())),
            Self::Whole(digest) => Some(digest),
        }
    }
}

fn first(hash: &blake3::Hash) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.as_bytes()[..16]);
    digest
}

/// Fills `piece`; less only at the end of the file.
fn read_at(fd: &OwnedFd, piece: &mut [u8], at: u64) -> rustix::io::Result<usize> {
    let mut got = 0;
    while got < piece.len() {
        match pread(fd, &mut piece[got..], at + got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// How often a thing may become another one before it is given up.
const PATIENCE: u32 = 16;
/// Bytes that are read and hashed at once: they stay in the processor's cache.
const PIECE: usize = 256 * KIB;
/// A file with holes that is larger has no digest: hashing its zeros would take minutes.
const HUGE: u64 = 16 << 30;
static ZEROS: [u8; 64 * KIB] = [0; 64 * KIB];
