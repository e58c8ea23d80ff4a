//! `check --connect`: reaches every source and storage of the config once, by what a run does to it.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::base::{Key, chain, count};
use crate::cli::failure::{Failure, NOTHING, PARTLY};
use crate::cli::{output, setup};
use crate::plan::{Job, JobSource, Place, Plan};
use crate::retention::Rotation;
use crate::storages::{Error, Storage};
use crate::stream::ByteStream;

/// What came of reaching all.
#[derive(Debug)]
pub(crate) struct All {
    pub(crate) sources: Vec<Asked>,
    pub(crate) storages: Vec<Reached>,
}

/// What came of asking one source.
#[derive(Debug, Serialize)]
pub(crate) struct Asked {
    job: String,
    /// What it is called, or what it connects to; nothing for files.
    source: Option<String>,
    /// How many targets a run would find.
    targets: usize,
    /// What a run would stumble over.
    problems: Vec<String>,
    /// What a run can live with.
    notes: Vec<String>,
}

/// What came of reaching one storage.
#[derive(Debug, Serialize)]
pub(crate) struct Reached {
    storage: String,
    location: String,
    /// What a run would stumble over.
    problems: Vec<String>,
    /// What a run can live with.
    notes: Vec<String>,
}

/// Reaches every source and storage of the jobs that are on, each folder once.
pub(crate) fn all(plan: &Plan) -> Result<All, Failure> {
    let env = setup::env(plan, std::sync::Arc::new(crate::base::Silent))?;
    let stamp = env.clock.now().timestamp().as_nanosecond();
    let probe = format!(".nxs-probe-{}-{stamp:x}", std::process::id());
    let jobs = plan.jobs.iter().filter_map(|entry| entry.as_job());
    let jobs: Vec<&Job> = jobs.filter(|job| job.enabled).collect();
    let mut seen = BTreeSet::new();
    let places = jobs.iter().flat_map(|job| &job.places);
    let places = places.filter(|place| seen.insert(place.fingerprint.as_str()));
    let storages = join_all(places.map(|place| reach(place, &probe)));
    let sources = jobs.iter().flat_map(|job| job.sources.iter().map(|source| ask(job, source)));
    let sources = join_all(sources);
    let (sources, storages) = setup::block_on(&env.cancel, join(sources, storages))?;
    Ok(All { sources, storages })
}

/// Prints what came of it.
pub(crate) fn tell(all: &All) {
    for Asked { job, source, targets, problems, notes } in &all.sources {
        let source = source.as_ref().map(|source| format!(", source '{source}'"));
        let found = count(*targets, "target", "targets");
        row(&format!("job '{job}'{}: {found}", source.unwrap_or_default()), problems, notes);
    }
    for Reached { storage, location, problems, notes } in &all.storages {
        row(&format!("'{storage}' {location}"), problems, notes);
    }
}

fn row(what: &str, problems: &[String], notes: &[String]) {
    let (word, color) = match problems {
        [] => ("ok    ", anstyle::AnsiColor::Green),
        _ => ("BROKEN", anstyle::AnsiColor::Red),
    };
    output::line(format!("{} {what}", output::paint(word, color)));
    for said in problems.iter().chain(notes) {
        output::line(format!("       {said}"));
    }
}

/// Returns the exit code for what came of it: without any storage, or any source, nothing is
/// backed up.
pub(crate) fn exit(all: &All) -> u8 {
    let broken = |problems: Vec<bool>| {
        let broken = problems.iter().filter(|is_broken| **is_broken).count();
        (broken > 0, broken > 0 && broken == problems.len())
    };
    let sources = broken(all.sources.iter().map(|one| !one.problems.is_empty()).collect());
    let storages = broken(all.storages.iter().map(|one| !one.problems.is_empty()).collect());
    match (sources, storages) {
        ((false, _), (false, _)) => 0,
        ((_, true), _) | (_, (_, true)) => NOTHING,
        _ => PARTLY,
    }
}

async fn ask(job: &Job, source: &JobSource) -> Asked {
    let mut asked = Asked {
        job: job.name.clone(),
        source: source.name.clone(),
        targets: 0,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    match source.source.probe().await {
        Ok(found) => {
            asked.targets = found.targets.len();
            asked.problems.extend(found.failed.iter().map(|error| chain(error)));
            asked.notes = found.notes;
        }
        Err(error) => asked.problems.push(chain(&error)),
    }
    asked
}

async fn reach(place: &Place, probe: &str) -> Reached {
    let (storage, location) = (place.name.clone(), place.location.clone());
    let mut reached = Reached { storage, location, problems: Vec::new(), notes: Vec::new() };
    let key = Key::new(probe).expect("a probe's name is one plain component");
    let keeps_all = place.policy.rotation == Rotation::None;
    match try_out(&*place.storage, &key).await {
        Ok(()) => {}
        // One cause is enough: what cannot be written cannot be read either.
        Err(Broken::Put(error)) => {
            reached.problems.push(chain(&error));
            return reached;
        }
        Err(Broken::Get(why)) => reached.problems.push(why),
        Err(Broken::List(error)) if keeps_all => {
            let why = chain(&error);
            reached.notes.push(format!("{why}; a run can do without, since `rotation` is none"));
        }
        Err(Broken::List(error)) => {
            let why = chain(&error);
            reached
                .problems
                .push(format!("{why}; give the right to list, or say `rotation: none`"));
        }
    }
    if let Err(error) = place.storage.delete(&key).await {
        let why = chain(&error);
        match keeps_all {
            true => reached.notes.push(format!("{why}; {key} stays there")),
            false => reached.problems.push(format!(
                "{why}; {key} stays there; give the right to delete, or say `rotation: none`"
            )),
        }
    }
    reached
}

/// The first step that did not go well.
enum Broken {
    Put(Error),
    Get(String),
    List(Error),
}

async fn try_out(storage: &dyn Storage, key: &Key) -> Result<(), Broken> {
    let bytes: Vec<u8> = (0..1024_u32).map(|number| number.wrapping_mul(37) as u8).collect();
    storage.put(key, ByteStream::from_bytes(bytes.clone())).await.map_err(Broken::Put)?;
    let get = |error: &Error| Broken::Get(chain(error));
    let body = storage.get(key, 0..bytes.len() as u64).await.map_err(|error| get(&error))?;
    let found = body.collect(bytes.len()).await;
    let found = found.map_err(|error| Broken::Get(format!("{key}: {}", chain(&error))))?;
    if found != bytes {
        return Err(Broken::Get(format!("{key} came back with other bytes than were put")));
    }
    let listed = storage.list(key.as_str()).take(2).try_collect::<Vec<_>>().await;
    match listed.map_err(Broken::List)?.as_slice() {
        [one] if one.key == *key => Ok(()),
        _ => Err(Broken::Get(format!("{key} was put and is not listed"))),
    }
}
