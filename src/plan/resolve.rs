//! From a config to a plan: what the sections mean together, decided once.
//!
//! An error in `main`, in an include or in the outline stops everything; an error in a job makes
//! that job a broken one.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, Config, Draft, Fetcher, Node, Problem, Problems, raw};
use crate::plan::job::{self, Common};
use crate::plan::{Broken, Entry, Group, Main, Plan, limits, notices};

/// For which jobs values are fetched from where they lie.
#[derive(Clone, Copy)]
pub enum Fetch<'a> {
    /// For none: placeholders stand in their places; nothing that is resolved so may run.
    Never,
    /// For all that are not switched off.
    All,
    /// For those of which this is true, by name and group.
    Jobs(&'a dyn Fn(&str, Option<Group>) -> bool),
}

/// Resolves a config.
///
/// Errors: every problem of the whole tree, when one of them stops everything.
pub fn resolve(config: &Config, fetch: Fetch<'_>) -> Result<Plan, Problems> {
    let Survey { main, jobs, problems, secret_env, stops } = look(config, fetch);
    match main {
        Some(main) if !stops => Ok(Plan { main, jobs, secret_env }),
        _ => Err(problems.in_order()),
    }
}

/// Finds every problem and note of a config without fetching anything.
///
/// What is not built in this version is said once, with all places where it is used.
pub fn problems(config: &Config) -> Problems {
    survey(config).problems
}

/// Does so and returns what can be read, whatever is wrong elsewhere.
pub fn survey(config: &Config) -> Survey {
    let survey = look(config, Fetch::Never);
    Survey { problems: survey.problems.in_order().merged(), ..survey }
}

/// Returns the group that jobs of a type run in.
pub fn group_of(kind: &str) -> Option<Group> {
    config::types().into_iter().find(|known| known.is_called(kind))?.group
}

/// All that can be said of a config.
pub struct Survey {
    /// Settings of the whole program, where they can be read.
    pub main: Option<Main>,
    /// The jobs, in config order, whole ones and broken ones.
    pub jobs: Vec<Entry>,
    /// What is wrong, and what is worth a word.
    pub problems: Problems,
    secret_env: BTreeSet<String>,
    /// An error is about the whole.
    stops: bool,
}

fn look(config: &Config, fetch: Fetch<'_>) -> Survey {
    let mut fetcher = Fetcher::new(config);
    let mut problems = config.problems().clone();
    let fetches = !matches!(fetch, Fetch::Never);
    let raw = config.read_main(fetches.then_some(&mut fetcher), &mut problems);
    let entries = config.read_notify(fetches.then_some(&mut fetcher), &mut problems);
    let secret_env = config.env_names();
    let notify = match &raw {
        Some(raw) => notices::channels(config.main(), raw, &entries, &secret_env, &mut problems),
        None => Vec::new(),
    };
    let limits = raw.as_ref().map(limits::Common::of).unwrap_or_default();
    let main = raw.and_then(|raw| main(config.main(), raw, &mut problems));
    let stops = main.is_none() || problems.has_errors();
    let notes: Vec<String> = problems.notes().map(Problem::brief).collect();
    let mut seen = Seen::default();
    let mut jobs = Vec::new();
    for index in 0..config.jobs().len() {
        let mut draft = config.draft(index);
        let group = draft.kind().and_then(|kind| kind.group);
        let wanted = match fetch {
            Fetch::Never => false,
            Fetch::All => true,
            Fetch::Jobs(wanted) => draft.name().is_some_and(|name| wanted(name, group)),
        };
        if wanted && !draft.is_off() {
            draft.fetch(&mut fetcher);
        }
        let state_dir = main.as_ref().map_or(Path::new(STATE_DIR), |main| &main.state_dir);
        let common = Common { limits, secret_env: &secret_env, state_dir };
        let entry = entry(&mut draft, group, common, &mut seen);
        problems.extend(draft.problems);
        jobs.push(entry);
    }
    let main = main.map(|main| Main { notes, notify, ..main });
    Survey { main, jobs, problems, secret_env, stops }
}

/// What earlier jobs of the config have taken.
#[derive(Default)]
pub(crate) struct Seen {
    names: HashMap<String, String>,
    /// Who stores where: folder, source and pattern, with the job that was first.
    pub(crate) folders: HashMap<(String, Option<String>, String), (String, String)>,
}

fn entry(draft: &mut Draft, group: Option<Group>, common: Common<'_>, seen: &mut Seen) -> Entry {
    check_name(draft, seen);
    let job = job::resolve(draft, group, common, seen);
    match job {
        Some(mut job) if !draft.problems.has_errors() => {
            job.notes = draft.problems.notes().map(Problem::brief).collect();
            Entry::Job(Box::new(job))
        }
        job => Entry::Broken(Broken {
            tools: job.map(|job| job.tools()).unwrap_or_default(),
            name: draft.name().unwrap_or(&draft.path).to_owned(),
            kind: draft.type_word().unwrap_or_default().to_owned(),
            group,
            enabled: !draft.is_off(),
            problems: draft.problems.errors().map(Problem::to_string).collect(),
        }),
    }
}

/// Checks that a name can be asked for on the command line and means one job.
fn check_name(draft: &mut Draft, seen: &mut Seen) {
    let Some(name) = draft.name().map(str::to_owned) else { return };
    let Some(node) = draft.node.get("job") else { return };
    let mut say = |message: String| {
        draft.problems.push(Problem::error(&node.mark, &draft.path, message));
    };
    if RESERVED.contains(&name.as_str()) {
        say(format!("a job cannot be called `{name}`: `start {name}` means a group of jobs"));
    }
    if name.chars().any(char::is_control) || name.starts_with('-') || name.trim() != name {
        say("a job's name has no line breaks or spaces around it, and no dash in front".to_owned());
    }
    if let Some(first) = seen.names.get(&name) {
        say(format!("there is another job `{name}`, in {first}"));
    } else {
        seen.names.insert(name, node.mark.origin());
    }
}

fn main(node: &Node, raw: raw::Main, problems: &mut Problems) -> Option<Main> {
    let mut good = true;
    let mut say = |key: &str, message: String| {
        problems.push(Problem::error(node.mark_of(key), "main", message));
        good = false;
    };
    if raw.log_file.is_some() && raw.log_file_name.is_some() && raw.log_file != raw.log_file_name {
        say("log_file_name", "`log_file` and `log_file_name` are the same setting".to_owned());
    }
    let wait = [raw.lock_wait, raw.loop_timeout].map(|span| span.map(|span| span.0));
    if let [Some(new), Some(old)] = wait
        && new != old
    {
        say("loop_timeout", "`lock_wait` and `loop_timeout` are the same setting".to_owned());
    }
    let log_file = raw.log_file.or(raw.log_file_name);
    let state_dir = raw.state_dir.unwrap_or_else(|| PathBuf::from(STATE_DIR));
    let textfile = raw.metrics.and_then(|metrics| metrics.textfile);
    if textfile.as_deref().is_some_and(|path| path.extension().is_none_or(|end| end != "prom")) {
        say(
            "metrics",
            "`metrics.textfile` must end in `.prom`: node_exporter reads nothing else".into(),
        );
    }
    let paths = [
        ("log_file", log_file.as_deref()),
        ("state_dir", Some(&*state_dir)),
        ("metrics", textfile.as_deref()),
    ];
    for (key, path) in paths {
        if path.is_some_and(|path| !path.is_absolute()) {
            let key = if node.get(key).is_some() { key } else { "log_file_name" };
            say(key, format!("`{key}` must be an absolute path"));
        }
    }
    let names: BTreeSet<&str> =
        raw.formerly.iter().map(String::as_str).chain([raw.server_name.as_str()]).collect();
    if names.iter().any(|name| name.chars().any(char::is_control)) {
        say("server_name", "a server's name is one line of text".to_owned());
    }
    good.then(|| Main {
        server_name: raw.server_name,
        formerly: raw.formerly,
        state_dir,
        lock_wait: wait.into_iter().flatten().next().unwrap_or(Duration::ZERO),
        log_file,
        log_json: raw.log_format == Some(raw::LogFormat::Json),
        log_rotation: raw.log_rotation.filter(|rotation| *rotation != raw::LogRotation::Never),
        log_keep: raw.log_keep.unwrap_or(30),
        journald: raw.journald,
        textfile,
        notify: Vec::new(),
        notes: Vec::new(),
    })
}

const RESERVED: [&str; 4] = ["all", "files", "databases", "external"];
pub(crate) const STATE_DIR: &str = "/var/lib/nxs-backup";
