//! `sweep`: what dead runs left behind, shown first, removed when told to.

use std::io::{BufRead, IsTerminal};

use serde::Serialize;

use crate::base::chain;
use crate::cli::args::{Globals, Sweep};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING, PARTLY};
use crate::cli::{output, setup};
use crate::plan::Plan;
use crate::report::Report;
use crate::restore::holdings::{self, Holdings, Scope};
use crate::run::{Env, Selection, Stale, clear_leftovers, owner, remove_stale, stale};

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
    if !globals.dry_run {
        let jobs = selection.entries(plan).into_iter().filter_map(|entry| entry.as_job());
        let mut report = Report::default();
        clear_leftovers(&env.state_dir, jobs.flat_map(|job| &job.places), &mut report).await;
        report.notes.iter().chain(&report.errors).for_each(output::line);
    }
    let mut holdings = holdings::look(plan, selection, &Scope::default()).await;
    leave_out_others(&mut holdings).await;
    let found = left_over(&holdings, env);
    match globals.json {
        true => output::json(&rows(&found)),
        false => {
            print(&found);
            tell_of_young(&holdings, &found);
        }
    }
    holdings.troubles.iter().for_each(|trouble| output::line(format!("not looked at: {trouble}")));
    let trouble = if holdings.troubles.is_empty() { 0 } else { PARTLY };
    if found.is_empty() || globals.dry_run || !(verb.yes || agreed()) {
        return Ok(trouble);
    }
    let failed = remove(&holdings, env).await;
    if env.cancel.is_cancelled() {
        return Ok(INTERRUPTED);
    }
    failed.iter().for_each(|error| output::line(format!("not removed: {error}")));
    Ok(match failed.len() {
        0 => trouble,
        all if all == found.len() => NOTHING,
        _ => PARTLY,
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

async fn remove(holdings: &Holdings<'_>, env: &Env) -> Vec<String> {
    let now = env.clock.now();
    let mut failed = Vec::new();
    for holding in &holdings.found {
        if env.cancel.is_cancelled() {
            break;
        }
        let stale = stale(&holding.survey, &now);
        match remove_stale(&*holding.place.storage, &stale).await {
            Ok(removed) => removed.iter().for_each(|key| output::line(format!("removed {key}"))),
            Err(error) => failed.push(chain(&error)),
        }
    }
    failed
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
        rows.extend(stale.objects.iter().map(|object| Row {
            storage,
            object: object.key.to_string(),
            bytes: object.bytes,
            modified: object.modified,
        }));
    }
    rows
}

/// Names what has no manifest and is too young to be called left over: it may still be growing.
fn tell_of_young(holdings: &Holdings<'_>, found: &[(String, Stale)]) {
    let old = |key: &crate::base::Key| {
        found.iter().any(|(_, stale)| stale.objects.iter().any(|object| object.key == *key))
    };
    for holding in &holdings.found {
        let survey = &holding.survey;
        for object in survey.partials.iter().chain(&survey.orphans).filter(|it| !old(&it.key)) {
            let (place, key, size) = (&holding.place.name, &object.key, output::size(object.bytes));
            output::line(format!(
                "'{place}': {key} ({size}) has no manifest; it is left alone: the next run removes \
                 it if a run of this host that died left it, `sweep` once it is over 7 days old"
            ));
        }
    }
}

fn print(found: &[(String, Stale)]) {
    let mut table = output::table(&["storage", "object", "size", "last changed"]);
    for row in rows(found) {
        let modified = row.modified.map(output::moment).unwrap_or_default();
        table.add_row([row.storage, &row.object, &output::size(row.bytes), &modified]);
    }
    match table.is_empty() {
        true => output::line("nothing is left over"),
        false => output::print(&table),
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
