//! The entries of `main.notify`, each read on its own.

use crate::base::Plugin;
use crate::config::node::{Node, Value};
use crate::config::problem::{Problem, Problems};
use crate::config::{Fetcher, de, kinds, merge, raw, read};
use crate::notify::Config as NotifyConfig;

/// An entry of `notify` as read.
#[derive(Debug)]
pub struct Notify {
    /// Where it is in the tree.
    pub path: String,
    /// As written, for the places of its keys.
    pub node: Node,
    /// Its kind.
    pub kind: &'static Plugin,
    /// What every entry has.
    pub common: raw::Notify,
    /// What its kind has; or which of its values could not be fetched.
    pub config: Result<NotifyConfig, String>,
}

/// Reads the entries; those that are wrong are left out, and said.
pub(crate) fn read(
    main: &Node,
    mut fetcher: Option<&mut Fetcher>,
    problems: &mut Problems,
) -> Vec<Notify> {
    let Some(list) = main.get("notify") else { return Vec::new() };
    let items = merge::items(Some(list));
    if items.is_empty() && !matches!(&list.value, Value::List(_)) && !list.is_unreadable() {
        let message = format!("`notify` is a list of mappings, not {}", list.kind());
        problems.push(Problem::error(&list.mark, "main.notify", message));
    }
    let mut entries = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("main.notify[{index}]");
        if !matches!(item.value, Value::Map(_)) {
            let message = format!("an entry of `notify` is a mapping, not {}", item.kind());
            problems.push(Problem::error(&item.mark, &path, message));
            continue;
        }
        let mut node = item.clone();
        let mut missing = Problems::default();
        if let Some(fetcher) = fetcher.as_deref_mut().filter(|_| !item.is_off()) {
            fetcher.fill(&mut node, &path, &mut missing);
        }
        let missing: Vec<String> = missing.errors().map(Problem::brief).collect();
        entries.extend(entry(path, node, missing, problems));
    }
    entries
}

fn entry(
    path: String,
    node: Node,
    missing: Vec<String>,
    problems: &mut Problems,
) -> Option<Notify> {
    let kind = kinds::find(&node, "kind", &kinds::notifiers(), &path, problems)?;
    let fields = de::fields::<raw::Notify>();
    let (common, own) = read::split(&node, fields);
    let config = de::read_kind(kind.name, &own, &path, fields, problems);
    let common = de::read(&common, &path, &[], problems)?;
    let config = if missing.is_empty() { Ok(config?) } else { Err(missing.join("; ")) };
    Some(Notify { path, node, kind, common, config })
}
