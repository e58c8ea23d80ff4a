//! Gets and stats.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, Stat, fadvise, fstat, openat, statat};
use rustix::io::Errno;
use tokio::task::spawn_blocking;

use crate::base::{Key, MIB};
use crate::storages::local::errors::Trouble;
use crate::storages::local::folder::Root;
use crate::storages::{Kind, Object};
use crate::stream::{self, Buffers, ByteStream, Feeder};

/// A part of a file that can be read; a short part was read already.
pub(super) struct Opened {
    file: File,
    left: u64,
    path: PathBuf,
    first: Vec<u8>,
}

/// Opens the file of `key` at the beginning of `part`.
pub(super) fn open(root: &Root, key: &Key, part: Range<u64>) -> Result<Opened, Trouble> {
    let path = root.path.join(key.as_str());
    let wrap = |error: Errno| Trouble::io(&path, error);
    let missing = || Trouble::io(&path, Errno::NOENT);
    let folder = root.folder(key.folder())?.ok_or_else(missing)?;
    // Without NONBLOCK a fifo that somebody left would hold us for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(&folder, key.name(), flags, Mode::empty()).map_err(wrap)?;
    let facts = fstat(&file).map_err(wrap)?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        let problem = format!("{} is not a regular file", path.display());
        return Err(Trouble::new(Kind::NotFound, problem));
    }
    let bytes = facts.st_size as u64;
    if part.start > part.end || part.end > bytes {
        let problem = format!("bytes {part:?} were asked for, {} has {bytes}", path.display());
        return Err(Trouble::new(Kind::Corrupt, problem));
    }
    let mut file = File::from(file);
    let io = |error| Trouble::io(&path, error);
    file.seek(SeekFrom::Start(part.start)).map_err(io)?;
    let left = part.end - part.start;
    let mut opened = Opened { file, left, path, first: Vec::new() };
    if left <= CHUNK as u64 {
        let mut first = Vec::with_capacity(left as usize);
        opened.read(&mut first)?;
        opened.first = first;
    } else {
        fadvise(&opened.file, part.start, None, Advice::Sequential).ok();
    }
    Ok(opened)
}

impl Opened {
    /// Gives the part as a stream; a thread reads ahead by at most three chunks.
    pub(super) fn stream(self, storage: String, key: Key) -> ByteStream {
        if self.left == 0 {
            return ByteStream::from_bytes(self.first);
        }
        let (feeder, stream) = ByteStream::channel(2);
        spawn_blocking(move || {
            if let Some((feeder, trouble)) = self.pump(feeder) {
                let error = trouble.on(&storage, "get", &key);
                feeder.blocking_fail(stream::Error::new(error));
            }
        });
        stream
    }

    fn pump(mut self, feeder: Feeder) -> Option<(Feeder, Trouble)> {
        let buffers = Buffers::new(CHUNK, 4);
        while self.left > 0 {
            let mut chunk = buffers.take();
            if let Err(trouble) = self.read(&mut chunk) {
                return Some((feeder, trouble));
            }
            if feeder.blocking_send(buffers.freeze(chunk)).is_err() {
                return None;
            }
        }
        feeder.blocking_finish().ok();
        None
    }

    fn read(&mut self, chunk: &mut Vec<u8>) -> Result<(), Trouble> {
        let wanted = self.left.min(CHUNK as u64);
        let taken = (&self.file).take(wanted).read_to_end(chunk);
        let taken = taken.map_err(|error| Trouble::io(&self.path, error))? as u64;
        if taken < wanted {
            let problem = format!("{} became shorter while it was read", self.path.display());
            return Err(Trouble::new(Kind::Corrupt, problem));
        }
        self.left -= taken;
        Ok(())
    }
}

const CHUNK: usize = MIB;

/// Tells size and time of the file of `key`.
pub(super) fn stat(root: &Root, key: &Key) -> Result<Option<Object>, Trouble> {
    let Some(folder) = root.folder(key.folder())? else { return Ok(None) };
    match statat(&folder, key.name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(facts) if is_file(&facts) => Ok(Some(describe(key, &facts))),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Trouble::io(&root.path.join(key.as_str()), error)),
    }
}

pub(super) fn is_file(facts: &Stat) -> bool {
    FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile
}

pub(super) fn describe(key: &Key, facts: &Stat) -> Object {
    let modified = Timestamp::new(facts.st_mtime, facts.st_mtime_nsec as i32).ok();
    Object { key: key.clone(), bytes: facts.st_size as u64, modified }
}
