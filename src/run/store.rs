//! One target: to every storage on which a copy is due, then rotation where it went well.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tracing::info;

use crate::archive::{ChainOptions, IndexFile};
use crate::base::{ArtefactId, BoxError, MIB, Rank, chain};
use crate::catalogue::{FORMAT, FrameSummary, Manifest, Outcome, TreeFacts};
use crate::plan::Require;
use crate::report::{PlaceOutcome, PlaceReport, Stored, TargetReport};
use crate::retention::{self, Moment, Why};
use crate::run::anomalies::{self, Size};
use crate::run::deliver::{Failure, Pieces, put_segments, seal, segment_bytes, take_back};
use crate::run::flow::{Facts, Flow, Naming, Opened, Remains, make_tmp_dir};
use crate::run::items::Item;
use crate::run::rotate::{self, as_copy};
use crate::run::shelf::{Due, Shelf};
use crate::run::{Run, fill, hooks, increments, memory};
use crate::storages::Kind;
use crate::stream::{ByteStream, Sums, spool, stoppable, tee};

/// Backs up one target. Nothing of it is an error of the caller's: the report tells all.
pub(crate) async fn store(run: &Run<'_>, item: &Item<'_>, shelves: &[Shelf<'_>]) -> TargetReport {
    let begun = Instant::now();
    let mut report = TargetReport {
        source: item.source.name.clone(),
        target: item.target.name.clone(),
        ..TargetReport::default()
    };
    let groups = match &run.scene.job.increments {
        None => Vec::from_iter(whole_copies(run, item, shelves, &mut report).await),
        Some(how) => increments::groups(run, item, shelves, how, &mut report).await,
    };
    for group in groups {
        if let Err(error) = store_due(run, item, group, &mut report).await {
            report.errors.push(error);
        }
    }
    forgive(run.scene.job.require, &mut report);
    run.scene.env.watcher.ended(&format!("{}: {}", run.scene.job.name, report.target));
    report.took = begun.elapsed();
    report
}

/// Storages that get the same artefact.
pub(crate) struct Group<'a> {
    pub(crate) id: ArtefactId,
    pub(crate) due: Vec<Due<'a>>,
    pub(crate) ground: Ground,
}

/// What an artefact builds on, where it is one of a chain.
#[derive(Default)]
pub(crate) struct Ground {
    /// For the archive of a tree.
    pub(crate) chain: Option<ChainOptions>,
    /// The position at which a dump of what changed begins.
    pub(crate) since: Option<String>,
}

/// All storages on which a copy is due that stands alone: one group, or none.
async fn whole_copies<'a>(
    run: &Run<'_>,
    item: &Item<'_>,
    shelves: &[Shelf<'a>],
    report: &mut TargetReport,
) -> Option<Group<'a>> {
    let mut due = Vec::new();
    for prepared in join_all(shelves.iter().map(|shelf| shelf.prepare(item, &run.scene))).await {
        match prepared {
            Ok(shelf) => due.push(shelf),
            Err(place) => report.places.push(place),
        }
    }
    let id = ArtefactId::new(&run.id, item.number);
    (!due.is_empty()).then_some(Group { id, due, ground: Ground::default() })
}

/// With `require: any`, a storage that failed while another holds the copy is a warning.
fn forgive(require: Require, report: &mut TargetReport) {
    let stored = report.places.iter().any(|place| matches!(place.outcome, PlaceOutcome::Stored(_)));
    if require == Require::All || !stored {
        return;
    }
    for place in &mut report.places {
        if let PlaceOutcome::Failed(why) = &place.outcome {
            place.warnings.push(format!("not stored (`require: any`: another has it): {why}"));
            place.outcome = PlaceOutcome::Missed(why.clone());
        }
    }
}

/// Opens the source and delivers to all; the error is the source's.
async fn store_due(
    run: &Run<'_>,
    item: &Item<'_>,
    group: Group<'_>,
    report: &mut TargetReport,
) -> Result<(), String> {
    let Group { id, mut due, ground } = group;
    let is_part = ground.since.is_some();
    join_all(due.iter_mut().map(Due::ask_limits)).await;
    let marks = due.iter().filter_map(|due| segment_bytes(due, run)).collect();
    let opened = Flow::open(item, &id, expected_bytes(&due), marks, ground, run).await;
    let mut flow = match opened {
        Ok(Opened::Flow(flow)) => flow,
        Ok(Opened::Elsewhere(why)) => {
            let skipped = || PlaceOutcome::Skipped(why.into());
            report.places.extend(due.into_iter().map(|due| due.report.with(skipped())));
            return Ok(());
        }
        Err(error) => return Err(spread(due, report, chain(&*error))),
    };
    // A dump of what changed is like no other.
    let past = if is_part { Vec::new() } else { anomalies::past(&due) };
    report.before = past.last().map(|copy| copy.before());
    if let Some(naming) = flow.take_naming() {
        due = renamed(run, item, &naming, due, report).await;
    }
    let remains = flow.take_remains();
    let depth = TEE_BYTES / item.source.compression.codec.chunk_bytes();
    let done = match hand_out(flow.take_stream(), (due.len(), depth), run) {
        Ok(streams) => {
            let opened = Delivery { id, flow: *flow, past };
            to_places(run, item, opened, due.into_iter().zip(streams), report).await
        }
        Err(error) => Err(spread(due, report, chain(&*error))),
    };
    if let Some(remains) = remains {
        clear(remains, report);
    }
    done
}

/// Gives the new copies the names that only the source knew.
async fn renamed<'a>(
    run: &Run<'_>,
    item: &Item<'_>,
    naming: &Naming,
    all: Vec<Due<'a>>,
    report: &mut TargetReport,
) -> Vec<Due<'a>> {
    let mut good = Vec::new();
    for mut due in all {
        match due.rename(item, naming, &run.scene).await {
            Ok(()) => good.push(due),
            Err(error) => report.places.push(due.report.with(PlaceOutcome::Failed(chain(&error)))),
        }
    }
    good
}

/// Removes the file of a script once nothing is missing anywhere; until then it may be the only
/// copy.
fn clear(remains: Remains, report: &mut TargetReport) {
    let stored = report.places.iter().any(|place| matches!(place.outcome, PlaceOutcome::Stored(_)));
    let missed = report.places.iter().any(|place| matches!(place.outcome, PlaceOutcome::Failed(_)));
    if !stored || missed {
        let location = remains.location;
        report
            .errors
            .push(format!("{location} was left there: not every storage has a copy of it"));
    } else if let Err(error) = (remains.remove)() {
        report.errors.push(format!("every storage has it, but {error}"));
    }
}

/// What was opened, and the sizes of earlier copies.
struct Delivery {
    id: ArtefactId,
    flow: Flow,
    past: Vec<Size>,
}

/// Delivers to every storage that was handed a stream.
async fn to_places<'a>(
    run: &Run<'_>,
    item: &Item<'_>,
    Delivery { id, flow, past }: Delivery,
    places: impl Iterator<Item = (Due<'a>, ByteStream)>,
    report: &mut TargetReport,
) -> Result<(), String> {
    info!("{}: collecting", crate::base::display(&item.target.name));
    let artefact = artefact(run, item, id, flow).boxed().shared();
    let places = places.map(|(due, stream)| to_place(run, due, stream, artefact.clone()));
    let sealed = join_all(places).await;
    match artefact.await {
        Ok(artefact) => {
            let Manifest { raw_bytes, files, warnings, .. } = &artefact.manifest;
            report.raw_bytes = Some(report.raw_bytes.unwrap_or(0) + raw_bytes);
            report.files = report.files.max(*files);
            report.warnings = warnings.clone();
            report.anomalies.extend(anomalies::found(&past, &Size::of(&artefact.manifest)));
            finish(run, sealed, &artefact, report).await;
            Ok(())
        }
        Err(NotMade::Stream(error)) => not_whole(run, sealed, &error, report),
        Err(NotMade::Index(why)) => {
            Err(spread(sealed.into_iter().map(|(due, _)| due), report, why))
        }
    }
}

/// Gives each storage the stream: from memory at the pace of the slowest, or through a file that
/// each follows at its own.
fn hand_out(
    stream: ByteStream,
    (n, depth): (usize, usize),
    run: &Run<'_>,
) -> Result<Vec<ByteStream>, BoxError> {
    if !run.scene.job.spool {
        return Ok(tee(stream, n, depth.max(1)));
    }
    let tmp_dir = &run.scene.job.tmp_dir;
    let file = make_tmp_dir(tmp_dir).and_then(|()| tempfile::tempfile_in(tmp_dir));
    let file = file.map_err(|error| {
        let tmp_dir = tmp_dir.display();
        format!("{tmp_dir}: no spool file can be made there (see `tmp_dir`): {error}")
    })?;
    Ok(spool(stream, n, file))
}

/// How much waits for each storage in chunks that all share.
const TEE_BYTES: usize = 4 * MIB;

/// Why there is no artefact, although storages may have taken bytes.
#[derive(Clone)]
enum NotMade {
    /// The stream broke, or nobody was left to read it.
    Stream(crate::stream::Error),
    /// The index could not be finished, in words.
    Index(String),
}

/// Waits until all bytes went through; known to every storage at the same time.
async fn artefact(
    run: &Run<'_>,
    item: &Item<'_>,
    id: ArtefactId,
    flow: Flow,
) -> Result<Arc<Artefact>, NotMade> {
    let facts = flow.facts().await.map_err(NotMade::Stream)?;
    let made = Artefact::of(run, item, id, facts).map_err(|error| {
        let tmp_dir = run.scene.job.tmp_dir.display();
        let why = format!("the index could not be finished in {tmp_dir}: {}", chain(&*error));
        NotMade::Index(why)
    });
    made.map(Arc::new)
}

/// Puts the stream on one storage and seals it there, without waiting for the others.
async fn to_place<'a>(
    run: &Run<'_>,
    mut due: Due<'a>,
    stream: ByteStream,
    artefact: impl Future<Output = Result<Arc<Artefact>, NotMade>>,
) -> Sealed<'a> {
    let pieces = match deliver(&mut due, stream, run).await {
        Ok(pieces) => pieces,
        Err(failure) => return (due, Err(failure)),
    };
    let sealed = match artefact.await {
        Ok(artefact) => seal_pieces(run, &due, pieces, &artefact).await,
        Err(_) => {
            take_back(&due, pieces.keys(), run).await;
            Err(Failure::NotMade)
        }
    };
    (due, sealed)
}

/// No storage can keep what it got: the stream broke, or nobody was left to read it.
fn not_whole(
    run: &Run<'_>,
    sealed: Vec<Sealed<'_>>,
    error: &crate::stream::Error,
    report: &mut TargetReport,
) -> Result<(), String> {
    let failures = || sealed.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
    let own_faults_only = failures().all(Failure::is_of_storage);
    let broken = failures().find(|failure| failure.is_of_stream());
    let why = broken.map_or_else(|| chain(error), cause_of);
    let common = match run.scene.env.cancel.is_cancelled() {
        true => "interrupted",
        false => "the source failed",
    };
    for (due, outcome) in sealed {
        let outcome = match outcome {
            Err(failure) if failure.is_of_storage() => words(&due, &failure),
            _ => common.into(),
        };
        report.places.push(PlaceReport { outcome: PlaceOutcome::Failed(outcome), ..due.report });
    }
    if own_faults_only { Ok(()) } else { Err(why) }
}

/// The same failure for every storage that was due.
fn spread<'a>(
    due: impl IntoIterator<Item = Due<'a>>,
    report: &mut TargetReport,
    why: String,
) -> String {
    for due in due {
        let outcome = PlaceOutcome::Failed("the source failed".into());
        report.places.push(PlaceReport { outcome, ..due.report });
    }
    why
}

/// What lies behind a broken stream, in the source's own words.
fn cause_of(failure: &Failure) -> String {
    let mut cause: &dyn std::error::Error = failure;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if let Some(crate::stream::Error::Producer(reason)) = cause.downcast_ref() {
            return chain(&**reason);
        }
    }
    chain(failure)
}

/// Raw bytes of the newest copy: what the progress bar measures against.
fn expected_bytes(due: &[Due<'_>]) -> Option<u64> {
    let copies = due.iter().flat_map(|due| &due.stored);
    copies.max_by_key(|stored| stored.manifest.started).map(|stored| stored.manifest.raw_bytes)
}

/// Waits for the first frame, makes room, then puts everything.
async fn deliver(due: &mut Due<'_>, stream: ByteStream, run: &Run<'_>) -> Result<Pieces, Failure> {
    let mut stream = stoppable(stream, &run.scene.env.cancel);
    if let Some(frame) = stream.next().await? {
        stream.unread(frame);
    }
    if let Rank::Whole(level) = due.level {
        rotate_now(due, Moment::Before { level }, run).await;
    }
    put_segments(due, stream, run).await
}

/// What every storage gets of one target, once its bytes went through.
pub(crate) struct Artefact {
    pub(crate) manifest: Manifest,
    sums: Sums,
    pub(crate) index: Option<IndexFile>,
}

impl Artefact {
    fn of(run: &Run<'_>, item: &Item<'_>, id: ArtefactId, facts: Facts) -> Result<Self, BoxError> {
        let index = facts.index.map(|index| index.finish(&facts.frames)).transpose()?;
        let partial = facts.warnings.is_partial();
        let manifest = Manifest {
            format: FORMAT,
            program: concat!("nxs-backup ", env!("CARGO_PKG_VERSION")).into(),
            id,
            run: run.id.clone(),
            server_name: run.scene.env.server_name.clone(),
            job: run.scene.job.name.clone(),
            kind: run.scene.job.kind.into(),
            source: item.source.name.clone(),
            target: item.target.name.clone(),
            level: String::new(),
            parent: None,
            started: run.scene.started.timestamp(),
            finished: run.scene.env.clock.now().timestamp(),
            took_ms: facts.took.as_millis().try_into().ok(),
            utc_offset_secs: run.scene.started.offset().seconds(),
            files: facts.files,
            tree: facts.tree.map(|tree| TreeFacts {
                files: tree.files,
                bytes: tree.bytes,
                scope: String::new(),
            }),
            raw_bytes: facts.frames.raw_bytes,
            stored_bytes: facts.frames.stored_bytes,
            compression: facts.compression,
            encryption: None,
            frames: FrameSummary {
                count: facts.frames.starts.len() as u64,
                raw_bytes: facts.frames.frame_bytes,
            },
            segments: Vec::new(),
            index: None,
            sha256: facts.sums.whole.clone(),
            blake3: facts.blake3,
            tools: facts.dump.tools,
            server_version: facts.dump.server_version,
            checked: facts.dump.checked,
            position: facts.dump.position,
            scope: None,
            snapshot: None,
            policy: serde_json::Value::Null,
            hooks: hooks::of_manifest(run, item),
            trigger: run.scene.env.trigger.into(),
            warnings: facts.warnings,
            result: if partial { Outcome::Partial } else { Outcome::Ok },
            shrunken: false,
            pinned: false,
        };
        Ok(Self { manifest, sums: facts.sums, index })
    }
}

/// Fills what was missed from a good storage, and rotates.
async fn finish(
    run: &Run<'_>,
    mut sealed: Vec<Sealed<'_>>,
    artefact: &Artefact,
    report: &mut TargetReport,
) {
    fill::fill(run, artefact, &mut sealed).await;
    for (mut due, outcome) in sealed {
        due.report.outcome = match outcome {
            Ok(manifest) => {
                let stored = stored_of(&due, &manifest);
                rotate_after(run, &mut due, *manifest).await;
                PlaceOutcome::Stored(stored)
            }
            Err(failure) => PlaceOutcome::Failed(words(&due, &failure)),
        };
        report.places.push(due.report);
    }
}

/// Says why there is no copy; where the disk is full, also what rotation would not give up.
fn words(due: &Due<'_>, failure: &Failure) -> String {
    match (failure, &due.held) {
        (Failure::Storage(error), Some(held)) if error.kind == Kind::Full => {
            format!("{}; rotation did not free more: {held}", chain(failure))
        }
        _ => chain(failure),
    }
}

/// A storage and what became of the artefact on it.
pub(crate) type Sealed<'a> = (Due<'a>, Result<Box<Manifest>, Failure>);

/// Makes this storage's own manifest and seals the artefact with it.
pub(crate) async fn seal_pieces(
    run: &Run<'_>,
    due: &Due<'_>,
    pieces: Pieces,
    artefact: &Artefact,
) -> Result<Box<Manifest>, Failure> {
    let raw_bytes = artefact.manifest.raw_bytes;
    let keys = pieces.keys();
    let segments = match pieces.into_segments(&artefact.sums).await {
        Ok(segments) => segments,
        Err(failure) => {
            take_back(due, keys, run).await;
            return Err(failure);
        }
    };
    let mut manifest = Box::new(Manifest {
        level: due.level.to_string(),
        policy: serde_json::to_value(due.place.policy).unwrap_or_default(),
        shrunken: retention::is_shrunken(&due.before, raw_bytes, &run.scene.started),
        segments,
        ..artefact.manifest.clone()
    });
    if let Some(chain) = &due.chain {
        increments::complete(&mut manifest, chain, due.place, run);
    }
    seal(due, &mut manifest, artefact.index.as_ref(), run).await?;
    Ok(manifest)
}

fn stored_of(due: &Due<'_>, manifest: &Manifest) -> Stored {
    Stored {
        id: manifest.id.clone(),
        key: due.key.clone(),
        level: due.level,
        stored_bytes: manifest.stored_bytes,
        shrunken: manifest.shrunken,
    }
}

/// Removes what the new copy pushes out, and remembers it where listing is refused.
async fn rotate_after(run: &Run<'_>, due: &mut Due<'_>, manifest: Manifest) {
    if due.chain.is_some() {
        return increments::rotate(run, due, manifest).await;
    }
    if manifest.shrunken {
        let size = manifest.raw_bytes;
        let (key, held) =
            (&due.key, if due.report.removed.is_empty() { "nothing" } else { "nothing more" });
        due.report.warnings.push(format!(
            "{key} is less than half as large as its predecessors ({size} bytes before compression): \
             {held} is rotated; look at it, then `pin` an older copy or let the next runs confirm it"
        ));
    }
    if let (false, Rank::Whole(level)) = (due.listed, due.level) {
        let (folder, day) = (due.key.folder().to_owned(), run.scene.started.date());
        let folder = format!("{}/", folder.rsplit_once('/').map_or("", |(folder, _)| folder));
        let kept = memory::remember(&run.scene.env.state_dir, due.place, &folder, level, day);
        if let Err(error) = kept {
            due.report.warnings.push(format!("cannot remember the level of this copy: {error}"));
        }
        return;
    }
    let made = manifest.id.clone();
    let manifest_key = due.manifest_key.clone();
    let new = crate::catalogue::Stored { manifest, manifest_key, intact: true, problem: None };
    due.stored.push(new);
    rotate_now(due, Moment::After { made: &made }, run).await;
    let whole = due.stored.iter().filter(|stored| stored.intact);
    due.report.copies = Some(whole.count() as u64);
}

/// Applies the rule of rotation at one moment of the run.
async fn rotate_now(due: &mut Due<'_>, moment: Moment<'_>, run: &Run<'_>) {
    let copies: Vec<_> = due.stored.iter().filter_map(as_copy).collect();
    let verdict = retention::decide(&copies, &due.place.policy, &run.scene.started, moment);
    match moment {
        Moment::Before { .. } => due.held = verdict.held,
        _ => due.report.warnings.extend(verdict.held),
    }
    remove(due, verdict.delete, run).await;
}

/// Removes copies in their order, and tells.
pub(crate) async fn remove(due: &mut Due<'_>, gone: Vec<(ArtefactId, Why)>, run: &Run<'_>) {
    for (id, why) in gone {
        let Some(at) = due.stored.iter().position(|stored| stored.manifest.id == id) else {
            continue;
        };
        let gone = due.stored.swap_remove(at);
        let place = due.place;
        let removed =
            rotate::remove(&*place.storage, &gone, &run.journal, &place.fingerprint, &place.name);
        match removed.await {
            Ok(()) => due.report.removed.push(format!("{}: {why}", gone.manifest.segments[0].key)),
            Err(error) => {
                due.report.errors.push(format!("rotation: {}", chain(&error)));
                if due.chain.is_some() {
                    // What comes next may be what this one builds on.
                    return;
                }
            }
        }
    }
}
