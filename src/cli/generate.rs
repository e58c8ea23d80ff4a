//! `generate`: a job to fill in, from the pieces that sources and storages bring, or a main config.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::base::{Group, Plugin};
use crate::cli::args::{Generate, GenerateGoal, GenerateWhat};
use crate::cli::failure::{Failure, NOTHING};
use crate::cli::output;
use crate::config;

/// Writes what was asked for.
pub(crate) fn run(verb: &Generate) -> Result<u8, Failure> {
    match &verb.what {
        Some(GenerateWhat::Main(goal)) => put(MAIN, goal),
        None => put(&job(verb)?, &verb.goal),
    }
}

/// Spells the job.
fn job(verb: &Generate) -> Result<String, Failure> {
    let Some(word) = &verb.kind else {
        let error = Failure::usage("which type of job? Give --type, or say `generate main`");
        return Err(error.hint(format!("Types: {}.", names(&config::types()))));
    };
    let kind = find("type", word, &config::types())?;
    let words =
        if verb.storages.is_empty() { vec!["local".to_owned()] } else { verb.storages.clone() };
    Ok(spelled(kind, &storages(&words)?))
}

/// Finds the storages, each of which is named once.
fn storages(words: &[String]) -> Result<Vec<&'static Plugin>, Failure> {
    let known = config::storages();
    let mut found: Vec<&'static Plugin> = Vec::new();
    for word in words {
        let names = word.split([',', ' ']).filter(|name| !name.is_empty());
        if names.clone().next().is_none() {
            let error = Failure::usage(format!("--storage {word:?} names no storage"));
            return Err(error.hint(format!("There are: {}.", self::names(&known))));
        }
        for name in names {
            let storage = find("storage", name, &known)?;
            if found.iter().any(|other| other.name == storage.name) {
                let error = Failure::usage(format!("storage `{}` is named twice", storage.name));
                let hint = "Name it once; a second one is a copy of its entry with another folder.";
                return Err(error.hint(hint));
            }
            found.push(storage);
        }
    }
    Ok(found)
}

/// Finds a kind by any of its names.
fn find(what: &str, word: &str, kinds: &[&'static Plugin]) -> Result<&'static Plugin, Failure> {
    if let Some(kind) = kinds.iter().find(|kind| kind.is_called(word)) {
        return Ok(kind);
    }
    let known = kinds.iter().flat_map(|kind| kind.words());
    let near = config::nearest(word, known);
    let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    let error = Failure::usage(format!("unknown {what} `{word}`{near}"));
    Err(error.hint(format!("There are: {}.", names(kinds))))
}

fn names(kinds: &[&'static Plugin]) -> String {
    kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

fn spelled(kind: &Plugin, storages: &[&'static Plugin]) -> String {
    let (name, group) = (kind.name, kind.group.unwrap_or(Group::External));
    let mut text = format!(
        "# A job of nxs-backup: fill in what is blank, then `nxs-backup check` says what is missing.\n\
         # Keep this file to root (mode 0600), or passwords in files of their own: `!file PATH`.\n\
         - job: PROJECT-{}\n  type: {name}\n  # enable: no               # switches the job off\n  \
         compress: zstd             # none, gzip, zstd\n",
        name.replace('_', "-")
    );
    match kind.on_job {
        true => text.push_str(&indented(kind.sample, "  ", "  ")),
        false => {
            text.push_str("  sources:\n");
            text.push_str(&indented(kind.sample, "  - ", "    "));
        }
    }
    if kind.in_chains {
        text.push_str("  incremental: calendar     # or levels: {max_level: 7}\n");
        text.push_str("  inc_months_to_store: 12\n");
    }
    text.push_str("  storages:\n");
    for storage in storages {
        let slash = if storage.name == "local" { "/var" } else { "" };
        text.push_str(&format!(
            "  - storage: {}\n    backup_dir: {slash}/nxs-backup/{}/{name}\n",
            storage.name,
            group.name()
        ));
        if !kind.in_chains {
            text.push_str(STORE);
        }
        text.push_str(&indented(storage.sample, "    ", "    "));
    }
    text
}

/// Puts `first` before the first line that is no comment, and `rest` before all others.
fn indented(sample: &str, first: &str, rest: &str) -> String {
    let mut begun = false;
    let lines = sample.lines().map(|line| {
        let starts = !begun && !line.starts_with('#');
        begun |= starts;
        format!("{}{line}\n", if starts { first } else { rest })
    });
    lines.collect()
}

/// Prints it, or writes it to a new file that only its owner can read.
fn put(text: &str, goal: &GenerateGoal) -> Result<u8, Failure> {
    let Some(path) = &goal.path else {
        output::line(text.trim_end());
        return Ok(0);
    };
    if path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/") {
        let error = Failure::usage(format!("{} is a folder", path.display()));
        let file = path.join("site.conf");
        return Err(error.hint(format!("Name the new file, such as {}.", file.display())));
    }
    let wrong = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let error = Failure::usage(format!("{} exists", path.display()));
            error.hint("Give another --path, or --force to replace it.")
        }
        _ => Failure::new(NOTHING, format!("{}: {error}", path.display())),
    };
    write(path, text, goal.force).map_err(wrong)?;
    output::line(format!("{} is written: fill in what is blank, then run `check`", path.display()));
    Ok(0)
}

/// Folders that are missing are closed to others, as the packages make them. A file that is
/// replaced keeps its old content until the new one is whole.
fn write(path: &Path, text: &str, replace: bool) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    if !replace {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        return file.sync_all();
    }
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

const STORE: &str =
    "    store: {days: 7, weeks: 5, months: 6}   # copies of each level; 0 switches one off\n";
const MAIN: &str = include_str!("generate/main.yaml");
