//! `sweep`: what dead runs left behind, shown first, removed when told to.

use std::io::{BufRead, IsTerminal};

use serde::Serialize;

use crate::base::{Key, chain};
use crate::cli::args::{Globals, Sweep};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING, PARTLY};
use crate::cli::{output, setup};
use crate::plan::Plan;
use crate::restore::holdings::{self, Holdings, Scope};
use crate::run::{
    Env, Selection, Stale, SweepPlace, SweepReport, foretell_dead, owner, remove_stale, stale,
    sweep_dead,
};
use crate::storages::Object;

/// Shows leftovers, asks, removes.
pub(crate) fn run(globals: &Globals, verb: &Sweep) -> Result<u8, Failure> {
    let (plan, selection) = setup::plan_for(globals, &verb.jobs.jobs)?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    setup::block_on(&env.cancel, work(globals, verb, &plan, &selection, &env))?
}

async fn work(
    globals: &Globals,
    verb: &Sweep,
    plan: &Plan,
    selection: &Selection,
    env: &Env,
) -> Result<u8, Failure> {
    let _lock = match globals.dry_run {
        true => None,
        false => Some(setup::lock(&plan.main, env).await?),
    };
    let dead = of_dead_runs(globals, plan, selection, env).await?;
    let mut holdings = holdings::look(plan, selection, &Scope::default()).await;
    leave_out_others(&mut holdings).await;
    let found = left_over(&holdings, env);
    let is_asked = !globals.dry_run && !found.is_empty();
    if !globals.json {
        print(globals, &dead, &found, &holdings);
    }
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    if is_asked && (verb.yes || (!globals.json && agreed())) {
        (removed, failed) = remove(&holdings, env).await;
    }
    match globals.json {
        true => output::json(&told(&dead, &found, &holdings, &removed, &failed)),
        false => {
            removed.iter().for_each(|(_, key)| output::line(format!("removed {key}")));
            failed.iter().for_each(|error| output::line(format!("not removed: {error}")));
        }
    }
    let is_well = holdings.troubles.is_empty() && dead.errors.is_empty();
    Ok(match failed.len() {
        _ if env.cancel.is_cancelled() => INTERRUPTED,
        0 if is_well => 0,
        all if all > 0 && removed.is_empty() => NOTHING,
        _ => PARTLY,
    })
}

/// Clears away what the journals of dead runs name, or tells what that would be.
async fn of_dead_runs(
    globals: &Globals,
    plan: &Plan,
    selection: &Selection,
    env: &Env,
) -> Result<SweepReport, Failure> {
    let jobs = selection.entries(plan).into_iter().filter_map(|entry| entry.as_job());
    let places: Vec<SweepPlace<'_>> = jobs
        .flat_map(|job| &job.places)
        .map(|place| SweepPlace { fingerprint: &place.fingerprint, storage: &*place.storage })
        .collect();
    let swept = match globals.dry_run {
        true => foretell_dead(&env.state_dir, &places).await,
        false => sweep_dead(&env.state_dir, &places).await,
    };
    swept.map_err(|error| {
        let folder = env.state_dir.display();
        Failure::new(NOTHING, format!("{folder}: cannot read the journals: {error}"))
            .hint("`main.state_dir` must be a folder that this user may read.")
    })
}

/// A folder that is marked as another server's is none of our business.
async fn leave_out_others(holdings: &mut Holdings<'_>) {
    let mut kept = Vec::new();
    for holding in std::mem::take(&mut holdings.found) {
        let owner = match holding.place.shared {
            true => None,
            false => owner(&*holding.place.storage).await.unwrap_or_default(),
        };
        match owner.filter(|owner| !holdings.servers.contains(owner)) {
            None => kept.push(holding),
            Some(owner) => holdings.troubles.push(format!(
                "'{}' {}: belongs to the server {owner:?}",
                holding.place.name, holding.place.location
            )),
        }
    }
    holdings.found = kept;
}

fn left_over(holdings: &Holdings<'_>, env: &Env) -> Vec<(String, Stale)> {
    let now = env.clock.now();
    let of_place = |holding: &holdings::Holding<'_>| {
        let name = holding.place.name.clone();
        stale(&holding.survey, &now).into_iter().map(move |stale| (name.clone(), stale))
    };
    holdings.found.iter().flat_map(of_place).collect()
}

/// Removes what is only old; gives what went, and what could not go and why.
async fn remove(holdings: &Holdings<'_>, env: &Env) -> (Vec<(String, Key)>, Vec<String>) {
    let now = env.clock.now();
    let (mut gone, mut failed) = (Vec::new(), Vec::new());
    for holding in &holdings.found {
        if env.cancel.is_cancelled() {
            break;
        }
        let stale = stale(&holding.survey, &now);
        match remove_stale(&*holding.place.storage, &stale).await {
            Ok(keys) => gone.extend(keys.into_iter().map(|key| (holding.place.name.clone(), key))),
            Err(error) => failed.push(chain(&error)),
        }
    }
    (gone, failed)
}

/// One left-over object.
#[derive(Serialize)]
struct Row<'a> {
    storage: &'a str,
    object: String,
    bytes: u64,
    modified: Option<jiff::Timestamp>,
}

fn rows(found: &[(String, Stale)]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (storage, stale) in found {
        rows.extend(stale.objects.iter().map(|object| row(storage, object)));
    }
    rows
}

fn row<'a>(storage: &'a str, object: &Object) -> Row<'a> {
    let (bytes, modified) = (object.bytes, object.modified);
    Row { storage, object: object.key.to_string(), bytes, modified }
}

/// Finds what has no manifest and is neither a dead run's nor old: it may still be growing.
fn young<'a>(
    holdings: &'a Holdings<'_>,
    dead: &SweepReport,
    found: &[(String, Stale)],
) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for holding in &holdings.found {
        let (place, survey) = (&holding.place.name, &holding.survey);
        let is_told = |key: &Key| {
            let old = found.iter().filter(|(name, _)| name == place);
            let mut old = old.flat_map(|(_, stale)| &stale.objects);
            old.any(|object| object.key == *key)
                || dead.removed.iter().any(|(name, gone)| name == place && gone == key)
        };
        let objects = survey.partials.iter().chain(&survey.orphans);
        rows.extend(objects.filter(|it| !is_told(&it.key)).map(|it| row(place, it)));
    }
    rows
}

/// All of it, for `--json`.
fn told(
    dead: &SweepReport,
    found: &[(String, Stale)],
    holdings: &Holdings<'_>,
    removed: &[(String, Key)],
    failed: &[String],
) -> serde_json::Value {
    let named = |(storage, key): &(String, Key)| serde_json::json!({"storage": storage, "object": key.to_string()});
    serde_json::json!({
        "of_dead_runs": dead.removed.iter().map(named).collect::<Vec<_>>(),
        "old": rows(found),
        "young": young(holdings, dead, found),
        "removed": removed.iter().map(named).collect::<Vec<_>>(),
        "failed": failed,
        "waiting": dead.waiting,
        "troubles": holdings.troubles.iter().chain(&dead.errors).collect::<Vec<_>>(),
    })
}

fn print(
    globals: &Globals,
    dead: &SweepReport,
    found: &[(String, Stale)],
    holdings: &Holdings<'_>,
) {
    let word = if globals.dry_run { "would remove" } else { "removed" };
    for (place, key) in &dead.removed {
        output::line(format!("'{place}': {word} {key}, which a run that died left"));
    }
    let mut table = output::table(&["storage", "object", "size", "last changed"]);
    for row in rows(found) {
        let modified = row.modified.map(output::moment).unwrap_or_default();
        table.add_row([row.storage, &row.object, &output::size(row.bytes), &modified]);
    }
    match table.is_empty() {
        true if globals.dry_run && !dead.removed.is_empty() => {}
        true => output::line("nothing is left over"),
        false => output::print(&table),
    }
    for Row { storage, object, bytes, .. } in young(holdings, dead, found) {
        output::line(format!(
            "'{storage}': {object} ({}) has no manifest and no dead run of this host left it; it \
             is left alone until it is over 7 days old: it may still be growing",
            output::size(bytes)
        ));
    }
    for waiting in &dead.waiting {
        output::line(format!("left by a run that died, and not to be removed now: {waiting}"));
    }
    for trouble in holdings.troubles.iter().chain(&dead.errors) {
        output::line(format!("not looked at: {trouble}"));
    }
}

/// Asks a person; where nobody sits, the answer is no.
fn agreed() -> bool {
    if !std::io::stdin().is_terminal() {
        output::line("nothing was removed; `sweep --yes` removes what is shown");
        return false;
    }
    output::line("Remove all of these? Type yes:");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).ok();
    answer.trim() == "yes"
}
