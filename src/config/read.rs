//! From nodes to the structs of [`crate::config::raw`], section by section: what is wrong in one
//! does not hide what is wrong in the next.

use crate::base::{Plugin, Wrong};
use crate::config::kinds::{self, Section};
use crate::config::node::{Entry, Node, Value};
use crate::config::problem::{Problem, Problems, Severity};
use crate::config::{Fetcher, de, merge, raw};
use crate::sources::Config as SourceConfig;
use crate::storages::Config as StorageConfig;

/// A job with its defaults and named storages under it, not yet read.
#[derive(Debug)]
pub struct Draft {
    /// The whole job.
    pub node: Node,
    /// Where it is in the tree: `jobs[2]`.
    pub path: String,
    /// What was wrong so far.
    pub problems: Problems,
    /// Its template could not be filled in: what it lacks then says nothing.
    is_hollow: bool,
}

/// A job as read.
#[derive(Debug)]
pub struct Job {
    /// The keys of its own; `None` if they cannot be read.
    pub keys: Option<raw::Job>,
    /// Its sources, as far as they can be read.
    pub sources: Vec<Source>,
    /// Its storages, as far as they can be read; also those that are off.
    pub storages: Vec<Storage>,
}

/// A source as read.
#[derive(Debug)]
pub struct Source {
    /// Where it is in the tree.
    pub path: String,
    /// As written, for the places of its keys.
    pub node: Node,
    /// What every source has.
    pub common: raw::Source,
    /// What its kind has.
    pub config: SourceConfig,
}

/// A storage as read.
#[derive(Debug)]
pub struct Storage {
    /// Where it is in the tree.
    pub path: String,
    /// As written, for the places of its keys.
    pub node: Node,
    /// Its kind.
    pub kind: &'static Plugin,
    /// What every storage has.
    pub common: raw::Storage,
    /// What its kind has.
    pub config: StorageConfig,
    /// What it keeps.
    pub store: raw::Store,
}

impl Draft {
    pub(crate) fn new(main: &Node, job: &Node, path: String) -> Self {
        let mut problems = Problems::default();
        let node = merge::job(main, job, &path, &mut problems);
        let is_hollow = job.get("template").is_some() && problems.has_errors();
        Self { node, path, problems, is_hollow }
    }

    /// Returns the job's name, if it has one that is written out.
    pub fn name(&self) -> Option<&str> {
        self.node.get("job").and_then(Node::text)
    }

    /// Returns the job's type as written.
    pub fn type_word(&self) -> Option<&str> {
        self.node.get("type").and_then(Node::text)
    }

    /// Returns the kind that the type names.
    pub fn kind(&self) -> Option<&'static Plugin> {
        kinds::find(&self.node, "type", &kinds::types(), "", &mut Problems::default())
    }

    /// Tells whether the job is switched off by a word that stands in the file.
    pub fn is_off(&self) -> bool {
        self.node.is_off()
    }

    /// Fetches what lies elsewhere; not for storages that are off.
    pub fn fetch(&mut self, fetcher: &mut Fetcher) {
        fetcher.fill_job(&mut self.node, &self.path, &mut self.problems);
    }

    /// Reads everything; what is wrong is in the draft's problems then.
    pub fn read(&mut self) -> Job {
        if self.is_hollow {
            return Job { keys: None, sources: Vec::new(), storages: Vec::new() };
        }
        let types = kinds::types();
        let kind = kinds::find(&self.node, "type", &types, &self.path, &mut self.problems);
        let (keys, sources) = match kind {
            None => (None, Vec::new()),
            Some(kind) if kind.on_job => self.keys_with_source(kind),
            Some(kind) => (self.keys(), self.sources(kind)),
        };
        let storages = self.storages(kind.is_some());
        Job { keys, sources, storages }
    }

    fn keys(&mut self) -> Option<raw::Job> {
        let own = self.screened(&[]);
        de::read(&own, &self.path, &[], &mut self.problems)
    }

    /// Reads a job whose one source is described by keys of the job itself.
    fn keys_with_source(&mut self, kind: &'static Plugin) -> (Option<raw::Job>, Vec<Source>) {
        let node = self.screened(de::fields_of::<SourceConfig>(kind.name));
        let fields = de::fields::<raw::Job>().iter().copied().filter(|key| *key != "sources");
        let fields: Vec<&str> = fields.collect();
        let (common, own) = split(&node, &fields);
        let (path, problems) = (&self.path, &mut self.problems);
        let keys = de::read(&common, path, &[], problems);
        let config = de::read_kind(kind.name, &own, path, &fields, problems);
        let common = raw::Source::default();
        let source = config.map(|config| Source { path: path.clone(), node, common, config });
        (keys, source.into_iter().collect())
    }

    /// Returns the job without words that are no fields; those are said.
    fn screened(&mut self, fields: &[&str]) -> Node {
        let (path, problems) = (&self.path, &mut self.problems);
        let mut own = self.node.clone();
        kinds::screen(&mut own, Section::Job, fields, path, problems);
        screen_limits(&mut own, path, problems);
        for key in ["job", "type"] {
            if let Some(value) = own.get(key).filter(|value| value.is_pending()) {
                let message = format!("`{key}` must be written out here");
                problems.push(Problem::error(&value.mark, path, message));
            }
        }
        own
    }

    fn sources(&mut self, kind: &'static Plugin) -> Vec<Source> {
        let nodes = self.list("sources", "source");
        nodes.into_iter().filter_map(|(path, node)| self.source(kind, path, node)).collect()
    }

    fn source(&mut self, kind: &'static Plugin, path: String, mut node: Node) -> Option<Source> {
        let problems = &mut self.problems;
        let own = de::fields_of::<SourceConfig>(kind.name);
        kinds::screen(&mut node, Section::Source, own, &path, problems);
        let fields = de::fields::<raw::Source>();
        let (common, own) = split(&node, fields);
        let config = de::read_kind(kind.name, &own, &path, fields, problems);
        let common = de::read(&common, &path, &[], problems);
        Some(Source { path, node, common: common?, config: config? })
    }

    fn storages(&mut self, check: bool) -> Vec<Storage> {
        let nodes = self.list("storages", "storage");
        let read = |(path, node)| self.storage(path, node, check);
        nodes.into_iter().filter_map(read).collect()
    }

    fn storage(&mut self, path: String, mut node: Node, check: bool) -> Option<Storage> {
        if node.get("storage_name").is_some() && node.get("storage").is_none() {
            return None; // The name is unknown, and that was said.
        }
        let mut found = Problems::default();
        let kind = kinds::find(&node, "storage", &kinds::storages(), &path, &mut found);
        let is_off = node.is_off();
        self.problems.extend(found.into_iter().map(|mut problem| {
            if is_off && kind.is_some() {
                problem.severity = Severity::Note;
            }
            problem
        }));
        let kind = kind.filter(|_| check)?;
        let problems = &mut self.problems;
        let own = de::fields_of::<StorageConfig>(kind.name);
        kinds::screen(&mut node, Section::Storage, own, &path, problems);
        screen_limits(&mut node, &path, problems);
        let fields = de::fields::<raw::Storage>();
        let (common, own) = split(&node, fields);
        let config = de::read_kind(kind.name, &own, &path, fields, problems);
        let common: Option<raw::Storage> = de::read(&common, &path, &[], problems);
        let store = match node.get("store") {
            None => Some(raw::Store::default()),
            Some(store) => de::read(store, &format!("{path}.store"), &[], problems),
        };
        Some(Storage { path, node, kind, common: common?, config: config?, store: store? })
    }

    /// Returns the mappings of a list of the job with their paths.
    fn list(&mut self, key: &str, one: &str) -> Vec<(String, Node)> {
        let Some(list) = self.node.get(key).cloned() else {
            let message = format!("`{key}` is missing: the job needs at least one {one}");
            let mark = self.node.mark_of(key);
            self.problems.push(Problem::error(mark, &self.path, message));
            return Vec::new();
        };
        let items = merge::items(Some(&list));
        if items.is_empty() {
            let message = format!("`{key}` must be a list of at least one {one}");
            self.problems.push(Problem::error(&list.mark, &self.path, message));
        }
        let mut nodes = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}.{key}[{index}]", self.path);
            if matches!(item.value, Value::Map(_)) {
                nodes.push((path, item.clone()));
                continue;
            }
            let message = format!("a {one} is a mapping, not {}", item.kind());
            self.problems.push(Problem::error(&item.mark, &path, message));
        }
        nodes
    }
}

/// Says what is wrong with the section `node` at `path`, as its kind found it.
///
/// Nothing is said of a value that was not fetched, and one that was is not quoted.
pub fn blame(node: &Node, path: &str, wrong: &Wrong) -> Option<Problem> {
    let (mark, value) = node.at(&wrong.key);
    if value.is_some_and(Node::is_pending) {
        return None;
    }
    let mut message = wrong.message.clone();
    node.walk(&mut |part| match &part.value {
        Value::Scalar(text) if part.secret => message = message.replace(text, "***"),
        _ => {}
    });
    Some(Problem::error(mark, path, message))
}

/// Reads `main`.
pub(crate) fn main(mut main: Node, problems: &mut Problems) -> Option<raw::Main> {
    kinds::screen(&mut main, Section::Main, &[], "main", problems);
    screen_limits(&mut main, "main", problems);
    kinds::note_without_effect(&main, problems);
    merge::check(&main, problems);
    de::read(&main, "main", &[], problems)
}

/// Keeps the keys of `main` that can be read alone; `server_name` stands in for one that cannot.
pub(crate) fn salvaged_main(main: &Node) -> Node {
    let mark = main.first_mark();
    let unnamed = Node { value: Value::Scalar("unnamed".into()), ..Node::blank(mark.clone()) };
    let unnamed = Entry { key: "server_name".into(), mark: mark.clone(), value: unnamed };
    let mut kept = Vec::new();
    for entry in main.entries().iter().filter(|entry| entry.key != "notify") {
        let mut found = Problems::default();
        let alone = [entry.clone()].into_iter();
        let alone = match entry.key.as_str() {
            "server_name" => alone.collect(),
            _ => alone.chain([unnamed.clone()]).collect(),
        };
        self::main(Node::map(alone, mark.clone()), &mut found);
        if !found.has_errors() {
            kept.push(entry.clone());
        }
    }
    if !kept.iter().any(|entry| entry.key == "server_name" && !entry.value.is_blank()) {
        kept.retain(|entry| entry.key != "server_name");
        kept.push(unnamed);
    }
    kept.extend(main.entry("notify").cloned());
    Node::map(kept, mark.clone())
}

fn screen_limits(node: &mut Node, path: &str, problems: &mut Problems) {
    let Value::Map(entries) = &mut node.value else { return };
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == "limits") {
        let path = format!("{path}.limits");
        kinds::screen(&mut entry.value, Section::Limits, &[], &path, problems);
    }
}

/// Parts a mapping into the entries named by `fields` and the others.
pub(crate) fn split(node: &Node, fields: &[&str]) -> (Node, Node) {
    let (common, own): (Vec<Entry>, Vec<Entry>) =
        node.entries().iter().cloned().partition(|entry| fields.contains(&entry.key.as_str()));
    let mark = node.first_mark();
    (Node::map(common, mark.clone()), Node::map(own, mark.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::node::File;
    use crate::config::yaml::{self, Budget};

    #[test]
    fn blame_is_silent_about_what_was_not_fetched_and_quotes_nothing_that_was() {
        let file = Arc::new(File::new("t".into(), "a: !env X\nb: hunter2\n".to_owned()));
        let mut node = yaml::parse(&file, &mut Budget::new(), &mut Problems::default()).unwrap();
        let Value::Map(entries) = &mut node.value else { panic!() };
        entries[1].value.secret = true;
        assert_eq!(blame(&node, "", &Wrong::new("a", "`a` is wrong")), None);
        let said = blame(&node, "", &Wrong::new("b", "`hunter2` is wrong")).unwrap();
        assert_eq!((said.line, said.message.as_str()), (2, "`***` is wrong"));
    }
}
