//! `prune`: what rotation would remove now, with the reason of every keep and every delete.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::{RunId, chain, count, display};
use crate::catalogue::Stored;
use crate::cli::args::{Globals, Prune, ScopeArgs};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING, PARTLY};
use crate::cli::{list, output, setup};
use crate::plan::{Entry, Increments, Place, Plan};
use crate::restore::holdings::{self, Held, Holdings};
use crate::retention::{self, Copy, Link, Moment, Verdict};
use crate::run::{Env, Journal, Selection, as_copy, as_link, remove};
use crate::sources::Source;

/// What happens to one copy.
#[derive(Serialize)]
struct Row {
    job: String,
    target: String,
    storage: String,
    key: String,
    level: String,
    started: jiff::Timestamp,
    action: &'static str,
    reason: String,
}

/// Explains, and without --dry-run removes.
pub(crate) fn run(globals: &Globals, verb: &Prune) -> Result<u8, Failure> {
    let (plan, selection) = setup::plan_for(globals, &verb.jobs.jobs)?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let work = prune(globals, verb, &plan, &selection, &env);
    setup::block_on(&env.cancel, work)?
}

async fn prune(
    globals: &Globals,
    verb: &Prune,
    plan: &Plan,
    selection: &Selection,
    env: &Env,
) -> Result<u8, Failure> {
    if verb.orphans {
        refuse_broken(plan)?;
    }
    let _lock = match globals.dry_run {
        true => None,
        false => Some(setup::lock(&plan.main, env).await?),
    };
    let scope = list::scope(&ScopeArgs { storage: verb.storage.clone(), host: None }, plan)?;
    let mut holdings = holdings::look(plan, selection, &scope).await;
    let now = env.clock.now();
    let mut present = Present::of(plan, verb.orphans).await;
    holdings.troubles.append(&mut present.unknown);
    let mut rows = Vec::new();
    let mut doomed = Vec::new();
    for (identity, held) in by_identity(&holdings, selection) {
        let copies: Vec<Copy> = held.iter().filter_map(|held| as_copy(held.stored)).collect();
        let policy = policy_of(&identity, plan).filter(|_| present.has(&identity));
        let chains = policy.map(|(how, place)| of_chains(&held, how, place, &now));
        let policy = policy.map(|(_, place)| &place.policy);
        let whole = match (policy, verb.orphans) {
            (None, false) => {
                let why = "no job of this config makes it there: `prune --orphans` takes it";
                rows.extend(held.iter().map(|held| row(held, "keep", why.to_owned())));
                continue;
            }
            (None, true) => orphaned(&held, &copies),
            (Some(policy), true) => retention::decide(&copies, policy, &now, Moment::PruneOrphans),
            (Some(policy), false) => retention::decide(&copies, policy, &now, Moment::Prune),
        };
        let verdict = joined(whole, chains.flatten());
        let find =
            |id: &crate::base::ArtefactId| held.iter().find(|held| held.stored.manifest.id == *id);
        for (id, why) in &verdict.keep {
            rows.extend(find(id).map(|held| row(held, "keep", why.to_string())));
        }
        for (id, why) in &verdict.delete {
            let Some(held) = find(id) else { continue };
            rows.push(row(held, "remove", why.to_string()));
            doomed.push(*held);
        }
    }
    let failed = if globals.dry_run { Vec::new() } else { remove_all(&doomed, plan, env).await };
    match globals.json {
        true => output::json(
            &serde_json::json!({"copies": rows, "failed": failed, "troubles": holdings.troubles}),
        ),
        false => print(&rows, &failed, &holdings.troubles, globals),
    }
    let done = doomed.len() - failed.len();
    Ok(match failed.len() + holdings.troubles.len() {
        _ if env.cancel.is_cancelled() => INTERRUPTED,
        0 => 0,
        _ if done > 0 || !rows.is_empty() => PARTLY,
        _ => NOTHING,
    })
}

type Identity = (String, String, Option<String>, String);

/// Groups copies by storage and identity.
fn by_identity<'a>(
    holdings: &'a Holdings<'a>,
    selection: &Selection,
) -> BTreeMap<Identity, Vec<Held<'a>>> {
    let mut groups: BTreeMap<Identity, Vec<Held<'a>>> = BTreeMap::new();
    for held in holdings.selected(selection) {
        let manifest = &held.stored.manifest;
        let job = held.job.map_or(&manifest.job, |job| &job.name).clone();
        let place = held.place.fingerprint.clone();
        let key = (place, job, manifest.source.clone(), manifest.target.clone());
        groups.entry(key).or_default().push(held);
    }
    groups
}

/// Finds how many copies of an identity its own job wants on this storage; other jobs that store
/// in the same folder may want more or fewer.
fn policy_of<'a>(
    identity: &Identity,
    plan: &'a Plan,
) -> Option<(Option<&'a Increments>, &'a Place)> {
    let (fingerprint, name, ..) = identity;
    let mut jobs = plan.jobs.iter().filter_map(|entry| entry.as_job());
    let job = jobs.find(|job| job.name == *name || job.formerly.contains(name))?;
    let mut places = job.places.iter();
    let place = places.find(|place| place.fingerprint == *fingerprint)?;
    Some((job.increments.as_ref(), place))
}

/// Decides about the copies that build on one another; those of a job that makes such copies no
/// more stay.
fn of_chains(
    held: &[Held<'_>],
    how: Option<&Increments>,
    place: &Place,
    now: &jiff::Zoned,
) -> Option<Verdict> {
    let links: Vec<Link> = held.iter().filter_map(|held| as_link(held.stored)).collect();
    let how = match how {
        Some(how) => how,
        None if links.is_empty() => return None,
        None => {
            let keep = links.into_iter().map(|link| (link.id, retention::Keep::OtherKind));
            return Some(Verdict { keep: keep.collect(), ..Verdict::default() });
        }
    };
    Some(retention::decide_chain(&links, how.scheme, &how.keep(place), now, None))
}

/// Everything of an identity that there is no more: of chains, what builds on others first.
fn orphaned(held: &[Held<'_>], copies: &[Copy]) -> Verdict {
    let links: Vec<Link> = held.iter().filter_map(|held| as_link(held.stored)).collect();
    joined(retention::orphaned(copies), Some(retention::orphaned_chain(&links)))
}

fn joined(mut one: Verdict, other: Option<Verdict>) -> Verdict {
    let other = other.unwrap_or_default();
    one.keep.extend(other.keep);
    one.delete.extend(other.delete);
    one
}

/// An orphan can only be told where every job can be read.
fn refuse_broken(plan: &Plan) -> Result<(), Failure> {
    match plan.jobs.iter().find(|entry| matches!(entry, Entry::Broken(_))) {
        None => Ok(()),
        Some(broken) => {
            let name = broken.name();
            let error = format!("job {name:?} has errors in its config, so orphans cannot be told");
            Err(Failure::usage(error).hint("`nxs-backup check` shows the errors."))
        }
    }
}

/// The jobs, sources and, where it matters, targets that there are today.
struct Present {
    /// Why the targets of some source cannot be told now.
    unknown: Vec<String>,
    targets: Vec<(String, Option<String>, Option<Vec<String>>)>,
}

impl Present {
    async fn of(plan: &Plan, with_targets: bool) -> Self {
        let (mut targets, mut unknown) = (Vec::new(), Vec::new());
        for job in plan.jobs.iter().filter_map(|entry| entry.as_job()) {
            for source in &job.sources {
                let names = match with_targets {
                    true => names_of(&*source.source).await.map_err(|why| {
                        unknown
                            .push(format!("job {:?}: no target counts as gone: {why}", job.name));
                    }),
                    false => Err(()),
                };
                let names = names.ok();
                targets.push((job.name.clone(), source.name.clone(), names));
            }
        }
        Self { unknown, targets }
    }

    /// What cannot be asked now counts as present: nothing is removed by mistake.
    fn has(&self, identity: &Identity) -> bool {
        let (_, job, source, target) = identity;
        self.targets.iter().any(|(known_job, known_source, names)| {
            known_job == job
                && known_source == source
                && names.as_ref().is_none_or(|names| names.contains(target))
        })
    }
}

/// Asks a source for its targets.
///
/// Errors: when it cannot tell, or finds nothing where something should be: then a disk that is
/// not mounted today must not make orphans of its copies.
async fn names_of(source: &dyn Source) -> Result<Vec<String>, String> {
    let found = source.targets().await.map_err(|error| chain(&error))?;
    match found.failed.first() {
        Some(error) => Err(chain(error)),
        None => Ok(found.targets.into_iter().map(|target| target.name).collect()),
    }
}

async fn remove_all(doomed: &[Held<'_>], plan: &Plan, env: &Env) -> Vec<String> {
    let id = RunId::new(env.clock.now().timestamp(), &plan.main.server_name, "prune");
    let journal = match Journal::open(&env.state_dir, &id) {
        Ok(journal) => journal,
        Err(error) => {
            return vec![format!("{}: cannot keep a journal: {error}", env.state_dir.display())];
        }
    };
    let mut failed = Vec::new();
    for Held { place, stored, .. } in doomed {
        if env.cancel.is_cancelled() {
            failed.push("interrupted".into());
            break;
        }
        if let Err(error) = remove_one(place, stored, &journal).await {
            failed.push(error);
        }
    }
    journal
        .finish()
        .err()
        .map(|error| format!("the journal could not be closed: {error}"))
        .into_iter()
        .for_each(|error| failed.push(error));
    failed
}

async fn remove_one(place: &Place, stored: &Stored, journal: &Journal) -> Result<(), String> {
    let removed = remove(&*place.storage, stored, journal, &place.fingerprint, &place.name).await;
    removed.map_err(|error| format!("{}: {}", stored.manifest_key, chain(&error)))
}

fn row(held: &Held<'_>, action: &'static str, reason: String) -> Row {
    let manifest = &held.stored.manifest;
    Row {
        job: manifest.job.clone(),
        target: display(&manifest.target),
        storage: held.place.name.clone(),
        key: manifest.segments.first().map_or(String::new(), |segment| segment.key.to_string()),
        level: manifest.level.clone(),
        started: manifest.started,
        action,
        reason,
    }
}

fn print(rows: &[Row], failed: &[String], troubles: &[String], globals: &Globals) {
    let mut table =
        output::table(&["job", "target", "storage", "time", "level", "action", "reason"]);
    for row in rows {
        let time = output::moment(row.started);
        table.add_row([
            &*row.job,
            &row.target,
            &row.storage,
            &time,
            &row.level,
            row.action,
            &row.reason,
        ]);
    }
    if !table.is_empty() && !globals.quiet {
        output::print(&table);
    }
    for problem in failed.iter().chain(troubles) {
        output::line(format!("{}: {problem}", output::paint("error", anstyle::AnsiColor::Red)));
    }
    let meant = rows.iter().filter(|row| row.action == "remove").count();
    let copies = |n| count(n, "copy", "copies");
    match globals.dry_run {
        _ if globals.quiet => {}
        true => output::line(format!("{} would be removed", copies(meant))),
        false => output::line(format!("{} removed", copies(meant - failed.len().min(meant)))),
    }
}
