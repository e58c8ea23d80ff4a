//! `start`: make backups now.

use indicatif::MultiProgress;

use crate::base::count;
use crate::cli::args::{Globals, Start};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING, PARTLY, USAGE};
use crate::cli::{log, output, plan, progress, setup, tell};
use crate::config;
use crate::plan::{Entry, Plan};
use crate::report::{JobReport, PlaceOutcome, PlaceReport, Report, TargetReport, Verdict};
use crate::run::{self, Selection};

/// Runs the jobs and returns the exit code.
pub(crate) fn run(globals: &Globals, verb: &Start) -> Result<u8, Failure> {
    if globals.dry_run {
        return plan::run(globals, &verb.jobs.jobs);
    }
    run::as_batch();
    let config = config::load(&globals.config)?;
    let ready = setup::plan_of(&config, &verb.jobs.jobs, None).and_then(|(plan, selection)| {
        setup::refuse_nothing(&plan, &selection)?;
        Ok((plan, selection))
    });
    let (mut plan, selection) = ready.inspect_err(|failure| tell::of_config(&config, failure))?;
    if verb.force_read {
        read_everything(&mut plan);
    }
    let bars = MultiProgress::new();
    let log = log::init(&plan.main, globals, &bars);
    plan.main.notes.iter().for_each(|note| tracing::warn!("{note}"));
    let env = setup::env(&plan, progress::watcher(globals, &bars))?;
    let work = async {
        tell::of_start(&plan, &env).await;
        let mut report = run::start(&plan, &selection, &env).await?;
        tell::of_run(&mut report, &plan, &env, &log).await;
        Ok::<_, run::Error>(report)
    };
    let ended = setup::block_on(&env.cancel, work)?.map_err(|error| {
        tracing::error!("{}", crate::base::chain(&error));
        let failure = Failure::from(error);
        tell::of_lock(&plan.main, &failure);
        failure
    });
    let mut report = ended?;
    let trouble = log.close().filter(|trouble| !report.errors.contains(trouble));
    report.errors.extend(trouble);
    if globals.json {
        output::json(&report);
    } else if !globals.quiet {
        print(&report, globals, plan.main.log_file.is_some());
    }
    Ok(exit_code(&report, &plan, &selection))
}

/// Makes increments compare digests, whatever times say.
fn read_everything(plan: &mut Plan) {
    for entry in &mut plan.jobs {
        if let Entry::Job(job) = entry
            && let Some(how) = &mut job.increments
        {
            how.force_read = true;
        }
    }
}

/// Nothing done because of the config alone is a config error.
fn exit_code(report: &Report, plan: &Plan, selection: &Selection) -> u8 {
    let entries = selection.entries(plan);
    let all_broken = entries.iter().all(|entry| matches!(entry, Entry::Broken(_)));
    match report.verdict() {
        Verdict::Done => 0,
        Verdict::Nothing if all_broken && !entries.is_empty() => USAGE,
        Verdict::Nothing => NOTHING,
        Verdict::Partly => PARTLY,
        Verdict::Interrupted => INTERRUPTED,
    }
}

/// Under cron a run that went well prints nothing: the log file has it.
fn print(report: &Report, globals: &Globals, has_file: bool) {
    let boring = report.verdict() == Verdict::Done && has_file && globals.verbose == 0;
    if boring && !output::is_terminal() {
        return;
    }
    let mut table =
        output::table(&["job", "target", "storage", "result", "size", "stored", "time"]);
    for job in &report.jobs {
        for target in &job.targets {
            rows(&mut table, job, target);
        }
    }
    if !table.is_empty() {
        output::print(&table);
    }
    report.errors.iter().for_each(|problem| problem_line(None, problem));
    for job in &report.jobs {
        problems(job);
    }
    report.notes.iter().for_each(output::line);
    output::line(summary(report));
}

fn rows(table: &mut comfy_table::Table, job: &JobReport, target: &TargetReport) {
    let name = crate::base::display(&target.target);
    let size = target.raw_bytes.map(output::size).unwrap_or_default();
    let time = format!("{:.1} s", target.took.as_secs_f64());
    if target.places.is_empty() {
        table.add_row([&*job.job, &name, "-", "failed", "", "", &time]);
    }
    for place in &target.places {
        let (result, stored) = result(target, place);
        table.add_row([&*job.job, &name, &place.place, &result, &size, &stored, &time]);
    }
}

fn result(target: &TargetReport, place: &PlaceReport) -> (String, String) {
    match &place.outcome {
        PlaceOutcome::Stored(stored) => {
            let partial = if target.warnings.is_partial() { ", partial" } else { "" };
            let shrunken = if stored.shrunken { ", shrunken" } else { "" };
            let trouble = if place.errors.is_empty() { "" } else { ", see below" };
            (
                format!("{}{partial}{shrunken}{trouble}", stored.level),
                output::size(stored.stored_bytes),
            )
        }
        PlaceOutcome::Missed(_) => ("not stored, see below".into(), String::new()),
        PlaceOutcome::Skipped(_) => ("nothing due".into(), String::new()),
        PlaceOutcome::Failed(_) => ("FAILED".into(), String::new()),
    }
}

fn problems(job: &JobReport) {
    let of_job = Some(job.job.as_str());
    job.errors.iter().for_each(|problem| problem_line(of_job, problem));
    job.warnings.iter().for_each(|problem| warning_line(of_job, problem));
    for target in &job.targets {
        let name = crate::base::display(&target.target);
        let say = |problem: &str| problem_line(of_job, &format!("{name}: {problem}"));
        target.errors.iter().for_each(|problem| say(problem));
        target.warnings.unreadable.first.iter().take(SHOWN).for_each(|file| {
            problem_line(of_job, &format!("could not be read: {}", crate::base::display(file)));
        });
        for (noted, word) in [
            (&target.warnings.changed, "changed while being read"),
            (&target.warnings.vanished, "vanished"),
        ] {
            if let Some(first) = noted.first.first() {
                let files = count(noted.count, "file", "files");
                let first = crate::base::display(first);
                warning_line(of_job, &format!("{name}: {files} {word}, first {first}"));
            }
        }
        let odd = |odd: &String| warning_line(of_job, &format!("{name}: {odd}"));
        target.anomalies.iter().for_each(odd);
        let more = target.warnings.unreadable.count.saturating_sub(SHOWN as u64);
        if more > 0 {
            say(&format!("{more} more could not be read: see `show ID`"));
        }
        for place in &target.places {
            if let PlaceOutcome::Failed(why) = &place.outcome {
                say(&format!("'{}': {why}", place.place));
            }
            place.errors.iter().for_each(|problem| say(&format!("'{}': {problem}", place.place)));
            let warn = |problem: &String| {
                warning_line(of_job, &format!("{name}: '{}': {problem}", place.place))
            };
            place.warnings.iter().for_each(warn);
        }
    }
}

/// How many unreadable files are named on the screen; the manifest has the rest.
const SHOWN: usize = 10;

fn problem_line(job: Option<&str>, problem: &str) {
    marked("error", anstyle::AnsiColor::Red, job, problem);
}

fn warning_line(job: Option<&str>, problem: &str) {
    marked("warning", anstyle::AnsiColor::Yellow, job, problem);
}

fn marked(mark: &str, color: anstyle::AnsiColor, job: Option<&str>, text: &str) {
    let job = job.map(|job| format!("{job}: ")).unwrap_or_default();
    output::line(format!("{}: {job}{text}", output::paint(mark, color)));
}

fn summary(report: &Report) -> String {
    let places =
        || report.jobs.iter().flat_map(|job| &job.targets).flat_map(|target| &target.places);
    let stored = places().filter(|place| matches!(place.outcome, PlaceOutcome::Stored(_))).count();
    let removed: usize = places().map(|place| place.removed.len()).sum();
    let outcome = match report.verdict() {
        Verdict::Done => "all done",
        Verdict::Nothing => "FAILED",
        Verdict::Partly => "done in part, see the errors",
        Verdict::Interrupted => "interrupted",
    };
    let stored = count(stored, "copy", "copies");
    let removed = count(removed, "old one", "old ones");
    format!("{outcome}: {stored} stored, {removed} removed")
}
