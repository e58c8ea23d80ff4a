//! Some members of a large artefact by reading only the frames that hold them.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::archive::{
    Entry, EntryKind, Expected, IndexReader, Ranges, Selection, UnpackOptions, Unpacked, unpack,
};
use crate::base::{self, BoxError, Key, MIB, text};
use crate::catalogue::{Manifest, joined_part};
use crate::restore::apply::{self, Error, How, Restored, other, strip};
use crate::restore::holdings::Held;
use crate::storages::Storage;
use crate::stream::{StreamReader, decompress};

/// An index on a storage.
struct OnStorage {
    storage: Arc<dyn Storage>,
    key: Key,
}

#[async_trait]
impl Ranges for OnStorage {
    async fn read(&self, part: Range<u64>) -> Result<Bytes, BoxError> {
        let limit = (part.end - part.start) as usize;
        Ok(self.storage.get(&self.key, part).await?.collect(limit).await?)
    }
}

/// Opens the index of a tree.
///
/// Errors: when there is none, or it is damaged.
pub async fn open_index(held: &Held<'_>) -> Result<IndexReader, Error> {
    let manifest = &held.stored.manifest;
    let Some(index) = &manifest.index else {
        return Err(other(format!("{} has no index", manifest.target)));
    };
    let ranges = OnStorage { storage: held.place.storage.clone(), key: index.key.clone() };
    let opened = IndexReader::open(Box::new(ranges), index.bytes, index.last_frame, &manifest.id);
    opened.await.map_err(other)
}

/// Members that follow one another in the archive.
#[derive(Default)]
struct Span {
    members: Vec<Entry>,
    /// Raw bytes, from the first member's header to the header behind the last.
    raw: Range<u64>,
}

/// Brings back what `how.paths` means, span by span.
///
/// Errors: [`Error`]; also when a member is not what the index says of it, or a file that came
/// back does not have its digest.
pub(crate) async fn members(held: &Held<'_>, into: &Path, how: &How) -> Result<Restored, Error> {
    let selection = Selection::new(&how.paths).map_err(other)?;
    let reader = open_index(held).await?;
    let mut restored = Restored::default();
    let mut span = Span::default();
    let mut lone_links = Vec::new();
    let mut entries = reader.around(&selection);
    while let Some((entry, is_meant)) = entries.next().await.map_err(other)? {
        if is_meant && restored.matched.len() < how.paths.len() {
            restored.matched.extend(selection.which(&entry.path));
        }
        let lone = is_meant && is_lone_link(&entry, &selection);
        if is_meant && !lone && span.members.len() < SPAN {
            if span.members.is_empty() {
                span.raw.start = entry.offset;
            }
            span.members.push(entry);
            continue;
        }
        span.raw.end = entry.offset;
        bring(held, &reader, std::mem::take(&mut span), into, how, &mut restored).await?;
        if lone {
            lone_links.push(entry);
        } else if is_meant {
            span = Span { raw: entry.offset..0, members: vec![entry] };
        }
    }
    span.raw.end = reader.raw_bytes();
    bring(held, &reader, span, into, how, &mut restored).await?;
    for link in lone_links {
        bring_link(held, &reader, link, into, how, &mut restored).await?;
    }
    if restored.matched.is_empty() {
        return Err(Error::NoMatch(how.paths.join(", ")));
    }
    Ok(restored)
}

/// How many members are read in one go: bounds the memory.
const SPAN: usize = 10_000;

/// A hard link whose data belongs to a member that is not asked for.
pub(crate) fn is_lone_link(entry: &Entry, selection: &Selection) -> bool {
    let data = entry.link.as_deref().filter(|_| entry.kind == EntryKind::HardLink);
    data.is_some_and(|data| !selection.matches(data))
}

async fn bring(
    held: &Held<'_>,
    reader: &IndexReader,
    span: Span,
    into: &Path,
    how: &How,
    restored: &mut Restored,
) -> Result<(), Error> {
    if span.members.is_empty() {
        return Ok(());
    }
    let entries: HashMap<_, _> =
        span.members.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    let digests = entries.values().map(|entry| (entry.path.clone(), entry.digest)).collect();
    let count = entries.len() as u64;
    let expected = Some(Expected { entries, start: span.raw.start, stops: false });
    let options = UnpackOptions { expected, ..options(held, how) };
    let done = unpack_part(held, reader, span.raw, into, options).await?;
    if done.files + done.stripped + done.failed.count < count {
        let (found, members) = (done.files, base::count(count, "member", "members"));
        return Err(other(format!("only {found} of {members} found where the index says")));
    }
    restored.add(done);
    check(digests, into, strip(held, how)).await
}

/// Brings back the data of a hard link under the link's own name.
async fn bring_link(
    held: &Held<'_>,
    reader: &IndexReader,
    link: Entry,
    into: &Path,
    how: &How,
    restored: &mut Restored,
) -> Result<(), Error> {
    let Some(begin) = link.data_offset else {
        return Err(other(format!(
            "the index does not tell where the data of {} is",
            text(&link.path)
        )));
    };
    let data = match &link.link {
        Some(path) => reader.find(path).await.map_err(other)?,
        None => None,
    };
    let Some(data) = data else {
        return Err(other(format!("the index does not name the data of {}", text(&link.path))));
    };
    let end = begin + data.size + HEADERS;
    let digest = data.digest;
    let entries = HashMap::from([(data.path.clone(), data)]);
    let options = UnpackOptions {
        expected: Some(Expected { entries, start: begin, stops: false }),
        rename: Some(link.path.clone()),
        members: Some(1),
        ..options(held, how)
    };
    let done = unpack_part(held, reader, begin..end.min(reader.raw_bytes()), into, options).await?;
    if done.files + done.failed.count == 0 {
        return Err(other(format!("{} does not lie where the index says", text(&link.path))));
    }
    restored.add(done);
    check(HashMap::from([(link.path, digest)]), into, strip(held, how)).await
}

/// More than the headers of one member can take, its attributes included.
const HEADERS: u64 = 4 * MIB as u64;

/// Spans follow one another into the same folder, which the caller found empty or may overwrite.
fn options(held: &Held<'_>, how: &How) -> UnpackOptions {
    UnpackOptions { overwrite: true, ..apply::options(held, how) }
}

/// Reads the frames that hold `raw` and unpacks what lies between its ends.
pub(crate) async fn unpack_part(
    held: &Held<'_>,
    reader: &IndexReader,
    raw: Range<u64>,
    into: &Path,
    options: UnpackOptions,
) -> Result<Unpacked, Error> {
    let manifest = &held.stored.manifest;
    let outside = || other(format!("the index of {} points outside its archive", manifest.target));
    let (begin, skip) = reader.locate(raw.start).ok_or_else(outside)?;
    let end = stored_end(manifest, reader, raw.end);
    let part = joined_part(&held.place.storage, &manifest.segments, begin..end);
    let stream = decompress(part, manifest.compression.codec);
    let into = into.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let mut bytes = StreamReader::new(stream);
        io::copy(&mut (&mut bytes).take(skip), &mut io::sink())?;
        // The end of an archive, so that what was cut out is one of its own.
        let end = io::repeat(0).take(1024);
        let archive = bytes.take(raw.end - raw.start).chain(end);
        unpack(archive, &into, &options).map_err(BoxError::from)
    });
    work.await.map_err(other)?.map_err(Error::Other)
}

/// Where the frame that holds the last raw byte before `raw_end` ends in the stored stream.
fn stored_end(manifest: &Manifest, reader: &IndexReader, raw_end: u64) -> u64 {
    let frame = manifest.frames.raw_bytes.max(1);
    let next = raw_end.div_ceil(frame) * frame;
    reader.locate(next).map_or(manifest.stored_bytes, |(begin, _)| begin)
}

/// Compares the files that came back with the digests of the index.
pub(crate) async fn check(
    wanted: HashMap<Vec<u8>, Option<[u8; 16]>>,
    into: &Path,
    strip: Option<Vec<u8>>,
) -> Result<(), Error> {
    let into = into.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        for (member, digest) in wanted {
            let Some(digest) = digest else { continue };
            let path = into.join(below(&member, strip.as_deref()));
            let mut hasher = blake3::Hasher::new();
            let mut file = std::fs::File::open(&path).map_err(|error| {
                other(format!("{}: did not come back: {error}", path.display()))
            })?;
            io::copy(&mut file, &mut hasher).map_err(other)?;
            if hasher.finalize().as_bytes()[..16] != digest {
                let path = path.display();
                return Err(other(format!(
                    "{path}: came back with other bytes than the index says"
                )));
            }
        }
        Ok(())
    });
    work.await.map_err(other)?
}

fn below(member: &[u8], strip: Option<&[u8]>) -> PathBuf {
    let rest = strip
        .and_then(|strip| member.strip_prefix(strip))
        .map(|rest| rest.strip_prefix(b"/").unwrap_or(rest));
    let name = || member.rsplit(|byte| *byte == b'/').next().unwrap_or(member);
    let path = match rest {
        Some(b"") => name(),
        Some(rest) => rest,
        None => member,
    };
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}
