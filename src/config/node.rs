//! A config as a tree of values that know where they stand: what the YAML parser gives, what
//! includes and defaults are joined on, and what sections are read from.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A file of the config with its text, kept for snippets.
#[derive(Debug)]
pub struct File {
    /// Its path as the user or an include spelled it.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// Where its lines begin, once somebody asks.
    starts: OnceLock<Vec<usize>>,
}

impl File {
    /// Keeps the text of a file.
    pub fn new(path: PathBuf, text: String) -> Self {
        Self { path, text, starts: OnceLock::new() }
    }

    /// Returns a line without its end; lines count from 1.
    pub fn line(&self, number: usize) -> Option<&str> {
        let starts = self.starts.get_or_init(|| {
            let breaks = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(breaks).collect()
        });
        let start = *starts.get(number.checked_sub(1)?)?;
        self.text[start..].lines().next()
    }
}

/// A place in a file: line and column count from 1, `len` is the width of what stands there.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The file.
    pub file: Arc<File>,
    /// The line, from 1; 0 means the file as a whole.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters it covers on that line.
    pub len: usize,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub mark: Mark,
    /// What its tag asks for.
    pub tag: Option<Tag>,
    /// Whether the text came from elsewhere and must never be shown.
    pub secret: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Value {
    /// One value, as text without its quotes.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file, every key once.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub mark: Mark,
    /// What it is set to.
    pub value: Node,
}

/// A tag that the config language knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// `!include`, `!import`: other files stand here.
    Include,
    /// `!env NAME`: the value of an environment variable.
    Env,
    /// `!file PATH`: the content of a file.
    File,
    /// `!cmd "…"`: the output of a command.
    Cmd,
}

impl Mark {
    /// Points at a file as a whole.
    pub fn of_file(path: &Path) -> Self {
        let file = Arc::new(File::new(path.to_owned(), String::new()));
        Self { file, line: 0, column: 0, len: 0 }
    }

    /// Spells the place as `file:line`.
    pub fn origin(&self) -> String {
        match self.line {
            0 => self.file.path.display().to_string(),
            line => format!("{}:{line}", self.file.path.display()),
        }
    }

    /// Returns the folder that relative paths written here begin at.
    pub fn folder(&self) -> &Path {
        self.file.path.parent().unwrap_or(Path::new(""))
    }
}

impl Node {
    /// Makes an empty value at `mark`.
    pub fn blank(mark: Mark) -> Self {
        Self { value: Value::Scalar(String::new()), mark, tag: None, secret: false }
    }

    /// Makes a mapping at `mark`.
    pub fn map(entries: Vec<Entry>, mark: Mark) -> Self {
        Self { value: Value::Map(entries), mark, tag: None, secret: false }
    }

    /// Tells whether the value means 'not set': nothing, `~`, `null` or an empty text.
    pub fn is_blank(&self) -> bool {
        self.tag.is_none() && matches!(&self.value, Value::Scalar(text) if text.trim().is_empty())
    }

    /// Tells whether the value lies elsewhere and was not fetched.
    pub fn is_pending(&self) -> bool {
        self.tag.is_some()
    }

    /// Stands where an include should and could not be read; that was said then.
    pub(crate) fn unreadable(mark: Mark) -> Self {
        Self { tag: Some(Tag::Include), ..Self::blank(mark) }
    }

    /// Tells whether an include stands here that could not be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.tag == Some(Tag::Include)
    }

    /// Tells whether a word that stands in the file switches this off: `enable: no`.
    pub(crate) fn is_off(&self) -> bool {
        let word = self.get("enable").and_then(Self::text).map(|text| text.trim().to_lowercase());
        word.is_some_and(|word| ["no", "off", "false", "n"].contains(&word.as_str()))
    }

    /// Returns the text of a scalar that is set and written out.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) if self.tag.is_none() && !text.trim().is_empty() => Some(text),
            _ => None,
        }
    }

    /// Returns the entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the entry of `key`, also when it is blank.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// Returns the value of `key` if it is set.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_blank())
    }

    /// Returns where `key` stands, else where this node does.
    pub fn mark_of(&self, key: &str) -> &Mark {
        self.entry(key).map_or(self.first_mark(), |entry| &entry.mark)
    }

    /// Returns where `path` leads, such as `connect.db_port` or `target[1]`, and the value there;
    /// as far as it leads. Items that are blank do not count, one value is a list of one.
    pub fn at(&self, path: &str) -> (&Mark, Option<&Self>) {
        let (mut mark, mut node) = (self.first_mark(), self);
        for step in path.split('.') {
            let (key, item) = match step.split_once('[') {
                Some((key, item)) => (key, item.trim_end_matches(']').parse::<usize>().ok()),
                None => (step, None),
            };
            mark = node.mark_of(key);
            let Some(value) = node.get(key) else { return (mark, None) };
            node = value;
            if let (Some(item), Value::List(items)) = (item, &value.value) {
                let mut set = items.iter().filter(|item| !item.is_blank());
                let Some(value) = set.nth(item) else { return (mark, None) };
                node = value;
            }
            if item.is_some() {
                mark = &node.mark;
            }
        }
        (mark, Some(node))
    }

    /// Returns the mark of a mapping's first key, else the node's own.
    pub fn first_mark(&self) -> &Mark {
        self.entries().first().map_or(&self.mark, |entry| &entry.mark)
    }

    /// Names what it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Scalar(_) if self.is_blank() => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Counts this node and all below it.
    pub fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Self::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.size()).sum(),
        }
    }

    /// Measures how deep it is nested.
    pub fn depth(&self) -> usize {
        1 + match &self.value {
            Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(entries) => {
                entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0)
            }
        }
    }

    /// Calls `visit` for this node and every one below it, parents first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match &self.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter().for_each(|item| item.walk(visit)),
            Value::Map(entries) => entries.iter().for_each(|entry| entry.value.walk(visit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Problems;
    use crate::config::yaml::{self, Budget};

    #[test]
    fn a_path_leads_to_the_key_or_the_item_to_blame() {
        let text = "name: x\nlist: ['', a, b]\none: c\nconnect:\n  port: 1\n  blank: ''\n";
        let file = Arc::new(File::new("t".into(), text.to_owned()));
        let node = yaml::parse(&file, &mut Budget::new(), &mut Problems::default()).unwrap();
        let at = |path: &str| {
            let (mark, value) = node.at(path);
            (mark.line, mark.column, value.and_then(Node::text))
        };
        assert_eq!(at("name"), (1, 1, Some("x")));
        assert_eq!(at("list[1]"), (2, 15, Some("b")));
        assert_eq!(at("list[7]"), (2, 1, None));
        assert_eq!(at("one[0]"), (3, 6, Some("c")));
        assert_eq!(at("connect.port"), (5, 3, Some("1")));
        assert_eq!(at("connect.blank"), (6, 3, None));
        assert_eq!(at("connect.host"), (5, 3, None));
        assert_eq!(at("absent.key"), (1, 1, None));
    }
}
