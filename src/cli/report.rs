//! `report`: which reports wait to be sent; `report --send` sends them.

use std::sync::Arc;

use crate::base::Silent;
use crate::cli::args::{Globals, Report};
use crate::cli::failure::{Failure, NOTHING, PARTLY};
use crate::cli::{log, output, setup, tell};
use crate::config;
use crate::notify::post::{self, Outcome, Posted};
use crate::plan::{self, Fetch, Plan};
use crate::run::Env;

/// Shows or sends what waits.
pub(crate) fn run(globals: &Globals, verb: &Report) -> Result<u8, Failure> {
    let config = config::load(&globals.config)?;
    // No job's secrets are needed, but those of `main` are.
    let plan = plan::resolve(&config, Fetch::Jobs(&|_, _| false))?;
    let env = setup::env(&plan, Arc::new(Silent))?;
    if verb.send && !globals.dry_run {
        return send(globals, &plan, &env);
    }
    let desk = tell::desk(&plan.main, &env);
    let waiting = post::waiting(&plan.main.notify, &desk);
    if globals.json {
        output::json(&waiting);
        return Ok(0);
    }
    let mut table = output::table(&["told", "waiting", "oldest", "why"]);
    for row in &waiting {
        let oldest = row.oldest.map(output::moment).unwrap_or_default();
        let why = row.why.clone().unwrap_or_default();
        table.add_row([row.channel.clone(), row.reports.to_string(), oldest, why]);
    }
    match waiting.is_empty() {
        true => output::line("the config names nobody who is told of runs (see docs/reports.md)"),
        false => output::print(&table),
    }
    post::orphans(&plan.main.notify, &desk).iter().for_each(output::line);
    Ok(0)
}

fn send(globals: &Globals, plan: &Plan, env: &Env) -> Result<u8, Failure> {
    let log = log::init(&plan.main, globals, &indicatif::MultiProgress::new());
    let desk = tell::desk(&plan.main, env);
    let work = post::send_waiting(&plan.main.notify, &desk);
    let posted = setup::block_on(&env.cancel, work)?;
    let trouble = log.close();
    if globals.json {
        output::json(&posted);
    } else if !globals.quiet {
        posted.iter().for_each(|one| output::line(words(one)));
    }
    for why in tell::failures(&posted).chain(trouble) {
        Failure::new(0, why).tell();
    }
    let failed = tell::failures(&posted).count();
    let sent = posted.iter().any(|one| matches!(one.outcome, Outcome::Sent(_)));
    Ok(match (failed, sent) {
        (0, _) => 0,
        (_, true) => PARTLY,
        (_, false) => NOTHING,
    })
}

fn words(posted: &Posted) -> String {
    let what = match &posted.outcome {
        Outcome::Sent(0) => "nothing has run, and that was told".to_owned(),
        Outcome::Sent(1) => "1 report sent".to_owned(),
        Outcome::Sent(reports) => format!("{reports} reports sent"),
        Outcome::NothingDue(_) => "nothing waits".to_owned(),
        Outcome::Kept(_) => "not sent, kept".to_owned(),
        Outcome::Lost(_) => "not sent".to_owned(),
    };
    format!("{}: {what}", posted.channel)
}
