//! `list`: the backups that exist.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use crate::base::{ArtefactId, Level, count, display};
use crate::catalogue::Manifest;
use crate::cli::args::{Globals, List, ScopeArgs};
use crate::cli::failure::{Failure, NOTHING, PARTLY};
use crate::cli::{output, setup, when};
use crate::plan::Plan;
use crate::restore::ancestry::Ancestry;
use crate::restore::holdings::{self, Held, Holdings, Scope};
use crate::restore::pick::{NothingFound, Want, pick};
use crate::retention::is_future;
use crate::run::Selection;

/// One line of the listing.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    job: &'a str,
    source: Option<&'a str>,
    target: String,
    storage: &'a str,
    level: &'a str,
    started: Timestamp,
    files: Option<u64>,
    raw_bytes: u64,
    stored_bytes: u64,
    key: String,
    /// The artefact that it builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a str>,
    /// How many copies it builds on.
    #[serde(skip)]
    depth: usize,
    result: &'static str,
    marks: Vec<&'static str>,
}

/// Everything that a listing tells.
#[derive(Serialize)]
struct Listing<'a> {
    backups: Vec<Row<'a>>,
    troubles: &'a [String],
    damaged: Vec<String>,
    foreign: usize,
    /// Objects and bytes that have no manifest.
    unfinished: (usize, u64),
}

/// Prints the listing.
pub(crate) fn run(globals: &Globals, verb: &List) -> Result<u8, Failure> {
    let (plan, selection) = setup::plan_for(globals, &verb.jobs.jobs)?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let now = env.clock.now();
    let target = verb.target.as_deref().map(glob).transpose()?;
    let at = verb.at.as_deref().map(|text| when::parse(text, &now)).transpose()?;
    let scope = scope(&verb.scope, &plan)?;
    let holdings = setup::block_on(&env.cancel, holdings::look(&plan, &selection, &scope))?;
    let want = Want { target: target.clone(), at, id: None, now: now.timestamp() };
    let mut held = match at {
        Some(_) => newest(&holdings, &selection, &want)?,
        None => holdings.selected(&selection),
    };
    if let Some(glob) = &target {
        held.retain(|held| glob.is_match(display(&held.stored.manifest.target)));
        if held.is_empty() && holdings.troubles.is_empty() {
            refuse_unknown(glob, &holdings.selected(&selection))?;
        }
    }
    let trees = Trees::of(&held);
    held.sort_by_cached_key(|held| {
        let manifest = &held.stored.manifest;
        let identity = (manifest.job.clone(), manifest.source.clone(), manifest.target.clone());
        (identity, trees.way_to(manifest), held.place.name.clone())
    });
    let ancestry = Ancestry::of(&holdings);
    // What was not seen may hold the rest of a chain.
    let sees_all = verb.scope.storage.is_none() && holdings.troubles.is_empty();
    let rows = held.iter().map(|held| {
        let mut row = row(held, &trees, now.timestamp());
        let is_broken = sees_all && held.stored.intact && ancestry.problem(held).is_some();
        row.marks.extend(is_broken.then_some("CHAIN BROKEN"));
        row
    });
    let listing = Listing {
        backups: rows.collect(),
        troubles: &holdings.troubles,
        damaged: holdings.damaged(),
        unfinished: unfinished(&holdings),
        foreign: holdings.found.iter().map(|holding| holding.survey.foreign.len()).sum(),
    };
    match globals.json {
        true => output::json(&listing),
        false => print(&listing, target.map_or("no backups yet", |_| "no backup of such a target")),
    }
    Ok(match (listing.troubles.is_empty(), holdings.found.is_empty()) {
        (true, _) => 0,
        (false, true) => NOTHING,
        (false, false) => PARTLY,
    })
}

/// What the options say about where to look.
///
/// Errors: a storage that no job has; else nothing would be found there, and that called well.
pub(crate) fn scope(args: &ScopeArgs, plan: &Plan) -> Result<Scope, Failure> {
    if let Some(name) = &args.storage {
        let jobs = plan.jobs.iter().filter_map(|entry| entry.as_job());
        let known: BTreeSet<&str> =
            jobs.flat_map(|job| &job.places).map(|place| &*place.name).collect();
        if !known.contains(&**name) {
            let known = Vec::from_iter(known).join(", ");
            let error = Failure::usage(format!("no storage is called {name:?}"));
            return Err(error.hint(format!("There are: {known}.")));
        }
    }
    Ok(Scope { storage: args.storage.clone(), host: args.host.clone() })
}

/// Refuses a glob that none of the targets with copies matches.
fn refuse_unknown(glob: &globset::GlobMatcher, held: &[Held<'_>]) -> Result<(), Failure> {
    let targets = held.iter().map(|held| display(&held.stored.manifest.target));
    let known: BTreeSet<String> = targets.collect();
    if known.is_empty() || known.iter().any(|target| glob.is_match(target)) {
        return Ok(());
    }
    let glob = glob.glob().glob();
    let error = Failure::usage(format!("no backup has a target that matches {glob:?}"));
    let error = error.hint(format!("There are: {}.", Vec::from_iter(known).join(", ")));
    Err(match glob.contains("**") {
        true => error,
        false => error.hint("`*` does not match `/`, `**` does."),
    })
}

/// Reads a glob for targets and paths; `*` does not match `/`.
pub(crate) fn glob(text: &str) -> Result<globset::GlobMatcher, Failure> {
    let glob = globset::GlobBuilder::new(text).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(Failure::usage)
}

fn newest<'a>(
    holdings: &'a Holdings<'a>,
    selection: &Selection,
    want: &Want,
) -> Result<Vec<Held<'a>>, Failure> {
    match pick(holdings, selection, want, "these jobs") {
        Ok(choices) => Ok(choices.into_iter().flat_map(|choice| choice.held).collect()),
        Err(NothingFound::None(_) | NothingFound::Target { .. }) => Ok(Vec::new()),
        Err(error) => Err(Failure::nothing(&error)),
    }
}

fn unfinished(holdings: &Holdings<'_>) -> (usize, u64) {
    let surveys = holdings.found.iter().map(|holding| &holding.survey);
    let objects: Vec<_> =
        surveys.flat_map(|survey| survey.partials.iter().chain(&survey.orphans)).collect();
    (objects.len(), objects.iter().map(|object| object.bytes).sum())
}

fn row<'a>(held: &Held<'a>, trees: &Trees, now: Timestamp) -> Row<'a> {
    let manifest = &held.stored.manifest;
    Row {
        id: manifest.id.as_str(),
        job: &manifest.job,
        source: manifest.source.as_deref(),
        target: display(&manifest.target),
        storage: &held.place.name,
        level: &manifest.level,
        started: manifest.started,
        files: manifest.files,
        raw_bytes: manifest.raw_bytes,
        stored_bytes: manifest.stored_bytes,
        key: manifest.segments.first().map_or(String::new(), |segment| segment.key.to_string()),
        parent: manifest.parent.as_ref().map(|parent| parent.id.as_str()),
        depth: trees.way_to(manifest).len() - 1,
        result: manifest.result.word(),
        marks: marks(held, now),
    }
}

/// What a person should know about a copy, in a word each.
pub(crate) fn marks(held: &Held<'_>, now: Timestamp) -> Vec<&'static str> {
    let manifest = &held.stored.manifest;
    let all = [
        (!held.stored.intact, "DAMAGED"),
        (is_future(manifest.started, now), "dated in the future"),
        (manifest.pinned, "pinned"),
        (manifest.shrunken, "shrunken"),
        (held.job.is_none(), "orphan"),
        (is_level_off(held), "level off"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).collect()
}

/// The level; what builds on another copy stands below and to the right of it.
fn branch(row: &Row<'_>) -> String {
    match row.depth {
        0 => row.level.to_owned(),
        depth => format!("{}└ {}", "  ".repeat(depth - 1), row.level),
    }
}

/// Copies with those that build on them.
struct Trees(BTreeMap<ArtefactId, (Timestamp, Option<ArtefactId>)>);

impl Trees {
    fn of(held: &[Held<'_>]) -> Self {
        let manifests = held.iter().map(|held| &held.stored.manifest);
        let facts = |manifest: &Manifest| {
            let parent = manifest.parent.as_ref().map(|parent| parent.id.clone());
            (manifest.id.clone(), (manifest.started, parent))
        };
        Self(manifests.map(facts).collect())
    }

    /// The way from the first copy that is shown down to this one: sorts trees.
    fn way_to(&self, manifest: &Manifest) -> Vec<(Timestamp, ArtefactId)> {
        let mut way = vec![(manifest.started, manifest.id.clone())];
        let mut parent = manifest.parent.as_ref().map(|parent| parent.id.clone());
        while let Some((id, (started, above))) =
            parent.as_ref().and_then(|id| self.0.get_key_value(id))
            && way.len() <= self.0.len()
        {
            way.push((*started, id.clone()));
            parent.clone_from(above);
        }
        way.reverse();
        way
    }
}

/// Tells whether the job keeps no copies of this level there any more.
fn is_level_off(held: &Held<'_>) -> bool {
    let places = held.job.iter().flat_map(|job| &job.places);
    let mut policies = places
        .filter(|place| place.fingerprint == held.place.fingerprint)
        .map(|place| place.policy);
    let level = Level::from_folder(&held.stored.manifest.level);
    policies.next().zip(level).is_some_and(|(policy, level)| !policy.enabled(level))
}

fn print(listing: &Listing<'_>, nothing: &str) {
    let heads =
        ["job", "target", "time", "level", "storage", "files", "size", "stored", "result", "id"];
    let mut table = output::table(&heads);
    for row in &listing.backups {
        let target =
            row.source.map_or(row.target.clone(), |source| format!("{source}: {}", row.target));
        let result = [vec![row.result], row.marks.clone()].concat().join(", ");
        table.add_row([
            row.job,
            &target,
            &output::moment(row.started),
            &branch(row),
            row.storage,
            &row.files.map(|files| files.to_string()).unwrap_or_default(),
            &output::size(row.raw_bytes),
            &output::size(row.stored_bytes),
            &result,
            row.id,
        ]);
    }
    match table.is_empty() {
        true => output::line(nothing),
        false => output::print(&table),
    }
    for problem in listing.damaged.iter().chain(listing.troubles) {
        output::line(format!(
            "{}: {problem}",
            output::paint("warning", anstyle::AnsiColor::Yellow)
        ));
    }
    if let (objects @ 1.., bytes) = listing.unfinished {
        output::line(format!(
            "{} ({}) without a manifest: being written, or left by a run that died; see `sweep -n`",
            count(objects, "object", "objects"),
            output::size(bytes)
        ));
    }
    if listing.foreign > 0 {
        let files = count(listing.foreign, "other file lies", "other files lie");
        output::line(format!("{files} there (not ours, or from 2.x): left alone"));
    }
}
