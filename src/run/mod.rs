//! One run: jobs in order, each source asked for its targets, each target made one stream and
//! delivered to every storage, remembered, rotated, told.
//!
//! Read `job` first. Everything that fails becomes a line of the report; nothing that fails stops
//! what does not depend on it.

mod anomalies;
pub(crate) mod deliver;
mod fill;
mod flow;
pub(crate) mod hooks;
mod increments;
mod items;
mod journal;
mod leftovers;
mod links;
mod lock;
mod memory;
mod parent_index;
mod preview;
mod priority;
mod rotate;
mod selection;
mod shelf;
mod store;
mod sweep;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Zoned;
use tracing::{Instrument, error, info, info_span, warn};

pub use journal::{DeadJournal, Journal, Open, dead, peek};
pub use lock::{HOST_LOCK, Lock, LockError, job_lock};
pub use rotate::{as_copy, as_link, remove};
pub use sweep::{Stale, SweepPlace, SweepReport, foretell_dead, remove_stale, stale, sweep_dead};

use crate::base::{Cancel, Clock, RunId, Watcher, chain, count};
use crate::plan::{Entry, Job, Main, Plan};
use crate::report::{HookReport, JobReport, Report};
use crate::sources::Occasion;

pub use flow::refusals;
pub use leftovers::clear_leftovers;
pub use preview::{Preview, PreviewPlace, PreviewTarget, preview};
pub use priority::as_batch;
pub use selection::{NoSuchJob, Selection};

pub(crate) use shelf::owner;

use priority::Priority;
use shelf::Shelf;

/// What a run needs from outside: time, an audience, a way to be stopped, a place for its state.
#[derive(Clone)]
pub struct Env {
    /// `main.server_name`.
    pub server_name: String,
    /// Names that this server had before.
    pub formerly: Vec<String>,
    /// Where 'now' comes from.
    pub clock: Arc<dyn Clock>,
    /// Who looks on.
    pub watcher: Arc<dyn Watcher>,
    /// The wish to stop.
    pub cancel: Cancel,
    /// Locks, journals, memory of runs.
    pub state_dir: PathBuf,
    /// What started us: `command`, `agent`.
    pub trigger: &'static str,
}

/// Why a run could not even begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another run is going on.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Runs the selected jobs one after the other and reports on all of them.
///
/// Errors: [`Error::Lock`] when another backup runs on this host for longer than
/// `main.lock_wait`. Everything else is an outcome in the report.
pub async fn start(plan: &Plan, selection: &Selection, env: &Env) -> Result<Report, Error> {
    let entries = selection.entries(plan);
    let lock = take_lock(HOST_LOCK, &plan.main, env).await?;
    let mut report = Report { server_name: env.server_name.clone(), ..Report::default() };
    let jobs = entries.iter().filter_map(|entry| entry.as_job());
    clear_leftovers(&env.state_dir, jobs.flat_map(|job| &job.places), &mut report).await;
    for entry in &entries {
        if env.cancel.is_cancelled() {
            break;
        }
        report.jobs.push(match entry {
            Entry::Job(job) => locked_job(job, &plan.main, env).await,
            Entry::Broken(broken) if !broken.enabled => skipped_job(broken, env),
            Entry::Broken(broken) => broken_job(broken, env),
        });
    }
    report.interrupted = env.cancel.is_cancelled();
    drop(lock);
    Ok(report)
}

async fn take_lock(name: &str, main: &Main, env: &Env) -> Result<Lock, LockError> {
    let waits = |holder: &str| info!("waiting for another run: {holder}");
    Lock::take(&env.state_dir, name, main.lock_wait, &env.cancel, waits).await
}

async fn locked_job(job: &Job, main: &Main, env: &Env) -> JobReport {
    let span = info_span!("job", job = %job.name);
    async {
        match take_lock(&job_lock(&job.name), main, env).await {
            Ok(_lock) => self::job(job, env).await,
            Err(error) => failed_job(&job.name, job.kind, chain(&error), env),
        }
    }
    .instrument(span)
    .await
}

fn broken_job(broken: &crate::plan::Broken, env: &Env) -> JobReport {
    failed_job(&broken.name, &broken.kind, broken.problems.join("\n"), env)
}

/// A job that is switched off may have errors.
fn skipped_job(broken: &crate::plan::Broken, env: &Env) -> JobReport {
    let mut report = JobReport::start(&broken.name, &broken.kind, env.clock.now().timestamp());
    report.notes.push("`enable: no`: nothing is done".into());
    report
}

fn failed_job(name: &str, kind: &str, problem: String, env: &Env) -> JobReport {
    error!(job = %name, "{problem}");
    let mut report = JobReport::start(name, kind, env.clock.now().timestamp());
    report.errors.push(problem);
    report
}

/// Runs one job: its targets in order, each to all storages at once.
///
/// Errors: none; what fails is in the report, which ends the road for itself only.
pub async fn job(job: &Job, env: &Env) -> JobReport {
    let started = env.clock.now();
    let mut report = JobReport::start(&job.name, job.kind, started.timestamp());
    let begun = std::time::Instant::now();
    job.notes.iter().for_each(|note| warn!("{note}"));
    if job.enabled {
        info!("starting, type {}", job.kind);
        let priority = Priority::lower(&job.limits).await;
        run_job(job, env, started, &priority, &mut report).await;
        priority.restore().await;
        info!("finished");
    } else {
        report.notes.push("`enable: no`: nothing is done".into());
    }
    report.took = begun.elapsed();
    report
}

async fn run_job(
    job: &Job,
    env: &Env,
    started: Zoned,
    priority: &Priority,
    report: &mut JobReport,
) {
    let id = RunId::new(started.timestamp(), &env.server_name, &job.name);
    let journal = match Journal::open(&env.state_dir, &id) {
        Ok(journal) => journal,
        Err(error) => {
            let problem = format!(
                "{}: cannot keep a journal there, so nothing is begun: {error}",
                env.state_dir.display()
            );
            error!("{problem}");
            return report.errors.push(problem);
        }
    };
    let cancel = env.cancel.child();
    let env = Env { cancel: cancel.clone(), ..env.clone() };
    let (before, targets) = (OnceLock::new(), OnceLock::new());
    let scene = Scene { job, env: &env, started };
    let run = Run { scene, id, journal, priority, before, targets };
    let work = run.between_hooks(report);
    match job.timeout {
        None => work.await,
        Some(limit) => with_deadline(limit, &cancel, work).await,
    }
    if let Err(error) = run.journal.finish() {
        report.warnings.push(format!("the journal of this run could not be closed: {error}"));
    }
}

/// Asks `work` to stop after `limit` and waits until it has.
async fn with_deadline(limit: Duration, cancel: &Cancel, work: impl Future<Output = ()>) {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = tokio::time::sleep(limit) => {}
    }
    error!("stopped: `job_timeout` of {} s is over", limit.as_secs());
    cancel.cancel();
    work.await;
}

/// A job at one moment: enough to look, not enough to write.
pub(crate) struct Scene<'a> {
    pub(crate) job: &'a Job,
    pub(crate) env: &'a Env,
    pub(crate) started: Zoned,
}

/// One execution of one job, while it lasts.
pub(crate) struct Run<'a> {
    pub(crate) scene: Scene<'a>,
    pub(crate) id: RunId,
    pub(crate) journal: Journal,
    /// How the program gives way meanwhile.
    pub(crate) priority: &'a Priority,
    /// The hooks that ran before the job.
    pub(crate) before: OnceLock<Vec<HookReport>>,
    /// The names of all targets, once they are known.
    pub(crate) targets: OnceLock<Vec<String>>,
}

impl Run<'_> {
    /// What commands of the user are told of this run.
    pub(crate) fn occasion(&self) -> Occasion<'_> {
        Occasion { run: Some(&self.id), targets: self.targets.get().map_or(&[], Vec::as_slice) }
    }

    async fn all_targets(&self, report: &mut JobReport) {
        let Scene { job, env, .. } = &self.scene;
        let items = items::of(job, env, report).await;
        let names = items.iter().map(|item| item.target.name.clone()).collect();
        self.targets.set(names).ok();
        let shelves = Shelf::claim_all(job, env, &self.journal).await;
        let mut done = 0;
        for source in &job.sources {
            let mine: Vec<_> =
                items.iter().filter(|item| std::ptr::eq(item.source, source)).collect();
            let works = mine.iter().map(|item| self.target(item, &shelves));
            let mut works = stream::iter(works).buffered(job.parallel);
            while let Some(stored) = works.next().await {
                done += usize::from(stored.is_some());
                report.targets.extend(stored);
            }
            drop(works);
            // Also after an interruption: what it held still must go on.
            if let Err(error) = source.source.close().await {
                let problem = chain(&error);
                error!("{problem}");
                report.errors.push(problem);
            }
        }
        let left = items.len() - done;
        if env.cancel.is_cancelled() && left > 0 {
            let left = count(left, "target", "targets");
            report.errors.push(format!("stopped with {left} not yet tried"));
        }
        if env.cancel.is_cancelled() && !report.targets.iter().any(|target| target.has_failure()) {
            report.errors.push("interrupted before everything was done".into());
        }
    }

    /// Backs up one target, unless somebody asked to stop.
    async fn target(
        &self,
        item: &items::Item<'_>,
        shelves: &[Shelf<'_>],
    ) -> Option<crate::report::TargetReport> {
        if self.scene.env.cancel.is_cancelled() {
            return None;
        }
        let stored = self.target_between_hooks(item, store::store(self, item, shelves)).await;
        tell(&stored);
        Some(stored)
    }
}

/// Writes what came of a target to the log.
fn tell(report: &crate::report::TargetReport) {
    use crate::report::PlaceOutcome;
    let target = crate::base::display(&report.target);
    report.errors.iter().for_each(|problem| error!("{target}: {problem}"));
    report.anomalies.iter().for_each(|odd| warn!("{target}: {odd}"));
    let unreadable = report.warnings.unreadable.count;
    if unreadable > 0 {
        let files = count(unreadable, "file", "files");
        error!("{target}: {files} could not be read; the copy is partial");
    }
    let warnings = &report.warnings;
    for (noted, word) in
        [(&warnings.changed, "changed while being read"), (&warnings.vanished, "vanished")]
    {
        if !noted.is_empty() {
            let files = count(noted.count, "file", "files");
            warn!("{target}: {files} {word}: see `show`");
        }
    }
    for place in &report.places {
        match &place.outcome {
            PlaceOutcome::Stored(stored) => info!(
                "{target}: stored on '{}' as {} ({} bytes)",
                place.place, stored.key, stored.stored_bytes
            ),
            // The reason stands among the warnings.
            PlaceOutcome::Missed(_) => {}
            PlaceOutcome::Skipped(why) => info!("{target}: nothing for '{}': {why}", place.place),
            PlaceOutcome::Failed(why) => error!("{target}: not stored on '{}': {why}", place.place),
        }
        place
            .removed
            .iter()
            .for_each(|gone| info!("{target}: removed on '{}': {gone}", place.place));
        place.errors.iter().for_each(|problem| error!("{target}: '{}': {problem}", place.place));
        place.warnings.iter().for_each(|problem| warn!("{target}: '{}': {problem}", place.place));
    }
}
