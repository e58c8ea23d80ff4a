//! The words of the config language that are not fields: kinds of jobs, storages and notifiers,
//! and keys that are known but not built, or of former versions.

use crate::base::Plugin;
use crate::config::node::{Entry, Node, Value};
use crate::config::problem::{NOT_BUILT, Problem, Problems, nearest};
use crate::notify::Config as NotifyConfig;
use crate::sources::Config as SourceConfig;
use crate::storages::Config as StorageConfig;

/// Returns the kinds of jobs.
pub fn types() -> Vec<&'static Plugin> {
    SourceConfig::KINDS.iter().collect()
}

/// Returns the kinds of storages.
pub fn storages() -> Vec<&'static Plugin> {
    StorageConfig::KINDS.iter().collect()
}

/// Returns the kinds of notifiers.
pub fn notifiers() -> Vec<&'static Plugin> {
    NotifyConfig::KINDS.iter().collect()
}

/// Finds the kind that `node`'s `key` names; what is wrong with it goes to `problems`.
pub(crate) fn find(
    node: &Node,
    key: &str,
    kinds: &[&'static Plugin],
    path: &str,
    problems: &mut Problems,
) -> Option<&'static Plugin> {
    let Some(value) = node.get(key) else {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        let problem = Problem::error(node.mark_of(key), path, format!("`{key}` is missing"));
        problems.push(problem.with_hint(format!("one of: {}", names.join(", "))));
        return None;
    };
    let Some(word) = value.text() else {
        let message = format!("`{key}` must be a word that is written out here");
        problems.push(Problem::error(&value.mark, path, message));
        return None;
    };
    let Some(kind) = kinds.iter().find(|kind| kind.is_called(word)) else {
        let words = kinds.iter().flat_map(|kind| kind.words());
        let near = nearest(word, words).map(|near| format!(", did you mean `{near}`?"));
        let message = format!("unknown {key} `{word}`{}", near.unwrap_or_default());
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        let hint = format!("one of: {}", names.join(", "));
        problems.push(Problem::error(&value.mark, path, message).with_hint(hint));
        return None;
    };
    Some(*kind)
}

/// Takes the keys out of a mapping that are not fields of this version: those that are known but
/// not built are errors, those of former versions are notes. What is in `own` is a key of its kind
/// whatever it means elsewhere.
pub(crate) fn screen(
    node: &mut Node,
    section: Section,
    own: &[&str],
    path: &str,
    problems: &mut Problems,
) {
    let Value::Map(entries) = &mut node.value else { return };
    entries.retain(|entry| {
        let key = entry.key.as_str();
        if own.contains(&key) {
            return true;
        }
        if section.not_built().contains(&key) {
            if !means_nothing(entry) {
                let message = format!("`{key}` {NOT_BUILT}");
                let problem = Problem::error(&entry.mark, path, message);
                problems.push(problem.with_hint("remove it, or wait for the version that has it"));
            }
            return false;
        }
        let dropped = DROPPED.contains(&key) && section != Section::Main;
        if dropped && !entry.value.is_blank() {
            let message = format!("`{key}` of former versions has no effect");
            problems.push(Problem::note(&entry.mark, path, message));
        }
        !dropped
    });
}

/// Notes the keys of `main` that are read but do nothing yet.
pub(crate) fn note_without_effect(main: &Node, problems: &mut Problems) {
    for entry in main.entries() {
        if WITHOUT_EFFECT.contains(&entry.key.as_str()) && !is_empty(&entry.value) {
            let message = format!("`{}` has no effect in this version", entry.key);
            problems.push(Problem::note(&entry.mark, "main", message));
        }
    }
}

/// A kind of mapping whose keys are screened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Main,
    Job,
    Source,
    Storage,
    Limits,
}

impl Section {
    /// Keys whose absence would endanger data or what is expected of a job.
    fn not_built(self) -> &'static [&'static str] {
        match self {
            Self::Main => &[],
            Self::Job => &["encrypt", "notify", "schedule", "snapshot"],
            Self::Source => &["encrypt", "hooks", "snapshot"],
            Self::Storage => &["encrypt", "layout"],
            Self::Limits => &["cpu", "cpu_max_count", "io", "memory"],
        }
    }
}

/// Tells whether a key is set to what would happen without it.
fn means_nothing(entry: &Entry) -> bool {
    if is_empty(&entry.value) {
        return true;
    }
    let text = entry.value.text().map(|text| text.trim().to_lowercase());
    match (entry.key.as_str(), text.as_deref()) {
        ("layout", Some("files")) => true,
        ("layout", _) | (_, None) => false,
        (_, Some(text)) => ["no", "off", "false", "none", "n"].contains(&text),
    }
}

/// Tells whether a value holds nothing at any depth: `client_mail: ['']`.
fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(_) => node.is_blank(),
        Value::List(items) => items.iter().all(is_empty),
        Value::Map(entries) => entries.iter().all(|entry| is_empty(&entry.value)),
    }
}

const DROPPED: [&str; 3] = ["deferred_copying", "deferred_copying_level", "remote_mount_point"];
const WITHOUT_EFFECT: [&str; 3] = ["catalogue", "general_path_to_all_tmp_dir", "loop_interval"];

/// Tells whether `key` is a word of jobs, though not a field.
pub(crate) fn is_known_of_jobs(key: &str) -> bool {
    Section::Job.not_built().contains(&key) || DROPPED.contains(&key)
}

/// Tells whether `key` is a word of storages, though not a field.
pub(crate) fn is_known_of_storages(key: &str) -> bool {
    Section::Storage.not_built().contains(&key) || DROPPED.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::de;

    #[test]
    fn every_built_kind_is_read_under_its_name() {
        for kind in SourceConfig::KINDS {
            assert!(!de::fields_of::<SourceConfig>(kind.name).is_empty(), "{}", kind.name);
            assert!(kind.group.is_some(), "{}", kind.name);
        }
        for kind in NotifyConfig::KINDS {
            assert!(!de::fields_of::<NotifyConfig>(kind.name).is_empty(), "{}", kind.name);
        }
        for kind in StorageConfig::KINDS {
            let fields = de::fields_of::<StorageConfig>(kind.name);
            assert!(fields.contains(&"backup_dir"), "{}", kind.name);
        }
    }

    #[test]
    fn no_word_names_two_kinds() {
        for kinds in [types(), storages(), notifiers()] {
            let mut words: Vec<&str> = kinds.iter().flat_map(|kind| kind.words()).collect();
            words.sort_unstable();
            assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
        }
    }
}
