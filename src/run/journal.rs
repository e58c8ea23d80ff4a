//! What a run is about to do to storages, written down before it does it.
//!
//! One file a run, `journal/<run id>.jsonl` in `state_dir`, locked while the run lives. What is
//! still open in a file that nobody locks is the remains of a dead run: `sweep` clears it away.
//! Beginnings are flushed to the disk; ends are not, since an end that got lost is only looked
//! into once more.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::base::{Key, RunId};
use crate::run::lock::open_private;

/// The journal of a living run.
#[derive(Debug)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
}

/// The journal of a run that ended without settling everything.
#[derive(Debug)]
pub struct DeadJournal {
    /// Where it lies.
    pub path: PathBuf,
    /// What was begun and not ended.
    pub open: Vec<Open>,
    /// How many lines cannot be read; a file with such a line is never removed.
    pub unreadable: usize,
    inner: Inner,
}

/// Something that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Open {
    /// An artefact is being put, with its index and, last, its manifest.
    Putting {
        /// The place's fingerprint.
        place: String,
        /// The place's name, for people.
        place_name: String,
        /// The artefact's first segment.
        key: Key,
        /// Its manifest.
        manifest: Key,
    },
    /// A copy is being deleted.
    Deleting {
        /// The place's fingerprint.
        place: String,
        /// The place's name, for people.
        place_name: String,
        /// Its objects, the manifest first.
        keys: Vec<Key>,
    },
}

impl Journal {
    /// Opens the journal of `run`, which must be new.
    ///
    /// Errors: when the file cannot be made, written or locked.
    pub fn open(state_dir: &Path, run: &RunId) -> io::Result<Self> {
        let path = folder(state_dir).join(format!("{run}.jsonl"));
        // Somebody who looks for dead journals may catch ours before we lock it, find nothing in
        // it and remove it; then it has no name any more and we make another.
        loop {
            let file = open_private(&path)?;
            file.lock()?;
            if file.metadata()?.nlink() > 0 {
                sync_folder(&path)?;
                let inner = Inner { path, file, open: Vec::new() };
                return Ok(Self { inner: Arc::new(Mutex::new(inner)) });
            }
        }
    }

    /// Notes that an artefact is about to be put; returns once that is on the disk.
    ///
    /// Errors: when it cannot be written: then the put must not begin.
    pub async fn putting(
        &self,
        place: &str,
        place_name: &str,
        key: &Key,
        manifest: &Key,
    ) -> io::Result<()> {
        let (key, manifest) = (key.clone(), manifest.clone());
        let (place, place_name) = (place.to_owned(), place_name.to_owned());
        self.begin(Open::Putting { place, place_name, key, manifest }).await
    }

    /// Notes that a put is settled: its manifest stands, or nothing is left of it.
    pub fn done(&self, place: &str, key: &Key) -> io::Result<()> {
        self.lock().end(place, key.as_str())
    }

    /// Notes that a copy is about to be deleted; returns once that is on the disk.
    ///
    /// Errors: when it cannot be written: then the deletion must not begin.
    pub async fn deleting(&self, place: &str, place_name: &str, keys: Vec<Key>) -> io::Result<()> {
        let (place, place_name) = (place.to_owned(), place_name.to_owned());
        self.begin(Open::Deleting { place, place_name, keys }).await
    }

    /// Notes that the copy whose manifest was at `manifest` is gone.
    pub fn deleted(&self, place: &str, manifest: &Key) -> io::Result<()> {
        self.lock().end(place, manifest.as_str())
    }

    /// Ends the journal: removes the file when nothing is open, else leaves it to the next sweep.
    pub fn finish(self) -> io::Result<()> {
        self.lock().finish()
    }

    async fn begin(&self, open: Open) -> io::Result<()> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || guard(&inner).begin(open))
            .await
            .map_err(io::Error::other)?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        guard(&self.inner)
    }
}

/// Finds the journals of dead runs; each stays locked as long as the answer is held.
///
/// A dead journal in which nothing is open is removed on the way.
/// Errors: when the folder or a file in it cannot be read.
pub fn dead(state_dir: &Path) -> io::Result<Vec<DeadJournal>> {
    let mut found = Vec::new();
    for path in paths(state_dir)? {
        let Some(journal) = DeadJournal::read(path, Touch::Yes)? else { continue };
        if journal.open.is_empty() && journal.unreadable == 0 {
            journal.finish()?;
        } else {
            found.push(journal);
        }
    }
    Ok(found)
}

/// Finds what [`dead`] finds, and changes nothing.
///
/// Errors: when the folder or a file in it cannot be read.
pub fn peek(state_dir: &Path) -> io::Result<Vec<DeadJournal>> {
    let journals = paths(state_dir)?.into_iter().map(|path| DeadJournal::read(path, Touch::No));
    journals.filter_map(Result::transpose).collect()
}

/// Names the journals there are, of the living and the dead.
fn paths(state_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder(state_dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    Ok(paths)
}

/// Whether a journal that is read may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touch {
    Yes,
    No,
}

impl DeadJournal {
    /// Notes that `open` needs no more looking into.
    pub fn settle(&mut self, open: &Open) -> io::Result<()> {
        self.inner.end(open.place(), open.name())?;
        self.open.retain(|other| other != open);
        Ok(())
    }

    /// Lets go of the file; removes it when nothing is left in it.
    pub fn finish(mut self) -> io::Result<()> {
        if self.unreadable > 0 { Ok(()) } else { self.inner.finish() }
    }

    /// Reads the file at `path`; `None` when its run lives, or when somebody else clears it away.
    fn read(path: PathBuf, touch: Touch) -> io::Result<Option<Self>> {
        let is_touched = touch == Touch::Yes;
        let mut file = match File::options().read(true).append(is_touched).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if file.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A line that was cut off was never acted upon; what we add must not stick to it.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            text.truncate(whole);
            if is_touched {
                file.set_len(whole as u64)?;
            }
        }
        let (open, unreadable) = replay(&text);
        let inner = Inner { path: path.clone(), file, open: open.clone() };
        Ok(Some(Self { path, open, unreadable, inner }))
    }
}

impl Open {
    /// Returns the fingerprint of the place that it is about.
    pub fn place(&self) -> &str {
        match self {
            Self::Putting { place, .. } | Self::Deleting { place, .. } => place,
        }
    }

    /// Returns the name of the place that it is about.
    pub fn place_name(&self) -> &str {
        match self {
            Self::Putting { place_name, .. } | Self::Deleting { place_name, .. } => place_name,
        }
    }

    /// Returns the object by which its end is noted.
    fn name(&self) -> &str {
        match self {
            Self::Putting { key, .. } => key.as_str(),
            Self::Deleting { keys, .. } => keys.first().map_or("", Key::as_str),
        }
    }
}

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Begun(Open),
    Ended { ended: String, place: String },
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    open: Vec<Open>,
}

impl Inner {
    fn begin(&mut self, open: Open) -> io::Result<()> {
        self.write(&Line::Begun(open.clone()))?;
        self.file.sync_data()?;
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self, place: &str, name: &str) -> io::Result<()> {
        self.write(&Line::Ended { ended: name.to_owned(), place: place.to_owned() })?;
        self.open.retain(|open| open.place() != place || open.name() != name);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.open.is_empty() { fs::remove_file(&self.path) } else { self.file.sync_data() }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        let at = self.file.stream_position()?;
        let written = self.file.write_all(&json);
        if written.is_err() {
            // Half a line on a full disk must not spoil the next one.
            self.file.set_len(at).ok();
            self.file.seek(SeekFrom::Start(at)).ok();
        }
        written
    }
}

/// Returns what is open after all lines of `text`, and how many whole lines make no sense.
fn replay(text: &[u8]) -> (Vec<Open>, usize) {
    let mut open: Vec<Open> = Vec::new();
    let mut unreadable = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Begun(begun)) => open.push(begun),
            Ok(Line::Ended { ended, place }) => {
                open.retain(|open| open.place() != place || open.name() != ended);
            }
            Err(_) => unreadable += 1,
        }
    }
    (open, unreadable)
}

fn guard(inner: &Mutex<Inner>) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().expect("no holder of this lock can panic")
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests;
