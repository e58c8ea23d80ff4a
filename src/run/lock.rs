//! One run at a time: a locked file in `state_dir`.
//!
//! The system frees the lock when the process ends, however it ends. The file stays; its text
//! only helps people, whether it is locked decides.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::base::{Cancel, Cancelled, component};

/// The name of the lock that lets one backup at a time run on a host.
pub const HOST_LOCK: &str = "backup";

/// Returns the name of a job's own lock; no job's name can make it [`HOST_LOCK`].
pub fn job_lock(job: &str) -> String {
    format!("job {job}")
}

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has it.
    #[error("another run holds the lock '{name}'{by}")]
    Held {
        /// The lock's name.
        name: String,
        /// Who, as far as known: `: pid 12 since 2026-11-21 13:14:15 +01:00`.
        by: String,
    },
    /// Somebody asked to stop while it waited.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The file cannot be used.
    #[error("could not lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock `name`, waiting up to `wait` for whoever has it.
    ///
    /// `on_wait` hears once who holds it, and again when that changes.
    /// Errors: [`LockError`]; with no time to wait `Held` comes at once.
    pub async fn take(
        state_dir: &Path,
        name: &str,
        wait: Duration,
        cancel: &Cancel,
        on_wait: impl Fn(&str),
    ) -> Result<Self, LockError> {
        let until = Instant::now().checked_add(wait);
        let path = state_dir.join("locks").join(component(name.as_bytes()) + ".lock");
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = open_private(&path).map_err(failed)?;
        let mut told = None;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    sign(&mut file).map_err(failed)?;
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let held = LockError::Held { name: name.to_owned(), by: holder(&mut file) };
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(held);
            }
            let text = held.to_string();
            if told.as_ref() != Some(&text) {
                on_wait(&text);
                told = Some(text);
            }
            tokio::select! {
                () = tokio::time::sleep(left.unwrap_or(POLL).min(POLL)) => {}
                () = cancel.cancelled() => return Err(Cancelled.into()),
            }
        }
    }
}

/// Opens a file that only we may read, in folders that only we may enter; makes what is missing.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn sign(file: &mut File) -> io::Result<()> {
    let since = Zoned::now().strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("pid {} since {since}\n", std::process::id()).as_bytes())
}

/// Reads who holds the lock; empty while the holder has not signed yet.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(200).read_to_string(&mut text));
    match (read, text.trim()) {
        (Err(_), _) | (_, "") => String::new(),
        (Ok(_), who) => format!(": {who}"),
    }
}

const POLL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;

    use super::*;

    async fn take(dir: &Path, name: &str, millis: u64) -> Result<Lock, LockError> {
        Lock::take(dir, name, Duration::from_millis(millis), &Cancel::default(), |_| {}).await
    }

    #[tokio::test]
    async fn a_second_run_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let _first = take(dir.path(), "backup", 0).await.unwrap();
        let error = take(dir.path(), "backup", 0).await.unwrap_err().to_string();
        let me = format!("another run holds the lock 'backup': pid {} since ", std::process::id());
        assert!(error.starts_with(&me), "{error}");
        take(dir.path(), &job_lock("backup"), 0).await.unwrap();
        take(dir.path(), &job_lock("../x"), 0).await.unwrap();
    }

    #[tokio::test]
    async fn it_waits_and_says_so_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path(), "backup", 0).await.unwrap();
        let said = Mutex::new(Vec::new());
        let wait = Duration::from_secs(20);
        let cancel = Cancel::default();
        let second = Lock::take(dir.path(), "backup", wait, &cancel, |text| {
            said.lock().unwrap().push(text.to_owned());
        });
        let free = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, free);
        second.unwrap();
        assert_eq!(said.into_inner().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_time_or_with_a_wish_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        let _first = take(dir.path(), "backup", 0).await.unwrap();
        assert!(matches!(take(dir.path(), "backup", 300).await, Err(LockError::Held { .. })));
        let cancel = Cancel::default();
        cancel.cancel();
        let stopped = Lock::take(dir.path(), "backup", Duration::MAX, &cancel, |_| {}).await;
        assert!(matches!(stopped, Err(LockError::Cancelled(_))));
    }

    #[tokio::test]
    async fn the_system_frees_it_when_the_holder_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        drop(take(dir.path(), "backup", 0).await.unwrap());
        let path = dir.path().join("locks/backup.lock");
        let mut holder = std::process::Command::new("flock")
            .args(["-n", "-F"])
            .arg(&path)
            .args(["sh", "-c", "echo locked; exec sleep 60"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 7];
        holder.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        assert!(take(dir.path(), "backup", 0).await.is_err());
        holder.kill().unwrap();
        holder.wait().unwrap();
        take(dir.path(), "backup", 5000).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_owner_may_look() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("new/state");
        let _lock = take(&state, "backup", 0).await.unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state.join("locks")), 0o700);
        assert_eq!(mode(&state.join("locks/backup.lock")), 0o600);
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = take(&dir.path().join("file"), "backup", 0).await.unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
    }
}
