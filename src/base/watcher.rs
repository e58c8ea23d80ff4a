//! What a person sees while long work goes on.

/// How far one piece of work has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is worked on: `job: target`.
    pub what: String,
    /// Bytes done so far, before compression.
    pub done_bytes: u64,
    /// Bytes expected in all, where a former copy or a manifest tells.
    pub expected_bytes: Option<u64>,
}

/// Somebody who looks on: a progress bar, a log, a test.
pub trait Watcher: Send + Sync {
    /// Work on `progress.what` has come this far; called often, must be cheap.
    fn advanced(&self, progress: &Progress);
    /// Work on `what` has ended, well or not.
    fn ended(&self, what: &str);
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watcher for Silent {
    fn advanced(&self, _progress: &Progress) {}
    fn ended(&self, _what: &str) {}
}
