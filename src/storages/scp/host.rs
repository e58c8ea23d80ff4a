//! One server as everybody shares it: its connections, and what must still be cleaned up there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::debug;

use crate::base::chain;
use crate::storages::Setting;
use crate::storages::gate::Gate;
use crate::storages::idle::Idle;
use crate::storages::scp::config::Config;
use crate::storages::scp::dial::dial;
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::line::Watch;
use crate::storages::scp::sftp::Sftp;

/// The server of one storage.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) retries: u32,
    config: Config,
    folder: String,
    patience: Duration,
    idle: Idle<Sftp>,
    dialling: [Mutex<()>; DIALLING],
    /// Temporary files that could not be removed when their put failed.
    leftovers: Mutex<Vec<String>>,
}

impl Host {
    pub(super) fn new(setting: &Setting<'_>, config: &Config) -> Self {
        Self {
            name: setting.name.to_owned(),
            retries: setting.retries,
            folder: config.folder(),
            config: config.clone(),
            patience: setting.timeout.unwrap_or(Duration::MAX),
            idle: Idle::new(IDLE, IDLE_FOR),
            dialling: Default::default(),
            leftovers: Mutex::default(),
        }
    }

    /// Returns the path of a key or of a folder of keys there; an empty one is `backup_dir`.
    pub(super) fn path(&self, key: &str) -> String {
        match (self.folder.as_str(), key) {
            (folder, "") => folder.to_owned(),
            ("", key) => key.to_owned(),
            ("/", key) => format!("/{key}"),
            (folder, key) => format!("{folder}/{key}"),
        }
    }

    /// Runs `call` on a connection; what it does must be harmless when it is done twice.
    pub(super) fn with<T>(
        &self,
        gate: &Arc<Gate>,
        call: impl FnMut(&mut Sftp) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let (sftp, done) = self.lease(gate, call)?;
        self.give_back(sftp);
        Ok(done)
    }

    /// Like [`Host::with`], and leaves the connection to the caller.
    ///
    /// A connection that was idle may have died since: then a new one takes its place.
    pub(super) fn lease<T>(
        &self,
        gate: &Arc<Gate>,
        mut call: impl FnMut(&mut Sftp) -> Result<T, Trouble>,
    ) -> Result<(Sftp, T), Trouble> {
        let watch = Watch { gate: gate.clone(), patience: self.patience };
        if let Some(mut sftp) = self.idle.take() {
            sftp.watched_by(watch.clone());
            match call(&mut sftp) {
                Err(trouble) if trouble.mark.lost && !gate.is_given_up() => {
                    debug!(storage = %self.name, error = %chain(&trouble), "dialling anew");
                    self.idle.hang_up();
                }
                Err(trouble) => {
                    self.give_back(sftp);
                    return Err(trouble);
                }
                Ok(done) => return Ok((sftp, done)),
            }
        }
        let mut sftp = self.dial(&watch)?;
        match call(&mut sftp) {
            Ok(done) => Ok((sftp, done)),
            Err(trouble) => {
                if !trouble.mark.lost {
                    self.give_back(sftp);
                }
                Err(trouble)
            }
        }
    }

    /// Keeps a connection for others, unless an answer is still due on it.
    pub(super) fn give_back(&self, sftp: Sftp) {
        if sftp.is_idle() {
            self.idle.keep(sftp);
        }
    }

    /// Notes a temporary file that stayed.
    pub(super) fn left(&self, path: String) {
        debug!(storage = %self.name, path, "a temporary file stayed");
        locked(&self.leftovers).push(path);
    }

    /// Removes temporary files that stayed when the server was away.
    fn clean_up(&self, sftp: &mut Sftp) {
        let left = std::mem::take(&mut *locked(&self.leftovers));
        for path in left {
            match sftp.remove(&path) {
                Err(fault) if !fault.is_missing() => locked(&self.leftovers).push(path),
                _ => (),
            }
        }
    }

    fn dial(&self, watch: &Watch) -> Result<Sftp, Trouble> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let turn = NEXT.fetch_add(1, Ordering::Relaxed) % DIALLING;
        let _turn = locked(&self.dialling[turn]);
        if watch.gate.is_given_up() {
            return Err(Trouble::given_up());
        }
        let mut sftp = dial(&self.config, watch)?;
        self.clean_up(&mut sftp);
        Ok(sftp)
    }

    /// Connects anew to tidy up after a call that failed.
    pub(super) fn dial_to_tidy_up(&self) -> Result<Sftp, Trouble> {
        dial(&self.config, &tidying())
    }
}

/// Nobody waits for a tidying up, so it has its own, short, patience.
pub(super) fn tidying() -> Watch {
    Watch { gate: Arc::default(), patience: TIDYING }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connections that wait for the next call, at most, and for how long.
const IDLE: usize = 8;
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Logins at the same time: sshd drops some at random when there are more than ten.
const DIALLING: usize = 4;
const TIDYING: Duration = Duration::from_secs(10);
