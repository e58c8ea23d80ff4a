//! `restore --into NAME`: a dump goes back into a server.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::{chain, display};
use crate::cli::args::{Globals, Restore};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING};
use crate::cli::output;
use crate::plan::{JobSource, Plan};
use crate::restore::apply::{self, How};
use crate::restore::load::{Goal, Loaded, into_server, source_of};
use crate::restore::pick::Choice;
use crate::sources::Back;

/// What was loaded, for `--json`.
#[derive(Serialize)]
struct Row<'a> {
    job: &'a str,
    target: String,
    id: &'a str,
    started: jiff::Timestamp,
    storage: String,
    into: &'a str,
    server: Option<&'a str>,
    bytes: u64,
    rescued: Option<PathBuf>,
    warnings: Vec<String>,
}

/// Loads the one dump that is meant and returns the exit code.
pub(crate) async fn run(
    globals: &Globals,
    verb: &Restore,
    plan: &Plan,
    choices: &[Choice<'_>],
    into: &str,
    how: &How,
) -> Result<u8, Failure> {
    let choice = only(choices)?;
    let source = match &verb.connect {
        Some(job) => source_of_job(plan, job)?,
        None => source_of(choice).ok_or_else(|| no_source(choice))?,
    };
    let Back::Load(loader) = source.source.back() else {
        return Err(not_loadable(choice));
    };
    let folder = verb.rescue.clone().unwrap_or_else(|| plan.main.state_dir.join("before-restore"));
    let rescue = (!verb.no_rescue).then_some(folder.as_path());
    if globals.dry_run {
        tell_plan(choice, source, into, rescue.is_some());
        return Ok(0);
    }
    match into_server(choice, &Goal { source, loader, into, rescue }, how).await {
        Ok(loaded) => {
            tell(globals, choice, source, into, loaded);
            Ok(0)
        }
        Err(apply::Error::Cancelled) => Ok(INTERRUPTED),
        Err(error) => Err(Failure::new(NOTHING, chain(&error))),
    }
}

fn only<'a, 'c>(choices: &'c [Choice<'a>]) -> Result<&'c Choice<'a>, Failure> {
    match choices {
        [choice] => Ok(choice),
        several => {
            let error = Failure::usage(format!(
                "{} backups fit, and only one can be loaded under one name",
                several.len()
            ));
            Err(error.hint("Choose one with --target or --id: `nxs-backup list` shows them."))
        }
    }
}

fn source_of_job<'a>(plan: &'a Plan, name: &str) -> Result<&'a JobSource, Failure> {
    let job = plan.jobs.iter().find(|entry| entry.name() == name);
    let job = job.ok_or_else(|| Failure::usage(format!("--connect: there is no job {name:?}")))?;
    let Some(job) = job.as_job() else {
        let error = format!("--connect: the job {name:?} has errors in its config: see `check`");
        return Err(Failure::usage(error));
    };
    match job.sources.as_slice() {
        [source] => Ok(source),
        _ => {
            let error = format!("--connect: the job {name:?} has several sources");
            Err(Failure::usage(error).hint("Name a job that has one."))
        }
    }
}

fn no_source(choice: &Choice<'_>) -> Failure {
    let (job, source) = (&choice.manifest.job, &choice.manifest.source);
    let source = source.as_deref().unwrap_or_default();
    let error = format!("the config has no job {job:?} with a source {source:?} any more");
    Failure::usage(error).hint("--connect JOB names another job whose server gets the dump.")
}

fn not_loadable(choice: &Choice<'_>) -> Failure {
    let (target, kind) = (display(&choice.manifest.target), &choice.manifest.kind);
    let error = format!("{target}: a backup of type {kind} cannot be loaded into a server");
    Failure::usage(error).hint("--to DIR gives its files, and says what to do with them.")
}

fn tell_plan(choice: &Choice<'_>, source: &JobSource, into: &str, rescue: bool) {
    let manifest = choice.manifest;
    let (target, id, storage) =
        (display(&manifest.target), &manifest.id, &choice.held[0].place.name);
    let server = source.name.as_deref().unwrap_or("the server");
    let first = if rescue { ", after dumping what is there" } else { "" };
    output::line(format!(
        "would load {target} ({id}) from '{storage}' as {into} into {server}{first}"
    ));
}

fn tell(globals: &Globals, choice: &Choice<'_>, source: &JobSource, into: &str, loaded: Loaded) {
    let (manifest, server) = (choice.manifest, source.name.as_deref());
    let Loaded { restored, rescued } = loaded;
    if globals.json {
        return output::json(&Row {
            job: &manifest.job,
            target: display(&manifest.target),
            id: manifest.id.as_str(),
            started: manifest.started,
            storage: restored.place,
            into,
            server,
            bytes: restored.bytes,
            rescued,
            warnings: restored.warnings,
        });
    }
    for warning in &restored.warnings {
        let mark = output::paint("warning", anstyle::AnsiColor::Yellow);
        output::line(format!("{mark}: another storage was needed: {warning}"));
    }
    if globals.quiet {
        return;
    }
    output::line(format!(
        "{} loaded from '{}' as {into} into {}: {}; the backup of {}, {}",
        display(&manifest.target),
        restored.place,
        server.unwrap_or("the server"),
        output::size(restored.bytes),
        output::moment(manifest.started),
        manifest.id,
    ));
    if let Some(path) = rescued {
        output::line(format!("  what was there before is in {}", path.display()));
    }
}
