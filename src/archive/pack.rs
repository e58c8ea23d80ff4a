//! A tar out of a tree: every member with what GNU tar keeps of it, and its line in the index.
//!
//! One thread packs, a few others walk ahead of it. What cannot be read is noted and the rest
//! goes on; only a root that cannot be read, or is gone in the end, breaks the stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::archive::attributes::{Attributes, Bearer};
use crate::archive::base::Base;
use crate::archive::chunks::{AHEAD, Chunks};
use crate::archive::header::{Header, Records};
use crate::archive::increment::Chain;
use crate::archive::index::{Entry, EntryKind, IndexWriter};
use crate::archive::index_read::IndexError;
use crate::archive::links::Links;
use crate::archive::meta::{Kind, Meta};
use crate::archive::owners::Owners;
use crate::archive::walk::{Step, Walk};
use crate::base::{ArtefactId, Cancel, Cancelled, MIB, Warnings, text};
use crate::stream::{ByteStream, Closed, Error, Pending, Promise, Tree};

/// What packing needs beside the tree.
pub struct PackOptions {
    /// Takes a line for each member.
    pub index: IndexWriter,
    /// Bytes in every chunk of the stream but the last.
    pub chunk_bytes: usize,
    /// Stops the packing.
    pub cancel: Cancel,
    /// Hears how many raw bytes there are so far.
    pub progress: Arc<dyn Fn(u64) + Send + Sync>,
    /// Makes it one of a chain.
    pub chain: Option<ChainOptions>,
}

/// What packing an archive of a chain needs.
pub struct ChainOptions {
    /// The artefact that is made.
    pub artefact: ArtefactId,
    /// The index of the artefact that it builds on; none for a full one.
    pub base: Option<Base>,
    /// Reads every file and compares digests, whatever times say.
    pub force_read: bool,
    /// A change within this time of a reading may not be seen by its time alone.
    pub slack: Duration,
}

impl ChainOptions {
    /// Coarse clocks of file systems tick every two seconds.
    pub const SLACK: Duration = Duration::from_secs(2);
}

/// What was packed.
pub struct Packed {
    /// Members.
    pub files: u64,
    /// Bytes of the tar stream.
    pub raw_bytes: u64,
    /// The whole tree as the index of one of a chain has it; none for others.
    pub tree: Option<TreeSize>,
    /// The index, complete but for the map of frames.
    pub index: IndexWriter,
    /// What is missing, may be torn, or is worth telling.
    pub warnings: Warnings,
}

/// How large a tree is, whatever of it lies in this archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSize {
    /// Files, folders and all else.
    pub files: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// Why a tree cannot be packed at all.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The root cannot be read.
    #[error("{path}: could not be read")]
    Root {
        /// The root as it is stored.
        path: String,
        /// The system's word.
        source: io::Error,
    },
    /// The root was deleted meanwhile.
    #[error("{0}: was deleted while it was read")]
    Gone(String),
    /// The index cannot be written.
    #[error("could not write the index; is the folder for temporary files full?")]
    Index(#[source] io::Error),
    /// The index of the artefact that this one builds on broke off.
    #[error("could not read on in the index of the last copy")]
    Base(#[from] IndexError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// Nobody reads the stream.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// Packs `tree` on a thread of its own.
///
/// Shape: a POSIX tar in chunks of `options.chunk_bytes`, the last shorter; two blocks of zeros at
/// its end.
/// Errors: the stream breaks with a [`PackError`], and the other value never comes.
pub fn pack(tree: Box<dyn Tree>, options: PackOptions) -> (ByteStream, Pending<Packed>) {
    let (feeder, stream) = ByteStream::channel((AHEAD / options.chunk_bytes).max(1));
    let (promise, packed) = Pending::new();
    let chunks = Chunks::new(feeder, options.chunk_bytes);
    let spawned = std::thread::Builder::new()
        .name("pack".to_owned())
        .spawn(move || Packer::new(chunks, options).run(tree.into(), promise));
    match spawned {
        Ok(_) => (stream, packed),
        Err(error) => {
            let broken = futures_util::stream::once(async { Err(Error::new(error)) });
            (ByteStream::from_stream(broken), packed)
        }
    }
}

/// The packing thread.
pub(crate) struct Packer {
    pub(crate) out: Chunks,
    pub(crate) index: IndexWriter,
    pub(crate) owners: Owners,
    pub(crate) attributes: Attributes,
    pub(crate) records: Records,
    pub(crate) links: Links,
    pub(crate) warnings: Warnings,
    pub(crate) cancel: Cancel,
    /// How often the present thing became another one.
    pub(crate) replaced: u32,
    /// What one of a chain needs.
    pub(crate) chain: Option<Chain>,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
    files: u64,
    told: u64,
}

impl Packer {
    fn new(out: Chunks, options: PackOptions) -> Self {
        let PackOptions { mut index, cancel, progress, chain, .. } = options;
        let chain = chain.map(|chain| Chain::new(chain, &mut index));
        Self {
            out,
            index,
            owners: Owners::read(),
            attributes: Attributes::default(),
            records: Records::default(),
            links: Links::default(),
            warnings: Warnings::default(),
            cancel,
            replaced: 0,
            chain,
            progress,
            files: 0,
            told: 0,
        }
    }

    fn run(mut self, tree: Arc<dyn Tree>, promise: Promise<Packed>) {
        if let Err(error) = self.tree(&tree) {
            return self.out.fail(Error::new(error));
        }
        let raw_bytes = self.out.position();
        if self.out.finish().is_ok() {
            (self.progress)(raw_bytes);
            let Self { files, index, warnings, chain, .. } = self;
            let tree = chain.map(|chain| chain.tree);
            promise.keep(Packed { files, raw_bytes, tree, index, warnings });
        }
    }

    fn tree(&mut self, tree: &Arc<dyn Tree>) -> Result<(), PackError> {
        let root = text(tree.stored_as().as_os_str().as_encoded_bytes());
        let broken = |error: Errno| PackError::Root { path: root.clone(), source: error.into() };
        let mut walk = Walk::start(Arc::clone(tree), WALKERS).map_err(broken)?;
        if walk.has_followed() {
            self.note(walk.path(), "is a link to a folder; the folder was followed");
        }
        let mut steps = 0;
        while let Some(step) = walk.step() {
            self.cancel.check()?;
            match step {
                Step::Closed(_, error) | Step::Lost(error) | Step::Short(error)
                    if steps == 0 || (steps == 1 && walk.is_at_root()) =>
                {
                    return Err(broken(error));
                }
                step if self.chain.is_some() => self.take_of_chain(&walk, step)?,
                step => self.take(&walk, step)?,
            }
            steps += 1;
            self.send()?;
        }
        if walk.root_is_gone() {
            return Err(PackError::Gone(root));
        }
        if self.chain.is_some() {
            self.end_of_chain()?;
        }
        self.out.put(&[0; 1024]);
        Ok(())
    }

    fn take(&mut self, walk: &Walk, step: Step) -> Result<(), PackError> {
        match step {
            Step::Thing(meta) => self.thing(walk, meta)?,
            Step::Closed(meta, error) => {
                self.plain(walk, &meta)?;
                self.warnings.unreadable.add(walk.path(), error);
            }
            Step::Lost(error) => self.lost(walk.path(), error),
            Step::Short(error) => self.lost(walk.path(), error),
            Step::Left(_) => {}
        }
        Ok(())
    }

    pub(crate) fn thing(&mut self, walk: &Walk, meta: Meta) -> Result<(), PackError> {
        self.replaced = 0;
        match meta.kind {
            Kind::Socket => {
                self.note(walk.path(), "is a socket and was left out");
                Ok(())
            }
            Kind::Folder => self.plain(walk, &meta),
            _ if self.is_linked(walk, &meta)? => Ok(()),
            Kind::File => self.file(walk, meta),
            _ => self.plain(walk, &meta),
        }
    }

    /// Stores anything that has no data.
    pub(crate) fn plain(&mut self, walk: &Walk, meta: &Meta) -> Result<(), PackError> {
        let link = match meta.kind {
            Kind::Symlink => match rustix::fs::readlinkat(walk.parent(), walk.name(), Vec::new()) {
                Ok(link) => Some(link.into_bytes()),
                Err(Errno::INVAL) => return self.replaced(walk),
                Err(error) => {
                    self.lost(walk.path(), error);
                    return Ok(());
                }
            },
            _ => None,
        };
        let bearer = match walk.folder() {
            Some(folder) if meta.kind == Kind::Folder => Bearer::Open(folder),
            _ => Bearer::Named(walk.parent(), walk.name()),
        };
        let start = self.out.position();
        let pax = self.read_attributes(walk.path(), bearer, meta);
        if let (Some(_), Kind::Folder, Some(names), Some(folder)) =
            (&self.chain, meta.kind, walk.names(), walk.folder())
        {
            self.add_names(walk.path(), &names.dump_directory(folder));
        }
        self.write_header(member(walk.path(), meta.kind).as_slice(), meta, 0, link.as_deref());
        let mut entry = Entry::new(stored(walk.path()), meta, start);
        (entry.link, entry.pax) = (link, pax);
        self.store(meta, entry)
    }

    /// Stores another name of something that is in the archive already.
    fn is_linked(&mut self, walk: &Walk, meta: &Meta) -> Result<bool, PackError> {
        if meta.links < 2 {
            return Ok(false);
        }
        let Some((path, data_offset)) = self.links.find(meta) else { return Ok(false) };
        self.link(walk, meta, path, data_offset)?;
        Ok(true)
    }

    /// Stores another name of what lies at `path`, which an earlier archive may hold.
    pub(crate) fn link(
        &mut self,
        walk: &Walk,
        meta: &Meta,
        path: Vec<u8>,
        data_offset: Option<u64>,
    ) -> Result<(), PackError> {
        let start = self.out.position();
        self.records.clear();
        let header = Header {
            path: stored(walk.path()),
            kind: b'1',
            size: 0,
            link: &path,
            user: self.owners.user(meta.uid),
            group: self.owners.group(meta.gid),
        };
        header.write(meta, &mut self.records, &mut self.out);
        let mut entry = Entry::new(stored(walk.path()), meta, start);
        entry.kind = EntryKind::HardLink;
        entry.link = Some(path);
        entry.data_offset = data_offset;
        self.add(entry)
    }

    /// Reads the attributes of a thing into the records of its header, and returns their digest.
    pub(crate) fn read_attributes(
        &mut self,
        path: &[u8],
        bearer: Bearer,
        meta: &Meta,
    ) -> Option<[u8; 8]> {
        self.records.clear();
        if let Err(error) = self.attributes.read(bearer, meta.dev, &mut self.records) {
            self.note(path, &format!("an attribute could not be read: {error}"));
        }
        self.records.digest()
    }

    /// Adds the names of the folder at `path` to its header, for plain tar.
    fn add_names(&mut self, path: &[u8], list: &[u8]) {
        // Readers hold a header in memory, ours refuses a longer one; it needs no names.
        if list.len() > LONGEST_NAMES {
            return self.note(path, "has too many names for tar alone to remove what is gone");
        }
        self.records.add(DUMP_DIRECTORY, list);
    }

    /// Writes the header of the folder at `path` that the walk is in or leaves, although it has not
    /// changed: its line stays.
    pub(crate) fn folder_again(&mut self, walk: &Walk, path: &[u8], meta: &Meta) {
        let Some((folder, names)) = walk.left() else { return };
        let list = names.dump_directory(folder);
        self.read_attributes(path, Bearer::Open(folder), meta);
        self.add_names(path, &list);
        self.files += 1;
        self.write_header(member(path, meta.kind).as_slice(), meta, 0, None);
    }

    /// Writes a header with the present records.
    pub(crate) fn write_header(
        &mut self,
        path: &[u8],
        meta: &Meta,
        size: u64,
        link: Option<&[u8]>,
    ) {
        let header = Header {
            path,
            kind: letter(meta.kind),
            size,
            link: link.unwrap_or_default(),
            user: self.owners.user(meta.uid),
            group: self.owners.group(meta.gid),
        };
        header.write(meta, &mut self.records, &mut self.out);
    }

    /// Adds a new thing to the index, and remembers it when it has other names.
    pub(crate) fn store(&mut self, meta: &Meta, entry: Entry) -> Result<(), PackError> {
        if meta.links > 1 && meta.kind != Kind::Folder {
            self.links.remember(meta, &entry);
        }
        self.add(entry)
    }

    fn add(&mut self, mut entry: Entry) -> Result<(), PackError> {
        self.files += 1;
        self.part_from_base()?;
        if let Some(chain) = &mut self.chain {
            chain.sign(&mut entry);
        }
        self.index.add(&entry).map_err(PackError::Index)
    }

    /// How many members there are so far.
    pub(crate) fn members(&self) -> u64 {
        self.files
    }

    /// Hands over full chunks.
    pub(crate) fn send(&mut self) -> Result<(), PackError> {
        self.out.send()?;
        let position = self.out.position();
        if position - self.told >= TOLD {
            self.told = position;
            (self.progress)(position);
        }
        Ok(())
    }

    /// Notes a thing about which the system says nothing any more, or will not say it.
    pub(crate) fn lost(&mut self, path: &[u8], error: Errno) {
        match error {
            Errno::NOENT => self.warnings.vanished.add(path, "is gone"),
            error => self.warnings.unreadable.add(path, error),
        }
    }

    /// Notes something that is worth telling.
    pub(crate) fn note(&mut self, path: &[u8], what: &str) {
        self.warnings.note(format!("{}: {what}", text(path)));
    }
}

/// Returns a path as the index has it: without the leading slash.
pub(crate) fn stored(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

/// Returns a path as the archive has it: a folder's ends in a slash.
fn member(path: &[u8], kind: Kind) -> Vec<u8> {
    match (stored(path), kind) {
        (b"", _) => b"./".to_vec(),
        (path, Kind::Folder) => [path, b"/"].concat(),
        (path, _) => path.to_vec(),
    }
}

fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Folder => b'5',
        Kind::Fifo => b'6',
        Kind::File | Kind::Socket => b'0',
    }
}

/// The record in which GNU tar lists a folder.
const DUMP_DIRECTORY: &[u8] = b"GNU.dumpdir";
/// Bytes of the names of a folder in its header.
const LONGEST_NAMES: usize = 48 * MIB;
/// Threads that walk ahead; they sleep where the disk is fast and hide its latency elsewhere.
const WALKERS: usize = 3;
/// Bytes between two words about progress.
const TOLD: u64 = 4 << 20;
