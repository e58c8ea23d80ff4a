//! From files to one tree: reading, includes, and whether a file may be believed.
//!
//! Paths in a file are relative to its folder. What is wrong with one file does not hide what is
//! wrong with the next.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::config::node::{File, Mark, Node, Tag, Value};
use crate::config::problem::{Problem, Problems};
use crate::config::trust::{TRUST_HINT, Trust};
use crate::config::yaml::{self, Budget};

/// Reads the config at `path` with everything that it includes.
///
/// Returns `None` when the file itself cannot be read; what is wrong goes to `problems`.
pub(crate) fn read(path: &Path, trust: Trust, problems: &mut Problems) -> Option<Node> {
    let mut loader = Loader { trust, problems, budget: Budget::new(), chain: Vec::new(), files: 0 };
    loader.file(path, &Mark::of_file(path))
}

struct Loader<'a> {
    trust: Trust,
    problems: &'a mut Problems,
    budget: Budget,
    /// The files that include each other on the way here, as spelled and as the disk knows them.
    chain: Vec<(PathBuf, PathBuf)>,
    files: usize,
}

impl Loader<'_> {
    /// Reads one file; `from` is the include that asks for it.
    fn file(&mut self, path: &Path, from: &Mark) -> Option<Node> {
        let text = match self.enter(path) {
            Ok(text) => text,
            Err(problem) => {
                let problem = match from.line {
                    0 => Problem::of_file(path, problem.0).with_optional_hint(problem.1),
                    _ => Problem::error(from, "", problem.0).with_optional_hint(problem.1),
                };
                self.problems.push(problem);
                return None;
            }
        };
        let file = Arc::new(File::new(path.to_owned(), text));
        let node = yaml::parse(&file, &mut self.budget, self.problems);
        let node = node.map(|node| self.expand(node));
        self.chain.pop();
        node
    }

    /// Opens a file, checks it and puts it on the chain.
    fn enter(&mut self, path: &Path) -> Result<String, Refused> {
        let shown = path.display();
        let plain = |error: std::io::Error| (format!("cannot read {shown}: {error}"), None);
        let real = fs::canonicalize(path).map_err(plain)?;
        if self.chain.iter().any(|(_, known)| *known == real) {
            let files = self.chain.iter().map(|(spelled, _)| spelled.display().to_string());
            let chain: Vec<_> = files.chain([shown.to_string()]).collect();
            return Err((format!("files include each other: {}", chain.join(" -> ")), None));
        }
        if self.chain.len() >= DEEPEST_INCLUDE {
            return Err((format!("includes nest more than {DEEPEST_INCLUDE} files deep"), None));
        }
        self.files += 1;
        if self.files > MOST_FILES {
            return Err((format!("more than {MOST_FILES} files are included"), None));
        }
        let is_main = self.chain.is_empty();
        let text = if is_main { read_any(path, self.trust) } else { read_text(path, self.trust) }?;
        self.chain.push((path.to_owned(), real));
        Ok(text)
    }

    /// Puts the files that includes name in their places.
    fn expand(&mut self, mut node: Node) -> Node {
        if node.tag == Some(Tag::Include) {
            let mark = node.mark;
            return match node.value {
                Value::Scalar(name) => self.one(&name, mark),
                Value::List(patterns) => self.many(patterns, mark),
                Value::Map(_) => Node::unreadable(mark),
            };
        }
        match &mut node.value {
            Value::Scalar(_) => {}
            Value::List(items) => {
                *items = std::mem::take(items).into_iter().map(|item| self.expand(item)).collect();
            }
            Value::Map(entries) => {
                for entry in entries {
                    let blank = Node::blank(entry.value.mark.clone());
                    entry.value = self.expand(std::mem::replace(&mut entry.value, blank));
                }
            }
        }
        node
    }

    /// `!include FILE`: its content replaces the node.
    fn one(&mut self, name: &str, mark: Mark) -> Node {
        let path = mark.folder().join(name);
        if name.contains(['*', '?', '[']) && !path.exists() {
            let problem = Problem::error(&mark, "", format!("there is no file {}", path.display()));
            let hint = format!("a pattern stands in a list: !include [{name}]");
            self.problems.push(problem.with_hint(hint));
            return Node::unreadable(mark);
        }
        self.file(&path, &mark).unwrap_or_else(|| Node::unreadable(mark))
    }

    /// `!include [GLOB, …]`: the lists in all matches as one list.
    fn many(&mut self, patterns: Vec<Node>, mark: Mark) -> Node {
        let mut all = Vec::new();
        for pattern in patterns {
            let Some(text) = pattern.text() else {
                let problem = "an include takes file names and patterns";
                self.problems.push(Problem::error(&pattern.mark, "", problem));
                continue;
            };
            for path in self.matches(text, &pattern.mark) {
                match self.file(&path, &pattern.mark) {
                    Some(Node { value: Value::List(items), tag: None, .. }) => all.extend(items),
                    Some(node @ Node { value: Value::Map(_), .. }) => all.push(node),
                    Some(node) if node.is_blank() => {
                        let note = format!("{} holds nothing", path.display());
                        self.problems.push(Problem::note(&pattern.mark, "", note));
                    }
                    Some(node) => {
                        let problem = "an included file must hold a list of jobs, or one job";
                        self.problems.push(Problem::error(&node.mark, "", problem));
                    }
                    None => {}
                }
            }
        }
        Node { value: Value::List(all), mark, tag: None, secret: false }
    }

    /// Finds the files of a pattern, sorted.
    fn matches(&mut self, pattern: &str, mark: &Mark) -> Vec<PathBuf> {
        let folder = glob::Pattern::escape(&mark.folder().to_string_lossy());
        let full = Path::new(&folder).join(pattern);
        let found = match glob::glob(&full.to_string_lossy()) {
            Ok(found) => found,
            Err(error) => {
                let problem = format!("`{pattern}` is not a pattern: {}", error.msg);
                self.problems.push(Problem::error(mark, "", problem));
                return Vec::new();
            }
        };
        let mut paths = Vec::new();
        for entry in found {
            match entry {
                Ok(path) => paths.push(path),
                Err(error) => {
                    let shown = error.path().display();
                    let problem = format!("cannot read {shown}: {}", error.error());
                    self.problems.push(Problem::error(mark, "", problem));
                }
            }
        }
        paths.sort();
        if paths.is_empty() {
            let note = format!("`{pattern}` matches no file");
            self.problems.push(Problem::note(mark, "", note));
        }
        let searched = mark.folder().join(before_glob(pattern));
        if self.doubts_folders(&paths, &searched, mark) {
            return Vec::new();
        }
        paths
    }

    /// Whoever may write a folder that a pattern searches may add jobs: also where it is sticky.
    fn doubts_folders(&mut self, paths: &[PathBuf], searched: &Path, mark: &Mark) -> bool {
        let mut folders = BTreeSet::new();
        for path in paths {
            let above = path.ancestors().skip(1);
            folders.extend(above.take_while(|folder| folder.starts_with(searched)));
        }
        let mut doubtful = false;
        for folder in folders {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let doubt = fs::metadata(folder).ok().and_then(|meta| self.trust.doubt(&meta));
            if let Some(doubt) = doubt {
                let problem = format!("the folder {} is not trusted: {doubt}", folder.display());
                self.problems.push(Problem::error(mark, "", problem).with_hint(TRUST_HINT));
                doubtful = true;
            }
        }
        doubtful
    }
}

/// The folders that a pattern names before it begins to search.
fn before_glob(pattern: &str) -> PathBuf {
    let parts: Vec<_> = Path::new(pattern).components().collect();
    let is_plain = |part: &&Component<'_>| {
        !part.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
    };
    let plain = parts.iter().take_while(is_plain).count().min(parts.len().saturating_sub(1));
    parts[..plain].iter().collect()
}

/// What is wrong with a file, and what to do about it.
type Refused = (String, Option<&'static str>);

/// Reads a regular file that is small, trusted and UTF-8: a pipe would be waited for.
pub(crate) fn read_text(path: &Path, trust: Trust) -> Result<String, Refused> {
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() && !meta.is_dir() => {
            Err((format!("cannot read {}: it is not a regular file", path.display()), None))
        }
        _ => read_any(path, trust),
    }
}

/// Reads text from a file of any kind.
fn read_any(path: &Path, trust: Trust) -> Result<String, Refused> {
    let shown = path.display();
    let plain = |error: std::io::Error| (format!("cannot read {shown}: {error}"), None);
    let file = fs::File::open(path).map_err(plain)?;
    let meta = file.metadata().map_err(plain)?;
    if meta.is_dir() {
        return Err((format!("cannot read {shown}: it is a folder"), None));
    }
    if let Some(doubt) = trust.doubt(&meta).or_else(|| trust.doubt_way(path)) {
        return Err((format!("{shown} is not trusted: {doubt}"), Some(TRUST_HINT)));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(plain)?;
    if bytes.len() as u64 > MOST_BYTES {
        let mib = MOST_BYTES >> 20;
        return Err((format!("{shown} is larger than {mib} MiB: not a config"), None));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        (format!("{shown} is not UTF-8 text: see line {line}"), None)
    })
}

impl Problem {
    fn with_optional_hint(self, hint: Option<&'static str>) -> Self {
        match hint {
            Some(hint) => self.with_hint(hint),
            None => self,
        }
    }
}

const MOST_BYTES: u64 = 4 << 20;
const MOST_FILES: usize = 10_000;
const DEEPEST_INCLUDE: usize = 16;
