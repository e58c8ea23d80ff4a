//! What to bring back: the newest artefact of each target that is not after a moment.

use std::collections::BTreeMap;
use std::rc::Rc;

use globset::GlobMatcher;
use jiff::{Timestamp, tz::TimeZone};

use crate::base::{ArtefactId, count};
use crate::catalogue::{Manifest, Outcome};
use crate::restore::ancestry::Ancestry;
use crate::restore::apply::{Error, other};
use crate::restore::holdings::{Held, Holdings};
use crate::retention;
use crate::run::Selection;

/// What a restore asks for.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Only targets that match.
    pub target: Option<GlobMatcher>,
    /// The newest not after this moment.
    pub at: Option<Timestamp>,
    /// Exactly this artefact.
    pub id: Option<ArtefactId>,
    /// The present moment: a copy dated more than a day after it is never the newest.
    pub now: Timestamp,
}

/// One artefact and every storage that has it.
pub struct Choice<'a> {
    /// What it is; each storage has its own manifest with its own keys.
    pub manifest: &'a Manifest,
    /// Where it lies, whole copies first.
    pub held: Vec<Held<'a>>,
    /// Younger copies that are not whole, and were passed over.
    pub passed_over: Vec<Held<'a>>,
    /// Copies that are dated in the future, and were passed over for that.
    pub ahead: Vec<Held<'a>>,
    /// What copies build on.
    pub ancestry: Rc<Ancestry<'a>>,
}

/// Nothing fits.
#[derive(Debug, thiserror::Error)]
pub enum NothingFound {
    /// There is no copy at all of what was asked for.
    #[error("no backup of {0} was found")]
    None(String),
    /// There are copies, but of other targets.
    #[error("no backup of {asked_for} has a target that matches {glob:?}")]
    Target {
        /// The jobs that were asked for, in words.
        asked_for: String,
        /// The glob for targets.
        glob: String,
    },
    /// There are copies, but all are younger than the moment.
    #[error("no backup is as old as {}; the oldest is of {}", wall(.at), wall(.oldest))]
    TooYoung {
        /// The moment that was asked for.
        at: Timestamp,
        /// The start of the oldest copy.
        oldest: Timestamp,
    },
    /// No artefact has this id.
    #[error("no backup has the id {0}; `list` shows the ids")]
    Id(ArtefactId),
}

/// Spells a moment as listings do, by the clock on the wall.
fn wall(time: &Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Chooses for each identity the newest artefact that fits.
///
/// Errors: [`NothingFound`].
pub fn pick<'a>(
    holdings: &'a Holdings<'a>,
    selection: &Selection,
    want: &Want,
    asked_for: &str,
) -> Result<Vec<Choice<'a>>, NothingFound> {
    let mut held: Vec<Held<'a>> = match &want.id {
        Some(id) => holdings.copies().filter(|held| held.stored.manifest.id == *id).collect(),
        None => holdings.selected(selection),
    };
    if let (Some(id), true) = (&want.id, held.is_empty()) {
        return Err(NothingFound::Id(id.clone()));
    }
    if let (Some(glob), None, false) = (&want.target, &want.id, held.is_empty()) {
        held.retain(|held| glob.is_match(crate::base::display(&held.stored.manifest.target)));
        if held.is_empty() {
            let (asked_for, glob) = (asked_for.to_owned(), glob.glob().to_string());
            return Err(NothingFound::Target { asked_for, glob });
        }
    }
    let Some(oldest) = held.iter().map(|held| held.stored.manifest.started).min() else {
        return Err(NothingFound::None(asked_for.to_owned()));
    };
    let moment = want.at.filter(|_| want.id.is_none());
    let choices = newest_of_each(held, moment, want.now, &Rc::new(Ancestry::of(holdings)));
    match (choices.is_empty(), moment) {
        (true, Some(at)) => Err(NothingFound::TooYoung { at, oldest }),
        _ => Ok(choices),
    }
}

type Identity<'a> = (&'a str, Option<&'a str>, &'a str);

fn newest_of_each<'a>(
    held: Vec<Held<'a>>,
    at: Option<Timestamp>,
    now: Timestamp,
    ancestry: &Rc<Ancestry<'a>>,
) -> Vec<Choice<'a>> {
    let mut copies: BTreeMap<Identity<'_>, Vec<Held<'_>>> = BTreeMap::new();
    for held in held {
        let manifest = &held.stored.manifest;
        if at.is_some_and(|at| manifest.started > at) {
            continue;
        }
        let job = held.job.map_or(manifest.job.as_str(), |job| &job.name);
        // The server is one, whatever it was called: look() gives no other's copies.
        let key = (job, manifest.source.as_deref(), &*manifest.target);
        copies.entry(key).or_default().push(held);
    }
    copies.into_values().map(|copies| newest_by(copies, now, ancestry)).collect()
}

/// Gives every artefact that is meant, the youngest first, each with all storages that have it.
pub fn every<'a>(holdings: &'a Holdings<'a>, selection: &Selection) -> Vec<Choice<'a>> {
    let mut copies: BTreeMap<_, Vec<Held<'a>>> = BTreeMap::new();
    for held in holdings.selected(selection) {
        let manifest = &held.stored.manifest;
        copies.entry((manifest.started, &manifest.id)).or_default().push(held);
    }
    let ancestry = Rc::new(Ancestry::of(holdings));
    copies.into_values().rev().map(|copies| newest(copies, &ancestry)).collect()
}

/// Chooses like [`newest`]; what is dated in the future only where nothing else can be used.
fn newest_by<'a>(copies: Vec<Held<'a>>, now: Timestamp, ancestry: &Rc<Ancestry<'a>>) -> Choice<'a> {
    let is_ahead = |held: &Held<'_>| retention::is_future(held.stored.manifest.started, now);
    let (ahead, known): (Vec<_>, Vec<_>) = copies.into_iter().partition(is_ahead);
    let is_whole = |held: &Held<'_>| ancestry.problem(held).is_none();
    let is_last_resort = known.is_empty() || !known.iter().any(is_whole);
    if is_last_resort && (known.is_empty() || ahead.iter().any(is_whole)) {
        return newest([known, ahead].concat(), ancestry);
    }
    Choice { ahead, ..newest(known, ancestry) }
}

/// Chooses the youngest artefact of which a whole copy is left, else the youngest.
fn newest<'a>(copies: Vec<Held<'a>>, ancestry: &Rc<Ancestry<'a>>) -> Choice<'a> {
    // Of two of one moment, the one that builds on others is the younger one.
    let age = |held: &Held<'_>| {
        let manifest = &held.stored.manifest;
        (manifest.started, ancestry.depth(manifest), manifest.id.clone())
    };
    let is_whole = |held: &&Held<'_>| ancestry.problem(held).is_none();
    let whole = copies.iter().filter(is_whole).max_by_key(|held| age(held));
    let best = whole.or_else(|| copies.iter().max_by_key(|held| age(held)));
    let best = best.map(age).expect("an identity has a copy");
    let passed_over = copies.iter().filter(|held| age(held) > best).copied().collect();
    let mut held: Vec<_> = copies.into_iter().filter(|held| age(held) == best).collect();
    held.sort_by_key(|held| (!held.stored.intact, held.place.kind != "local"));
    let (manifest, ancestry) = (&held[0].stored.manifest, Rc::clone(ancestry));
    Choice { manifest, held, passed_over, ahead: Vec::new(), ancestry }
}

impl<'a> Choice<'a> {
    /// Returns what a copy builds on, the full copy first; nothing for one that stands alone.
    ///
    /// Errors: names what is missing.
    pub fn above(&self, held: &Held<'a>) -> Result<Vec<Held<'a>>, Error> {
        let above = self.ancestry.above(&held.stored.manifest, &held.place.fingerprint);
        above
            .map_err(|id| other(format!("it builds on {id}, of which no storage has a whole copy")))
    }

    /// Tells what a person should know before relying on it.
    pub fn caveats(&self, now: Timestamp) -> Vec<String> {
        let target = crate::base::display(&self.manifest.target);
        let mut caveats = self.caveats_of_time(&target, now);
        for held in &self.passed_over {
            let (manifest, place) = (&held.stored.manifest, &held.place.name);
            let problem = self.ancestry.problem(held);
            let problem = problem.unwrap_or_else(|| "it is not whole".to_owned());
            let (at, id) = (manifest.local_start(), &manifest.id);
            caveats.push(format!(
                "{target}: the younger copy {id} of {at} on '{place}' is passed over: {problem}"
            ));
        }
        if self.manifest.result == Outcome::Partial {
            let missing = count(self.manifest.warnings.unreadable.count, "file", "files");
            caveats.push(format!("{target}: {missing} could not be read when it was made"));
        }
        if self.manifest.shrunken {
            caveats.push(format!("{target}: this copy is much smaller than those before it"));
        }
        if self.held.iter().all(|held| !held.stored.intact) {
            caveats.push(format!("{target}: objects of this copy are missing or cut short"));
        }
        caveats
    }
    /// Tells what is dated in the future: a clock was wrong then, or is now.
    fn caveats_of_time(&self, target: &str, now: Timestamp) -> Vec<String> {
        let ahead: BTreeMap<_, _> =
            self.ahead.iter().map(|held| (&held.stored.manifest.id, held)).collect();
        let mut caveats: Vec<String> = ahead
            .into_values()
            .map(|held| {
                let (id, at) =
                    (&held.stored.manifest.id, held.stored.manifest.local_start().date());
                format!(
                    "{target}: the copy {id} is dated in the future ({at}) and passed over; \
                     --id {id} takes it"
                )
            })
            .collect();
        if retention::is_future(self.manifest.started, now) {
            let at = self.manifest.local_start().date();
            caveats.push(format!("{target}: this copy is dated in the future ({at})"));
        }
        caveats
    }
}
