//! One run: jobs in order, each source asked for its targets, each target made one stream and
//! delivered to every storage, remembered, rotated, told.

mod journal;
mod lock;
mod rotate;
mod sweep;

use std::path::PathBuf;
use std::sync::Arc;

pub use journal::{DeadJournal, Journal, Open, dead};
pub use lock::{HOST_LOCK, Lock, LockError, job_lock};
pub use rotate::{as_copy, remove};
pub use sweep::{Stale, SweepPlace, SweepReport, remove_stale, stale, sweep_dead};

use crate::base::{Cancel, Clock, Watcher};

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
