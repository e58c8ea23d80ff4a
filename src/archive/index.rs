//! The index beside an artefact: what it holds, and where.
//!
//! Shape: zstd frames of JSON lines. The first line is the head; then a line for each member,
//! sorted by path components as bytes; a new frame begins after each [`FRAME`] bytes of lines.
//! The last frame is one line that says where each frame begins and with which path, and where
//! the frames of the artefact lie. `docs/formats/index.md` describes it for other readers.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;

use crate::archive::ahead::{Ahead, Pool};
use crate::archive::header::Records;
use crate::archive::meta::{Kind, Meta};
use crate::archive::reader::Member;
use crate::base::{ArtefactId, Digest, MIB, text, untext};
use crate::stream::Frames;

/// The format that this program writes and the newest that it reads.
pub const FORMAT: u32 = 1;

/// One member of an artefact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path as stored, raw bytes, no slash at either end; empty for the root of the system.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file as it is read, holes included; 0 for others.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Time of the last change of anything, in nanoseconds since 1970.
    pub ctime_ns: i64,
    /// The device it lay on.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// The twelve permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Where a symlink leads, or the stored path of the file that a hard link is another name of.
    pub link: Option<Vec<u8>>,
    /// The first 16 bytes of the BLAKE3 digest of a file's content; none for empty files.
    pub digest: Option<[u8; 16]>,
    /// A digest of the PAX records for attributes and access lists; none where it has none.
    pub pax: Option<[u8; 8]>,
    /// The artefact that holds the data, when it is another one.
    pub artefact: Option<ArtefactId>,
    /// Where its first header block lies in the raw stream.
    pub offset: u64,
    /// For a hard link: where the first header block of the member with the data lies, when that
    /// is in the same artefact.
    pub data_offset: Option<u64>,
    /// It may have changed after it was read without a later time of change: the next increment
    /// reads it again.
    pub fresh: bool,
}

/// What a member is; the letter stands in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    #[serde(rename = "f")]
    File,
    /// A folder.
    #[serde(rename = "d")]
    Folder,
    /// A symbolic link.
    #[serde(rename = "l")]
    Symlink,
    /// Another name of an earlier member.
    #[serde(rename = "h")]
    HardLink,
    /// A named pipe.
    #[serde(rename = "p")]
    Fifo,
    /// A character device.
    #[serde(rename = "c")]
    Char,
    /// A block device.
    #[serde(rename = "b")]
    Block,
    /// A socket.
    #[serde(rename = "s")]
    Socket,
}

/// Writes an index, entry by entry, into a file without a name.
pub struct IndexWriter {
    file: File,
    sha256: Sha256,
    compressor: Arc<Mutex<Compressor<'static>>>,
    pool: Pool,
    lines: Vec<u8>,
    written: u64,
    first: Option<String>,
    frames: Vec<(u64, String)>,
    /// Frames that are compressed meanwhile, or wait for those before them.
    ended: VecDeque<Ended>,
    /// Bytes of lines at which a frame ends.
    largest: usize,
}

/// A frame that is not written yet: its first path, and what it is when it is compressed.
struct Ended(String, Ahead<io::Result<Vec<u8>>>);

/// A finished index.
#[derive(Debug)]
pub struct IndexFile {
    /// Its bytes, from the first.
    pub file: File,
    /// How many there are.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Digest,
    /// Where its last frame begins.
    pub last_frame: u64,
}

/// The first line of an index.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) format: u32,
    pub(crate) artefact: ArtefactId,
    pub(crate) parent: Option<ArtefactId>,
}

/// The last frame of an index.
#[derive(Serialize, Deserialize)]
pub(crate) struct Map {
    /// Where each frame begins, and its first path as text.
    pub(crate) frames: Vec<(u64, String)>,
    pub(crate) raw_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) frame_bytes: u64,
    pub(crate) starts: Vec<u64>,
}

/// A line as serde reads it; the keys are those of the format.
#[derive(Deserialize)]
struct Line {
    name: String,
    #[serde(rename = "type")]
    kind: EntryKind,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    mtime_ns: i64,
    #[serde(default)]
    ctime_ns: i64,
    #[serde(default)]
    dev: u64,
    #[serde(default)]
    ino: u64,
    #[serde(default)]
    mode: u32,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    link: Option<String>,
    digest: Option<Digest>,
    pax: Option<Digest>,
    artefact: Option<ArtefactId>,
    offset: u64,
    data_offset: Option<u64>,
    #[serde(default)]
    fresh: bool,
}

impl IndexWriter {
    /// Begins the index of `artefact`; its file lies in `dir` and has no name there.
    pub fn create(dir: &Path, artefact: &ArtefactId) -> io::Result<Self> {
        Self::create_above(dir, artefact, None)
    }

    /// Begins the index of an `artefact` that builds on `parent`.
    pub fn create_above(
        dir: &Path,
        artefact: &ArtefactId,
        parent: Option<&ArtefactId>,
    ) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        let head = Head { format: FORMAT, artefact: artefact.clone(), parent: parent.cloned() };
        let mut lines = serde_json::to_vec(&head)?;
        lines.push(b'\n');
        Ok(Self {
            file: tempfile::tempfile_in(dir)?,
            sha256: Sha256::new(),
            compressor: Arc::new(Mutex::new(compressor)),
            pool: Pool::new(1),
            lines,
            written: 0,
            first: None,
            frames: Vec::new(),
            ended: VecDeque::new(),
            largest: FRAME,
        })
    }

    /// Adds an entry; its path must come after that of the last one.
    pub fn add(&mut self, entry: &Entry) -> io::Result<()> {
        self.first.get_or_insert_with(|| text(&entry.path));
        entry.write(&mut self.lines)?;
        self.end_full_frame()
    }

    /// Adds the line of an entry as another index has it, without its end.
    pub(crate) fn add_line(&mut self, path: &[u8], line: &[u8]) -> io::Result<()> {
        self.first.get_or_insert_with(|| text(path));
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        self.end_full_frame()
    }

    /// Adds lines as another index has them, with their ends; `first` is the path of the first.
    pub(crate) fn add_lines(&mut self, first: &[u8], lines: &[u8]) -> io::Result<()> {
        self.first.get_or_insert_with(|| text(first));
        self.lines.extend_from_slice(lines);
        self.end_full_frame()
    }

    /// Lets frames end where those of another index do, most of whose lines are added.
    pub(crate) fn follow(&mut self) {
        self.largest = 2 * FRAME;
    }

    /// Tells whether the next line begins a frame.
    pub(crate) fn is_at_frame(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a whole frame of another index as it is stored there, where a frame begins.
    pub(crate) fn add_frame(&mut self, first: &[u8], stored: &[u8]) -> io::Result<()> {
        self.write_ended(0)?;
        self.frames.push((self.written, text(first)));
        self.write_stored(stored)
    }

    /// Ends a frame where another index ends one; a small one goes on.
    pub(crate) fn end_like_other(&mut self) -> io::Result<()> {
        if self.lines.len() < FRAME / 4 { Ok(()) } else { self.end_frame() }
    }

    fn end_full_frame(&mut self) -> io::Result<()> {
        if self.lines.len() >= self.largest { self.end_frame() } else { Ok(()) }
    }

    /// Ends the index; `frames` tells where the artefact's frames lie.
    pub fn finish(mut self, frames: &Frames) -> io::Result<IndexFile> {
        if !self.lines.is_empty() {
            self.end_frame()?;
        }
        self.write_ended(0)?;
        let last_frame = self.written;
        let map = Map {
            frames: std::mem::take(&mut self.frames),
            raw_bytes: frames.raw_bytes,
            stored_bytes: frames.stored_bytes,
            frame_bytes: frames.frame_bytes,
            starts: frames.starts.clone(),
        };
        serde_json::to_writer(&mut self.lines, &map)?;
        self.lines.push(b'\n');
        let map = compress(&self.compressor, &self.lines)?;
        self.write_stored(&map)?;
        self.file.rewind()?;
        let sha256 = Digest::new(self.sha256.finalize().to_vec());
        Ok(IndexFile { file: self.file, bytes: self.written, sha256, last_frame })
    }

    fn end_frame(&mut self) -> io::Result<()> {
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(self.largest + LINE));
        let compressor = Arc::clone(&self.compressor);
        let frame = self.pool.begin(move || compress(&compressor, &lines));
        self.ended.push_back(Ended(self.first.take().unwrap_or_default(), frame));
        self.write_ended(WAITING)
    }

    /// Writes frames that have ended until no more than `left` of them wait.
    fn write_ended(&mut self, left: usize) -> io::Result<()> {
        while self.ended.len() > left {
            let Some(Ended(first, frame)) = self.ended.pop_front() else { break };
            self.frames.push((self.written, first));
            self.write_stored(&frame.take()?)?;
        }
        Ok(())
    }

    fn write_stored(&mut self, frame: &[u8]) -> io::Result<()> {
        self.sha256.update(frame);
        self.file.write_all(frame)?;
        self.written += frame.len() as u64;
        Ok(())
    }
}

impl Entry {
    /// Makes the entry of a thing that lies at `path` in the artefact.
    pub(crate) fn new(path: &[u8], meta: &Meta, offset: u64) -> Self {
        let kind = EntryKind::of(meta.kind);
        Self {
            path: path.to_vec(),
            kind,
            size: if kind == EntryKind::File { meta.size } else { 0 },
            mtime_ns: meta.mtime.as_nanos(),
            ctime_ns: meta.ctime.as_nanos(),
            dev: meta.dev,
            ino: meta.ino,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            link: None,
            digest: None,
            pax: None,
            artefact: None,
            offset,
            data_offset: None,
            fresh: false,
        }
    }

    /// Writes the entry as a line. By hand: a million of them must cost little.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(b"{\"name\":");
        quote(&self.path, out);
        let Self { size, mtime_ns, ctime_ns, dev, ino, mode, uid, gid, offset, .. } = self;
        let kind = char::from(self.kind);
        write!(
            out,
            ",\"type\":\"{kind}\",\"size\":{size},\"mtime_ns\":{mtime_ns},\"ctime_ns\":{ctime_ns},\
             \"dev\":{dev},\"ino\":{ino},\"mode\":{mode},\"uid\":{uid},\"gid\":{gid}"
        )?;
        if let Some(link) = &self.link {
            out.extend_from_slice(b",\"link\":");
            quote(link, out);
        }
        if let Some(digest) = self.digest {
            write!(out, ",\"digest\":\"{:032x}\"", u128::from_be_bytes(digest))?;
        }
        if let Some(pax) = self.pax {
            write!(out, ",\"pax\":\"{:016x}\"", u64::from_be_bytes(pax))?;
        }
        if let Some(artefact) = &self.artefact {
            out.extend_from_slice(b",\"artefact\":");
            quote(artefact.as_str().as_bytes(), out);
        }
        write!(out, ",\"offset\":{offset}")?;
        if let Some(data) = self.data_offset {
            write!(out, ",\"data_offset\":{data}")?;
        }
        if self.fresh {
            out.extend_from_slice(b",\"fresh\":true");
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Reads a line.
    pub(crate) fn read(line: &[u8]) -> serde_json::Result<Self> {
        let line: Line = serde_json::from_slice(line)?;
        Ok(Self {
            path: untext(&line.name),
            kind: line.kind,
            size: line.size,
            mtime_ns: line.mtime_ns,
            ctime_ns: line.ctime_ns,
            dev: line.dev,
            ino: line.ino,
            mode: line.mode,
            uid: line.uid,
            gid: line.gid,
            link: line.link.as_deref().map(untext),
            digest: line.digest.and_then(|digest| digest.as_bytes().try_into().ok()),
            pax: line.pax.and_then(|pax| pax.as_bytes().try_into().ok()),
            artefact: line.artefact,
            offset: line.offset,
            data_offset: line.data_offset,
            fresh: line.fresh,
        })
    }
}

impl Entry {
    /// Says in which respect a member, whose path is `stored`, is not what this line says.
    pub(crate) fn differs_at(&self, stored: &[u8], member: &Member) -> Option<&'static str> {
        let path = if stored == b"." { b"" } else { stored };
        if path != self.path { Some("its path") } else { self.differs(member) }
    }

    /// Says in which respect a member of the archive is not what this line says.
    pub(crate) fn differs(&self, member: &Member) -> Option<&'static str> {
        let is_file = self.kind == EntryKind::File;
        let link = self.link.as_deref().unwrap_or_default();
        let all = [
            ("its type", member.kind == self.kind.typeflag()),
            ("its size", member.size == self.size || !is_file),
            ("its time", member.mtime.as_nanos() == self.mtime_ns),
            ("its mode", member.mode == self.mode),
            ("its owner", member.uid == Some(self.uid)),
            ("its group", member.gid == Some(self.gid)),
            ("its link", member.link == link),
            ("one of its attributes", pax(&member.records) == self.pax),
        ];
        all.into_iter().find(|(_, fits)| !fits).map(|(what, _)| what)
    }
}

/// The digest of PAX records that were read.
fn pax(records: &[(Vec<u8>, Vec<u8>)]) -> Option<[u8; 8]> {
    let mut written = Records::default();
    records.iter().for_each(|(key, value)| written.add(key, value));
    written.digest()
}

impl EntryKind {
    /// What a thing is in an index.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::File => Self::File,
            Kind::Folder => Self::Folder,
            Kind::Symlink => Self::Symlink,
            Kind::Char => Self::Char,
            Kind::Block => Self::Block,
            Kind::Fifo => Self::Fifo,
            Kind::Socket => Self::Socket,
        }
    }

    /// Reads the letter that stands in the index.
    pub(crate) fn of_letter(letter: u8) -> Option<Self> {
        let all = [
            Self::File,
            Self::Folder,
            Self::Symlink,
            Self::HardLink,
            Self::Fifo,
            Self::Char,
            Self::Block,
            Self::Socket,
        ];
        all.into_iter().find(|kind| char::from(*kind) == char::from(letter))
    }

    /// The type as tar knows it.
    fn typeflag(self) -> u8 {
        match self {
            Self::File | Self::Socket => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::Char => b'3',
            Self::Block => b'4',
            Self::Folder => b'5',
            Self::Fifo => b'6',
        }
    }
}

impl From<EntryKind> for char {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::File => 'f',
            EntryKind::Folder => 'd',
            EntryKind::Symlink => 'l',
            EntryKind::HardLink => 'h',
            EntryKind::Fifo => 'p',
            EntryKind::Char => 'c',
            EntryKind::Block => 'b',
            EntryKind::Socket => 's',
        }
    }
}

/// Writes any bytes as a JSON string; [`text`] has seen to control characters.
fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\' | b'%');
    if bytes.iter().all(plain) {
        out.extend_from_slice(bytes);
    } else {
        for byte in text(bytes).bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
    }
    out.push(b'"');
}

fn compress(compressor: &Mutex<Compressor<'static>>, lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = compressor.lock().unwrap_or_else(|broken| broken.into_inner());
    compressor.compress(lines)
}

/// Bytes of lines in a frame.
pub(crate) const FRAME: usize = MIB;
/// More than most lines take.
const LINE: usize = 1024;
/// Frames that are compressed while others are filled.
const WAITING: usize = 2;
const LEVEL: i32 = 3;
