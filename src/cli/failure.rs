//! What an error means for the person at the terminal: its hints and its exit code.

use std::fmt::Display;

use crate::base::chain;
use crate::config::Problems;
use crate::run;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: u8,
    message: String,
    hints: Vec<String>,
}

/// Nothing of what was asked was achieved.
pub(crate) const NOTHING: u8 = 1;
/// Wrong usage or config.
pub(crate) const USAGE: u8 = 2;
/// Something was achieved and something failed.
pub(crate) const PARTLY: u8 = 3;
/// Another run holds the lock.
pub(crate) const LOCKED: u8 = 4;
/// Somebody asked to stop.
pub(crate) const INTERRUPTED: u8 = 130;

impl Failure {
    /// Makes a failure that says `message`.
    pub(crate) fn new(exit: u8, message: impl Display) -> Self {
        Self { exit, message: message.to_string(), hints: Vec::new() }
    }

    /// Wrong usage.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(USAGE, message)
    }

    /// Nothing was achieved, because of `error`.
    pub(crate) fn nothing(error: &dyn std::error::Error) -> Self {
        Self::new(NOTHING, chain(error))
    }

    /// Adds a sentence that tells what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Spells the error and its hints without colours.
    pub(crate) fn text(&self) -> String {
        let hints: String = self.hints.iter().map(|hint| format!("\n{hint}")).collect();
        format!("{}{hints}", self.message)
    }

    /// Prints the error and its hints on standard error.
    pub(crate) fn tell(&self) {
        use std::io::Write;
        let mut err = anstream::stderr();
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let mut text = format!("{red}error{red:#}: {}\n", self.message);
        for hint in &self.hints {
            text.push_str(&format!("  {hint}\n"));
        }
        err.write_all(text.as_bytes()).ok();
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let message = format!("the config has errors\n\n{problems}");
        Self::usage(message.trim_end())
    }
}

impl From<run::NoSuchJob> for Failure {
    fn from(error: run::NoSuchJob) -> Self {
        Self::usage(error)
    }
}

impl From<run::Error> for Failure {
    fn from(error: run::Error) -> Self {
        let run::Error::Lock(lock) = &error;
        match lock {
            run::LockError::Held { .. } => Self::new(LOCKED, chain(&error))
                .hint("Wait until it has ended, or set `main.lock_wait` to wait for it."),
            run::LockError::Cancelled(_) => Self::new(INTERRUPTED, chain(&error)),
            run::LockError::Io { .. } => Self::new(NOTHING, chain(&error))
                .hint("`main.state_dir` must be a folder that this user may write."),
        }
    }
}
