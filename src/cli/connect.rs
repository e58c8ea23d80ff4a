//! `check --connect`: reaches every storage of the config once, by what a run does to it.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::base::{Key, chain};
use crate::cli::failure::{Failure, NOTHING, PARTLY};
use crate::cli::{output, setup};
use crate::plan::{Place, Plan};
use crate::retention::Rotation;
use crate::storages::{Error, Storage};
use crate::stream::ByteStream;

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

/// Reaches every storage of the jobs that are on, each folder once.
pub(crate) fn all(plan: &Plan) -> Result<Vec<Reached>, Failure> {
    let env = setup::env(plan, std::sync::Arc::new(crate::base::Silent))?;
    let stamp = env.clock.now().timestamp().as_nanosecond();
    let probe = format!(".nxs-probe-{}-{stamp:x}", std::process::id());
    let jobs = plan.jobs.iter().filter_map(|entry| entry.as_job()).filter(|job| job.enabled);
    let mut seen = BTreeSet::new();
    let places: Vec<&Place> = jobs
        .flat_map(|job| &job.places)
        .filter(|place| seen.insert(place.fingerprint.as_str()))
        .collect();
    setup::block_on(&env.cancel, join_all(places.into_iter().map(|place| reach(place, &probe))))
}

/// Prints what came of it.
pub(crate) fn tell(reached: &[Reached]) {
    for Reached { storage, location, problems, notes } in reached {
        let (word, color) = match problems.as_slice() {
            [] => ("ok    ", anstyle::AnsiColor::Green),
            _ => ("BROKEN", anstyle::AnsiColor::Red),
        };
        output::line(format!("{} '{storage}' {location}", output::paint(word, color)));
        for said in problems.iter().chain(notes) {
            output::line(format!("       {said}"));
        }
    }
}

/// Returns the exit code for what came of it.
pub(crate) fn exit(reached: &[Reached]) -> u8 {
    let broken = reached.iter().filter(|one| !one.problems.is_empty()).count();
    match broken {
        0 => 0,
        broken if broken == reached.len() => NOTHING,
        _ => PARTLY,
    }
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
