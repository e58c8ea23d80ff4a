//! Copies that build on one another: which storage gets what, in groups of storages whose new
//! copy builds on the same one; one archive a group.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use jiff::Zoned;
use tracing::{info, warn};

use crate::archive::{Base, ChainOptions};
use crate::base::{ArtefactId, Step, chain, display};
use crate::catalogue::{Manifest, Parent, Stored, Survey, manifest_key};
use crate::plan::{Increments, Place};
use crate::report::{PlaceOutcome, TargetReport};
use crate::retention::{self, Choice, Fallback, Link};
use crate::run::items::Item;
use crate::run::parent_index;
use crate::run::rotate::as_link;
use crate::run::shelf::{Due, DueInChain, OnShelf, Shelf};
use crate::run::store::{self, Ground, Group};
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
    let scope = match scope_of(item).await {
        Ok(scope) => scope,
        Err(error) => {
            let failed = || PlaceOutcome::Failed("the source failed".into());
            report.places.extend(on.into_iter().map(|shelf| shelf.report.with(failed())));
            report.errors.push(chain(&error));
            return Vec::new();
        }
    };
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
        let (artefact, force_read) = (id.clone(), how.force_read);
        let (base, since) = match parent.and_then(|parent| bases.remove(&parent)) {
            None => (None, None),
            Some(Foot::Tree(base)) => (Some(base), None),
            Some(Foot::Dump(position)) => (None, Some(position)),
        };
        let chain = ChainOptions { artefact, base, force_read, slack: ChainOptions::SLACK };
        Group { id, due, ground: Ground { chain: Some(chain), since } }
    };
    groups.into_iter().enumerate().map(group).collect()
}

/// Decides for each storage; a full copy that is due for one is taken by all whose own is not
/// young: a storage on which nothing succeeds must not fill the others.
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
        info!("'{}' needs a full copy, so others get one, too", on[first].place.name);
        let step = choices[first].step;
        for (shelf, choice) in on.iter().zip(&mut choices) {
            if !has_young_chain(shelf, choice, &scene.started) {
                (choice.step, choice.parent) = (step, None);
            }
        }
    }
    choices
}

/// Tells whether what is chosen for a storage builds on a full copy of the last days.
fn has_young_chain(shelf: &OnShelf<'_>, choice: &Choice, now: &Zoned) -> bool {
    let links = links_of(&shelf.survey);
    let mut at = choice.parent.as_ref();
    for _ in 0..links.len() {
        let Some(link) = links.iter().find(|link| Some(&link.id) == at) else { return false };
        if link.parent.is_none() {
            return (now.date() - link.day).get_days() < YOUNG;
        }
        at = link.parent.as_ref();
    }
    false
}

/// Days in which a storage takes no other full copy for the sake of another one.
const YOUNG: i32 = 7;

/// What a full copy is called.
fn full(how: &Increments) -> Choice {
    let step = match how.scheme {
        retention::Scheme::Calendar => Step::Year,
        retention::Scheme::Levels { .. } => Step::Level(0),
    };
    Choice { step, parent: None, fallback: None }
}

/// What a new copy builds on.
enum Foot {
    /// The index of a tree.
    Tree(Base),
    /// The position at which a dump ends.
    Dump(String),
}

/// What came of opening what the new copies build on.
enum Opened {
    All(BTreeMap<ArtefactId, Foot>),
    /// The target is another one than it was: nothing can build on that.
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
        match open_base(run, item, shelf, &copy.manifest).await {
            Ok(Ok(base)) => drop(bases.insert(parent.clone(), base)),
            Ok(Err(why)) => {
                let target = display(&item.target.name);
                for shelf in on.iter_mut() {
                    shelf.report.warnings.push(format!("{target}: {why}: a full copy is made"));
                }
                return Opened::NoneFits;
            }
            Err(why) => {
                shelf.report.warnings.push(format!(
                    "{}: this copy cannot be used, so no copy builds on it: {why}",
                    copy.manifest_key
                ));
                shelf.discard(&copy, why);
                return Opened::Damaged;
            }
        }
    }
    Opened::All(bases)
}

/// Opens what a copy gives to build on; words where nothing can build on it now.
///
/// Errors: in words, when the copy itself cannot be used.
async fn open_base(
    run: &Run<'_>,
    item: &Item<'_>,
    shelf: &OnShelf<'_>,
    manifest: &Manifest,
) -> Result<Result<Foot, String>, String> {
    let Some(source) = item.source.source.grow() else {
        let base = parent_index::fetch(&*shelf.place.storage, manifest, run).await;
        let base = base.map_err(|why| format!("its index: {why}"))?;
        return Ok(match parent_index::fits(&base, item) {
            true => Ok(Foot::Tree(base)),
            false => Err("it was a folder and is none now, or the other way round".to_owned()),
        });
    };
    let position = manifest.position.clone();
    let position = position.ok_or("its manifest has no position to begin at")?;
    Ok(match source.refusal(&position).await {
        None => Ok(Foot::Dump(position)),
        Some(why) => Err(format!("nothing can build on {}: {why}", manifest.id)),
    })
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
///
/// Errors: those of the source.
pub(crate) async fn scope_of(item: &Item<'_>) -> Result<String, crate::sources::Error> {
    let mut hash = blake3::Hasher::new();
    hash.update(item.target.name.as_bytes());
    for part in item.source.source.scope().await? {
        hash.update(&[0]).update(part.as_bytes());
    }
    Ok(hash.finalize().to_hex()[..16].to_owned())
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
        Fallback::OtherScope => {
            format!("path, server, options, excludes or encryption have changed: {instead}")
        }
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
    match &mut manifest.tree {
        Some(tree) => {
            tree.scope = chain.scope.clone();
            let sizes = counted.iter().map(|link| link.tree_bytes);
            manifest.shrunken = retention::is_less_than_half(sizes, tree.bytes);
        }
        None => {
            manifest.scope = Some(chain.scope.clone());
            // What changed may be little; only full dumps are alike.
            counted.retain(|link| link.parent.is_none());
            let sizes = counted.iter().map(|link| link.tree_bytes);
            manifest.shrunken = manifest.parent.is_none()
                && retention::is_less_than_half(sizes, manifest.raw_bytes);
        }
    }
}

/// Removes what the chains do not need any more.
pub(crate) async fn rotate(run: &Run<'_>, due: &mut Due<'_>, manifest: Manifest) {
    let Some(how) = &run.scene.job.increments else { return };
    if manifest.shrunken {
        let size = manifest.tree.as_ref().map_or(manifest.raw_bytes, |tree| tree.bytes);
        due.report.warnings.push(format!(
            "{} holds less than half as much as before ({size} bytes): nothing is removed; \
             look at it, then `pin` an older copy or let the next runs confirm it",
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
