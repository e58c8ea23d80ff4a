//! One server: how it is reached, what was mounted there, and its connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nfs3_client::nfs3_types::nfs3::nfs_fh3;
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::Opaque;
use tokio::sync::{OnceCell, Semaphore};

use crate::storages::Setting;
use crate::storages::checks::in_url;
use crate::storages::idle::Idle;
use crate::storages::nfs::wire::Client;

/// What the config says, defaults filled in.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) host: String,
    pub(super) export: String,
    /// `backup_dir` relative to the export; empty for the export itself.
    pub(super) below: String,
    pub(super) port: Option<u16>,
    pub(super) mount_port: Option<u16>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) gids: Vec<u32>,
    pub(super) connections: usize,
}

impl Way {
    /// Says where it is, for people: `nas:/export/backup`.
    pub(super) fn place(&self) -> String {
        let slash = if self.export.ends_with('/') || self.below.is_empty() { "" } else { "/" };
        format!("{}:{}{slash}{}", in_url(&self.host), self.export, self.below)
    }

    /// Makes the credentials of AUTH_SYS.
    pub(super) fn credentials(&self) -> opaque_auth<'static> {
        let node = rustix::system::uname().nodename().to_bytes().to_vec();
        opaque_auth::auth_unix(&auth_unix {
            stamp: std::process::id(),
            machinename: Opaque::owned(node),
            uid: self.uid,
            gid: self.gid,
            gids: self.gids.clone(),
        })
    }
}

/// What a mount gives.
#[derive(Clone, Debug)]
pub(super) struct Mounted {
    pub(super) address: SocketAddr,
    /// The export's own folder.
    pub(super) root: nfs_fh3,
    /// How many bytes one READ or WRITE carries.
    pub(super) read_bytes: usize,
    pub(super) write_bytes: usize,
}

/// A server with its connections; calls on one connection go one at a time.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) way: Way,
    pub(super) retries: u32,
    pub(super) peers: usize,
    /// How long one call may take before its connection counts as dead: half of what the layer
    /// around us waits, so that there is time for another try.
    pub(super) patience: Duration,
    /// Whether to connect from ports below 1024, which servers demand by default.
    pub(super) privileged: bool,
    pub(super) turns: Semaphore,
    pub(super) idle: Idle<Client>,
    mounted: Mutex<Arc<OnceCell<Mounted>>>,
}

impl Server {
    pub(super) fn new(way: Way, setting: &Setting<'_>) -> Self {
        Self {
            name: setting.name.to_owned(),
            retries: setting.retries,
            peers: setting.peers.max(1),
            patience: setting.timeout.map_or(LONGEST, |timeout| (timeout / 2).min(LONGEST)),
            privileged: rustix::process::geteuid().is_root(),
            turns: Semaphore::new(way.connections),
            idle: Idle::new(way.connections, LONG_SILENCE),
            way,
            mounted: Mutex::default(),
        }
    }

    /// Returns what is mounted, or the place for it.
    pub(super) fn mounted(&self) -> Arc<OnceCell<Mounted>> {
        lock(&self.mounted).clone()
    }

    /// Lets the next call mount anew.
    pub(super) fn forget_mount(&self) {
        *lock(&self.mounted) = Arc::default();
        self.idle.hang_up();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LONG_SILENCE: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(150);
