//! What waits for one channel: reports as files below `state_dir`, written before they are sent
//! and removed once they were taken, so that a kill at any moment loses none.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::base::component;
use crate::notify::{Late, Told};

/// The reports that wait for one channel.
pub(super) struct Outbox {
    folder: PathBuf,
}

/// What lies there.
#[derive(Default)]
pub(super) struct Waiting {
    /// The reports, oldest first.
    pub(super) told: Vec<Told>,
    /// Files that hold none, with the reason.
    pub(super) damaged: Vec<String>,
}

/// Jobs, and whether each was bad when it was last told.
pub(super) type Seen = BTreeMap<String, bool>;

impl Outbox {
    /// The one of a channel.
    pub(super) fn of(state_dir: &Path, channel: &str) -> Self {
        Self { folder: state_dir.join(FOLDER).join(component(channel.as_bytes())) }
    }

    /// Waits until nobody else sends for this channel; the lock lasts as long as the file.
    ///
    /// Errors: the folder cannot be made or written, or somebody has held the lock for a minute.
    pub(super) async fn lock(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let path = self.folder.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        for _ in 0..600 {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(error)) => return Err(error),
                Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(POLL).await,
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another process is sending"))
    }

    /// Keeps a report; the oldest goes when there are too many.
    ///
    /// Errors: those of writing.
    pub(super) fn put(&self, told: &Told) -> io::Result<()> {
        let json = serde_json::to_vec(told)?;
        self.write(&format!("{}.json", told.id), &json)?;
        let mut names = self.names();
        names.sort();
        for old in names.iter().take(names.len().saturating_sub(MOST)) {
            let old = self.folder.join(old);
            fs::remove_file(&old)?;
            tracing::warn!("more than {MOST} reports wait: {} is thrown away", old.display());
        }
        Ok(())
    }

    /// Reads what waits. What was being sent when the program died may have arrived.
    pub(super) fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for name in self.names() {
            let path = self.folder.join(&name);
            let read = fs::read(&path).and_then(|json| Ok(serde_json::from_slice::<Told>(&json)?));
            match read {
                Ok(mut told) => {
                    if name.ends_with(TRYING) {
                        let why = "the program ended while it was sent".to_owned();
                        told.late = Some(Late { why, may_have_arrived: true });
                    }
                    waiting.told.push(told);
                }
                Err(error) => waiting.damaged.push(format!("{}: {error}", path.display())),
            }
        }
        waiting.told.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        waiting
    }

    /// Notes that these are being sent now.
    pub(super) fn trying(&self, told: &[Told]) {
        for one in told {
            let path = |ending: &str| self.folder.join(format!("{}{ending}", one.id));
            fs::rename(path(KEPT), path(TRYING)).ok();
        }
    }

    /// Forgets what was taken.
    ///
    /// Errors: a file stays, and would be sent again.
    pub(super) fn sent(&self, told: &[Told]) -> io::Result<()> {
        for name in told.iter().flat_map(|one| [KEPT, TRYING].map(|end| format!("{}{end}", one.id)))
        {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps what was not taken, with the reason.
    ///
    /// Errors: those of writing.
    pub(super) fn failed(&self, told: &[Told], late: &Late) -> io::Result<()> {
        for one in told {
            let arrived = one.late.as_ref().is_some_and(|late| late.may_have_arrived);
            let may_have_arrived = late.may_have_arrived || arrived;
            let late = Some(Late { may_have_arrived, ..late.clone() });
            self.put(&Told { late, ..one.clone() })?;
            fs::remove_file(self.folder.join(format!("{}{TRYING}", one.id))).ok();
        }
        Ok(())
    }

    /// Reads which jobs were bad when this channel last heard; a file that cannot be read says
    /// nothing.
    pub(super) fn seen(&self) -> Option<Seen> {
        let json = fs::read(self.folder.join(SEEN)).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Remembers which jobs are bad.
    ///
    /// Errors: those of writing.
    pub(super) fn see(&self, seen: &Seen) -> io::Result<()> {
        self.write(SEEN, &serde_json::to_vec_pretty(seen)?)
    }

    /// Reads when the last run was that this channel could have heard of.
    pub(super) fn last_run(&self) -> Option<Timestamp> {
        fs::read_to_string(self.folder.join(LAST_RUN)).ok()?.trim().parse().ok()
    }

    /// Remembers a run, whether the channel hears of it or not.
    ///
    /// Errors: those of writing.
    pub(super) fn ran(&self, at: Timestamp) -> io::Result<()> {
        self.write(LAST_RUN, at.to_string().as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(name))?;
        Ok(())
    }

    /// The names of the files that hold reports.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| !name.starts_with('.') && name != SEEN)
            .filter(|name| name.ends_with(KEPT) || name.ends_with(TRYING))
            .collect()
    }
}

/// Returns the folders of channels that are none of `known` and still hold reports.
pub(super) fn orphans(state_dir: &Path, known: &[&str]) -> Vec<(PathBuf, usize)> {
    let known: Vec<String> = known.iter().map(|name| component(name.as_bytes())).collect();
    let entries = fs::read_dir(state_dir.join(FOLDER)).into_iter().flatten().flatten();
    let folders = entries
        .filter(|entry| entry.file_name().into_string().is_ok_and(|name| !known.contains(&name)));
    let counted = folders.map(|entry| {
        let outbox = Outbox { folder: entry.path() };
        (entry.path(), outbox.names().len())
    });
    counted.filter(|(_, reports)| *reports > 0).collect()
}

const FOLDER: &str = "notify";
const KEPT: &str = ".json";
const TRYING: &str = ".trying";
const LAST_RUN: &str = "last-run";
const SEEN: &str = "seen.json";
/// More reports than these are not kept for a channel that takes none.
const MOST: usize = 100;
const POLL: Duration = Duration::from_millis(100);
