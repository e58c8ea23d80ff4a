//! Links of a chain that a storage lacks, because it was away or lost them: copied from another
//! before the next increment is made, so that all storages go on together.

use std::collections::BTreeMap;

use tracing::info;

use crate::base::{ArtefactId, BoxError, Rank, Step, chain};
use crate::catalogue::{Manifest, Parent, Stored, Survey, joined, manifest_key};
use crate::plan::{Increments, Place};
use crate::report::PlaceReport;
use crate::retention::{self, Link, Rotation};
use crate::run::deliver::{Failure, put_segments, seal, segment_bytes, take_back};
use crate::run::increments::links_of;
use crate::run::shelf::{Due, OnShelf};
use crate::run::{Run, Scene, parent_index, rotate};
use crate::stream::{stoppable, sums};

/// Gives each storage that has copies of the target the links of the present chain that others
/// have, the full copy too.
///
/// A storage that has no copy at all gets a full one anyway. What cannot be copied is a warning:
/// that storage then goes on from what it has.
pub(crate) async fn fill(run: &Run<'_>, how: &Increments, scope: &str, on: &mut [OnShelf<'_>]) {
    let wanted = wanted(&run.scene, how, scope, on);
    for at in 0..on.len() {
        for (id, from) in lacking(&on[at], &wanted) {
            let source = on[from].copy(&id).map(|stored| (on[from].place, stored.clone()));
            let Some((place, stored)) = source else { continue };
            let name = place.name.clone();
            info!("'{}' lacks {id}; copying it from '{name}'", on[at].place.name);
            match copy(run, &mut on[at], place, &stored).await {
                Ok(()) => {
                    let what = format!("it lacked {id}, which was copied from '{name}'");
                    on[at].report.warnings.push(what);
                }
                Err(failure) => {
                    let why = chain(&failure);
                    let what = format!("it lacks {id}, and copying it from '{name}' failed: {why}");
                    on[at].report.warnings.push(what);
                    break;
                }
            }
        }
    }
}

/// Takes for granted that all which [`fill`] would copy is there, and says so; for a look ahead.
pub(crate) fn foretell(scene: &Scene<'_>, how: &Increments, scope: &str, on: &mut [OnShelf<'_>]) {
    let wanted = wanted(scene, how, scope, on);
    for at in 0..on.len() {
        for (id, from) in lacking(&on[at], &wanted) {
            let Some(stored) = on[from].copy(&id).cloned() else { continue };
            let what =
                format!("it lacks {id}, which would be copied from '{}'", on[from].place.name);
            on[at].report.warnings.push(what);
            let copies = &mut on[at].survey.copies;
            copies.retain(|broken| broken.manifest.id != id);
            on[at].survey.add(stored);
        }
    }
}

/// Names what a storage that has copies of the target lacks.
fn lacking(shelf: &OnShelf<'_>, wanted: &[(ArtefactId, usize)]) -> Vec<(ArtefactId, usize)> {
    let is_new = !links_of(&shelf.survey).iter().any(|link| link.intact);
    let lacks = |(id, _): &&(ArtefactId, usize)| !is_new && shelf.copy(id).is_none();
    wanted.iter().filter(lacks).cloned().collect()
}

/// Names what the next copy would build on if every storage held everything, the full copy
/// first, and who has it.
fn wanted(
    scene: &Scene<'_>,
    how: &Increments,
    scope: &str,
    on: &[OnShelf<'_>],
) -> Vec<(ArtefactId, usize)> {
    let mut all: BTreeMap<ArtefactId, (Link, usize)> = BTreeMap::new();
    for (at, shelf) in on.iter().enumerate() {
        for link in links_of(&shelf.survey).into_iter().filter(|link| link.intact) {
            all.entry(link.id.clone()).or_insert((link, at));
        }
    }
    let links: Vec<Link> = all.values().map(|(link, _)| link.clone()).collect();
    let mut next = retention::parent(&links, how.scheme, scope, &scene.started).parent;
    let mut wanted = Vec::new();
    while let Some((link, at)) = next.as_ref().and_then(|id| all.get(id))
        && wanted.len() < all.len()
    {
        wanted.push((link.id.clone(), *at));
        next = link.parent.clone();
    }
    wanted.reverse();
    wanted
}

/// Copies one artefact with its index and makes a manifest for it there.
async fn copy(
    run: &Run<'_>,
    shelf: &mut OnShelf<'_>,
    from: &Place,
    stored: &Stored,
) -> Result<(), Failure> {
    let manifest = &stored.manifest;
    let local = |what, why: String| Failure::Local { what, source: BoxError::from(why) };
    let parent = match &manifest.parent {
        None => None,
        Some(parent) => {
            let here = shelf.copy(&parent.id);
            let missing = || local("it builds on what is missing", parent.id.to_string());
            let key = here.ok_or_else(missing)?.manifest.segments[0].key.clone();
            Some(Parent { id: parent.id.clone(), key })
        }
    };
    let index = match &manifest.index {
        // A dump has none.
        None => None,
        Some(_) => {
            let fetched = parent_index::download(&*from.storage, manifest, run).await;
            Some(fetched.map_err(|why| local("its index cannot be copied", why))?)
        }
    };
    let mut due = due_for(shelf, manifest);
    due.ask_limits().await;
    let stream = stoppable(joined(&from.storage, &manifest.segments), &run.scene.env.cancel);
    let marks = segment_bytes(&due, run).into_iter().collect();
    let (stream, sums) = sums(stream, marks);
    let pieces = put_segments(&due, stream, run).await?;
    let keys = pieces.keys();
    let checked = async {
        let found = sums.get().await?;
        if found.whole != manifest.sha256 {
            let found = format!("other bytes on '{}': sha256 {}", from.name, found.whole);
            return Err(Failure::Check { key: due.key.clone(), found });
        }
        pieces.into_segments(&found).await
    };
    let segments = match checked.await {
        Ok(segments) => segments,
        Err(failure) => {
            take_back(&due, keys, run).await;
            return Err(failure);
        }
    };
    let twins = shelf.survey.copies.iter().filter(|twin| twin.manifest.id == manifest.id);
    let twins: Vec<Stored> = twins.cloned().collect();
    // What a person pinned here stays pinned.
    let pinned = manifest.pinned || twins.iter().any(|twin| twin.manifest.pinned);
    let mut copied = Manifest { segments, parent, index: None, pinned, ..manifest.clone() };
    seal(&due, &mut copied, index.as_ref(), run).await?;
    let manifest_key = due.manifest_key;
    shelf.survey.add(Stored { manifest: copied, manifest_key, intact: true, problem: None });
    let keeps_all = shelf.place.policy.rotation == Rotation::None;
    for twin in twins.into_iter().filter(|_| !keeps_all) {
        remove_broken(run, shelf, &twin).await;
    }
    Ok(())
}

/// Removes the remains of a copy that stands whole beside it now.
async fn remove_broken(run: &Run<'_>, shelf: &mut OnShelf<'_>, twin: &Stored) {
    let place = shelf.place;
    let (journal, fingerprint) = (&run.journal, &place.fingerprint);
    let removed = rotate::remove(&*place.storage, twin, journal, fingerprint, &place.name).await;
    match removed {
        Ok(()) => {
            shelf.survey.copies.retain(|stored| stored.manifest_key != twin.manifest_key);
            shelf.report.removed.push(format!("{}: a whole copy replaces it", twin.manifest_key));
        }
        Err(error) => {
            let what = format!("the broken {} stays: {}", twin.manifest_key, chain(&error));
            shelf.report.warnings.push(what);
        }
    }
}

/// Names a link as if it had been stored in time.
fn due_for<'a>(shelf: &OnShelf<'a>, manifest: &Manifest) -> Due<'a> {
    let step = Step::from_word(&manifest.level).unwrap_or(Step::Day);
    let stamp = manifest.local_start();
    let mut root = manifest;
    // Forged manifests that build on each other end too.
    for _ in 0..shelf.survey.copies.len() {
        let Some(above) = root.parent.as_ref().and_then(|parent| shelf.copy(&parent.id)) else {
            break;
        };
        root = &above.manifest;
    }
    let chain = root.local_start();
    let (names, survey) = (&shelf.names, &shelf.survey);
    let key = survey.first_free(|again| names.step_key(step, chain, stamp, again));
    Due {
        place: shelf.place,
        level: Rank::Step(step),
        manifest_key: manifest_key(&key),
        key,
        stored: Vec::new(),
        listed: true,
        taken: Survey::default(),
        before: Vec::new(),
        held: None,
        largest_object: None,
        chain: None,
        report: PlaceReport::of(&shelf.place.name),
    }
}
