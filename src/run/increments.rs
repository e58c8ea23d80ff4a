//! Copies that build on one another: which storage gets what, in groups of storages whose new
//! copy builds on the same one; one archive a group.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use tracing::{info, warn};

use crate::archive::{Base, ChainOptions};
use crate::base::{ArtefactId, Step, display};
use crate::catalogue::{Manifest, Parent, Stored, Survey, manifest_key};
use crate::plan::{Increments, Place};
use crate::report::TargetReport;
use crate::retention::{self, Choice, Fallback, Link};
use crate::run::items::Item;
use crate::run::parent_index;
use crate::run::rotate::as_link;
use crate::run::shelf::{Due, DueInChain, OnShelf, Shelf};
use crate::run::store::{self, Group};
use crate::run::{Run, Scene, links};

/// Asks the storages what they hold, fills what they lack, and decides which get what.
pub(crate) async fn groups<'a>(
    run: &Run<'_>,
    item: &Item<'_>,
    shelves: &[Shelf<'a>],
    how: &Increments,
    report: &mut TargetReport,
) -> Vec<Group<'a>> {
    let looks = shelves.iter().map(|shelf| shelf.look_for_chain(item, &run.scene));
    let mut on = Vec::new();
    for looked in join_all(looks).await {
        match looked {
            Ok(shelf) => on.push(shelf),
            Err(place) => report.places.push(place),
        }
    }
    let scope = scope_of(item);
    links::fill(run, how, &scope, &mut on).await;
    let (mut choices, mut bases);
    loop {
        choices = choose(&on, how, &scope, &run.scene);
        match open_bases(run, item, &mut on, &choices).await {
            Opened::All(opened) => {
                bases = opened;
                break;
            }
            Opened::NoneFits => {
                choices = vec![full(how); on.len()];
                bases = BTreeMap::new();
                break;
            }
            // One copy more counts for nothing: choose again.
            Opened::Damaged => {}
        }
    }
    let mut groups: BTreeMap<Option<ArtefactId>, Vec<Due<'a>>> = BTreeMap::new();
    for (shelf, choice) in on.into_iter().zip(choices) {
        let due = due(shelf, &choice, &scope, &run.scene);
        groups.entry(choice.parent).or_default().push(due);
    }
    let group = |(number, (parent, due)): (usize, (Option<ArtefactId>, _))| {
        let id = ArtefactId::of_group(&run.id, item.number, number + 1);
        let base = parent.and_then(|parent| bases.remove(&parent));
        let (artefact, force_read) = (id.clone(), how.force_read);
        let chain = ChainOptions { artefact, base, force_read, slack: ChainOptions::SLACK };
        Group { id, due, chain: Some(chain) }
    };
    groups.into_iter().enumerate().map(group).collect()
}

/// Decides for each storage; a full copy that is due for one is taken by all.
pub(crate) fn choose(
    on: &[OnShelf<'_>],
    how: &Increments,
    scope: &str,
    scene: &Scene<'_>,
) -> Vec<Choice> {
    let choice = |shelf: &OnShelf<'_>| {
        retention::parent(&links_of(&shelf.survey), how.scheme, scope, &scene.started)
    };
    let mut choices: Vec<Choice> = on.iter().map(choice).collect();
    let due = choices.iter().position(|choice| choice.parent.is_none());
    if let Some(first) = due
        && choices.iter().any(|choice| choice.parent.is_some())
    {
        info!("'{}' needs a full copy, so every storage gets one", on[first].place.name);
        let step = choices[first].step;
        for choice in &mut choices {
            (choice.step, choice.parent) = (step, None);
        }
    }
    choices
}

/// What a full copy is called.
fn full(how: &Increments) -> Choice {
    let step = match how.scheme {
        retention::Scheme::Calendar => Step::Year,
        retention::Scheme::Levels { .. } => Step::Level(0),
    };
    Choice { step, parent: None, fallback: None }
}

/// What came of opening the indexes that the new copies build on.
enum Opened {
    All(BTreeMap<ArtefactId, Base>),
    /// The target is a folder no more, or one now: nothing can build on what it was.
    NoneFits,
    /// One could not be used, and its copy does not count any more.
    Damaged,
}

async fn open_bases(
    run: &Run<'_>,
    item: &Item<'_>,
    on: &mut [OnShelf<'_>],
    choices: &[Choice],
) -> Opened {
    let wanted: BTreeSet<&ArtefactId> =
        choices.iter().filter_map(|choice| choice.parent.as_ref()).collect();
    let mut bases = BTreeMap::new();
    for parent in wanted {
        let holds = |(shelf, choice): &(&mut OnShelf<'_>, &Choice)| {
            choice.parent.as_ref() == Some(parent) && shelf.copy(parent).is_some()
        };
        let Some((shelf, _)) = on.iter_mut().zip(choices).find(holds) else { continue };
        let copy = shelf.copy(parent).expect("found just before").clone();
        match parent_index::fetch(&*shelf.place.storage, &copy.manifest, run).await {
            Ok(base) if parent_index::fits(&base, item) => {
                bases.insert(parent.clone(), base);
            }
            Ok(_) => {
                let target = display(&item.target.name);
                for shelf in on.iter_mut() {
                    shelf.report.warnings.push(format!(
                        "{target} was a folder and is none now, or the other way round: a full \
                         copy is made"
                    ));
                }
                return Opened::NoneFits;
            }
            Err(why) => {
                shelf.report.warnings.push(format!(
                    "{}: the index of this copy cannot be used, so no copy builds on it: {why}",
                    copy.manifest_key
                ));
                shelf.discard(&copy, why);
                return Opened::Damaged;
            }
        }
    }
    Opened::All(bases)
}

impl OnShelf<'_> {
    /// Finds the whole copy of an artefact.
    pub(crate) fn copy(&self, id: &ArtefactId) -> Option<&Stored> {
        self.survey.copies.iter().find(|stored| stored.intact && stored.manifest.id == *id)
    }

    /// Makes a copy count for nothing.
    fn discard(&mut self, copy: &Stored, why: String) {
        let same = |stored: &&mut Stored| stored.manifest_key == copy.manifest_key;
        for stored in self.survey.copies.iter_mut().filter(same) {
            (stored.intact, stored.problem) = (false, Some(why.clone()));
        }
    }
}

/// What the rules know of the copies on a storage.
pub(crate) fn links_of(survey: &Survey) -> Vec<Link> {
    survey.copies.iter().filter_map(as_link).collect()
}

/// Hashes what decides about the content of a target beside its files.
pub(crate) fn scope_of(item: &Item<'_>) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(item.target.name.as_bytes());
    for part in item.source.source.scope() {
        hash.update(&[0]).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..16].to_owned()
}

/// Names the new copy on a storage, and says what should be known about it.
pub(crate) fn due<'a>(
    shelf: OnShelf<'a>,
    choice: &Choice,
    scope: &str,
    scene: &Scene<'_>,
) -> Due<'a> {
    let OnShelf { place, names, survey, mut report } = shelf;
    let links = links_of(&survey);
    report.warnings.extend(words(choice));
    if links.is_empty() && is_of_2x(&survey) {
        report.warnings.push(format!(
            "{} holds increments of nxs-backup 2.x: they are left alone, and a chain of its own \
             begins beside them",
            names.folder()
        ));
    }
    let whole = |id: &ArtefactId| {
        let fits = |stored: &&Stored| stored.manifest.id == *id && stored.intact;
        survey.copies.iter().find(fits)
    };
    let parent = choice.parent.as_ref().and_then(&whole).map(|stored| Parent {
        id: stored.manifest.id.clone(),
        key: stored.manifest.segments[0].key.clone(),
    });
    let stamp = scene.started.datetime();
    let mut root = choice.parent.as_ref().and_then(&whole);
    // Forged manifests that build on each other end too.
    for _ in 0..survey.copies.len() {
        let Some(above) = root.and_then(|stored| stored.manifest.parent.as_ref()) else { break };
        root = whole(&above.id);
    }
    let chain = root.map_or(stamp, |stored| stored.manifest.local_start());
    let key = survey.first_free(|again| names.step_key(choice.step, chain, stamp, again));
    Due {
        place,
        level: choice.step.into(),
        manifest_key: manifest_key(&key),
        key,
        stored: survey.copies,
        listed: true,
        taken: Survey::default(),
        before: Vec::new(),
        held: None,
        largest_object: None,
        chain: Some(DueInChain { parent, before: links, scope: scope.to_owned() }),
        report,
    }
}

/// Says why a copy builds on another one than was due.
fn words(choice: &Choice) -> Option<String> {
    let instead = match &choice.parent {
        Some(parent) => format!("this copy builds on {parent}"),
        None => "this copy is a full one".to_owned(),
    };
    choice.fallback.as_ref().map(|fallback| match fallback {
        Fallback::Damaged(id) => {
            format!("{id}, or one that it builds on, is missing or damaged here: {instead}")
        }
        Fallback::OtherScope => format!("path, excludes or encryption have changed: {instead}"),
    })
}

/// Tells whether the index files of 2.x lie there.
fn is_of_2x(survey: &Survey) -> bool {
    let is_index = |name: &str| matches!(name, "year.inc" | "month.inc" | "daily.inc" | "day.inc");
    survey.foreign.iter().any(|object| is_index(object.key.name()))
}

/// Adds to the manifest of one storage what a chain needs there.
pub(crate) fn complete(manifest: &mut Manifest, chain: &DueInChain, place: &Place, run: &Run<'_>) {
    manifest.parent = chain.parent.clone();
    if let Some(how) = &run.scene.job.increments {
        manifest.policy = serde_json::json!({
            "incremental": how.scheme,
            "keep": how.keep(place),
        });
    }
    let now = run.scene.started.timestamp();
    let mut counted: Vec<&Link> = chain.before.iter().collect();
    counted.retain(|link| link.intact && !retention::is_future(link.started, now));
    counted.sort_by_key(|link| std::cmp::Reverse(link.started));
    if let Some(tree) = &mut manifest.tree {
        tree.scope = chain.scope.clone();
        let sizes = counted.iter().map(|link| link.tree_bytes);
        manifest.shrunken = retention::is_less_than_half(sizes, tree.bytes);
    }
}

/// Removes what the chains do not need any more.
pub(crate) async fn rotate(run: &Run<'_>, due: &mut Due<'_>, manifest: Manifest) {
    let Some(how) = &run.scene.job.increments else { return };
    if manifest.shrunken {
        let size = manifest.tree.as_ref().map_or(0, |tree| tree.bytes);
        due.report.warnings.push(format!(
            "{} is of a tree that is less than half as large as before ({size} bytes): nothing is \
             removed; look at it, then `pin` an older copy or let the next runs confirm it",
            due.key
        ));
    }
    let made = manifest.id.clone();
    let manifest_key = due.manifest_key.clone();
    due.stored.push(Stored { manifest, manifest_key, intact: true, problem: None });
    let links: Vec<Link> = due.stored.iter().filter_map(as_link).collect();
    let keep = how.keep(due.place);
    let now = &run.scene.started;
    let verdict = retention::decide_chain(&links, how.scheme, &keep, now, Some(&made));
    if let Some(held) = verdict.held {
        warn!("'{}': {held}", due.place.name);
    }
    store::remove(due, verdict.delete, run).await;
}
