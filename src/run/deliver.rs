//! One artefact on one storage: segments, the check, the index, and last the manifest.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use tracing::warn;

use crate::archive::IndexFile;
use crate::base::{BoxError, Digest, Key, MIB, chain};
use crate::catalogue::{IndexRef, Manifest, Segment};
use crate::catalogue::{TooManySegments, index_key, segment_key};
use crate::plan::Verify;
use crate::run::Run;
use crate::run::shelf::Due;
use crate::storages::{self, Kind, Storage};
use crate::stream::{self, Algorithm, ByteStream, Pending, Sums, digest_of};

/// Why an artefact did not become a backup on one storage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The storage refused or broke.
    #[error(transparent)]
    Storage(#[from] storages::Error),
    /// The stream broke: the source's fault, not the storage's.
    #[error("the source failed")]
    Stream(#[from] stream::Error),
    /// What lies there is not what was sent.
    #[error("{key} was stored, but the check finds {found}")]
    Check { key: Key, found: String },
    /// No name is left for the next segment.
    #[error(transparent)]
    Layout(#[from] TooManySegments),
    /// Something on this machine.
    #[error("{what}")]
    Local { what: &'static str, source: BoxError },
    /// It was taken whole, but the artefact was not made; what broke is told for the target.
    #[error("the source failed")]
    NotMade,
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl Failure {
    /// Tells whether the stream itself broke, so that no storage can have it.
    pub(crate) fn is_of_stream(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Storage(error) => error.kind == Kind::Body,
            _ => false,
        }
    }

    /// Tells whether it is the fault of the storage alone.
    pub(crate) fn is_of_storage(&self) -> bool {
        !self.is_of_stream() && !matches!(self, Self::NotMade)
    }
}

/// Objects of an artefact that were put, before their digests are known.
pub(crate) struct Pieces(Vec<Piece>);

struct Piece {
    key: Key,
    bytes: u64,
    /// Not of the first: the stream's own digests tell that.
    sha256: Option<Pending<Digest>>,
}

/// Puts the stream as one or more objects and answers once all are acknowledged.
///
/// Errors: [`Failure`], after what was put has been taken away again.
pub(crate) async fn put_segments(
    due: &Due<'_>,
    stream: ByteStream,
    run: &Run<'_>,
) -> Result<Pieces, Failure> {
    let mut pieces = Pieces(Vec::new());
    let done = tokio::select! {
        done = put_all(due, stream, run, &mut pieces) => done,
        () = grace_after(run) => Err(Failure::Cancelled),
    };
    match done {
        Ok(()) => Ok(pieces),
        Err(failure) => {
            take_back(due, pieces.keys(), run).await;
            Err(failure)
        }
    }
}

/// Ends some time after a wish to stop, for a storage that does not notice that its body broke.
async fn grace_after(run: &Run<'_>) {
    run.scene.env.cancel.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

const GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// Tells how long each object of an artefact but the last is on this storage.
pub(crate) fn segment_bytes(due: &Due<'_>, run: &Run<'_>) -> Option<u64> {
    let limits = [run.scene.job.split, due.place.largest_object, due.largest_object];
    limits.into_iter().flatten().min()
}

async fn put_all(
    due: &Due<'_>,
    stream: ByteStream,
    run: &Run<'_>,
    pieces: &mut Pieces,
) -> Result<(), Failure> {
    let limit = segment_bytes(due, run);
    let mut segments = stream::segments(stream, limit);
    while let Some(body) = segments.next().await? {
        let key = segment_key(&due.key, pieces.0.len() as u32 + 1)?;
        let is_first = pieces.0.is_empty();
        let (body, sha256) = if is_first {
            (body, None)
        } else {
            let (body, sha256) = stream::sha256(body);
            (body, Some(sha256))
        };
        pieces.0.push(Piece { key: key.clone(), bytes: 0, sha256 });
        let object = put(due, &key, body, run).await?;
        pieces.0.last_mut().expect("just pushed").bytes = object.bytes;
    }
    Ok(())
}

/// Puts one object, journalled, so that a dead run's remains can be found.
async fn put(
    due: &Due<'_>,
    key: &Key,
    body: ByteStream,
    run: &Run<'_>,
) -> Result<storages::Object, Failure> {
    let place = due.place;
    let noted = run.journal.putting(&place.fingerprint, &place.name, key, &due.manifest_key).await;
    noted.map_err(|error| Failure::Local {
        what: "cannot write the journal",
        source: error.into(),
    })?;
    Ok(due.place.storage.put(key, body).await?)
}

impl Pieces {
    /// Returns the keys.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.0.iter().map(|piece| piece.key.clone()).collect()
    }

    /// Waits for the digests and makes the manifest's list.
    pub(crate) async fn into_segments(self, sums: &Sums) -> Result<Vec<Segment>, Failure> {
        let is_alone = self.0.len() == 1;
        let mut segments = Vec::with_capacity(self.0.len());
        for Piece { key, bytes, sha256 } in self.0 {
            let sha256 = match sha256 {
                Some(pending) => pending.get().await?,
                None if is_alone => sums.whole.clone(),
                None => sums.beginnings.get(&bytes).cloned().ok_or_else(|| Failure::Check {
                    key: key.clone(),
                    found: format!(
                        "a first segment of {bytes} bytes, which is no segment's length"
                    ),
                })?,
            };
            segments.push(Segment { key, bytes, sha256 });
        }
        Ok(segments)
    }
}

/// Checks what was put, puts the index, and last the manifest: from then on it is a backup.
///
/// Errors: [`Failure`], after everything of this artefact has been taken away again.
pub(crate) async fn seal(
    due: &Due<'_>,
    manifest: &mut Manifest,
    index: Option<&IndexFile>,
    run: &Run<'_>,
) -> Result<(), Failure> {
    let sealed = seal_steps(due, manifest, index, run).await;
    if sealed.is_err() {
        let index = index.map(|_| index_key(&due.key));
        let segments = manifest.segments.iter().map(|segment| segment.key.clone());
        let keys = std::iter::once(due.manifest_key.clone()).chain(index).chain(segments);
        take_back(due, keys.collect(), run).await;
    }
    sealed
}

async fn seal_steps(
    due: &Due<'_>,
    manifest: &mut Manifest,
    index: Option<&IndexFile>,
    run: &Run<'_>,
) -> Result<(), Failure> {
    let stored: u64 = manifest.segments.iter().map(|segment| segment.bytes).sum();
    if stored != manifest.stored_bytes {
        let found = format!("{stored} bytes of {}", manifest.stored_bytes);
        return Err(Failure::Check { key: due.key.clone(), found });
    }
    check_or_stop(due, &manifest.segments, run).await?;
    if let Some(index) = index {
        manifest.index = Some(put_index(due, index, run).await?);
    }
    manifest.finished = run.scene.env.clock.now().timestamp();
    let json = ByteStream::from_bytes(manifest.to_json());
    put(due, &due.manifest_key, json, run).await?;
    let segments = manifest.segments.iter().map(|segment| &segment.key);
    let index = manifest.index.as_ref().map(|index| &index.key);
    settle(due, segments.chain(index).chain([&due.manifest_key]), run);
    Ok(())
}

/// Checks as the job asks, unless somebody asks to stop.
async fn check_or_stop(due: &Due<'_>, segments: &[Segment], run: &Run<'_>) -> Result<(), Failure> {
    tokio::select! {
        checked = check(&*due.place.storage, segments, run.scene.job.verify) => checked,
        () = run.scene.env.cancel.cancelled() => Err(Failure::Cancelled),
    }
}

/// Notes that nothing of these objects is open any more. Where that cannot be written, the next
/// sweep finds the manifest, or nothing, and comes to the same end.
fn settle<'k>(due: &Due<'_>, keys: impl IntoIterator<Item = &'k Key>, run: &Run<'_>) {
    for key in keys {
        run.journal.done(&due.place.fingerprint, key).ok();
    }
}

async fn put_index(due: &Due<'_>, index: &IndexFile, run: &Run<'_>) -> Result<IndexRef, Failure> {
    let key = index_key(&due.key);
    let lost = |error: std::io::Error| Failure::Local {
        what: "cannot read the index back",
        source: error.into(),
    };
    let body = file_stream(index.file.try_clone().map_err(lost)?, index.bytes);
    let object = put(due, &key, body, run).await?;
    let (bytes, sha256) = (index.bytes, index.sha256.clone());
    if object.bytes != bytes {
        let found = format!("{} bytes of {bytes}", object.bytes);
        return Err(Failure::Check { key, found });
    }
    let segment = Segment { key: key.clone(), bytes, sha256: sha256.clone() };
    check_or_stop(due, &[segment], run).await?;
    Ok(IndexRef { key, bytes, sha256, last_frame: index.last_frame })
}

/// Reads a file of known size from its beginning, whatever its position is.
fn file_stream(file: File, bytes: u64) -> ByteStream {
    let file = Arc::new(file);
    let chunks = futures_util::stream::try_unfold(0, move |at: u64| {
        let file = file.clone();
        async move {
            if at == bytes {
                return Ok(None);
            }
            let wanted = (bytes - at).min(MIB as u64) as usize;
            let read = tokio::task::spawn_blocking(move || {
                let mut buffer = vec![0; wanted];
                file.read_exact_at(&mut buffer, at).map(|()| Bytes::from(buffer))
            });
            let chunk = read.await.map_err(stream::Error::new)??;
            Ok(Some((chunk, at + wanted as u64)))
        }
    });
    ByteStream::from_stream(chunks)
}

/// Compares what lies on the storage with what was sent, as thoroughly as the job asks.
pub(crate) async fn check(
    storage: &dyn Storage,
    segments: &[Segment],
    verify: Verify,
) -> Result<(), Failure> {
    for segment in segments {
        let wrong = |found: String| Failure::Check { key: segment.key.clone(), found };
        if verify == Verify::None {
            continue;
        }
        match storage.stat(&segment.key).await? {
            None => return Err(wrong("nothing there".into())),
            Some(object) if object.bytes != segment.bytes => {
                return Err(wrong(format!("{} bytes instead of {}", object.bytes, segment.bytes)));
            }
            Some(_) => {}
        }
        if verify == Verify::Full {
            let body = storage.get(&segment.key, 0..segment.bytes).await?;
            let (digest, bytes) =
                digest_of(body, Algorithm::Sha256).await.map_err(|error| wrong(chain(&error)))?;
            if (bytes, &digest) != (segment.bytes, &segment.sha256) {
                return Err(wrong(format!("other bytes: sha256 {digest}, not {}", segment.sha256)));
            }
        }
    }
    Ok(())
}

/// Removes what a failed artefact left; what cannot be removed stays in the journal.
///
/// Where the manifest itself cannot be removed it may stand, and then nothing that it names goes.
pub(crate) async fn take_back(due: &Due<'_>, keys: Vec<Key>, run: &Run<'_>) {
    for key in keys {
        match due.place.storage.delete(&key).await {
            Ok(()) => settle(due, [&key], run),
            Err(error) => {
                let place = &due.place.name;
                warn!(
                    "'{place}': a part of a failed copy stays until the next run: {}",
                    chain(&error)
                );
                if key == due.manifest_key {
                    return;
                }
            }
        }
    }
}
