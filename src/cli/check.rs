//! `check`: the config, all problems at once; `check storage NAME`: a storage for real.

use crate::base::{Cancel, count};
use crate::cli::args::{Check, CheckWhat, Globals};
use crate::cli::failure::{Failure, NOTHING, PARTLY, USAGE};
use crate::cli::tools::Tools;
use crate::cli::{connect, output, paths, setup, tell};
use crate::config::{self, Config, Problem, Problems};
use crate::notify::post;
use crate::plan::{self, Fetch, Place, Plan};
use crate::run::{self, Selection};
use crate::storages::contract;

/// Checks what was named; the whole config without a name.
pub(crate) fn run(globals: &Globals, verb: &Check) -> Result<u8, Failure> {
    match &verb.what {
        None => match config(globals, verb)? {
            0 if verb.notify => notify(globals),
            found => Ok(found),
        },
        Some(CheckWhat::Storage { name }) => storage(globals, name),
    }
}

fn config(globals: &Globals, verb: &Check) -> Result<u8, Failure> {
    let config = config::load(&globals.config)?;
    let survey = plan::survey(&config);
    let has_errors = survey.problems.has_errors();
    let paths = paths::problems(&config, &survey, verb.connect);
    let mut found = survey.problems;
    found.extend(paths);
    found.extend(own_copies(&config)?);
    let found = found.in_order();
    if !globals.json {
        tell(globals, &found);
    }
    if verb.connect {
        return reach(globals, &config, &found, has_errors);
    }
    // What `start` refuses is no good config.
    let plan = (!has_errors).then(|| plan::resolve(&config, Fetch::Never)).transpose()?;
    plan.iter().try_for_each(|plan| setup::refuse_nothing(plan, &Selection::All))?;
    let tools = Tools::of(&survey.jobs)?;
    let is_good = !found.has_errors() && tools.missing.is_empty();
    match globals.json {
        // A test message tells more.
        true if is_good && verb.notify => {}
        true => output::json(&serde_json::json!({
            "problems": found, "tools": tools.found, "missing": tools.missing,
        })),
        false => tools.tell(),
    }
    Ok(if is_good { 0 } else { USAGE })
}

/// Finds the targets that hold the folder their own copies go to: `start` refuses them.
fn own_copies(config: &Config) -> Result<Vec<Problem>, Failure> {
    // What stops everything is told already.
    let Ok(plan) = plan::resolve(config, Fetch::Never) else { return Ok(Vec::new()) };
    setup::block_on(&Cancel::default(), async {
        let mut problems = Vec::new();
        for (index, entry) in plan.jobs.iter().enumerate() {
            let Some(job) = entry.as_job().filter(|job| job.enabled) else { continue };
            let read = config.draft(index).read();
            for (one, source) in read.sources.iter().zip(&job.sources) {
                let refused = run::refusals(job, source).await;
                let mark = one.node.mark_of("target");
                problems.extend(refused.iter().map(|why| Problem::error(mark, &one.path, why)));
            }
        }
        problems
    })
}

/// Prints what is wrong with the config.
fn tell(globals: &Globals, found: &Problems) {
    let text = found.to_string();
    if !text.is_empty() {
        output::line(text.trim_end());
    }
    match found.errors().count() {
        0 => output::line(format!("{}: no errors", globals.config.display())),
        errors => output::line(count(errors, "error", "errors")),
    }
}

/// Reaches the sources and storages of the jobs that are good.
///
/// `has_errors` tells whether the config itself has any.
fn reach(
    globals: &Globals,
    config: &Config,
    found: &Problems,
    has_errors: bool,
) -> Result<u8, Failure> {
    let plan = plan::resolve(config, Fetch::All)?;
    setup::refuse_nothing(&plan, &Selection::All)?;
    let reached = connect::all(&plan)?;
    let broken = plan.jobs.iter().filter_map(|entry| entry.as_broken()).filter(|job| job.enabled);
    let broken: Vec<&String> = broken.flat_map(|job| &job.problems).collect();
    let tools = Tools::of(&plan.jobs)?;
    if globals.json {
        output::json(&serde_json::json!({
            "problems": found, "tools": tools.found, "missing": tools.missing,
            "sources": reached.sources, "storages": reached.storages,
        }));
    } else {
        tools.tell();
        if !has_errors {
            // What was found only when values were fetched from elsewhere.
            broken.iter().for_each(|problem| output::line(problem.trim_end()));
        }
        connect::tell(&reached);
    }
    let is_good = broken.is_empty() && !found.has_errors() && tools.missing.is_empty();
    Ok(if is_good { connect::exit(&reached) } else { USAGE })
}

/// Sends a test message to everybody who is told of runs.
fn notify(globals: &Globals) -> Result<u8, Failure> {
    let config = config::load(&globals.config)?;
    let plan = plan::resolve(&config, Fetch::Jobs(&|_, _| false))?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let desk = tell::desk(&plan.main, &env);
    let told = setup::block_on(&env.cancel, post::test(&plan.main.notify, &desk))?;
    let failed = told.iter().filter(|(_, sent)| sent.is_err()).count();
    if globals.json {
        let row = |(channel, sent): &(String, crate::notify::Result<()>)| {
            let problem = sent.as_ref().err().map(ToString::to_string);
            serde_json::json!({"channel": channel, "problem": problem})
        };
        output::json(&told.iter().map(row).collect::<Vec<_>>());
    } else if told.is_empty() {
        output::line("nobody is told of runs: see docs/reports.md");
    }
    for (channel, sent) in told.iter().filter(|_| !globals.json) {
        match sent {
            Ok(()) => {
                let mark = output::paint("told  ", anstyle::AnsiColor::Green);
                output::line(format!("{mark} {channel}"));
            }
            Err(why) => {
                let mark = output::paint("FAILED", anstyle::AnsiColor::Red);
                output::line(format!("{mark} {channel}: {why}"));
            }
        }
    }
    Ok(match failed {
        0 => 0,
        all if all == told.len() => NOTHING,
        _ => PARTLY,
    })
}

fn storage(globals: &Globals, name: &str) -> Result<u8, Failure> {
    let config = config::load(&globals.config)?;
    let plan = plan::resolve(&config, Fetch::All)?;
    let place = find(&plan, name)?;
    let env = setup::env(&plan, std::sync::Arc::new(crate::base::Silent))?;
    let stamp = env.clock.now().timestamp().as_nanosecond();
    let prefix = format!(".nxs-probe-{}-{stamp:x}", std::process::id());
    let results = setup::block_on(
        &env.cancel,
        contract::check(&*place.storage, &prefix, contract::Size::Small),
    )?;
    let broken = results.iter().filter(|(_, result)| result.is_err()).count();
    if globals.json {
        let rows: Vec<_> = results
            .iter()
            .map(|(promise, result)| serde_json::json!({"promise": promise, "problem": result.as_ref().err()}))
            .collect();
        output::json(&rows);
    } else {
        output::line(format!("'{}' {}", place.name, place.location));
        for (promise, result) in &results {
            match result {
                Ok(()) => output::line(format!(
                    "  {} {promise}",
                    output::paint("ok    ", anstyle::AnsiColor::Green)
                )),
                Err(why) => {
                    let mark = output::paint("BROKEN", anstyle::AnsiColor::Red);
                    output::line(format!("  {mark} {promise}: {why}"));
                }
            }
        }
    }
    Ok(if broken == 0 { 0 } else { NOTHING })
}

fn find<'a>(plan: &'a Plan, name: &str) -> Result<&'a Place, Failure> {
    let mut places = Vec::new();
    for job in plan.jobs.iter().filter_map(|entry| entry.as_job()) {
        places.extend(job.places.iter().map(|place| (job.name.as_str(), place)));
    }
    let fits = |(job, place): &&(&str, &Place)| {
        place.name == name || format!("{job}/{}", place.name) == name
    };
    let found: Vec<_> = places.iter().filter(fits).collect();
    match found.first() {
        None => {
            let known: Vec<_> =
                places.iter().map(|(job, place)| format!("{job}/{}", place.name)).collect();
            let error = Failure::usage(format!("no storage is called {name:?}"));
            Err(error.hint(format!("There are: {}.", known.join(", "))))
        }
        Some((_, first)) => {
            match found.iter().find(|(_, other)| other.fingerprint != first.fingerprint) {
                None => Ok(first),
                Some((job, _)) => {
                    let error = Failure::usage(format!("several jobs have a storage {name:?}"));
                    Err(error.hint(format!("Name one as {:?}.", format!("{job}/{name}"))))
                }
            }
        }
    }
}
