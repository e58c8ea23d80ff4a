//! Where a restore puts what it brings back: a folder for each artefact, and what speaks against
//! one. Nothing is written here.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::base::{component, display, untext};
use crate::cli::failure::Failure;
use crate::restore::pick::Choice;

/// One artefact and the folder that it goes into.
pub(crate) struct Goal<'a> {
    /// The artefact.
    pub(crate) choice: &'a Choice<'a>,
    /// Its folder.
    pub(crate) into: PathBuf,
}

/// Gives each artefact its folder: a single one gets `to` itself, of several each gets
/// `<job>/<part>` below it.
///
/// Errors: when two of them would be mixed in one folder.
pub(crate) fn goals<'a>(
    choices: &'a [Choice<'a>],
    to: &Path,
    strip: bool,
) -> Result<Vec<Goal<'a>>, Failure> {
    let is_alone = choices.len() == 1;
    let into = |choice| if is_alone { to.to_owned() } else { to.join(part(choice)) };
    let goals: Vec<_> = choices.iter().map(|choice| Goal { choice, into: into(choice) }).collect();
    refuse_mixed(&goals, strip)?;
    Ok(goals)
}

/// Refuses a file and, unless it may be written over, a folder that holds something.
pub(crate) fn refuse_full(to: &Path, overwrite: bool) -> Result<(), Failure> {
    match fs::read_dir(to).and_then(|mut entries| entries.next().transpose()) {
        Ok(Some(_)) if !overwrite => {
            let error = Failure::usage(format!("{} is not empty", to.display()));
            Err(error.hint("Give another folder, or --overwrite to replace what is in the way."))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::usage(format!("{}: {error}", to.display()))),
    }
}

/// The folders of an artefact on its storage, without that of the level, below one of its job.
fn part(choice: &Choice<'_>) -> PathBuf {
    let job = component(choice.manifest.job.as_bytes());
    let key = &choice.manifest.segments[0].key;
    let part = match crate::catalogue::parse(key) {
        Some(parsed) => parsed.folder,
        None => key.folder().rsplit_once('/').map_or("", |(part, _level)| part).to_owned(),
    };
    Path::new(&job).join(part.trim_end_matches('/'))
}

/// Two targets whose names end alike share a part: stripped, the files of one would lie among
/// those of the other.
fn refuse_mixed(goals: &[Goal<'_>], strip: bool) -> Result<(), Failure> {
    let mut roots: Vec<_> = goals.iter().map(|goal| (root(goal, strip), goal)).collect();
    roots.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mixed = |pair: &&[(PathBuf, &Goal<'_>)]| pair[1].0.starts_with(&pair[0].0);
    let Some([(folder, one), (_, other)]) = roots.windows(2).find(mixed) else { return Ok(()) };
    let [one, other] = [one, other].map(|goal| display(&goal.choice.manifest.target));
    let folder = folder.display();
    let error = Failure::usage(format!("{one} and {other} would be mixed in {folder}"));
    Err(error.hint(match strip {
        true => "Leave --strip away, or bring one back at a time: --target or --id chooses it.",
        false => "Bring one back at a time: --target or --id chooses it.",
    }))
}

/// The file or folder below which everything of an artefact will lie.
fn root(goal: &Goal<'_>, strip: bool) -> PathBuf {
    let manifest = goal.choice.manifest;
    match (&manifest.index, strip) {
        (Some(_), true) => goal.into.clone(),
        (Some(_), false) => {
            let target = untext(&manifest.target);
            let member = target.strip_prefix(b"/").unwrap_or(&target);
            goal.into.join(std::ffi::OsStr::from_bytes(member))
        }
        (None, _) => goal.into.join(manifest.segments[0].key.name()),
    }
}
