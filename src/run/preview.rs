//! What a run would do now: which copies, where to, what would be removed and why. Writes nothing.

use serde::Serialize;

use crate::base::{ArtefactId, Key, Level, Rank, chain};
use crate::plan::{Increments, Job};
use crate::report::{JobReport, PlaceOutcome, PlaceReport};
use crate::retention::{self, Copy, Link, Moment, Why};
use crate::run::increments;
use crate::run::items::{self, Item};
use crate::run::rotate::{as_copy, as_link};
use crate::run::shelf::{Due, OnShelf, Shelf};
use crate::run::{Env, Scene, flow, links};

/// What a run of one job would do.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// The job's name.
    pub job: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its targets in order.
    pub targets: Vec<PreviewTarget>,
    /// What would fail: a glob without a match, a config error.
    pub errors: Vec<String>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// What would happen to one target.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewTarget {
    /// The source's name, where it has one.
    pub source: Option<String>,
    /// The target, escaped by [`crate::base::text`].
    pub target: String,
    /// Each storage.
    pub places: Vec<PreviewPlace>,
}

/// What would happen to one target on one storage.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewPlace {
    /// The storage's name.
    pub place: String,
    /// Where it is.
    pub location: String,
    /// The new copy; nothing where none is due.
    pub new: Option<NewCopy>,
    /// Why there would be no new copy.
    pub no_copy: Option<String>,
    /// Whether that is a failure.
    pub failed: bool,
    /// Copies that would go: key and reason, in the order in which they would go.
    pub removes: Vec<(String, String)>,
    /// How many copies would be there afterwards.
    pub copies: usize,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// A copy that would be made.
#[derive(Clone, Debug, Serialize)]
pub struct NewCopy {
    /// Its first object.
    pub key: Key,
    /// Its level.
    pub level: Rank,
    /// The copy that it builds on, by its first object there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builds_on: Option<Key>,
}

/// Looks what a run of `job` would do now, taking for granted that everything goes well.
pub async fn preview(job: &Job, env: &Env) -> Preview {
    let started = env.clock.now();
    let mut report = JobReport::start(&job.name, job.kind, started.timestamp());
    let mut targets = Vec::new();
    if job.enabled {
        let scene = Scene { job, env, started };
        let items = items::of(job, env, &mut report).await;
        let shelves = Shelf::inspect_all(job, env).await;
        for item in &items {
            match flow::refusal(job, item.source, &item.target).await {
                None => targets.push(target(item, &shelves, &scene).await),
                Some(why) => report.errors.push(format!("{}: {why}", item.target.name)),
            }
        }
    } else {
        report.notes.push("`enable: no`: nothing would be done".into());
    }
    let clashes = report.targets.into_iter().flat_map(|clash| {
        clash.errors.into_iter().map(move |error| format!("{}: {error}", clash.target))
    });
    Preview {
        job: report.job,
        kind: report.kind,
        targets,
        errors: report.errors.into_iter().chain(clashes).collect(),
        notes: report.notes,
    }
}

async fn target(item: &Item<'_>, shelves: &[Shelf<'_>], scene: &Scene<'_>) -> PreviewTarget {
    let mut places = Vec::new();
    if let Some(how) = &scene.job.increments {
        places = in_chains(item, shelves, how, scene).await;
    } else {
        for shelf in shelves {
            places.push(match shelf.prepare(item, scene).await {
                Ok(due) => match due.level {
                    Rank::Whole(level) => with_copy(due, level, scene),
                    Rank::Step(_) => continue,
                },
                Err(report) => without_copy(report, &shelf.place.location),
            });
        }
    }
    PreviewTarget { source: item.source.name.clone(), target: item.target.name.clone(), places }
}

/// What would happen to a target whose copies build on one another; no index is read.
async fn in_chains(
    item: &Item<'_>,
    shelves: &[Shelf<'_>],
    how: &Increments,
    scene: &Scene<'_>,
) -> Vec<PreviewPlace> {
    let (mut on, mut places) = (Vec::new(), Vec::new());
    for shelf in shelves {
        match shelf.look_for_chain(item, scene).await {
            Ok(found) => on.push(found),
            Err(report) => places.push(without_copy(report, &shelf.place.location)),
        }
    }
    let scope = match increments::scope_of(item).await {
        Ok(scope) => scope,
        Err(error) => {
            let failed = |shelf: OnShelf<'_>| {
                let outcome = PlaceOutcome::Failed(chain(&error));
                without_copy(shelf.report.with(outcome), &shelf.place.location)
            };
            places.extend(on.into_iter().map(failed));
            return places;
        }
    };
    links::foretell(scene, how, &scope, &mut on);
    let choices = increments::choose(&on, how, &scope, scene);
    for (shelf, choice) in on.into_iter().zip(choices) {
        let due = increments::due(shelf, &choice, &scope, scene);
        places.push(of_chain(due, &choice, how, scene));
    }
    places
}

fn of_chain(
    due: Due<'_>,
    choice: &retention::Choice,
    how: &Increments,
    scene: &Scene<'_>,
) -> PreviewPlace {
    let mut links: Vec<Link> = due.stored.iter().filter_map(as_link).collect();
    let made = ArtefactId::from_text("the new copy");
    links.push(Link {
        id: made.clone(),
        parent: choice.parent.clone(),
        step: choice.step,
        started: scene.started.timestamp(),
        day: scene.started.date(),
        tree_bytes: 0,
        scope: String::new(),
        complete: true,
        shrunken: false,
        pinned: false,
        intact: true,
    });
    let (keep, now) = (how.keep(due.place), &scene.started);
    let verdict = retention::decide_chain(&links, how.scheme, &keep, now, Some(&made));
    let parent = due.chain.as_ref().and_then(|chain| chain.parent.as_ref());
    let builds_on = parent.map(|parent| parent.key.clone());
    PreviewPlace {
        place: due.place.name.clone(),
        location: due.place.location.clone(),
        copies: due.stored.len() + 1 - verdict.delete.len(),
        removes: removals(&due, verdict.delete),
        new: Some(NewCopy { key: due.key, level: due.level, builds_on }),
        no_copy: None,
        failed: false,
        warnings: due.report.warnings,
    }
}

/// Keys and reasons of what would go.
fn removals(due: &Due<'_>, gone: Vec<(ArtefactId, Why)>) -> Vec<(String, String)> {
    let key_of = |id| {
        let held = due.stored.iter().find(|stored| stored.manifest.id == id);
        held.map_or(id.to_string(), |stored| stored.manifest.segments[0].key.to_string())
    };
    gone.into_iter().map(|(id, why)| (key_of(id), why.to_string())).collect()
}

fn without_copy(report: PlaceReport, location: &str) -> PreviewPlace {
    let failed = matches!(report.outcome, PlaceOutcome::Failed(_));
    let (PlaceOutcome::Skipped(why) | PlaceOutcome::Failed(why)) = report.outcome else {
        unreachable!("nothing was stored")
    };
    PreviewPlace {
        place: report.place,
        location: location.to_owned(),
        new: None,
        no_copy: Some(why),
        failed,
        removes: Vec::new(),
        copies: 0,
        warnings: report.warnings,
    }
}

fn with_copy(due: Due<'_>, level: Level, scene: &Scene<'_>) -> PreviewPlace {
    let mut copies: Vec<Copy> = due.stored.iter().filter_map(as_copy).collect();
    let policy = &due.place.policy;
    let mut verdict = retention::decide(&copies, policy, &scene.started, Moment::Before { level });
    copies.retain(|copy| verdict.delete.iter().all(|(id, _)| *id != copy.id));
    let new = imagined(&copies, level, scene);
    let made = new.id.clone();
    copies.push(new);
    let after = retention::decide(&copies, policy, &scene.started, Moment::After { made: &made });
    verdict.delete.extend(after.delete);
    PreviewPlace {
        place: due.place.name.clone(),
        location: due.place.location.clone(),
        copies: due.stored.len() + 1 - verdict.delete.len(),
        removes: removals(&due, verdict.delete),
        new: Some(NewCopy { key: due.key, level: due.level, builds_on: None }),
        no_copy: None,
        failed: false,
        warnings: due.report.warnings.into_iter().chain(after.held).collect(),
    }
}

/// The copy that the run would make, as large as the newest one.
fn imagined(copies: &[Copy], level: Level, scene: &Scene<'_>) -> Copy {
    let newest = copies.iter().max_by_key(|copy| copy.started);
    Copy {
        id: ArtefactId::from_text("the new copy"),
        level,
        started: scene.started.timestamp(),
        day: scene.started.date(),
        raw_bytes: newest.map_or(0, |copy| copy.raw_bytes),
        complete: true,
        shrunken: false,
        pinned: false,
        intact: true,
    }
}
