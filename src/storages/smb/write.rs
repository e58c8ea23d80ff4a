//! A put: a temporary file beside the target, written, flushed, then renamed.

use std::sync::Arc;
use std::time::Duration;

use smb::CreateDisposition::{self, Create, Open, OpenIf};
use smb::{File, FileNetworkOpenInformation};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::base::{Key, chain};
use crate::storages::layers::step;
use crate::storages::smb::delete::{remove_empty, remove_file};
use crate::storages::smb::errors::{COLLISION, DELETE_PENDING, PATH_NOT_FOUND, Trouble};
use crate::storages::smb::files::{Patience, close, spelling, time, write};
use crate::storages::smb::link::Wire;
use crate::storages::smb::pipe::Pipe;
use crate::storages::smb::{Site, names};
use crate::storages::unique::unique;
use crate::storages::{Kind, Object};
use crate::stream::ByteStream;

/// Stores `body`; when `gone` is cancelled before the rename, nothing becomes visible.
pub(super) async fn put(
    site: Arc<Site>,
    key: Key,
    body: ByteStream,
    gone: CancellationToken,
) -> Result<Object, Trouble> {
    if let Some(why) = names::refused(&key) {
        return Err(Trouble::new(Kind::Unsupported, why));
    }
    let mut upload = Upload::begin(site, key, gone).await?;
    let done = upload.run(body).await;
    if done.is_err() {
        upload.discard().await;
    }
    done
}

/// A temporary file on its way to become an object.
pub(super) struct Upload {
    pub(super) site: Arc<Site>,
    pub(super) key: Key,
    pub(super) subject: String,
    /// The path of the temporary file.
    path: String,
    pub(super) wire: Arc<Wire>,
    pub(super) file: Arc<File>,
    pub(super) pipe: Pipe,
    gone: CancellationToken,
    /// Connections that broke since `seen`, which counts the chunks that had arrived by then.
    broken: u32,
    seen: u64,
}

impl Upload {
    async fn begin(site: Arc<Site>, key: Key, gone: CancellationToken) -> Result<Self, Trouble> {
        let partial = key.partial(&unique());
        let (subject, path) = (site.subject(key.as_str()), site.path(partial.as_str()));
        let folder = site.path(partial.folder());
        let (said, at) = (subject.as_str(), path.as_str());
        let (wire, file) =
            match site.link.call(|wire| create(wire, said, at, &folder, Create)).await {
                // Our own, whose answer was lost with the connection.
                Err(trouble) if trouble.said(&[COLLISION]) => {
                    site.link.call(|wire| create(wire, said, at, &folder, OpenIf)).await?
                }
                opened => opened?,
            };
        let (file, pipe) = (Arc::new(file), Pipe::default());
        Ok(Self { site, key, subject, path, wire, file, pipe, gone, broken: 0, seen: 0 })
    }

    async fn run(&mut self, mut body: ByteStream) -> Result<Object, Trouble> {
        self.check_spelling().await?;
        loop {
            let pumped = self.pump(&mut body).await;
            match self.wire.note(pumped) {
                Err(trouble) if trouble.mark.lost => self.recover(trouble).await?,
                pumped => break pumped?,
            }
        }
        let object = self.commit().await?;
        close(&self.file).await;
        Ok(object)
    }

    /// Writes what the body has, and flushes.
    async fn pump(&mut self, body: &mut ByteStream) -> Result<(), Trouble> {
        let window = self.site.link.window.clone();
        while !self.pipe.is_done() {
            let tired = self.wire.is_tired();
            if tired && self.pipe.is_quiet() {
                self.move_on().await?;
                continue;
            }
            let Self { pipe, wire, file, subject, gone, .. } = self;
            let (quiet, hungry) = (pipe.is_quiet(), pipe.is_hungry(wire.chunk));
            let ready = !tired && pipe.is_ready(wire.chunk);
            tokio::select! {
                biased;
                () = gone.cancelled() => return Err(given_up()),
                event = pipe.event(file, subject), if !quiet => event?,
                permit = window.clone().acquire_owned(), if ready => {
                    let permit = permit.map_err(|error| Trouble::new(Kind::Other, error.to_string()))?;
                    pipe.send(wire, file, permit);
                }
                bytes = body.next(), if hungry => match bytes {
                    Ok(Some(bytes)) => pipe.take(bytes),
                    Ok(None) => pipe.end(),
                    Err(error) => return Err(Trouble::body(error)),
                },
                // A server may close a connection on which nothing happens.
                () = sleep(SILENCE), if quiet => pipe.flush(file),
            }
        }
        let flushed = self.file.flush().await;
        flushed.map_err(|error| Trouble::io(&self.subject, error))
    }

    /// Opens the file over a new connection, where what was lost is written again.
    pub(super) async fn recover(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let mut trouble = trouble;
        loop {
            self.count(trouble)?;
            self.pipe.rewind();
            (self.wire, self.file) = tokio::select! {
                () = self.gone.cancelled() => return Err(given_up()),
                reopened = self.reopen() => reopened?,
            };
            let checked = self.pipe.check(&self.file, &self.subject).await;
            match self.wire.note(checked) {
                Err(again) if again.mark.lost => trouble = again,
                done => return done,
            }
        }
    }

    /// Counts a broken connection; too many of them without any progress are the end.
    fn count(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if self.pipe.progress > self.seen {
            (self.broken, self.seen) = (0, self.pipe.progress);
        }
        if self.broken >= self.site.retries {
            return Err(trouble);
        }
        self.broken += 1;
        let (storage, key) = (&self.site.name, &self.key);
        info!(%storage, %key, error = %trouble, "going on over a new connection");
        Ok(())
    }

    /// Goes over to a new connection while the old one still works.
    async fn move_on(&mut self) -> Result<(), Trouble> {
        let old = self.file.clone();
        (self.wire, self.file) = self.reopen().await?;
        close(&old).await;
        Ok(())
    }

    async fn reopen(&self) -> Result<(Arc<Wire>, Arc<File>), Trouble> {
        let opened = step(self.site.retries, || {
            let (site, key) = (self.site.clone(), self.key.clone());
            let (subject, path) = (self.subject.clone(), self.path.clone());
            let opening = tokio::spawn(async move {
                let (subject, path) = (subject.as_str(), path.as_str());
                let open = |wire: Arc<Wire>| async move {
                    let file = wire.file(subject, path, Open, write()).await?;
                    Ok((wire, Arc::new(file)))
                };
                let opened = site.link.call(open).await;
                opened.map_err(|trouble| site.error("put", key.as_str(), trouble))
            });
            async {
                let lost = |error| self.site.error("put", self.key.as_str(), Trouble::task(&error));
                opening.await.unwrap_or_else(|error| Err(lost(error)))
            }
        });
        opened.await.map_err(|error| match error.source.map(|source| source.downcast()) {
            Some(Ok(trouble)) => *trouble,
            _ => Trouble::new(error.kind, "the file cannot be opened again"),
        })
    }

    /// Refuses to store below a folder that differs only in upper and lower case.
    async fn check_spelling(&self) -> Result<(), Trouble> {
        let Some(there) = spelling(&self.file).await.or_else(|trouble| {
            // It is found out soon enough that the connection is lost.
            if trouble.mark.lost { Ok(None) } else { Err(trouble) }
        })?
        else {
            return Ok(());
        };
        self.same_spelling(&there, &self.path)
    }

    /// Compares what follows `backup_dir`, which the config may spell as it likes.
    pub(super) fn same_spelling(&self, there: &str, should: &str) -> Result<(), Trouble> {
        let above = names::folders(&self.site.root).count();
        let below = |path: &str| path.split('\\').skip(above).collect::<Vec<_>>().join("/");
        let (there, should) = (below(there), below(should));
        if there == should || there.to_lowercase() != should.to_lowercase() {
            return Ok(());
        }
        let there = there.rsplit_once('/').map_or(there.as_str(), |(folder, name)| {
            if name.starts_with(".nxs-partial") { folder } else { &there }
        });
        let problem = format!(
            "{}: the server does not tell upper from lower case, and {there:?} is there already; \
             give one of both another name",
            self.subject
        );
        Err(Trouble::new(Kind::Unsupported, problem))
    }

    /// Tells what the server has of the file, all of it by now.
    pub(super) async fn stored(&self) -> Result<Object, Trouble> {
        let facts = self.file.query_info::<FileNetworkOpenInformation>().await;
        let facts = facts.map_err(|error| Trouble::about(&self.subject, error))?;
        let (bytes, should) = (facts.end_of_file, self.pipe.bytes());
        if bytes != should {
            let problem =
                format!("{}: {should} bytes were written, {bytes} are there", self.subject);
            return Err(Trouble::new(Kind::Corrupt, problem));
        }
        Ok(Object { key: self.key.clone(), bytes, modified: time(*facts.last_write_time) })
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Removes the temporary file, and the folders that were made for it.
    async fn discard(&mut self) {
        self.pipe.rewind();
        close(&self.file).await;
        let (site, subject, path) = (&self.site, self.subject.as_str(), self.path.as_str());
        let remove = |wire: Arc<Wire>| async move { remove_file(&wire, subject, path).await };
        let removed = step(site.retries, || async {
            let removed = site.link.call(remove).await;
            removed.map_err(|trouble| site.error("put", path, trouble))
        });
        if let Err(error) = removed.await {
            let (storage, error) = (&site.name, chain(&error));
            warn!(%storage, %error, "an unfinished upload stays");
        }
        remove_empty(&self.site, self.key.folder()).await;
    }
}

/// Makes the temporary file, and the folders above it.
async fn create(
    wire: Arc<Wire>,
    subject: &str,
    path: &str,
    folder: &str,
    disposition: CreateDisposition,
) -> Result<(Arc<Wire>, File), Trouble> {
    let mut patience = Patience::default();
    let mut first = true;
    loop {
        match wire.file(subject, path, disposition, write()).await {
            Ok(file) => return Ok((wire, file)),
            // The folder is not there, or a delete is removing it.
            Err(trouble) if trouble.said(&[PATH_NOT_FOUND, DELETE_PENDING]) => {
                if !std::mem::take(&mut first) && !patience.more().await {
                    return Err(Trouble::new(Kind::Other, trouble.to_string()));
                }
                wire.make_folders(subject, folder).await?;
            }
            Err(trouble) => return Err(trouble),
        }
    }
}

pub(super) fn given_up() -> Trouble {
    Trouble::new(Kind::Body, "the put was given up")
}

/// After so long without a byte of the body the connection is used for its own sake.
const SILENCE: Duration = Duration::from_secs(45);
