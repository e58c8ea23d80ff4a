//! On which occasion a target is read: what commands of the user are told in their environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::base::{RunId, untext};

/// The run that asks, and all that it asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occasion<'a> {
    /// The run; nothing where a restore asks.
    pub run: Option<&'a RunId>,
    /// The names of all targets of the job, as in [`super::Target::name`].
    pub targets: &'a [String],
}

impl Occasion<'_> {
    /// Returns the variables that a command of `job` gets, for all its targets or for one.
    ///
    /// Each under two names: `BACKUP_ID`, `JOB` and `DATASET_NAME`, `TARGET` and `ATOM_NAME`,
    /// `TARGETS` and `ATOM_NAMES` (one a line; a name with a line break stands escaped). What is
    /// not known is not set; nor are `TARGETS` that no process could be given.
    pub fn environment(&self, job: &str, target: Option<&str>) -> Vec<(&'static str, OsString)> {
        let mut env = Vec::new();
        if let Some(run) = self.run {
            env.push(("BACKUP_ID", run.to_string().into()));
        }
        both(&mut env, ["JOB", "DATASET_NAME"], job.into());
        if let Some(target) = target {
            both(&mut env, ["TARGET", "ATOM_NAME"], raw(target));
        }
        let all = lines(self.targets);
        if !all.is_empty() && all.len() <= MOST_BYTES {
            both(&mut env, ["TARGETS", "ATOM_NAMES"], all);
        }
        env
    }
}

fn both(env: &mut Vec<(&'static str, OsString)>, names: [&'static str; 2], value: OsString) {
    env.extend(names.map(|name| (name, value.clone())));
}

/// The name itself, as the disk or the server knows it; a NUL, which no variable can hold, stays
/// escaped.
fn raw(name: &str) -> OsString {
    let bytes = untext(name);
    if bytes.contains(&0) { name.into() } else { OsString::from_vec(bytes) }
}

fn lines(names: &[String]) -> OsString {
    let mut all = OsString::new();
    for name in names {
        if !all.is_empty() {
            all.push("\n");
        }
        let raw = raw(name);
        let has_break = raw.as_encoded_bytes().contains(&b'\n');
        all.push(if has_break { OsString::from(name) } else { raw });
    }
    all
}

/// Linux takes 128 KiB for one variable.
const MOST_BYTES: usize = 96 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_they_are_and_under_both_words() {
        let names = ["100%25".to_owned(), "a%0Ab".to_owned(), "it's \"$x\"".to_owned()];
        let occasion = Occasion { run: None, targets: &names };
        let env = occasion.environment("db", Some("100%25"));
        let of = |name: &str| {
            let found = env.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        assert_eq!(of("BACKUP_ID"), None);
        assert_eq!((of("JOB"), of("DATASET_NAME")), (Some("db".into()), Some("db".into())));
        assert_eq!((of("TARGET"), of("ATOM_NAME")), (Some("100%".into()), Some("100%".into())));
        assert_eq!(of("TARGETS"), Some("100%\na%0Ab\nit's \"$x\"".into()));
        assert_eq!(of("ATOM_NAMES"), of("TARGETS"));
    }

    #[test]
    fn what_no_process_could_be_given_is_not_set() {
        let names = vec!["x".repeat(100); 1000];
        let env = Occasion { run: None, targets: &names }.environment("db", None);
        assert!(env.iter().all(|(name, _)| *name != "TARGETS" && *name != "TARGET"), "{env:?}");
    }
}
