//! How a choice is brought back: streamed, checked against the manifest's digests, and taken from
//! the next storage where one is down or damaged.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tracing::warn;

use crate::archive::{UnpackOptions, Unpacked, unpack};
use crate::base::{BoxError, Cancel, Digest, Key, Progress, Watcher, chain, display, untext};
use crate::catalogue::{Manifest, joined};
use crate::restore::chain::Chain;
use crate::restore::holdings::Held;
use crate::restore::pick::Choice;
use crate::restore::ranged;
use crate::stream::{self, ByteStream, Pending, StreamReader, decompress};

/// How to bring back.
#[derive(Clone)]
pub struct How {
    /// Only what matches, folders with all below them; empty means everything.
    pub paths: Vec<String>,
    /// Leave away the target's own path: only what lies below it.
    pub strip: bool,
    /// Replace what is in the way.
    pub overwrite: bool,
    /// Who looks on.
    pub watcher: Arc<dyn Watcher>,
    /// The wish to stop.
    pub cancel: Cancel,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Members of a tree, or 1.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// The storage that gave it.
    pub place: String,
    /// What could not be brought back as it was, such as owners without being root.
    pub warnings: Vec<String>,
    /// Members that could not be made at all: `path: reason`.
    pub failed: Vec<String>,
    /// Which of [`How::paths`], by their place in the list, something was found for.
    pub matched: BTreeSet<usize>,
}

impl Restored {
    /// Adds what one archive, or one part of it, gave.
    pub(crate) fn add(&mut self, unpacked: Unpacked) {
        self.files += unpacked.files;
        self.bytes += unpacked.bytes;
        self.warnings.extend(unpacked.warnings);
        let more = unpacked.failed.count - unpacked.failed.first.len() as u64;
        self.failed.extend(unpacked.failed.first);
        if more > 0 {
            self.failed.push(format!("and {more} more"));
        }
    }
}

/// Why nothing trustworthy came back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No storage could give it.
    #[error("{target}: {}", .tries.join("; "))]
    EveryStorage {
        /// What was to be restored.
        target: String,
        /// One reason for each storage.
        tries: Vec<String>,
    },
    /// The bytes that came are not those of the manifest.
    #[error("{what} does not fit the manifest: {found} instead of {wanted}")]
    Digest {
        /// Which digest.
        what: &'static str,
        /// What was computed.
        found: Digest,
        /// What the manifest says.
        wanted: Digest,
    },
    /// Nothing inside matches.
    #[error("nothing in it matches {0}")]
    NoMatch(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// Reading or writing failed.
    #[error(transparent)]
    Other(BoxError),
}

/// Brings `choice` back below `into`, from the first storage that can.
///
/// Errors: [`Error::NoMatch`]; [`Error::EveryStorage`] with the reason of each. What an attempt has
/// already written stays then, and must not be trusted.
pub async fn to_folder(choice: &Choice<'_>, into: &Path, how: &How) -> Result<Restored, Error> {
    let (mut tries, mut strange) = (Vec::new(), false);
    for (number, held) in choice.held.iter().enumerate() {
        let again = How { overwrite: how.overwrite || !tries.is_empty(), ..how.clone() };
        match from_one(choice, held, into, &again).await {
            Ok(restored) => {
                let warnings = with(tries, restored.warnings);
                let mut failed = restored.failed;
                if strange {
                    let what = "files of another artefact may have come with the first try";
                    failed.push(format!("{what}: restore into an empty folder to be sure"));
                }
                return Ok(Restored { warnings, failed, ..restored });
            }
            Err(_) if how.cancel.is_cancelled() => return Err(Error::Cancelled),
            Err(error @ Error::NoMatch(_)) => return Err(error),
            Err(error) => {
                if let Some(next) = choice.held.get(number + 1) {
                    let (this, next) = (&held.place.name, &next.place.name);
                    warn!("'{this}': {}; now from '{next}'", chain(&error));
                }
                strange |= matches!(error, Error::Digest { .. });
                tries.push(format!("'{}': {}", held.place.name, chain(&error)));
            }
        }
    }
    Err(Error::EveryStorage { target: display(&choice.manifest.target), tries })
}

fn with(tries: Vec<String>, mut warnings: Vec<String>) -> Vec<String> {
    warnings.extend(tries.into_iter().map(|said| format!("another storage was needed: {said}")));
    warnings
}

async fn from_one(
    choice: &Choice<'_>,
    held: &Held<'_>,
    into: &Path,
    how: &How,
) -> Result<Restored, Error> {
    let place = held.place.name.clone();
    if held.stored.manifest.tree.is_some() {
        let chain = Chain::new(held, choice.above(held)?);
        let restored = match how.paths.is_empty() {
            true => chain.whole(into, how).await?,
            false => chain.members(into, how).await?,
        };
        how.watcher.ended(&what(held));
        return Ok(Restored { place, ..restored });
    }
    let restored = match (&held.stored.manifest.index, how.paths.is_empty()) {
        (Some(_), true) => whole_tree(held, into, how).await?,
        (Some(_), false) => ranged::members(held, into, how).await?,
        (None, true) => files_of_dump(choice, held, into, how).await?,
        (None, false) => {
            let what = format!("{}, which holds no files", held.stored.manifest.target);
            return Err(Error::NoMatch(what));
        }
    };
    how.watcher.ended(&what(held));
    Ok(Restored { place, ..restored })
}

/// A stream of raw bytes whose digests are compared once it has ended.
pub(crate) struct Checked {
    pub(crate) raw: ByteStream,
    sha256: Pending<Digest>,
    blake3: Pending<Digest>,
}

impl Checked {
    /// Opens the whole artefact.
    pub(crate) fn open(held: &Held<'_>) -> Self {
        let manifest = &held.stored.manifest;
        let stored = joined(&held.place.storage, &manifest.segments);
        let (stored, sha256) = stream::sha256(stored);
        let (raw, blake3) = stream::blake3(decompress(stored, manifest.compression.codec));
        // What comes next is hashed while files are written.
        Self { raw: stream::ahead(raw, 1), sha256, blake3 }
    }

    /// Takes the stream, to be read to its end.
    pub(crate) fn take(&mut self) -> ByteStream {
        std::mem::replace(&mut self.raw, ByteStream::from_bytes(""))
    }

    /// Compares the digests; the stream must have been read to its end.
    pub(crate) async fn compare(self, manifest: &Manifest) -> Result<(), Error> {
        let wrong = |what, found, wanted: &Digest| {
            Err(Error::Digest { what, found, wanted: wanted.clone() })
        };
        let (sha256, blake3) = (self.sha256.get().await, self.blake3.get().await);
        let (sha256, blake3) = (sha256.map_err(other)?, blake3.map_err(other)?);
        if sha256 != manifest.sha256 {
            return wrong("sha256 of the stored bytes", sha256, &manifest.sha256);
        }
        if blake3 != manifest.blake3 {
            return wrong("blake3 of the raw bytes", blake3, &manifest.blake3);
        }
        Ok(())
    }
}

pub(crate) fn other(error: impl Into<BoxError>) -> Error {
    Error::Other(error.into())
}

fn what(held: &Held<'_>) -> String {
    format!("restore {}", display(&held.stored.manifest.target))
}

/// Tells the watcher how much content was written.
pub(crate) fn progress(held: &Held<'_>, how: &How) -> Arc<dyn Fn(u64) + Send + Sync> {
    let watcher = how.watcher.clone();
    let expected_bytes = how.paths.is_empty().then_some(held.stored.manifest.raw_bytes);
    let progress = Progress { what: what(held), done_bytes: 0, expected_bytes };
    Arc::new(move |done_bytes| watcher.advanced(&Progress { done_bytes, ..progress.clone() }))
}

async fn whole_tree(held: &Held<'_>, into: &Path, how: &How) -> Result<Restored, Error> {
    let mut checked = Checked::open(held);
    let raw = checked.take();
    let options = options(held, how);
    let into = into.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        let mut reader = StreamReader::new(raw);
        let unpacked = unpack(&mut reader, &into, &options)?;
        std::io::copy(&mut reader, &mut std::io::sink())?;
        Ok::<_, BoxError>(unpacked)
    });
    let unpacked = work.await.map_err(other)?.map_err(Error::Other)?;
    checked.compare(&held.stored.manifest).await?;
    let mut restored = Restored::default();
    restored.add(unpacked);
    Ok(restored)
}

/// Options for everything; a part of a tree narrows them.
pub(crate) fn options(held: &Held<'_>, how: &How) -> UnpackOptions {
    UnpackOptions {
        strip: strip(held, how),
        expected: None,
        rename: None,
        members: None,
        overwrite: how.overwrite,
        progress: progress(held, how),
        cancel: how.cancel.clone(),
    }
}

/// The path that `--strip` leaves away: that of the target, as its members are named.
pub(crate) fn strip(held: &Held<'_>, how: &How) -> Option<Vec<u8>> {
    let path = untext(&held.stored.manifest.target);
    let member = path.strip_prefix(b"/").unwrap_or(&path);
    how.strip.then(|| member.to_owned())
}

/// A dump with all that it builds on, each a file of its own.
async fn files_of_dump(
    choice: &Choice<'_>,
    held: &Held<'_>,
    into: &Path,
    how: &How,
) -> Result<Restored, Error> {
    let mut restored = Restored::default();
    for link in choice.above(held)?.iter().chain([held]) {
        let one = one_file(link, into, how).await?;
        restored.files += one.files;
        restored.bytes += one.bytes;
    }
    Ok(restored)
}

/// A dump: its raw bytes under the name that it has on the storage, without the compression's
/// ending.
async fn one_file(held: &Held<'_>, into: &Path, how: &How) -> Result<Restored, Error> {
    let manifest = &held.stored.manifest;
    let path = into.join(raw_name(&manifest.segments[0].key, manifest));
    if path.exists() && !how.overwrite {
        return Err(other(format!("{} exists; --overwrite replaces it", path.display())));
    }
    let part = tempfile::Builder::new().prefix(".nxs-restore-").tempfile_in(into).map_err(other)?;
    let file = tokio::fs::File::from_std(part.reopen().map_err(other)?);
    let bytes = copy_checked(held, file, how).await?;
    part.as_file().sync_all().map_err(other)?;
    part.persist(&path).map_err(other)?;
    Ok(Restored { files: 1, bytes, ..Restored::default() })
}

fn raw_name(key: &Key, manifest: &Manifest) -> PathBuf {
    let suffix = manifest.compression.codec.suffix();
    PathBuf::from(key.name().strip_suffix(suffix).unwrap_or(key.name()))
}

/// Writes the raw stream of one artefact to `out`: a tar for files, else the dump.
///
/// Errors: [`Error`]; after some bytes have gone out no other storage is tried.
pub async fn to_writer(
    choice: &Choice<'_>,
    out: impl tokio::io::AsyncWrite + Unpin,
    how: &How,
) -> Result<Restored, Error> {
    let held = choice.held.first().expect("a choice lies somewhere");
    if let Some(parent) = &held.stored.manifest.parent {
        let id = &parent.id;
        return Err(other(format!(
            "it is an increment that builds on {id}: several archives cannot be one stream; \
             restore it into a folder, or see --explain"
        )));
    }
    let bytes = copy_checked(held, out, how).await?;
    let files = held.stored.manifest.files.unwrap_or(1);
    Ok(Restored { files, bytes, place: held.place.name.clone(), ..Restored::default() })
}

async fn copy_checked(
    held: &Held<'_>,
    mut out: impl tokio::io::AsyncWrite + Unpin,
    how: &How,
) -> Result<u64, Error> {
    let mut checked = Checked::open(held);
    let mut raw = stream::watched(checked.take(), progress(held, how));
    let mut bytes = 0;
    while let Some(chunk) = raw.next().await.map_err(other)? {
        if how.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        out.write_all(&chunk).await.map_err(other)?;
        bytes += chunk.len() as u64;
    }
    out.flush().await.map_err(other)?;
    checked.compare(&held.stored.manifest).await?;
    Ok(bytes)
}
