//! `config show JOB`: every value of a job and who set it, without secrets.

use serde::Serialize;

use crate::config::node::{Mark, Node, Tag, Value};
use crate::config::problem::{Problem, Problems, nearest};
use crate::config::{Config, Draft, kinds, mask, schema};

/// One value of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Where it is in the job: `storages[0].store.days`.
    pub path: String,
    /// The value; `***` for a secret.
    pub value: String,
    /// The `file:line` that set it, or `default`.
    pub origin: String,
}

/// Lists the values of the job named `job`, with defaults and named storages joined in.
///
/// Nothing is fetched. Errors: there is no such job, or a storage's name leads nowhere.
pub fn show(config: &Config, job: &str) -> Result<Vec<Line>, Problems> {
    let drafts: Vec<Draft> = (0..config.jobs().len()).map(|index| config.draft(index)).collect();
    let Some(index) = drafts.iter().position(|draft| draft.name() == Some(job)) else {
        let names = drafts.iter().filter_map(Draft::name).map(str::to_owned);
        let names: Vec<String> = names.collect();
        let near = nearest(job, names.iter().map(String::as_str));
        let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        let message = format!("there is no job `{job}`{near}");
        let problem = Problem::error(&Mark::of_file(config.path()), "", message);
        return Err(problem.with_hint(format!("jobs: {}", names.join(", "))).into());
    };
    let draft = config.draft(index);
    if draft.problems.has_errors() {
        return Err(draft.problems);
    }
    let mut lines = Vec::new();
    list(&draft.node, "", "", &mut lines);
    let mut defaults = Vec::new();
    for (key, value) in JOB_DEFAULTS.iter().filter(|(key, _)| !is_set(&draft.node, key)) {
        defaults.push(Line::default_of((*key).to_owned(), value));
    }
    let storages = crate::config::merge::items(draft.node.get("storages"));
    for (index, storage) in storages.iter().enumerate() {
        for (key, value) in STORAGE_DEFAULTS {
            let by_job = JOB_DEFAULTS.iter().any(|(known, _)| known == key);
            if !is_set(storage, key) && !by_job {
                defaults.push(Line::default_of(format!("storages[{index}].{key}"), value));
            }
        }
        let kinds = kinds::storages();
        let kind = kinds::find(storage, "storage", &kinds, "", &mut Problems::default());
        for (key, value) in kind.map(schema::defaults).unwrap_or_default() {
            if !is_set(storage, &key) {
                defaults.push(Line::default_of(format!("storages[{index}].{key}"), &value));
            }
        }
    }
    lines.extend(defaults);
    Ok(lines)
}

impl Line {
    fn default_of(path: String, value: &str) -> Self {
        Self { path, value: value.to_owned(), origin: "default".to_owned() }
    }
}

/// Tells whether a key or its other spelling is set.
fn is_set(node: &Node, key: &str) -> bool {
    let other = match key {
        "rotation" => "safety_backup",
        "compress" => "gzip",
        _ => key,
    };
    node.get(key).is_some() || node.get(other).is_some()
}

fn list(node: &Node, path: &str, key: &str, lines: &mut Vec<Line>) {
    match &node.value {
        Value::Scalar(_) if node.is_blank() => {}
        Value::Scalar(text) => {
            let value = shown(node, key, text);
            lines.push(Line { path: path.to_owned(), value, origin: node.mark.origin() });
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                list(item, &format!("{path}[{index}]"), key, lines);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = match path {
                    "" => entry.key.clone(),
                    path => format!("{path}.{}", entry.key),
                };
                list(&entry.value, &path, &entry.key, lines);
            }
        }
    }
}

fn shown(node: &Node, key: &str, text: &str) -> String {
    let tag = match node.tag {
        Some(Tag::Env) => "!env",
        Some(Tag::File) => "!file",
        Some(Tag::Cmd) => "!cmd",
        Some(Tag::Include) | None => {
            let secret = node.secret || mask::is_secret(key);
            return if secret { "***".to_owned() } else { mask::url(text) };
        }
    };
    format!("*** ({tag} {text})")
}

const JOB_DEFAULTS: &[(&str, &str)] = &[
    ("enable", "yes"),
    ("compress", "none"),
    ("verify", "list"),
    ("require", "all"),
    ("rotation", "before"),
    ("min_copies", "1"),
    ("timeout", "5m"),
    ("retries", "3"),
    ("tmp_dir", "/var/tmp"),
];
const STORAGE_DEFAULTS: &[(&str, &str)] = &[("enable", "yes"), ("shared", "no")];
