//! Commands of the user around a run and around each of its targets.
//!
//! `before` comes first and must go well: else nothing is dumped and nothing rotated. `on_error`
//! comes after trouble, `after` always, also after an interruption. What they print goes to the
//! log.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::{error, info};

use crate::base::{Cancel, chain, display};
use crate::plan::Hook;
use crate::report::{HookReport, JobReport, TargetReport};
use crate::run::Run;
use crate::run::items::Item;

/// What is told to hooks that come afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// `ok`, `partial` or `failed`.
    result: &'static str,
    /// The first thing that went wrong, in short.
    error: Option<String>,
}

impl Came {
    /// Sums up what failed and whether anything was achieved.
    pub(crate) fn of(failed: bool, achieved: bool, error: Option<&str>) -> Self {
        let result = match (failed, achieved) {
            (false, _) => "ok",
            (true, true) => "partial",
            (true, false) => "failed",
        };
        let plain = |ch: char| if ch.is_control() { ' ' } else { ch };
        let short = |error| display(error).chars().map(plain).take(LONGEST_ERROR).collect();
        let error = error.map(short);
        Self { result, error }
    }

    fn of_job(report: &JobReport) -> Self {
        let of_targets = || report.targets.iter().filter_map(first_error);
        let first = report.errors.first().map(String::as_str).or_else(|| of_targets().next());
        Self::of(report.has_failure(), report.has_success(), first)
    }

    fn of_target(report: &TargetReport) -> Self {
        Self::of(report.has_failure(), report.has_success(), first_error(report))
    }

    fn is_bad(&self) -> bool {
        self.result != "ok"
    }

    /// The variables that tell it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let error = self.error.as_ref().map(|error| ("ERROR", error.into()));
        [("RESULT", self.result.into())].into_iter().chain(error).collect()
    }
}

fn first_error(report: &TargetReport) -> Option<&str> {
    use crate::report::PlaceOutcome::Failed;
    let of_places = report.places.iter().find_map(|place| match &place.outcome {
        Failed(why) => Some(why.as_str()),
        _ => place.errors.first().map(String::as_str),
    });
    let partial = report.warnings.is_partial().then_some("some files could not be read");
    report.errors.first().map(String::as_str).or(of_places).or(partial)
}

/// Runs the lines of a hook one after the other, until one fails; an interruption ends it where
/// `cancel` is given.
pub(crate) async fn call(
    name: &str,
    lines: &[Hook],
    env: &[(&'static str, OsString)],
    cancel: Option<&Cancel>,
    done: &mut Vec<HookReport>,
) -> Result<(), String> {
    for (at, line) in lines.iter().enumerate() {
        let begun = Instant::now();
        info!("hook {name}, line {}", at + 1);
        let work = line.call.clone().envs(env.iter().cloned()).tell(line.limit);
        let ended = match cancel {
            None => work.await,
            Some(cancel) => tokio::select! {
                biased;
                () = cancel.cancelled() => return Err("interrupted".to_owned()),
                ended = work => ended,
            },
        };
        let error = ended.err().map(|error| chain(&error));
        let (hook, line, took) = (name.to_owned(), at + 1, begun.elapsed());
        done.push(HookReport { hook, line, took, error: error.clone() });
        if let Some(problem) = error {
            return Err(problem);
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Runs the whole job between its hooks.
    pub(crate) async fn between_hooks(&self, report: &mut JobReport) {
        let hooks = &self.scene.job.hooks.job;
        let (mut done, cancel) = (Vec::new(), &self.scene.env.cancel);
        let env = self.occasion().environment(&self.scene.job.name, None);
        match call("before", &hooks.before, &env, Some(cancel), &mut done).await {
            Ok(()) => {
                self.before.set(done.clone()).ok();
                self.all_targets(report).await;
            }
            Err(problem) => {
                let problem = format!("{problem}; so nothing was dumped and nothing rotated");
                error!("{problem}");
                report.errors.push(problem);
            }
        }
        let came = Came::of_job(report);
        let mut env = self.occasion().environment(&self.scene.job.name, None);
        env.extend(came.environment());
        let on_error = if came.is_bad() { hooks.on_error.as_slice() } else { &[] };
        for (name, lines) in [("on_error", on_error), ("after", &hooks.after)] {
            if let Err(problem) = call(name, lines, &env, None, &mut done).await {
                error!("{problem}");
                report.errors.push(problem);
            }
        }
        report.hooks = done;
    }

    /// Runs `work` on one target between its hooks.
    pub(crate) async fn target_between_hooks(
        &self,
        item: &Item<'_>,
        work: impl Future<Output = TargetReport>,
    ) -> TargetReport {
        let hooks = &self.scene.job.hooks.per_target;
        let (mut done, cancel) = (Vec::new(), &self.scene.env.cancel);
        let name = Some(item.target.name.as_str());
        let env = self.occasion().environment(&self.scene.job.name, name);
        let mut report =
            match call("per_target.before", &hooks.before, &env, Some(cancel), &mut done).await {
                Ok(()) => {
                    item.before.set(done.clone()).ok();
                    work.await
                }
                Err(problem) => TargetReport {
                    source: item.source.name.clone(),
                    target: item.target.name.clone(),
                    errors: vec![format!("{problem}; so it was not dumped")],
                    took: done.iter().map(|hook| hook.took).sum(),
                    ..TargetReport::default()
                },
            };
        let came = Came::of_target(&report);
        let env: Vec<_> = env.into_iter().chain(came.environment()).collect();
        let on_error = if came.is_bad() { hooks.on_error.as_slice() } else { &[] };
        for (name, lines) in [("per_target.on_error", on_error), ("per_target.after", &hooks.after)]
        {
            report.errors.extend(call(name, lines, &env, None, &mut done).await.err());
        }
        report.hooks = done;
        report
    }
}

/// What a manifest says of the hooks that ran before it was written; all of them went well.
pub(crate) fn of_manifest(run: &Run<'_>, item: &Item<'_>) -> Vec<serde_json::Value> {
    let done = [run.before.get(), item.before.get()].into_iter().flatten().flatten();
    let fact = |hook: &HookReport| {
        let seconds = round(hook.took);
        json!({"hook": hook.hook, "line": hook.line, "result": "ok", "seconds": seconds})
    };
    done.map(fact).collect()
}

fn round(took: Duration) -> f64 {
    took.as_millis() as f64 / 1000.0
}

/// What a message in a chat can hold.
const LONGEST_ERROR: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_tells_all_nothing_and_some_apart() {
        for (failed, achieved, result) in [
            (false, true, "ok"),
            (false, false, "ok"),
            (true, true, "partial"),
            (true, false, "failed"),
        ] {
            assert_eq!(Came::of(failed, achieved, None).result, result);
        }
    }

    #[test]
    fn an_error_is_short_and_one_line() {
        let came = Came::of(true, false, Some(&format!("a\nb{}", "x".repeat(1000))));
        let env = came.environment();
        let error = env.iter().find(|(name, _)| *name == "ERROR").unwrap().1.to_str().unwrap();
        assert!(error.chars().count() == LONGEST_ERROR && !error.contains('\n'), "{error}");
        assert_eq!(Came::of(false, true, None).environment(), [("RESULT", "ok".into())]);
    }
}
