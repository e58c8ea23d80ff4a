//! `restore`: bring back what was backed up.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use indicatif::MultiProgress;
use serde::Serialize;

use crate::archive::Selection as Paths;
use crate::base::{ArtefactId, count, display};
use crate::cli::args::{Globals, Restore};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING, PARTLY};
use crate::cli::into::{self, Goal, goals};
use crate::cli::{list, load, log, output, progress, setup, show, when};
use crate::plan::{Main, Plan};
use crate::restore::apply::{self, How, Restored};
use crate::restore::explain::{Explained, explain, explain_chain};
use crate::restore::holdings::{self, Holdings};
use crate::restore::hooks::Around;
use crate::restore::pick::{Choice, NothingFound, Want, pick};
use crate::run::{Env, Selection, as_batch};
use crate::sources::Back;

/// What came back, for `--json`.
#[derive(Serialize)]
struct Row {
    job: String,
    target: String,
    id: String,
    started: jiff::Timestamp,
    storage: Option<String>,
    to: String,
    files: u64,
    bytes: u64,
    /// What makes another copy than was meant: a younger one that is not whole, a wrong clock.
    caveats: Vec<String>,
    warnings: Vec<String>,
    failed: Vec<String>,
    /// What a person has to do now, one step a line.
    next_steps: Vec<String>,
    error: Option<String>,
}

/// What would come back.
#[derive(Serialize)]
struct Planned<'a> {
    job: &'a str,
    target: String,
    id: &'a str,
    started: jiff::Timestamp,
    storage: &'a str,
    to: String,
}

/// Restores and returns the exit code.
pub(crate) fn run(globals: &Globals, verb: &Restore) -> Result<u8, Failure> {
    Paths::new(&verb.paths).map_err(Failure::usage)?;
    as_batch();
    let (plan, selection) = setup::plan_with(globals, &verb.jobs.jobs, verb.connect.as_deref())?;
    let bars = MultiProgress::new();
    let log = log::init(&Main { log_file: None, ..plan.main.clone() }, globals, &bars);
    let env = setup::env(&plan, progress::watcher(globals, &bars))?;
    let done = setup::block_on(&env.cancel, restore(globals, verb, &plan, &selection, &env))?;
    drop(log);
    done
}

async fn restore(
    globals: &Globals,
    verb: &Restore,
    plan: &Plan,
    selection: &Selection,
    env: &Env,
) -> Result<u8, Failure> {
    let holdings = holdings::look(plan, selection, &list::scope(&verb.scope, plan)?).await;
    let want = want(verb, &holdings, env)?;
    let words = &verb.jobs.jobs;
    let asked_for = if words.is_empty() { "any job".into() } else { words.join(", ") };
    let choices = pick(&holdings, selection, &want, &asked_for)
        .map_err(|error| not_found(&error, &holdings.troubles))?;
    let left_out = jobs_without(verb, plan, selection, &choices);
    // A copy that cannot be seen may be the one that was asked for.
    let unseen = [holdings.troubles.clone(), holdings.damaged()].concat();
    unseen.iter().for_each(|trouble| tracing::warn!("there may be younger copies: {trouble}"));
    let caveats = choices.iter().flat_map(|choice| choice.caveats(want.now));
    caveats.for_each(|caveat| tracing::warn!("{caveat}"));
    let how = How {
        paths: verb.paths.iter().map(|path| output::pattern(path)).collect(),
        strip: verb.strip,
        overwrite: verb.overwrite,
        watcher: env.watcher.clone(),
        cancel: env.cancel.clone(),
    };
    let code = match (verb.to.as_deref(), &verb.into) {
        (_, Some(into)) => load::run(globals, verb, plan, &choices, into, &how).await?,
        (to, None) if verb.explain => tell_commands(&choices, to.unwrap_or("-"), &how).await?,
        (Some("-") | None, None) => to_stdout(globals, &choices, &how).await?,
        (Some(to), None) => to_folders(globals, &choices, Path::new(to), &how, want.now).await?,
    };
    // Nor is an older copy what was asked for.
    let is_older = choices.iter().any(|choice| !choice.passed_over.is_empty());
    let in_doubt = left_out || (verb.id.is_none() && (is_older || !unseen.is_empty()));
    Ok(if code == 0 && in_doubt { PARTLY } else { code })
}

/// Tells of the jobs that were meant and have no backup, and whether there are any.
fn jobs_without(
    verb: &Restore,
    plan: &Plan,
    selection: &Selection,
    choices: &[Choice<'_>],
) -> bool {
    if verb.id.is_some() || verb.target.is_some() || verb.scope.host.is_some() {
        return false;
    }
    let has_one = |job: &&crate::plan::Job| {
        let mut held = choices.iter().flat_map(|choice| &choice.held);
        held.any(|held| held.job.is_some_and(|known| known.name == job.name))
    };
    let entries = selection.entries(plan);
    let jobs = entries.iter().filter_map(|entry| entry.as_job()).filter(|job| job.enabled);
    let without: Vec<_> = jobs.filter(|job| !has_one(job)).collect();
    for job in &without {
        tracing::error!(job = %job.name, "there is no backup to restore");
    }
    !without.is_empty()
}

fn want(verb: &Restore, holdings: &Holdings<'_>, env: &Env) -> Result<Want, Failure> {
    let id = match &verb.id {
        None => None,
        Some(id) => {
            let held = show::by_id(holdings, id)?;
            Some(ArtefactId::from_text(held[0].stored.manifest.id.as_str()))
        }
    };
    Ok(Want {
        target: verb.target.as_deref().map(list::glob).transpose()?,
        at: verb.at.as_deref().map(|text| when::parse(text, &env.clock.now())).transpose()?,
        id,
        now: env.clock.now().timestamp(),
    })
}

/// Says what to do where nothing fits.
fn not_found(error: &NothingFound, troubles: &[String]) -> Failure {
    let mut failure = Failure::nothing(error);
    if let NothingFound::Target { glob, .. } = error {
        failure = failure.hint(match glob.contains("**") {
            true => "`nxs-backup list` shows the targets.".to_owned(),
            false => {
                let name = glob.trim_start_matches('/');
                format!("`*` does not match `/`, `**` does: --target '**/{name}'. `nxs-backup list` shows the targets.")
            }
        });
    }
    troubles.iter().fold(failure, |failure, trouble| failure.hint(trouble.clone()))
}

/// Prints the commands for each target that has something of what is asked for.
async fn tell_commands(choices: &[Choice<'_>], to: &str, how: &How) -> Result<u8, Failure> {
    let (mut told, mut matched, mut failed) = (0, BTreeSet::new(), 0);
    for Goal { choice, into } in goals(choices, Path::new(to), how.strip)? {
        let into = (to != "-").then(|| into.to_string_lossy());
        match commands(choice, into.as_deref(), how).await {
            Ok(explained) => {
                told += 1;
                matched.extend(explained.matched);
                explained.lines.into_iter().for_each(output::line);
            }
            Err(apply::Error::NoMatch(_)) => {}
            Err(error) => {
                failed += 1;
                let target = display(&choice.manifest.target);
                tracing::error!("{target}: {}", crate::base::chain(&error));
            }
        }
    }
    if told + failed == 0 {
        return Err(no_match(how));
    }
    let missing = to != "-" && failed == 0 && tell_unmatched(how, &matched);
    Ok(match (told, failed) {
        (0, _) => NOTHING,
        (_, 0) if !missing => 0,
        _ => PARTLY,
    })
}

/// Spells the commands for the first storage whose index can be read, if it is needed.
async fn commands(
    choice: &Choice<'_>,
    into: Option<&str>,
    how: &How,
) -> Result<Explained, apply::Error> {
    let mut done = Err(apply::Error::NoMatch(how.paths.join(", ")));
    for held in &choice.held {
        let manifest = &held.stored.manifest;
        done = match manifest.tree.is_some() || manifest.parent.is_some() {
            false => explain(held, into, how).await,
            true => match choice.above(held) {
                Ok(above) => explain_chain(held, &above, into, how).await,
                Err(error) => Err(error),
            },
        };
        if matches!(done, Ok(_) | Err(apply::Error::NoMatch(_))) {
            break;
        }
    }
    done
}

fn no_match(how: &How) -> Failure {
    let paths = how.paths.join(", ");
    let error = Failure::new(NOTHING, format!("nothing in these backups matches {paths}"));
    error.hint("`nxs-backup find` looks into all backups; --at or --id takes an older one.")
}

async fn to_stdout(globals: &Globals, choices: &[Choice<'_>], how: &How) -> Result<u8, Failure> {
    if !how.paths.is_empty() {
        return Err(Failure::usage("--path needs a folder: give one with --to"));
    }
    let [choice] = choices else {
        let error = Failure::usage(format!(
            "{} backups fit, and only one can go to standard output",
            choices.len()
        ));
        return Err(error.hint("Choose one with --target or --id, or give a folder with --to."));
    };
    if globals.dry_run {
        tell_plan(globals, &[Goal { choice, into: "-".into() }]);
        return Ok(0);
    }
    match apply::to_writer(choice, tokio_stdout(), how).await {
        Ok(_) => Ok(0),
        Err(apply::Error::Cancelled) => Ok(INTERRUPTED),
        Err(error) => {
            let failure = Failure::nothing(&error);
            Err(failure.hint(
                "Do not trust what was already written. `--storage NAME` takes another copy.",
            ))
        }
    }
}

fn tokio_stdout() -> impl tokio::io::AsyncWrite + Unpin {
    tokio::io::stdout()
}

async fn to_folders(
    globals: &Globals,
    choices: &[Choice<'_>],
    to: &Path,
    how: &How,
    now: jiff::Timestamp,
) -> Result<u8, Failure> {
    let goals = goals(choices, to, how.strip)?;
    into::refuse_full(to, how.overwrite)?;
    if globals.dry_run {
        tell_plan(globals, &goals);
        return Ok(0);
    }
    let (mut rows, mut matched) = (Vec::new(), BTreeSet::new());
    let mut around = Around::new(choices, None, ("TO", to.into()), &how.cancel);
    for Goal { choice, into } in &goals {
        let work = async {
            let made =
                fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()));
            made.map_err(|error| apply::Error::Other(error.into()))?;
            bring_back(choice, into, how).await
        };
        let done = around.target(choice, None, work).await;
        matched.extend(done.iter().flat_map(|(restored, _)| &restored.matched));
        match done {
            Err(apply::Error::NoMatch(_)) => remove_empty(into, to),
            done => rows.push(row(choice, into, done, now)),
        }
        if how.cancel.is_cancelled() {
            break;
        }
    }
    let lacking = tell_hooks(around.finish().await);
    if rows.is_empty() && !how.cancel.is_cancelled() {
        return Err(no_match(how));
    }
    match globals.json {
        true => output::json(&rows),
        false => rows.iter().for_each(|row| print(row, globals.quiet)),
    }
    let without = choices.len() - rows.len();
    if without > 0 && !how.cancel.is_cancelled() && !globals.json && !globals.quiet {
        output::line(format!(
            "{} nothing that matches",
            count(without, "other target has", "other targets have")
        ));
    }
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    let missing = failed == 0 && tell_unmatched(how, &matched);
    let lacking = lacking || missing || rows.iter().any(|row| !row.failed.is_empty());
    Ok(match failed {
        _ if how.cancel.is_cancelled() => INTERRUPTED,
        0 if lacking => PARTLY,
        0 => 0,
        all if all == rows.len() => NOTHING,
        _ => PARTLY,
    })
}

/// Tells what went wrong with hooks after a restore, and whether anything did.
pub(crate) fn tell_hooks(problems: Vec<String>) -> bool {
    problems.iter().for_each(|problem| tracing::error!("{problem}"));
    !problems.is_empty()
}

/// Brings one artefact back below `into`; what is a physical copy is made ready there, and the
/// next steps are told.
async fn bring_back(
    choice: &Choice<'_>,
    into: &Path,
    how: &How,
) -> Result<(Restored, Vec<String>), apply::Error> {
    let is_tree = choice.manifest.index.is_some();
    match crate::restore::load::source_of(choice).map(|source| source.source.back()) {
        Some(Back::Prepare(preparer)) if !is_tree && how.paths.is_empty() => {
            crate::restore::load::prepared(choice, preparer, into, how).await
        }
        _ => Ok((apply::to_folder(choice, into, how).await?, Vec::new())),
    }
}

/// Tells of the globs for which nothing came, and whether there are any; only where everything
/// could be read.
fn tell_unmatched(how: &How, matched: &BTreeSet<usize>) -> bool {
    if how.cancel.is_cancelled() {
        return false;
    }
    let missing = (0..how.paths.len()).filter(|number| !matched.contains(number));
    let missing: Vec<_> = missing.map(|number| &how.paths[number]).collect();
    for path in &missing {
        tracing::error!("nothing in these backups matches {path}");
    }
    !missing.is_empty()
}

/// Says what would be brought back from where to where.
fn tell_plan(globals: &Globals, goals: &[Goal<'_>]) {
    let rows: Vec<_> = goals.iter().map(planned).collect();
    if globals.json {
        return output::json(&rows);
    }
    for Planned { target, id, storage, to, .. } in &rows {
        let to = if to == "-" { "standard output" } else { to };
        output::line(format!("would restore {target} ({id}) from '{storage}' to {to}"));
    }
}

fn planned<'a>(goal: &'a Goal<'_>) -> Planned<'a> {
    let manifest = goal.choice.manifest;
    Planned {
        job: &manifest.job,
        target: display(&manifest.target),
        id: manifest.id.as_str(),
        started: manifest.started,
        storage: &goal.choice.held[0].place.name,
        to: goal.into.display().to_string(),
    }
}

/// Removes folders that were made for nothing, from `folder` up to `top`.
fn remove_empty(folder: &Path, top: &Path) {
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(top)) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

fn row(
    choice: &Choice<'_>,
    into: &Path,
    done: Result<(Restored, Vec<String>), apply::Error>,
    now: jiff::Timestamp,
) -> Row {
    let error = done.as_ref().err().map(|error| crate::base::chain(error));
    let (restored, next_steps) = done.unwrap_or_default();
    Row {
        job: choice.manifest.job.clone(),
        target: display(&choice.manifest.target),
        id: choice.manifest.id.to_string(),
        started: choice.manifest.started,
        storage: error.is_none().then_some(restored.place),
        to: into.display().to_string(),
        files: restored.files,
        bytes: restored.bytes,
        caveats: choice.caveats(now),
        warnings: restored.warnings,
        failed: restored.failed,
        next_steps,
        error,
    }
}

fn print(row: &Row, quiet: bool) {
    for warning in &row.warnings {
        output::line(format!(
            "{}: {warning}",
            output::paint("warning", anstyle::AnsiColor::Yellow)
        ));
    }
    for failed in &row.failed {
        let mark = output::paint("error", anstyle::AnsiColor::Red);
        output::line(format!("{mark}: not restored: {}", display(failed)));
    }
    match &row.error {
        Some(error) => {
            let mark = output::paint("error", anstyle::AnsiColor::Red);
            output::line(format!(
                "{mark}: {error}\n  What was written to {} must not be trusted.",
                row.to
            ));
        }
        None if quiet => {}
        None => output::line(format!(
            "{} restored from '{}' to {}: {}, {}; the backup of {}, {}",
            row.target,
            row.storage.as_deref().unwrap_or_default(),
            row.to,
            count(row.files, "member", "members"),
            output::size(row.bytes),
            output::moment(row.started),
            row.id,
        )),
    }
    row.next_steps.iter().for_each(|step| output::line(format!("  {step}")));
}
