//! One way to tell one person or machine, with the rule that says when.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil;

use crate::notify::{Notifier, Severity};

/// One way to tell somebody.
#[derive(Clone)]
pub struct Channel {
    /// What tells it from the others; what waits for it lies under this name.
    pub name: String,
    /// Its kind: `slack`.
    pub kind: &'static str,
    /// When it is told, and of what.
    pub rule: Rule,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often a try is made again.
    pub retries: u32,
    /// What tells; or why it cannot, in words.
    pub notifier: Result<Arc<dyn Notifier>, String>,
}

/// When a channel is told, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How often.
    pub when: When,
    /// What is less is not told.
    pub level: Severity,
    /// The log of the run goes along.
    pub with_log: bool,
}

/// How often a channel is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After each run.
    PerRun,
    /// When a job that went well fails, or goes well again.
    OnChange,
    /// Once a day, by the first run after this hour of the local clock.
    Daily(civil::Time),
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, rule, .. } = self;
        f.debug_struct("Channel")
            .field("name", name)
            .field("kind", kind)
            .field("rule", rule)
            .finish()
    }
}
