//! The hooks of a job: lines of the config as calls that can be made.

use std::time::Duration;

use crate::base::Span;
use crate::config::raw;
use crate::sources::Setting;
use crate::sources::tool::{Call, Strict, shell};

/// Commands around the work of a job.
#[derive(Clone, Default)]
pub struct Hooks {
    /// Around a whole run, or a whole restore.
    pub job: HookSet,
    /// Around each target.
    pub per_target: HookSet,
}

/// The lines of each hook, in order.
#[derive(Clone, Default)]
pub struct HookSet {
    /// Must go well before anything is done.
    pub before: Vec<Hook>,
    /// Come after all, whatever came of it.
    pub after: Vec<Hook>,
    /// Come after trouble, before `after`.
    pub on_error: Vec<Hook>,
    /// Must go well before anything is brought back.
    pub before_restore: Vec<Hook>,
    /// Come after a restore, whatever came of it.
    pub after_restore: Vec<Hook>,
}

/// One line.
#[derive(Clone)]
pub struct Hook {
    /// What is called.
    pub call: Call,
    /// How long it may take; `None` for ever.
    pub limit: Option<Duration>,
}

/// Makes the hooks of a job.
pub(crate) fn resolve(raw: &raw::Hooks, setting: &Setting<'_>) -> Hooks {
    let limit = raw.timeout.map_or(LIMIT, |Span(limit)| limit);
    let limit = (!limit.is_zero()).then_some(limit);
    let lines = |lines: &[String], name: &str| -> Vec<Hook> {
        let name = format!("hook {name}");
        let call = |line: &String| shell(line, &name, setting.job, Strict::Pipes, setting);
        lines.iter().map(|line| Hook { call: call(line), limit }).collect()
    };
    let job = HookSet {
        before: lines(&raw.before, "before"),
        after: lines(&raw.after, "after"),
        on_error: lines(&raw.on_error, "on_error"),
        before_restore: lines(&raw.before_restore, "before_restore"),
        after_restore: lines(&raw.after_restore, "after_restore"),
    };
    let Some(raw) = &raw.per_target else { return Hooks { job, ..Hooks::default() } };
    let per_target = HookSet {
        before: lines(&raw.before, "per_target.before"),
        after: lines(&raw.after, "per_target.after"),
        on_error: lines(&raw.on_error, "per_target.on_error"),
        before_restore: lines(&raw.before_restore, "per_target.before_restore"),
        after_restore: lines(&raw.after_restore, "per_target.after_restore"),
    };
    Hooks { job, per_target }
}

const LIMIT: Duration = Duration::from_secs(3600);
