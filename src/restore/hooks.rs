//! Commands of the user around a restore, by the config of the job that it is for.
//!
//! `before_restore` comes before the first target of a job and must go well: else nothing of that
//! job is brought back. `after_restore` comes when all are done, whatever came of them.

use std::ffi::OsString;

use crate::base::{Cancel, RunId, chain};
use crate::plan::Job;
use crate::report::HookReport;
use crate::restore::apply::{Error, other};
use crate::restore::pick::Choice;
use crate::run::hooks::{Came, call};
use crate::sources::Occasion;

/// The hooks of one restore.
pub struct Around<'a> {
    jobs: Vec<OfJob<'a>>,
    to: (&'static str, OsString),
    cancel: Cancel,
    ran: Vec<HookReport>,
    problems: Vec<String>,
}

/// One job and what came of its targets so far.
struct OfJob<'a> {
    job: &'a Job,
    run: RunId,
    targets: Vec<String>,
    /// What came of its `before_restore`, once it ran.
    begun: Option<Result<(), String>>,
    good: usize,
    error: Option<String>,
}

impl<'a> Around<'a> {
    /// Takes what will be brought back, for the jobs that it came from, or all of it for `connect`;
    /// `to` tells where it goes.
    pub fn new(
        choices: &[Choice<'a>],
        connect: Option<&'a Job>,
        to: (&'static str, OsString),
        cancel: &Cancel,
    ) -> Self {
        let mut jobs: Vec<OfJob<'a>> = Vec::new();
        for choice in choices {
            let Some(job) = connect.or_else(|| job_of(choice)) else { continue };
            let target = choice.manifest.target.clone();
            match jobs.iter_mut().find(|known| known.job.name == job.name) {
                Some(known) => known.targets.push(target),
                None => jobs.push(OfJob {
                    job,
                    run: choice.manifest.run.clone(),
                    targets: vec![target],
                    begun: None,
                    good: 0,
                    error: None,
                }),
            }
        }
        Self { jobs, to, cancel: cancel.clone(), ran: Vec::new(), problems: Vec::new() }
    }

    /// Brings one target back by `work`, between its hooks.
    ///
    /// Errors: those of `work`, which is not begun where a hook before it fails.
    pub async fn target<T>(
        &mut self,
        choice: &Choice<'_>,
        connect: Option<&Job>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let name = connect.or_else(|| job_of(choice)).map(|job| &job.name);
        let Some(at) = self.jobs.iter().position(|known| Some(&known.job.name) == name) else {
            return work.await;
        };
        let done = match self.enter(at, choice).await {
            Ok(()) => work.await,
            Err(_) if self.cancel.is_cancelled() => Err(Error::Cancelled),
            Err(problem) => Err(other(format!("{problem}; so it was not brought back"))),
        };
        // A target that has nothing of what is asked for is none that failed.
        let failed = done.as_ref().err().filter(|error| !matches!(error, Error::NoMatch(_)));
        self.leave(at, choice, failed).await;
        done
    }

    /// Ends it: what `after_restore` is for; gives what went wrong with hooks that come afterwards.
    pub async fn finish(mut self) -> Vec<String> {
        for at in 0..self.jobs.len() {
            let known = &self.jobs[at];
            if known.begun.is_none() {
                continue;
            }
            let came = Came::of(known.error.is_some(), known.good > 0, known.error.as_deref());
            let mut env = self.env(at, None);
            env.extend(came.environment());
            let lines = &self.jobs[at].job.hooks.job.after_restore;
            let ended = call("after_restore", lines, &env, None, &mut self.ran).await;
            self.problems.extend(ended.err());
        }
        self.problems
    }

    async fn enter(&mut self, at: usize, choice: &Choice<'_>) -> Result<(), String> {
        let hooks = &self.jobs[at].job.hooks;
        if self.jobs[at].begun.is_none() {
            let (env, lines) = (self.env(at, None), &hooks.job.before_restore);
            let cancel = self.cancel.clone();
            let begun = call("before_restore", lines, &env, Some(&cancel), &mut self.ran).await;
            self.jobs[at].begun = Some(begun);
        }
        self.jobs[at].begun.clone().unwrap_or(Ok(()))?;
        let (env, lines) = (self.env(at, Some(choice)), &hooks.per_target.before_restore);
        let cancel = self.cancel.clone();
        call("per_target.before_restore", lines, &env, Some(&cancel), &mut self.ran).await
    }

    async fn leave(&mut self, at: usize, choice: &Choice<'_>, error: Option<&Error>) {
        let known = &mut self.jobs[at];
        let error = error.map(|error| chain(error));
        match &error {
            None => known.good += 1,
            Some(error) => drop(known.error.get_or_insert_with(|| error.clone())),
        }
        if !matches!(known.begun, Some(Ok(()))) {
            return;
        }
        let came = Came::of(error.is_some(), error.is_none(), error.as_deref());
        let mut env = self.env(at, Some(choice));
        env.extend(came.environment());
        let lines = &self.jobs[at].job.hooks.per_target.after_restore;
        let ended = call("per_target.after_restore", lines, &env, None, &mut self.ran).await;
        self.problems.extend(ended.err());
    }

    /// What a hook is told: of the job, or of one of its targets.
    fn env(&self, at: usize, choice: Option<&Choice<'_>>) -> Vec<(&'static str, OsString)> {
        let known = &self.jobs[at];
        let run = choice.map_or(&known.run, |choice| &choice.manifest.run);
        let occasion = Occasion { run: Some(run), targets: &known.targets };
        let target = choice.map(|choice| choice.manifest.target.as_str());
        let mut env = occasion.environment(&known.job.name, target);
        env.push(self.to.clone());
        env
    }
}

/// Finds the job of the config that an artefact came from.
fn job_of<'a>(choice: &Choice<'a>) -> Option<&'a Job> {
    choice.held.iter().find_map(|held| held.job)
}
