//! Finds members in an index by reading only the frames that may name them.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::archive::index::{Entry, FORMAT, Head, Map};
use crate::archive::select::{Selection, order};
use crate::base::{ArtefactId, BoxError, KIB, MIB, untext};

/// Bytes that can be read in parts: an index on a storage, unsealed.
#[async_trait]
pub trait Ranges: Send + Sync {
    /// Reads `part`, whole.
    async fn read(&self, part: Range<u64>) -> Result<Bytes, BoxError>;
}

/// An index that was opened.
pub struct IndexReader {
    ranges: Box<dyn Ranges>,
    map: Map,
    /// The first path of each frame, as bytes.
    firsts: Vec<Vec<u8>>,
    last_frame: u64,
}

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The storage did not give its bytes.
    #[error("the index could not be read")]
    Unreadable(#[source] BoxError),
    /// Its end is missing.
    #[error("the index is cut short")]
    Cut,
    /// Its bytes are not what was written.
    #[error("the index is damaged: {0}")]
    Damaged(String),
    /// Written by a newer program.
    #[error("the index has format {0}; this program reads up to {FORMAT}: use a newer nxs-backup")]
    Newer(u64),
    /// It stands beside another artefact.
    #[error("the index belongs to {found}, not to {wanted}")]
    Other {
        /// The artefact that it names.
        found: ArtefactId,
        /// The artefact that was asked for.
        wanted: ArtefactId,
    },
}

impl IndexReader {
    /// Opens the index of `artefact`, of which the manifest tells `bytes` and `last_frame`.
    ///
    /// Reads its beginning and its last frame.
    pub async fn open(
        ranges: Box<dyn Ranges>,
        bytes: u64,
        last_frame: u64,
        artefact: &ArtefactId,
    ) -> Result<Self, IndexError> {
        if last_frame == 0 || last_frame >= bytes {
            return Err(IndexError::Cut);
        }
        let begin = get(&*ranges, 0..last_frame.min(HEAD)).await?;
        let head = head(&begin)?;
        if head.artefact != *artefact {
            return Err(IndexError::Other { found: head.artefact, wanted: artefact.clone() });
        }
        let end = inflate_map(&get(&*ranges, last_frame..bytes).await?)?;
        let map: Map = serde_json::from_slice(&end).map_err(damaged)?;
        check_map(&map, last_frame)?;
        let firsts = map.frames.iter().map(|(_, first)| untext(first)).collect();
        Ok(Self { ranges, map, firsts, last_frame })
    }

    /// Begins to read every entry, in order.
    pub fn all(&self) -> Entries<'_> {
        self.entries(0..self.firsts.len(), None)
    }

    /// Begins to read the entries that `selection` means, in order.
    pub fn matching<'a>(&'a self, selection: &'a Selection) -> Entries<'a> {
        self.entries(0..self.firsts.len(), Some(selection))
    }

    /// Begins to read the entries that `selection` means and, told apart, their neighbours: at
    /// least the one behind each entry that is meant.
    pub fn around<'a>(&'a self, selection: &'a Selection) -> Around<'a> {
        let entries = self.entries(0..self.firsts.len(), None);
        Around { entries, selection, last_meant: false }
    }

    /// Finds the entry of the stored `path`.
    pub async fn find(&self, path: &[u8]) -> Result<Option<Entry>, IndexError> {
        let after = self.firsts.partition_point(|first| order(first, path).is_le());
        let frames = after.saturating_sub(1)..after.max(1);
        let mut entries = self.entries(frames, None);
        while let Some(entry) = entries.next().await? {
            if entry.path == path {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Tells where to begin to read the stored stream for the raw byte `offset`: at which stored
    /// byte a frame begins, and how many raw bytes of it come before.
    ///
    /// Answers `None` behind the end of the stream.
    pub fn locate(&self, offset: u64) -> Option<(u64, u64)> {
        let frame = offset.checked_div(self.map.frame_bytes)?;
        let start = self.map.starts.get(usize::try_from(frame).ok()?)?;
        (offset < self.map.raw_bytes).then_some((*start, offset % self.map.frame_bytes))
    }

    /// Returns how many bytes the artefact's compressed stream has.
    pub fn stored_bytes(&self) -> u64 {
        self.map.stored_bytes
    }

    /// Returns how many bytes the artefact has before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.map.raw_bytes
    }

    fn entries<'a>(
        &'a self,
        frames: Range<usize>,
        selection: Option<&'a Selection>,
    ) -> Entries<'a> {
        Entries { reader: self, frames, selection, lines: Vec::new(), at: 0 }
    }

    async fn frame(&self, number: usize) -> Result<Vec<u8>, IndexError> {
        let begin = self.map.frames[number].0;
        let end = self.map.frames.get(number + 1).map_or(self.last_frame, |(begin, _)| *begin);
        inflate(&get(&*self.ranges, begin..end).await?)
    }
}

/// Entries of an index, one after the other; one frame is in memory at a time.
pub struct Entries<'a> {
    reader: &'a IndexReader,
    frames: Range<usize>,
    selection: Option<&'a Selection>,
    lines: Vec<u8>,
    at: usize,
}

/// Entries that are meant, with their neighbours.
pub struct Around<'a> {
    entries: Entries<'a>,
    selection: &'a Selection,
    last_meant: bool,
}

impl Around<'_> {
    /// Gives the next entry and whether it is meant; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<(Entry, bool)>, IndexError> {
        // Whoever is meant may end a frame; the frame behind it names the neighbour.
        self.entries.selection = (!self.last_meant).then_some(self.selection);
        let Some(entry) = self.entries.next_of_frames().await? else { return Ok(None) };
        self.last_meant = self.selection.matches(&entry.path);
        Ok(Some((entry, self.last_meant)))
    }
}

impl Entries<'_> {
    /// Gives the next entry; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Entry>, IndexError> {
        while let Some(entry) = self.next_of_frames().await? {
            if self.selection.is_none_or(|selection| selection.matches(&entry.path)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Gives the next entry of the frames that may hold what is meant.
    async fn next_of_frames(&mut self) -> Result<Option<Entry>, IndexError> {
        loop {
            while self.at < self.lines.len() {
                let rest = &self.lines[self.at..];
                let end = rest.iter().position(|byte| *byte == b'\n');
                let end = end.ok_or_else(|| damaged("a line has no end"))?;
                self.at += end + 1;
                if rest[..end].starts_with(b"{\"format\"") {
                    continue;
                }
                return Entry::read(&rest[..end]).map(Some).map_err(damaged);
            }
            let Some(number) = self.frames.next() else { return Ok(None) };
            if self.may_match(number) {
                (self.lines, self.at) = (self.reader.frame(number).await?, 0);
            }
        }
    }

    fn may_match(&self, number: usize) -> bool {
        let firsts = &self.reader.firsts;
        let after = firsts.get(number + 1).map(Vec::as_slice);
        self.selection.is_none_or(|meant| meant.may_lie_between(&firsts[number], after))
    }
}

async fn get(ranges: &dyn Ranges, part: Range<u64>) -> Result<Bytes, IndexError> {
    let wanted = part.end - part.start;
    let bytes = ranges.read(part).await.map_err(IndexError::Unreadable)?;
    if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(IndexError::Cut) }
}

/// Reads the first line out of the beginning of the first frame.
pub(crate) fn head(begin: &[u8]) -> Result<Head, IndexError> {
    let decoder = zstd::stream::read::Decoder::with_buffer(begin).map_err(damaged)?;
    let mut line = Vec::new();
    BufReader::new(decoder.take(64 * KIB as u64)).read_until(b'\n', &mut line).map_err(broken)?;
    let value: serde_json::Value = serde_json::from_slice(&line).map_err(damaged)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format > u64::from(FORMAT) => Err(IndexError::Newer(format)),
        _ => serde_json::from_value(value).map_err(damaged),
    }
}

/// Makes sure that frames follow one another from the first byte on.
pub(crate) fn check_map(map: &Map, last_frame: u64) -> Result<(), IndexError> {
    let begins = map.frames.iter().map(|(begin, _)| *begin).chain([last_frame]);
    if !begins.is_sorted_by(|a, b| a < b) || map.frames.first().is_none_or(|(at, _)| *at != 0) {
        return Err(damaged("its frames are out of order"));
    }
    Ok(())
}

/// Unpacks one frame of lines.
pub(crate) fn inflate(frame: &[u8]) -> Result<Vec<u8>, IndexError> {
    inflate_up_to(frame, LARGEST_FRAME)
}

/// Unpacks the last frame: the map.
pub(crate) fn inflate_map(frame: &[u8]) -> Result<Vec<u8>, IndexError> {
    inflate_up_to(frame, LARGEST_MAP)
}

/// What somebody made to fill our memory is no index.
fn inflate_up_to(frame: &[u8], largest: u64) -> Result<Vec<u8>, IndexError> {
    let decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(damaged)?;
    let mut lines = Vec::with_capacity(MIB + MIB / 8);
    decoder.take(largest + 1).read_to_end(&mut lines).map_err(broken)?;
    if lines.len() as u64 > largest {
        return Err(damaged(format!("a frame is larger than {largest} bytes")));
    }
    Ok(lines)
}

fn broken(error: std::io::Error) -> IndexError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => IndexError::Cut,
        _ => damaged(error),
    }
}

pub(crate) fn damaged(why: impl std::fmt::Display) -> IndexError {
    IndexError::Damaged(why.to_string())
}

/// Enough of the first frame to hold its first block.
const HEAD: u64 = 160 * KIB as u64;
/// No frame of lines is larger when unpacked: ours end at 2 MiB and a line.
const LARGEST_FRAME: u64 = 32 * MIB as u64;
/// The map of an artefact of 100 TiB is not larger.
const LARGEST_MAP: u64 = 512 * MIB as u64;
