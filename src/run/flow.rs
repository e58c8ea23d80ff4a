//! One target as one stream: opened, packed, framed, with digests on both sides.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::archive::{Base, IndexWriter, PackOptions, Packed, TreeSize, pack};
use crate::base::{ArtefactId, BoxError, Cancelled, Digest, Progress, Warnings};
use crate::plan::{Group, Job, JobSource, Place};
use crate::run::Run;
use crate::run::items::Item;
use crate::run::store::Ground;
use crate::sources::Target;
use crate::stream::{
    self, ByteStream, Codec, Compression, DumpFacts, Frames, Payload, Pending, Remove, Sums, Tree,
    compress,
};

/// The stored bytes of a target on their way, and what will be known of them at the end.
pub(crate) struct Flow {
    /// Compressed bytes, as they are to be stored.
    pub(crate) stream: ByteStream,
    frames: Pending<Frames>,
    blake3: Pending<Digest>,
    sums: Pending<Sums>,
    begun: Instant,
    made: Made,
    compression: Compression,
    naming: Option<Naming>,
    remains: Option<Remains>,
}

/// What came of asking the source.
pub(crate) enum Opened {
    /// Bytes are on their way.
    Flow(Box<Flow>),
    /// Whoever was called has stored them elsewhere; the reason.
    Elsewhere(&'static str),
}

/// What the source alone knows of the name of its artefact.
pub(crate) struct Naming {
    pub(crate) base: Vec<u8>,
    pub(crate) ext: String,
    /// What compression adds.
    pub(crate) suffix: &'static str,
}

/// A file that goes once every storage has a copy of it.
pub(crate) struct Remains {
    pub(crate) location: String,
    pub(crate) remove: Remove,
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
    pub(crate) sums: Sums,
    pub(crate) files: Option<u64>,
    /// The whole tree, where this is one of a chain.
    pub(crate) tree: Option<TreeSize>,
    pub(crate) warnings: Warnings,
    /// The index of a tree, still without its map of frames.
    pub(crate) index: Option<IndexWriter>,
    /// What a dump says of itself.
    pub(crate) dump: DumpFacts,
    /// How the stored bytes are compressed.
    pub(crate) compression: Compression,
    /// From the question to the source to the last byte.
    pub(crate) took: Duration,
}

impl Flow {
    /// Opens the target and sets the stages going; `marks` are the lengths of segments.
    ///
    /// Errors: those of the source, and of making a temporary file for the index.
    pub(crate) async fn open(
        item: &Item<'_>,
        id: &ArtefactId,
        expected_bytes: Option<u64>,
        marks: Vec<u64>,
        Ground { chain, since }: Ground,
        run: &Run<'_>,
    ) -> Result<Opened, BoxError> {
        let begun = Instant::now();
        let progress = progress_of(item, expected_bytes, run);
        let mut compression = item.source.compression;
        let (mut naming, mut remains) = (None, None);
        let (raw, made) = match ask(item, since.as_deref(), run).await? {
            Payload::Elsewhere(why) => return Ok(Opened::Elsewhere(why)),
            Payload::Produced(file) => {
                if file.is_compressed {
                    compression = Codec::None.by_default();
                }
                let (base, ext, suffix) = (file.base, file.ext, compression.codec.suffix());
                naming = Some(Naming { base, ext, suffix });
                remains = Some(Remains { location: file.location, remove: file.remove });
                (stream::watched(file.dump.bytes, progress), Made::Dump(file.dump.facts))
            }
            Payload::Dump(dump) => (stream::watched(dump.bytes, progress), Made::Dump(dump.facts)),
            Payload::Tree(tree) => {
                own_copies_inside(&*tree, &run.scene.job.places)?;
                let parent =
                    chain.as_ref().and_then(|chain| chain.base.as_ref()).map(Base::artefact);
                let index = scratch(&run.scene.job.tmp_dir, id, parent)?;
                let cancel = run.scene.env.cancel.clone();
                let chunk_bytes = item.source.compression.codec.chunk_bytes();
                let options = PackOptions { index, chunk_bytes, cancel, progress, chain };
                let (raw, packed) = pack(tree, options);
                (raw, Made::Tree(packed))
            }
        };
        let root = item.target.path.as_deref().filter(|_| matches!(made, Made::Tree(_)));
        let limits = run.priority.on_reads(&run.scene.job.limits, root);
        let raw = limits.fold(raw, |raw, bucket| bucket.limit(raw));
        let (stream, frames, blake3, sums) = if compression.codec == Codec::None {
            // What is stored is what is inside.
            let (raw, blake3, sums) = stream::both(raw, marks);
            let (stream, frames) = compress(raw, compression, run.scene.job.parallel);
            (stream, frames, blake3, sums)
        } else {
            let (raw, blake3) = stream::blake3(raw);
            let (framed, frames) = compress(raw, compression, run.scene.job.parallel);
            let (stream, sums) = stream::sums(framed, marks);
            (stream, frames, blake3, sums)
        };
        let flow = Self { stream, frames, blake3, sums, made, begun, compression, naming, remains };
        Ok(Opened::Flow(Box::new(flow)))
    }

    /// Splits off what the source alone knows of the name.
    pub(crate) fn take_naming(&mut self) -> Option<Naming> {
        self.naming.take()
    }

    /// Splits off the file that goes in the end.
    pub(crate) fn take_remains(&mut self) -> Option<Remains> {
        self.remains.take()
    }

    /// Splits off the stream from what will be known.
    pub(crate) fn take_stream(&mut self) -> ByteStream {
        std::mem::replace(&mut self.stream, ByteStream::from_bytes(""))
    }

    /// Waits for what is known at the end.
    ///
    /// Errors: when any stage did not reach the end; the stream itself tells why.
    pub(crate) async fn facts(self) -> Result<Facts, stream::Error> {
        let (files, tree, warnings, index, dump) = match self.made {
            Made::Tree(packed) => {
                let Packed { files, tree, warnings, index, .. } = packed.get().await?;
                (Some(files), tree, warnings, Some(index), DumpFacts::default())
            }
            Made::Dump(facts) => (None, None, Warnings::default(), None, facts.get().await?),
        };
        let (blake3, sums) = (self.blake3.get().await?, self.sums.get().await?);
        let frames = self.frames.get().await?;
        let (compression, took) = (self.compression, self.begun.elapsed());
        Ok(Facts { frames, blake3, sums, files, tree, warnings, index, dump, compression, took })
    }
}

/// Opens the target; a source that is still at it when somebody asks to stop is let go.
async fn ask(item: &Item<'_>, since: Option<&str>, run: &Run<'_>) -> Result<Payload, BoxError> {
    let occasion = run.occasion();
    let (source, target) = (&item.source.source, &item.target);
    let opened = async {
        match (since, source.grow()) {
            (Some(position), Some(source)) => source.open_since(target, position).await,
            _ => source.open_on(target, &occasion).await,
        }
    };
    tokio::select! {
        biased;
        () = run.scene.env.cancel.cancelled() => Err(Cancelled.into()),
        opened = opened => Ok(opened?),
    }
}

/// Makes the index in `tmp_dir`, which is made too where it is missing.
fn scratch(
    tmp_dir: &Path,
    id: &ArtefactId,
    parent: Option<&ArtefactId>,
) -> Result<IndexWriter, BoxError> {
    let create = |()| IndexWriter::create_above(tmp_dir, id, parent);
    make_tmp_dir(tmp_dir).and_then(create).map_err(|error| {
        let tmp_dir = tmp_dir.display();
        format!("{tmp_dir}: no temporary file can be made there (see `tmp_dir`): {error}").into()
    })
}

/// Makes the folder for temporary files where it is missing.
pub(crate) fn make_tmp_dir(tmp_dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(tmp_dir)
}

/// Refuses a tree that holds the folder its own copies go to: each copy would hold all former ones.
fn own_copies_inside(tree: &dyn Tree, places: &[Place]) -> Result<(), String> {
    for place in places.iter().filter(|place| place.kind == "local") {
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
            ));
        }
    }
    Ok(())
}

/// Says why a run would refuse a target, as far as paths alone tell.
pub(crate) async fn refusal(job: &Job, source: &JobSource, target: &Target) -> Option<String> {
    if job.group != Group::Files {
        return None;
    }
    match source.source.open(target).await {
        Ok(Payload::Tree(tree)) => own_copies_inside(&*tree, &job.places).err(),
        _ => None,
    }
}

/// Says which targets of a source a run would refuse, and why; reads nothing but folders.
pub async fn refusals(job: &Job, source: &JobSource) -> Vec<String> {
    let mut said = Vec::new();
    if job.group != Group::Files {
        return said;
    }
    // What cannot be looked for is told by others.
    let Ok(found) = source.source.targets().await else { return said };
    for target in &found.targets {
        said.extend(refusal(job, source, target).await);
    }
    said
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
