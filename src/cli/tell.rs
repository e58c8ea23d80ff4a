//! Telling others how a run went, and writing its figures, once it has ended or could not begin.

use std::io::{self, IsTerminal};

use crate::base::{Cancel, chain};
use crate::cli::failure::Failure;
use crate::cli::log::LogGuard;
use crate::cli::setup;
use crate::config::Config;
use crate::metrics;
use crate::notify::post::{self, Desk, Outcome, Posted};
use crate::notify::{Channel, Log, Told};
use crate::plan::{self, Main, Plan};
use crate::report::Report;
use crate::run::Env;

/// Writes the figures of a run and tells of it; what fails is added to the report.
pub(crate) async fn of_run(report: &mut Report, plan: &Plan, env: &Env, log: &LogGuard) {
    let main = &plan.main;
    let now = env.clock.now();
    report.errors.extend(log.trouble());
    if let Some(textfile) = &main.textfile {
        let known: Vec<&str> = plan.jobs.iter().map(|entry| entry.name()).collect();
        let state = &main.state_dir;
        let written = metrics::update(textfile, state, report, &known, now.timestamp());
        if let Err(error) = written {
            tracing::error!("{}", chain(&error));
            report.errors.push(chain(&error));
        }
    }
    let file = log.file.as_ref().map(|file| file.display().to_string());
    let told = Told::new(report.clone(), log.so_far(), file, &now);
    let desk = desk(main, env);
    let posted = post::tell(&main.notify, &told, &desk).await;
    report.errors.extend(failures(&posted));
    report.notes.extend(post::orphans(&main.notify, &desk));
}

/// Tells those who listen for signs of life that a run begins.
pub(crate) async fn of_start(plan: &Plan, env: &Env) {
    post::begin(&plan.main.notify, &desk(&plan.main, env)).await;
}

/// Tells of a run that could not begin because of its config, as far as `main` can be read. Whoever
/// sits at the terminal has seen it.
pub(crate) fn of_config(config: &Config, failure: &Failure) {
    if let Some(alarm) = plan::alarm(config).filter(|_| !io::stderr().is_terminal()) {
        of_failure(&alarm.server_name, &alarm.state_dir, &alarm.notify, failure);
    }
}

/// Tells of a run that could not begin.
pub(crate) fn of_lock(main: &Main, failure: &Failure) {
    if !io::stderr().is_terminal() {
        of_failure(&main.server_name, &main.state_dir, &main.notify, failure);
    }
}

fn of_failure(server: &str, state_dir: &std::path::Path, channels: &[Channel], failure: &Failure) {
    let Ok(clock) = setup::clock() else { return };
    let now = clock.now();
    let report = Report {
        server_name: server.to_owned(),
        errors: vec![failure.text()],
        ..Report::default()
    };
    let told = Told::new(report, Log::default(), None, &now);
    let stop = Cancel::default();
    let desk = Desk { server, state_dir, now, stop: Some(stop.clone()) };
    let work = post::tell(channels, &told, &desk);
    match setup::block_on(&stop, work) {
        Ok(posted) => failures(&posted).for_each(|why| Failure::new(0, why).tell()),
        Err(failure) => failure.tell(),
    }
}

/// Where messages of a run are made.
pub(crate) fn desk<'a>(main: &'a Main, env: &Env) -> Desk<'a> {
    let now = env.clock.now();
    let stop = (!env.cancel.is_cancelled()).then(|| env.cancel.clone());
    Desk { server: &main.server_name, state_dir: &main.state_dir, now, stop }
}

/// Says who was not told, and why.
pub(crate) fn failures(posted: &[Posted]) -> impl Iterator<Item = String> {
    posted.iter().filter_map(|one| match &one.outcome {
        Outcome::Kept(why) | Outcome::Lost(why) => {
            Some(format!("the report for '{}' {}", one.channel, why))
        }
        Outcome::Sent(_) | Outcome::NothingDue(_) => None,
    })
}
