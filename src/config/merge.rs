//! Settings under settings: what a job does not say comes from `main.defaults`, what a storage
//! does not say from `main.storage_connects`. Every value keeps the place where it was written.

use crate::config::kinds;
use crate::config::node::{Entry, Node, Value};
use crate::config::problem::{Problem, Problems, nearest};
use crate::config::{de, raw, template};
use crate::storages::Config as StorageConfig;

/// Returns `job` with the defaults and named storages of `main` under it.
pub(crate) fn job(main: &Node, job: &Node, path: &str, problems: &mut Problems) -> Node {
    let mut job = template::apply(main, job, path, problems);
    if let Some(defaults) = main.get("defaults") {
        put_under(&mut job, defaults, &is_default);
    }
    let connects = items(main.get("storage_connects"));
    let Value::Map(entries) = &mut job.value else { return job };
    let storages = entries.iter_mut().find(|entry| entry.key == "storages");
    match storages.map(|entry| &mut entry.value.value) {
        Some(Value::List(storages)) => {
            for (index, storage) in storages.iter_mut().enumerate() {
                let path = format!("{path}.storages[{index}]");
                connect(storage, connects, &path, problems);
            }
        }
        Some(Value::Map(_)) => {
            let storage = entries.iter_mut().find(|entry| entry.key == "storages");
            if let Some(entry) = storage {
                connect(&mut entry.value, connects, &format!("{path}.storages"), problems);
            }
        }
        _ => {}
    }
    job
}

/// Checks the keys of `main.defaults` and `main.storage_connects` once, not in every job.
pub(crate) fn check(main: &Node, problems: &mut Problems) {
    template::check(main, problems);
    if let Some(defaults) = main.get("defaults") {
        let path = "main.defaults";
        if !matches!(defaults.value, Value::Map(_)) {
            let message = format!("`defaults` is a mapping, not {}", defaults.kind());
            problems.push(Problem::error(&defaults.mark, path, message));
        }
        for entry in defaults.entries().iter().filter(|entry| !is_default(&entry.key)) {
            let fields = de::fields::<raw::Job>().iter().copied().filter(|key| is_default(key));
            problems.push(de::unknown_key(entry, path, fields));
        }
    }
    let connects = items(main.get("storage_connects"));
    let mut names: Vec<&str> = Vec::new();
    for (index, storage) in connects.iter().enumerate() {
        let path = format!("main.storage_connects[{index}]");
        let Some(name) = storage.get("name").and_then(Node::text) else {
            let message = "`name` is missing: jobs use a storage of this list by its name";
            problems.push(Problem::error(storage.mark_of("name"), &path, message));
            continue;
        };
        if names.contains(&name) {
            let message = format!("there is another storage named `{name}` in this list");
            problems.push(Problem::error(storage.mark_of("name"), &path, message));
        }
        names.push(name);
        check_connect(storage, &path, problems);
    }
}

/// Checks the kind and the keys of a named storage.
fn check_connect(storage: &Node, path: &str, problems: &mut Problems) {
    let mut found = Problems::default();
    match kinds::find(storage, "storage", &kinds::storages(), path, &mut found) {
        None => problems.extend(found),
        Some(kind) => {
            let own = de::fields_of::<StorageConfig>(kind.name);
            for entry in storage.entries().iter().filter(|entry| !is_of_storage(&entry.key, own)) {
                let fields = own.iter().chain(de::fields::<raw::Storage>()).copied();
                problems.push(de::unknown_key(entry, path, fields));
            }
        }
    }
}

/// Puts the storage that `storage_name` means under `storage`.
fn connect(storage: &mut Node, connects: &[Node], path: &str, problems: &mut Problems) {
    let Some(wanted) = storage.get("storage_name") else { return };
    let Some(name) = wanted.text() else {
        let message = "`storage_name` must be written out here";
        problems.push(Problem::error(&wanted.mark, path, message));
        return;
    };
    let known = |node: &&Node| node.get("name").and_then(Node::text) == Some(name);
    let Some(found) = connects.iter().find(known) else {
        let names = connects.iter().filter_map(|node| node.get("name").and_then(Node::text));
        let near = nearest(name, names).map(|near| format!(", did you mean `{near}`?"));
        let message =
            format!("`main.storage_connects` has no storage `{name}`{}", near.unwrap_or_default());
        problems.push(Problem::error(&wanted.mark, path, message));
        return;
    };
    let kind = |node: &Node| node.get("storage").and_then(Node::text).map(str::to_owned);
    if let (Some(own), Some(kind)) = (storage.get("storage"), kind(found))
        && own.text() != Some(&kind)
    {
        let message = format!("`{name}` is a storage of the kind `{kind}`");
        problems.push(Problem::error(&own.mark, path, message));
    }
    let kind = kinds::find(found, "storage", &kinds::storages(), "", &mut Problems::default());
    let own = kind.map(|kind| de::fields_of::<StorageConfig>(kind.name));
    put_under(storage, found, &|key| own.is_none_or(|own| is_of_storage(key, own)));
}

/// Adds the entries of `below` that `above` does not set, as far as `wanted`.
pub(crate) fn put_under(above: &mut Node, below: &Node, wanted: &dyn Fn(&str) -> bool) {
    let Value::Map(entries) = &mut above.value else { return };
    for entry in below.entries().iter().filter(|entry| wanted(&entry.key)) {
        if entry.value.is_blank() || is_answered(entries, &entry.key) {
            continue;
        }
        match entries.iter_mut().find(|own| own.key == entry.key) {
            None => entries.push(entry.clone()),
            Some(own) if own.value.is_blank() => *own = entry.clone(),
            Some(own) if is_merged(&own.key) => put_under(&mut own.value, &entry.value, &|_| true),
            Some(_) => {}
        }
    }
}

/// Tells whether a mapping does not hide the one of the same key under it: each of its keys does.
pub(crate) fn is_merged(key: &str) -> bool {
    ["limits", "hooks", "per_target"].contains(&key)
}

/// Tells whether another spelling of `key` is set, which then wins.
fn is_answered(entries: &[Entry], key: &str) -> bool {
    let other = match key {
        "rotation" => "safety_backup",
        "safety_backup" => "rotation",
        _ => return false,
    };
    entries.iter().any(|entry| entry.key == other && !entry.value.is_blank())
}

fn is_default(key: &str) -> bool {
    !["job", "template", "parameters"].contains(&key)
        && (de::fields::<raw::Job>().contains(&key) || kinds::is_known_of_jobs(key))
}

/// Tells whether `key` is a key of any storage, or one of `own`, those of its kind.
fn is_of_storage(key: &str, own: &[&str]) -> bool {
    own.contains(&key)
        || de::fields::<raw::Storage>().contains(&key)
        || kinds::is_known_of_storages(key)
}

/// Returns the items of a list; a mapping counts as a list of one.
pub(crate) fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| (&node.value, node)) {
        Some((Value::List(items), _)) => items,
        Some((Value::Map(_), node)) => std::slice::from_ref(node),
        _ => &[],
    }
}
