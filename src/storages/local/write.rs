//! A put: a temporary file beside the target, flushed, then renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::base::{KIB, Key, MIB};
use crate::storages::gate::Gate;
use crate::storages::local::delete::remove_empty;
use crate::storages::local::errors::Trouble;
use crate::storages::local::folder::{Root, sync};
use crate::storages::local::read::describe;
use crate::storages::unique::unique;
use crate::storages::{Kind, Object, threaded};
use crate::stream::ByteStream;

/// Stores `body`; a thread makes the file and writes it.
pub(super) async fn put(root: Arc<Root>, key: Key, body: ByteStream) -> Result<Object, Trouble> {
    threaded::put(body, None, move |handed| {
        let gate = handed.gate.clone();
        let mut partial = Partial::create(&root, &key)?;
        let filled = partial.fill(handed.begin());
        let done = filled.and_then(|()| partial.commit(&root, &gate));
        if done.is_err() {
            drop(partial);
            remove_empty(&root, key.folder());
        }
        done
    })
    .await
}

/// A temporary file, removed when it is dropped without a commit.
struct Partial {
    folder: OwnedFd,
    file: File,
    key: Key,
    name: String,
    path: PathBuf,
    committed: bool,
}

impl Partial {
    fn create(root: &Root, key: &Key) -> Result<Self, Trouble> {
        let path = root.path.join(key.as_str());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let partial = key.partial(&unique());
            let name = partial.name().to_owned();
            let folder = root.make_folder(key.folder())?;
            match openat(&folder, name.as_str(), flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => {
                    let (file, key) = (file.into(), key.clone());
                    return Ok(Self { folder, file, key, name, path, committed: false });
                }
                // A delete removed the empty folder, or the name is taken.
                Err(Errno::NOENT | Errno::EXIST) => (),
                Err(error) => return Err(Trouble::io(&path, error)),
            }
        }
    }

    fn fill(&mut self, mut chunks: ByteStream) -> Result<(), Trouble> {
        let wrap = |error| Trouble::io(&self.path, error);
        let mut out = BufWriter::with_capacity(SMALL, &self.file);
        let mut flusher = Flusher::default();
        while let Some(chunk) = chunks.blocking_next().map_err(Trouble::body)? {
            out.write_all(&chunk).map_err(wrap)?;
            flusher.wrote(chunk.len(), &self.file).map_err(wrap)?;
        }
        out.flush().map_err(wrap)?;
        drop(out);
        flusher.finish().map_err(wrap)?;
        self.file.sync_all().map_err(wrap)
    }

    fn commit(&mut self, root: &Root, gate: &Gate) -> Result<Object, Trouble> {
        let wrap = |error: Errno| Trouble::io(&self.path, error);
        let object = describe(&self.key, &rustix::fs::fstat(&self.file).map_err(wrap)?);
        root.settle();
        if !gate.commit() {
            return Err(Trouble::new(Kind::Body, "the put was given up"));
        }
        let target = self.key.name();
        renameat(&self.folder, self.name.as_str(), &self.folder, target).map_err(wrap)?;
        let synced = sync(&self.folder).map_err(wrap);
        self.committed = true;
        synced.map(|()| object)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            unlinkat(&self.folder, self.name.as_str(), AtFlags::empty()).ok();
        }
    }
}

/// Chunks below this are gathered; larger ones are written as they are.
const SMALL: usize = 256 * KIB;

/// Brings written bytes to the disk while more are made, so that the last flush finds little.
#[derive(Default)]
struct Flusher {
    since: usize,
    flushing: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Flusher {
    fn wrote(&mut self, bytes: usize, file: &File) -> std::io::Result<()> {
        self.since += bytes;
        let busy = self.flushing.as_ref().is_some_and(|thread| !thread.is_finished());
        if self.since < STEP || busy {
            return Ok(());
        }
        // An error is told once only, and to whoever flushes: it must not get lost here.
        self.join()?;
        self.since = 0;
        let file = file.try_clone()?;
        let builder = std::thread::Builder::new().name("flush".to_owned());
        self.flushing = Some(builder.spawn(move || file.sync_data())?);
        Ok(())
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.join()
    }

    fn join(&mut self) -> std::io::Result<()> {
        let Some(thread) = self.flushing.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the flushing thread died")))
    }
}

/// Bytes between two flushes of one file.
const STEP: usize = 32 * MIB;
