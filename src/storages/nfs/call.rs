//! A call of the storage on its way: it asks the server, again where that helps, and finds the
//! words for what goes wrong.

use std::sync::Arc;
use std::time::Duration;

use nfs3_client::RpcError;
use nfs3_client::nfs3_types::nfs3::{
    GETATTR3args, LOOKUP3args, Nfs3Option, Nfs3Result, PROGRAM, VERSION, diropargs3, fattr3,
    filename3, ftype3, nfs_fh3, nfsstat3,
};
use tokio::time::{sleep, timeout};

use crate::storages::layers::step;
use crate::storages::nfs::errors::{self, Trouble};
use crate::storages::nfs::mount;
use crate::storages::nfs::requests::Request;
use crate::storages::nfs::server::{Mounted, Server};
use crate::storages::nfs::wire::{self, Client};
use crate::storages::{Error, Kind, Result};

/// Whose words stand in errors, and how patient it is.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) server: Arc<Server>,
    verb: &'static str,
    subject: Arc<str>,
    retries: u32,
}

/// The server's answer to one request.
pub(super) type Answer<T> = std::result::Result<T, nfsstat3>;

/// A file or a folder that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) handle: nfs_fh3,
    pub(super) facts: fattr3,
}

impl Found {
    pub(super) fn is_folder(&self) -> bool {
        self.facts.type_ == ftype3::NF3DIR
    }

    pub(super) fn is_file(&self) -> bool {
        self.facts.type_ == ftype3::NF3REG
    }
}

impl Call {
    pub(super) fn new(server: Arc<Server>, verb: &'static str, subject: &str) -> Self {
        Self { server, verb, subject: subject.into(), retries: 0 }
    }

    /// Returns the same call for the middle of a put or a get, which nobody else can repeat:
    /// what brings no answer is asked again, on another connection.
    pub(super) fn patiently(&self) -> Self {
        Self { retries: self.server.retries, ..self.clone() }
    }

    /// Returns the same call for what should not be left half done, were only the answer lost.
    pub(super) fn once_more(&self) -> Self {
        Self { retries: self.server.retries.min(1), ..self.clone() }
    }

    pub(super) fn error(&self, kind: Kind, words: impl Into<String>) -> Error {
        Error::new(kind, &self.server.name, self.verb, &*self.subject, words.into())
    }

    /// Wraps a status that cannot be gone round.
    pub(super) fn refused(&self, status: nfsstat3) -> Error {
        let (kind, words) = errors::refused(status, &self.server.way);
        self.error(kind, words)
    }

    /// Tells a handle that is gone from other refusals.
    pub(super) fn judge(&self, status: nfsstat3) -> Trouble {
        match status {
            nfsstat3::NFS3ERR_STALE | nfsstat3::NFS3ERR_BADHANDLE => Trouble::Stale,
            status => Trouble::Error(self.refused(status)),
        }
    }

    /// Does again what met a stale handle: somebody removed a folder that we were walking
    /// through, or the export was made anew.
    pub(super) async fn steady<T, F>(&self, mut step: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Trouble>>,
    {
        for attempt in 0..ATTEMPTS {
            match step().await {
                Ok(done) => return Ok(done),
                Err(Trouble::Error(error)) => return Err(error),
                Err(Trouble::Stale) if attempt == DOUBTFUL => self.server.forget_mount(),
                Err(Trouble::Stale) => sleep(Duration::from_millis(attempt)).await,
            }
        }
        Err(self.refused(nfsstat3::NFS3ERR_STALE))
    }

    /// Mounts the export unless it is.
    pub(super) async fn mounted(&self) -> Result<Mounted> {
        let cell = self.server.mounted();
        cell.get_or_try_init(|| mount::mount(self)).await.cloned()
    }

    /// Asks and waits for the answer. Whoever asks must bear that a request is done twice: an
    /// answer may be lost with its connection.
    pub(super) async fn ask<R: Request>(&self, request: &R) -> Result<Answer<R::Answer>> {
        step(self.retries, || async {
            match self.once(request).await? {
                Nfs3Result::Ok(answer) => Ok(Ok(answer)),
                Nfs3Result::Err((status @ nfsstat3::NFS3ERR_JUKEBOX, _)) => {
                    Err(self.refused(status))
                }
                Nfs3Result::Err((status, _)) => Ok(Err(status)),
            }
        })
        .await
    }

    async fn once<R: Request>(&self, request: &R) -> Result<Nfs3Result<R::Answer, R::Refusal>> {
        let mounted = self.mounted().await?;
        let _turn = self.server.turns.acquire().await.expect("the semaphore is never closed");
        loop {
            let (mut client, waited) = match self.server.idle.take() {
                Some(client) => (client, true),
                None => (self.dial(&mounted).await?, false),
            };
            let asked = client.call(PROGRAM, VERSION, R::PROCEDURE as u32, request);
            match timeout(self.server.patience, asked).await {
                Ok(Ok(answer)) => {
                    self.server.idle.keep(client);
                    return Ok(answer);
                }
                // It ended while it waited, and so did the others.
                Ok(Err(RpcError::Io(_))) if waited => self.server.idle.hang_up(),
                Ok(Err(error)) => return Err(self.unanswered(&error, &self.server.way.host)),
                Err(_) => {
                    self.server.idle.hang_up();
                    return Err(self.silent(&self.server.way.host));
                }
            }
        }
    }

    async fn dial(&self, mounted: &Mounted) -> Result<Client> {
        match wire::dial(mounted.address, self.server.privileged).await {
            Ok(wire) => Ok(mount::client(wire, &self.server.way)),
            Err(error) => {
                // It may come back under another address, with other handles.
                self.server.forget_mount();
                let host = &self.server.way.host;
                let port = mounted.address.port();
                let words = format!("no NFS server answers on {host} port {port}: {error}");
                Err(self.error(Kind::Unavailable, words))
            }
        }
    }

    pub(super) fn unanswered(&self, error: &RpcError, who: &str) -> Error {
        let (kind, words) = errors::unanswered(error, who, self.server.privileged);
        self.error(kind, words)
    }

    pub(super) fn silent(&self, who: &str) -> Error {
        let secs = self.server.patience.as_secs_f64();
        self.error(Kind::Unavailable, format!("{who} gave no answer for {secs} s"))
    }

    /// Looks for `name` in a folder; what is no folder holds nothing.
    pub(super) async fn lookup(
        &self,
        folder: &nfs_fh3,
        name: &str,
    ) -> std::result::Result<Option<Found>, Trouble> {
        let request = LOOKUP3args { what: entry(folder, name) };
        let found = match self.ask(&request).await? {
            Ok(found) => found,
            Err(nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_NOTDIR) => return Ok(None),
            Err(status) => return Err(self.judge(status)),
        };
        let facts = match found.obj_attributes {
            Nfs3Option::Some(facts) => facts,
            Nfs3Option::None => self.facts(&found.object).await?,
        };
        Ok(Some(Found { handle: found.object, facts }))
    }

    /// Asks for type, size and times.
    pub(super) async fn facts(&self, handle: &nfs_fh3) -> std::result::Result<fattr3, Trouble> {
        let request = GETATTR3args { object: handle.clone() };
        match self.ask(&request).await? {
            Ok(answer) => Ok(answer.obj_attributes),
            Err(status) => Err(self.judge(status)),
        }
    }
}

/// Names an entry of a folder.
pub(super) fn entry<'a>(folder: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 { dir: folder.clone(), name: filename3::from(name.as_bytes()) }
}

/// How often a walk begins again, and after how many stale handles the export itself is doubted.
const ATTEMPTS: u64 = 30;
const DOUBTFUL: u64 = 5;
