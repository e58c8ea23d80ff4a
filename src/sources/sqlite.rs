//! `sqlite`: each file of each glob, while programs use it.
//!
//! SQLite's own online backup makes a copy in `tmp_dir`, which is checked and then read: a copy on
//! the way cannot be avoided, since the pages of a database come in no order that could be streamed.

mod copy;

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{KIB, Wrong, untext};
use crate::sources::tool::Tool;
use crate::sources::{
    Back, Error, Files, Found, Kind, Result, Section, Setting, Source, Target, files,
};
use crate::stream::{self, ByteStream, Dump, DumpFacts, Feeder, Payload, Pending, Promise};

use copy::{Copied, Copying};

/// A source of `sqlite`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Patterns of absolute paths; each match is one artefact.
    #[serde(default)]
    pub target: Vec<String>,
    /// Another spelling of `target`.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Patterns of paths that are left out.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// How the copy is checked: `full` also compares every index with its table, `quick` does not,
    /// `none` not at all.
    #[serde(default)]
    pub check: Check,
}

/// How a copy is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// `PRAGMA integrity_check`.
    #[default]
    Full,
    /// `PRAGMA quick_check`.
    Quick,
    /// Not at all: for databases with collations or functions of their program.
    #[serde(alias = "no", alias = "off", alias = "false")]
    None,
}

/// Files of SQLite, by globs.
struct Sqlite {
    files: Files,
    check: Check,
    tmp_dir: PathBuf,
    silence: Option<Duration>,
}

impl Config {
    fn files(&self) -> files::Config {
        let Self { target, targets, excludes, .. } = self.clone();
        files::Config { target, targets, excludes }
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        self.files().problems()
    }

    fn address(&self) -> Option<String> {
        None
    }

    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    fn wanted(&self) -> Vec<String> {
        self.files().wanted()
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let files = Files::new(setting.name, self.wanted(), &self.excludes)?;
        let (tmp_dir, silence) = (setting.tmp_dir.to_owned(), setting.silence);
        Ok(Box::new(Sqlite { files, check: self.check, tmp_dir, silence }))
    }
}

#[async_trait]
impl Source for Sqlite {
    async fn targets(&self) -> Result<Found> {
        let Found { targets, failed, notes } = self.files.targets().await?;
        // Files are followed here, links to them too.
        let notes = notes.into_iter().filter(|note| !note.contains("is a link to a file"));
        let mut found = Found { failed, notes: notes.collect(), ..Found::default() };
        for target in targets {
            let path = path_of(&target);
            if is_companion(&path) {
                found.notes.push(format!("{}: comes with its database", target.name));
            } else if path.is_dir() {
                found.failed.push(Error {
                    kind: Kind::Other,
                    subject: target.name,
                    problem: "is a folder; only files can be databases of SQLite".to_owned(),
                    source: None,
                });
            } else {
                found.targets.push(Target { ext: EXT.to_owned(), ..target });
            }
        }
        Ok(found)
    }

    async fn probe(&self) -> Result<Found> {
        let mut found = self.targets().await?;
        for target in &found.targets {
            let (name, path) = (target.name.clone(), path_of(target));
            let read = tokio::task::spawn_blocking(move || copy::readable(&name, &path)).await;
            found.failed.extend(read.ok().and_then(Result::err));
        }
        Ok(found)
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let stop = Arc::new(AtomicBool::new(false));
        let copying = Copying {
            name: target.name.clone(),
            path: path_of(target),
            tmp_dir: self.tmp_dir.clone(),
            check: self.check,
            patience: self.silence,
            stop: Arc::clone(&stop),
        };
        let (feeder, bytes) = ByteStream::channel(DEPTH);
        let (promise, facts) = Pending::new();
        tokio::spawn(async move {
            let mut copied = tokio::task::spawn_blocking(move || copying.run());
            let copied = tokio::select! {
                copied = &mut copied => copied,
                () = feeder.closed() => {
                    stop.store(true, Ordering::Relaxed);
                    // It removes what it wrote.
                    return drop(copied.await);
                }
            };
            match copied {
                Ok(Ok(copied)) => hand_over(copied, feeder, promise),
                Ok(Err(error)) => feeder.fail(stream::Error::new(error)).await,
                Err(error) => feeder.fail(stream::Error::new(error)).await,
            }
        });
        Ok(Payload::Dump(Dump { bytes, facts }))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Plain
    }
}

/// Reads the copy to its end, on a thread that may block.
fn hand_over(mut copied: Copied, feeder: Feeder, promise: Promise<DumpFacts>) {
    tokio::task::spawn_blocking(move || {
        let mut left = copied.bytes;
        while left > 0 {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            if let Err(error) = copied.file.read_exact(&mut chunk) {
                return feeder.blocking_fail(error.into());
            }
            left -= chunk.len() as u64;
            if feeder.blocking_send(chunk.into()).is_err() {
                return;
            }
        }
        promise.keep(copied.facts);
        feeder.blocking_finish().ok();
    });
}

/// The file that is meant.
fn path_of(target: &Target) -> PathBuf {
    let named = || PathBuf::from(OsString::from_vec(untext(&target.name)));
    target.path.clone().unwrap_or_else(named)
}

/// Tells whether it is a journal of a database that is there, too.
fn is_companion(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let database =
        ["-wal", "-shm", "-journal"].iter().find_map(|end| bytes.strip_suffix(end.as_bytes()));
    database.is_some_and(|database| Path::new(std::ffi::OsStr::from_bytes(database)).is_file())
}

const EXT: &str = "sqlite";
/// Chunks that wait: with [`CHUNK`] at most 1 MiB.
const DEPTH: usize = 4;
const CHUNK: usize = 256 * KIB;
