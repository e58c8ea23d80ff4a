//! Lines of the config that are for a shell: bash where it is, else sh.
//!
//! Names of targets go by the environment, never into the text of a line; that environment is
//! else the one of the user.

use std::path::Path;

use crate::sources::Setting;
use crate::sources::tool::{Call, on_path};

/// Whether a pipe fails with any of its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strict {
    /// Yes, where there is bash: `false | gzip` fails.
    Pipes,
    /// As shells do it: the last program alone decides.
    No,
}

/// Prepares a call of `line`, which is called `name` in errors and in the log.
pub fn shell(line: &str, name: &str, subject: &str, strict: Strict, setting: &Setting<'_>) -> Call {
    let bash = on_path(BASH);
    let call = match &bash {
        Some(bash) => Call::new(bash, subject, setting),
        None => Call::new(Path::new("/bin/sh"), subject, setting),
    };
    let call = match (bash, strict) {
        (Some(_), Strict::Pipes) => call.args(["-o", "pipefail"]),
        _ => call,
    };
    call.in_its_language().called(name).args(["-c", line])
}

const BASH: &str = "/bin/bash";
