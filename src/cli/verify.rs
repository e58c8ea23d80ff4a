//! `verify`: check that backups are whole.

use indicatif::MultiProgress;

use crate::base::{Silent, count};
use crate::cli::args::{Globals, Verify};
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING, PARTLY};
use crate::cli::{list, log, output, setup};
use crate::restore::ancestry::Ancestry;
use crate::restore::holdings;
use crate::restore::verify::{Depth, Finding, compare, verify};
use crate::run::as_batch;

/// Looks at every selected copy and prints what is wrong.
pub(crate) fn run(globals: &Globals, verb: &Verify) -> Result<u8, Failure> {
    as_batch();
    let (plan, selection) = setup::plan_for(globals, &verb.jobs.jobs)?;
    let log = log::init(&plan.main, globals, &MultiProgress::new());
    let env = setup::env(&plan, std::sync::Arc::new(Silent))?;
    let now = env.clock.now();
    let sample = verb.sample.as_deref().map(percent).transpose()?;
    let depth = if verb.full { Depth::Full } else { Depth::Quick };
    let scope = list::scope(&verb.scope, &plan)?;
    let (findings, troubles) = setup::block_on(&env.cancel, async {
        let holdings = holdings::look(&plan, &selection, &scope).await;
        let ancestry = Ancestry::of(&holdings);
        let mut sampled = holdings.selected(&selection);
        sampled.retain(|_| sample.is_none_or(is_in_sample));
        let mut findings = Vec::new();
        for held in &sampled {
            let finding = verify(held, &ancestry, depth, &now, &env.cancel).await;
            report(&finding);
            findings.push(finding);
        }
        compare(&sampled, &ancestry, &mut findings).into_iter().for_each(report);
        let troubles = [holdings.troubles.clone(), holdings.damaged()].concat();
        (findings, troubles)
    })?;
    match globals.json {
        true => output::json(&serde_json::json!({"copies": findings, "troubles": troubles})),
        false => print(&findings, &troubles, depth, globals.quiet),
    }
    if let Some(trouble) = log.close() {
        tracing::warn!("{trouble}");
    }
    // Whoever asks whether the backups are whole must hear that there are none.
    if findings.is_empty() && troubles.is_empty() && sample.is_none() {
        return Err(Failure::new(NOTHING, "there is no backup to verify"));
    }
    Ok(exit_code(&findings, &troubles, env.cancel.is_cancelled()))
}

fn exit_code(findings: &[Finding], troubles: &[String], interrupted: bool) -> u8 {
    let bad = findings.iter().filter(|finding| finding.problem.is_some()).count();
    match (bad + troubles.len(), findings.len() - bad) {
        _ if interrupted => INTERRUPTED,
        (0, _) => 0,
        (_, 0) => NOTHING,
        (_, _) => PARTLY,
    }
}

fn report(finding: &Finding) {
    let Finding { storage, target, key, .. } = finding;
    match &finding.problem {
        None => tracing::debug!(job = %finding.job, "{}: '{storage}': {key} is whole", target),
        Some(problem) => {
            tracing::error!(job = %finding.job, "{}: '{storage}': {key}: {problem}", target)
        }
    }
}

fn percent(text: &str) -> Result<f64, Failure> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| Failure::usage(format!("--sample {text:?} is not a share of 0% to 100%")))
}

fn is_in_sample(percent: f64) -> bool {
    use std::hash::{BuildHasher, RandomState};
    let dice = RandomState::new().hash_one(0) % 10_000;
    (dice as f64) < percent * 100.0
}

fn print(findings: &[Finding], troubles: &[String], depth: Depth, quiet: bool) {
    let mut table = output::table(&["job", "target", "storage", "copy", "problem"]);
    for finding in findings.iter().filter(|finding| finding.problem.is_some()) {
        let problem = finding.problem.as_deref().unwrap_or_default();
        table.add_row([&*finding.job, &finding.target, &finding.storage, &finding.key, problem]);
    }
    if !table.is_empty() {
        output::print(&table);
    }
    for trouble in troubles {
        output::line(format!("{}: {trouble}", output::paint("error", anstyle::AnsiColor::Red)));
    }
    if quiet {
        return;
    }
    let bad = findings.iter().filter(|finding| finding.problem.is_some()).count();
    let good = findings.len() - bad;
    let whole = match depth {
        Depth::Quick => "whole by their sizes (--full reads every byte)",
        Depth::Full => "whole",
    };
    output::line(format!(
        "{} looked at, {good} {whole}, {bad} not",
        count(findings.len(), "copy", "copies")
    ));
}
