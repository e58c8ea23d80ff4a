//! One target as one stream: opened, packed, framed, with digests on both sides.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::{IndexWriter, PackOptions, Packed, pack};
use crate::base::{ArtefactId, BoxError, Digest, Progress, Warnings};
use crate::run::Run;
use crate::run::items::Item;
use crate::stream::{self, ByteStream, DumpFacts, Frames, Payload, Pending, Tree, compress};

/// The stored bytes of a target on their way, and what will be known of them at the end.
pub(crate) struct Flow {
    /// Compressed bytes, as they are to be stored.
    pub(crate) stream: ByteStream,
    frames: Pending<Frames>,
    blake3: Pending<Digest>,
    sha256: Pending<Digest>,
    begun: Instant,
    made: Made,
}

/// What was opened, and what it will say of itself.
enum Made {
    Dump(Pending<DumpFacts>),
    Tree(Pending<Packed>),
}

/// What is known of a target once all its bytes went through.
pub(crate) struct Facts {
    pub(crate) frames: Frames,
    /// Of the raw bytes.
    pub(crate) blake3: Digest,
    /// Of the stored bytes.
    pub(crate) sha256: Digest,
    pub(crate) files: Option<u64>,
    pub(crate) warnings: Warnings,
    /// The index of a tree, still without its map of frames.
    pub(crate) index: Option<IndexWriter>,
    /// What a dump says of itself.
    pub(crate) dump: DumpFacts,
    /// From the question to the source to the last byte.
    pub(crate) took: Duration,
}

impl Flow {
    /// Opens the target and sets the stages going.
    ///
    /// Errors: those of the source, and of making a temporary file for the index.
    pub(crate) async fn open(
        item: &Item<'_>,
        id: &ArtefactId,
        expected_bytes: Option<u64>,
        run: &Run<'_>,
    ) -> Result<Self, BoxError> {
        let begun = Instant::now();
        let progress = progress_of(item, expected_bytes, run);
        let (raw, made) = match item.source.source.open(&item.target).await? {
            Payload::Dump(dump) => (stream::watched(dump.bytes, progress), Made::Dump(dump.facts)),
            Payload::Tree(tree) => {
                own_copies_inside(&*tree, run)?;
                let index = scratch(&run.scene.job.tmp_dir, id)?;
                let cancel = run.scene.env.cancel.clone();
                let (raw, packed) = pack(tree, PackOptions { index, cancel, progress });
                (raw, Made::Tree(packed))
            }
        };
        let (raw, blake3) = stream::blake3(raw);
        let (framed, frames) = compress(raw, item.source.compression);
        let (stream, sha256) = stream::sha256(framed);
        Ok(Self { stream, frames, blake3, sha256, made, begun })
    }

    /// Splits off the stream from what will be known.
    pub(crate) fn take_stream(&mut self) -> ByteStream {
        std::mem::replace(&mut self.stream, ByteStream::from_bytes(""))
    }

    /// Waits for what is known at the end.
    ///
    /// Errors: when any stage did not reach the end; the stream itself tells why.
    pub(crate) async fn facts(self) -> Result<Facts, stream::Error> {
        let (files, warnings, index, dump) = match self.made {
            Made::Tree(packed) => {
                let packed = packed.get().await?;
                (Some(packed.files), packed.warnings, Some(packed.index), DumpFacts::default())
            }
            Made::Dump(facts) => (None, Warnings::default(), None, facts.get().await?),
        };
        let (blake3, sha256) = (self.blake3.get().await?, self.sha256.get().await?);
        let (frames, took) = (self.frames.get().await?, self.begun.elapsed());
        Ok(Facts { frames, blake3, sha256, files, warnings, index, dump, took })
    }
}

/// Makes the index in `tmp_dir`, which is made too where it is missing.
fn scratch(tmp_dir: &Path, id: &ArtefactId) -> Result<IndexWriter, BoxError> {
    make_tmp_dir(tmp_dir).and_then(|()| IndexWriter::create(tmp_dir, id)).map_err(|error| {
        let tmp_dir = tmp_dir.display();
        format!("{tmp_dir}: no temporary file can be made there (see `tmp_dir`): {error}").into()
    })
}

/// Makes the folder for temporary files where it is missing.
pub(crate) fn make_tmp_dir(tmp_dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(tmp_dir)
}

/// Refuses a tree that holds the folder its own copies go to: each copy would hold all former ones.
fn own_copies_inside(tree: &dyn Tree, run: &Run<'_>) -> Result<(), BoxError> {
    let local = run.scene.job.places.iter().filter(|place| place.kind == "local");
    for place in local {
        let named = PathBuf::from(&place.location);
        let real = named.canonicalize().unwrap_or_else(|_| named.clone());
        let is_inside = |folder: &&PathBuf| {
            let bytes = folder.as_os_str().as_encoded_bytes();
            folder.starts_with(tree.stored_as()) && !tree.excludes(bytes)
        };
        if let Some(folder) = [&named, &real].into_iter().find(is_inside) {
            let (target, folder) = (tree.stored_as().display(), folder.display());
            return Err(format!(
                "the `backup_dir` {folder} of '{}' lies inside {target}: add it to `excludes`",
                place.name
            )
            .into());
        }
    }
    Ok(())
}

/// Tells the watcher how many raw bytes went through.
fn progress_of(
    item: &Item<'_>,
    expected_bytes: Option<u64>,
    run: &Run<'_>,
) -> Arc<dyn Fn(u64) + Send + Sync> {
    let watcher = run.scene.env.watcher.clone();
    let what = format!("{}: {}", run.scene.job.name, crate::base::display(&item.target.name));
    let progress = Progress { what, done_bytes: 0, expected_bytes };
    Arc::new(move |done_bytes| {
        watcher.advanced(&Progress { done_bytes, ..progress.clone() });
    })
}
