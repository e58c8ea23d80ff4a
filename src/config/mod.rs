//! From a config on disk to sections that know where each of their values stands.
//!
//! `load` reads the files and joins includes; `Config::draft` gives a job with its defaults
//! and named storages under it; reading a draft gives plain structs. What they mean together is
//! decided by `plan`.

mod compress;
mod de;
mod fetch;
mod incremental;
mod kinds;
mod load;
mod mask;
mod merge;
mod node;
mod notify;
mod problem;
pub mod raw;
mod read;
mod schema;
mod show;
mod template;
mod trust;
mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use crate::base::{Size, Span};
pub use compress::{Compress, Format};
pub use fetch::Fetcher;
pub use incremental::{Incremental, Levels};
pub use kinds::{notifiers, storages, types};
pub use node::{Entry, File, Mark, Node, Tag, Value};
pub use notify::Notify;
pub use problem::{Problem, Problems, Severity, Snippet, nearest};
pub use read::{Draft, Job, Source, Storage, blame};
pub use schema::schema;
pub use show::{Line, show};
pub use trust::Trust;

/// A config as its files say it.
#[derive(Debug)]
pub struct Config {
    path: PathBuf,
    main: Node,
    /// Whether `main` stands there as it was written, or nothing can be said about it.
    main_is_known: bool,
    jobs: Vec<Node>,
    trust: Trust,
    problems: Problems,
}

/// Reads the config at `path` and all that it includes.
///
/// Errors: when the file itself cannot be read. What is wrong with included files or with the
/// outline is kept: [`Config::problems`].
pub fn load(path: &Path) -> Result<Config, Problems> {
    load_as(path, Trust::from_process())
}

/// Like [`load`], for a given trust.
pub fn load_as(path: &Path, trust: Trust) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let Some(root) = load::read(path, trust, &mut problems) else { return Err(problems) };
    let blank = Node::map(Vec::new(), root.mark.clone());
    let mut config = Config {
        path: path.to_owned(),
        main: blank,
        main_is_known: true,
        jobs: Vec::new(),
        trust,
        problems,
    };
    config.take_apart(root);
    Ok(config)
}

impl Config {
    /// Returns the path of the main file, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `main` as written.
    pub fn main(&self) -> &Node {
        &self.main
    }

    /// Returns the jobs as written, in config order.
    pub fn jobs(&self) -> &[Node] {
        &self.jobs
    }

    /// Returns what is wrong with the files and the outline: every error here is about the whole.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// Returns who is believed.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// Returns the job at `index` with `main.defaults` and named storages under it.
    pub fn draft(&self, index: usize) -> Draft {
        Draft::new(&self.main, &self.jobs[index], format!("jobs[{index}]"))
    }

    /// Reads `main`; what lies elsewhere is fetched by `fetcher`, if there is one.
    pub fn read_main(
        &self,
        fetcher: Option<&mut Fetcher>,
        problems: &mut Problems,
    ) -> Option<raw::Main> {
        if !self.main_is_known {
            return None;
        }
        let mut main = self.main.clone();
        if let Some(fetcher) = fetcher {
            fetcher.fill_main(&mut main, problems);
        }
        read::main(main, problems)
    }

    /// Reads the entries of `main.notify`, like [`Config::read_main`]. One whose values cannot be
    /// fetched says so in itself, not in `problems`: it must not stop a backup.
    pub fn read_notify(
        &self,
        fetcher: Option<&mut Fetcher>,
        problems: &mut Problems,
    ) -> Vec<Notify> {
        notify::read(&self.main, fetcher, problems)
    }

    /// Returns the config without its jobs and without what is wrong in `main`, so that somebody
    /// can be told of the rest; a key of `main` is good when it can be read alone.
    pub fn salvaged(&self) -> Self {
        Self {
            path: self.path.clone(),
            main: read::salvaged_main(&self.main),
            main_is_known: true,
            jobs: Vec::new(),
            trust: self.trust,
            problems: Problems::default(),
        }
    }

    /// Returns the environment variables that the config takes values from: children must not
    /// inherit them. Those that every program lives by are left out.
    pub fn env_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut visit = |node: &Node| match &node.value {
            Value::Scalar(name)
                if node.tag == Some(Tag::Env) && !EVERYBODYS.contains(&name.as_str()) =>
            {
                names.insert(name.clone());
            }
            _ => {}
        };
        self.main.walk(&mut visit);
        // With their templates: a name may be made with a parameter.
        let jobs: Vec<Draft> = (0..self.jobs.len()).map(|index| self.draft(index)).collect();
        jobs.iter().for_each(|draft| draft.node.walk(&mut visit));
        names
    }

    /// Takes the root apart into `main` and the jobs.
    fn take_apart(&mut self, root: Node) {
        let Value::Map(entries) = root.value else {
            let message = "a config is a mapping with `main` and `jobs`";
            self.problems.push(Problem::error(&root.mark, "", message));
            self.main_is_known = false;
            return;
        };
        let mut has_jobs = false;
        for entry in entries {
            match entry.key.as_str() {
                "main" => self.take_main(entry),
                "jobs" => {
                    has_jobs = !entry.value.is_blank();
                    self.take_jobs(entry.value, 0);
                }
                _ => {
                    let names = ["main", "jobs"].into_iter();
                    self.problems.push(de::unknown_key(&entry, "", names));
                }
            }
        }
        if !has_jobs {
            let message = "`jobs` is missing: there is nothing to back up";
            self.problems.push(Problem::error(&root.mark, "", message));
        } else if self.jobs.is_empty() && !self.problems.has_errors() {
            self.problems.push(Problem::note(&root.mark, "jobs", "there is no job at all"));
        }
    }

    fn take_main(&mut self, entry: Entry) {
        match entry.value {
            main @ Node { value: Value::Map(_), .. } => self.main = main,
            other if other.is_blank() => {
                self.main = Node::map(Vec::new(), entry.mark);
            }
            other => {
                self.main_is_known = false;
                if other.is_unreadable() {
                    return;
                }
                let message = format!("`main` is a mapping, not {}", other.kind());
                self.problems.push(Problem::error(&other.mark, "main", message));
            }
        }
    }

    /// Takes the jobs out of lists, also out of lists in the list: an include may stand there.
    fn take_jobs(&mut self, node: Node, depth: usize) {
        match node.value {
            Value::List(items) if depth < 8 => {
                items.into_iter().for_each(|item| self.take_jobs(item, depth + 1));
            }
            Value::Map(_) => self.jobs.push(node),
            _ if node.is_unreadable() || (node.is_blank() && depth == 0) => {}
            _ => {
                let path = format!("jobs[{}]", self.jobs.len());
                let message = format!("a job is a mapping, not {}", node.kind());
                self.problems.push(Problem::error(&node.mark, &path, message));
            }
        }
    }
}

/// Variables that are no secrets and that no child can do without.
const EVERYBODYS: [&str; 9] =
    ["HOME", "HOSTNAME", "LANG", "LC_ALL", "PATH", "SHELL", "TMPDIR", "TZ", "USER"];
