//! `plan` and `--dry-run`: what `start` would do.

use indicatif::MultiProgress;

use crate::base::{Silent, count, display};
use crate::cli::args::Globals;
use crate::cli::failure::{Failure, NOTHING, PARTLY, USAGE};
use crate::cli::{log, output, setup};
use crate::plan::{Entry, Main};
use crate::run::{Preview, PreviewPlace, preview};

/// Shows what would happen and returns the exit code that the faults seen so far would give.
pub(crate) fn run(globals: &Globals, jobs: &[String]) -> Result<u8, Failure> {
    let (plan, selection) = setup::plan_for(globals, jobs)?;
    setup::refuse_nothing(&plan, &selection)?;
    let quiet = Globals { quiet: globals.verbose == 0, ..globals.shallow() };
    let log =
        log::init(&Main { log_file: None, ..plan.main.clone() }, &quiet, &MultiProgress::new());
    let env = setup::env(&plan, std::sync::Arc::new(Silent))?;
    let work = async {
        let mut previews = Vec::new();
        for entry in selection.entries(&plan) {
            previews.push(match entry {
                Entry::Job(job) => preview(job, &env).await,
                Entry::Broken(broken) => Preview {
                    job: broken.name.clone(),
                    kind: broken.kind.clone(),
                    targets: Vec::new(),
                    errors: broken.problems.clone(),
                    notes: Vec::new(),
                },
            });
        }
        previews
    };
    let previews = setup::block_on(&env.cancel, work)?;
    match globals.json {
        true => output::json(&previews),
        false => previews.iter().for_each(print),
    }
    drop(log);
    let only_broken = selection.entries(&plan).iter().all(|entry| entry.as_job().is_none());
    Ok(exit_code(&previews, only_broken))
}

fn exit_code(previews: &[Preview], only_broken: bool) -> u8 {
    let places = || previews.iter().flat_map(|job| &job.targets).flat_map(|target| &target.places);
    let failed =
        places().any(|place| place.failed) || previews.iter().any(|job| !job.errors.is_empty());
    let works = places().any(|place| !place.failed);
    match (failed, works) {
        (false, _) => 0,
        (true, true) => PARTLY,
        (true, false) if only_broken => USAGE,
        (true, false) => NOTHING,
    }
}

fn print(preview: &Preview) {
    output::line(format!("{} ({})", preview.job, preview.kind));
    for problem in &preview.errors {
        let mark = output::paint("error", anstyle::AnsiColor::Red);
        output::line(format!("  {mark}: {problem}"));
    }
    preview.notes.iter().for_each(|note| output::line(format!("  {note}")));
    for target in &preview.targets {
        output::line(format!("  {}", display(&target.target)));
        target.places.iter().for_each(place);
    }
}

fn place(place: &PreviewPlace) {
    let PreviewPlace { place: name, location, .. } = place;
    match (&place.new, &place.no_copy) {
        (Some(new), _) => {
            output::line(format!("    '{name}' {location}: {} copy {}", new.level, new.key));
            if let Some(parent) = &new.builds_on {
                output::line(format!("      builds on {parent}"));
            }
        }
        (None, Some(why)) if place.failed => {
            let mark = output::paint("error", anstyle::AnsiColor::Red);
            output::line(format!("    '{name}' {location}: {mark}: {why}"));
        }
        (None, why) => {
            output::line(format!(
                "    '{name}' {location}: no copy: {}",
                why.as_deref().unwrap_or("")
            ));
        }
    }
    for (key, why) in &place.removes {
        output::line(format!("      would remove {key}: {why}"));
    }
    if place.new.is_some() {
        let are = if place.copies == 1 { "is" } else { "are" };
        let copies = count(place.copies, "copy", "copies");
        output::line(format!("      then there {are} {copies}"));
    }
    for warning in &place.warnings {
        let mark = output::paint("warning", anstyle::AnsiColor::Yellow);
        output::line(format!("      {mark}: {warning}"));
    }
}
