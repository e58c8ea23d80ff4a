//! A put: a temporary file beside the target, its size compared, then renamed.
//!
//! The answer to the transfer decides whether it succeeded. A connection that breaks is made again,
//! and the upload goes on where the server's file ends, as long as what follows is still held.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use tracing::info;

use crate::base::{KIB, Key, chain};
use crate::storages::ftp::Shared;
use crate::storages::ftp::errors::Trouble;
use crate::storages::ftp::held::Held;
use crate::storages::ftp::session::{Ask, Refusal, Session, Transfer};
use crate::storages::ftp::tidy::Leftover;
use crate::storages::layers::pause;
use crate::storages::unique::unique;
use crate::storages::{Kind, Object};
use crate::stream::{self, ByteStream};

/// Stores `body`; until the server has made the file the body is not touched.
pub(super) async fn put(
    shared: &Arc<Shared>,
    key: &Key,
    mut body: ByteStream,
) -> Result<Object, Trouble> {
    let mut upload = Upload::start(shared, key).await?;
    let done = upload.run(&mut body).await;
    drop(body);
    match done {
        Ok(()) => {
            let bytes = upload.held.sent();
            upload.leftover.is_gone();
            Ok(Object { key: key.clone(), bytes, modified: None })
        }
        Err(trouble) => {
            upload.clean_up().await;
            Err(trouble)
        }
    }
}

/// An upload; dropped before its end, it lets its temporary file be removed.
struct Upload<'a> {
    shared: &'a Arc<Shared>,
    key: &'a Key,
    partial: Key,
    line: Option<Line>,
    held: Held,
    /// What the server had when the connection broke last.
    had: u64,
    broken: u32,
    // Last: its drop comes after that of the line.
    leftover: Leftover,
}

/// A connection and the transfer that runs on it.
struct Line {
    session: Session,
    transfer: Transfer,
    path: String,
}

impl<'a> Upload<'a> {
    async fn start(shared: &'a Arc<Shared>, key: &'a Key) -> Result<Self, Trouble> {
        let partial = key.partial(&unique());
        let session = shared.pool.take().await?;
        let leftover = Leftover::new(shared, key, &partial);
        let mut upload = Self {
            shared,
            key,
            partial,
            line: None,
            held: Held::default(),
            had: 0,
            broken: 0,
            leftover,
        };
        match upload.create(session).await {
            Ok(line) => upload.line = Some(line),
            Err(trouble) => {
                upload.clean_up().await;
                return Err(trouble);
            }
        }
        Ok(upload)
    }

    /// Makes the temporary file, and its folders where they are missing.
    async fn create(&self, mut session: Session) -> Result<Line, Trouble> {
        let path = self.shared.path(&session, &self.partial);
        let mut left = ATTEMPTS;
        loop {
            match session.open(Ask::Store(&path, 0)).await {
                Ok(transfer) => return Ok(Line { session, transfer, path }),
                // The folder is missing, or a delete has just removed it because it was empty.
                Err(Refusal::Refused(reply)) if reply.is_about_file() && left > 0 => {
                    left -= 1;
                    self.shared.make_folders(&mut session, self.key.folder()).await?;
                }
                Err(refusal) => return Err(refusal.into_trouble(&path)),
            }
        }
    }

    async fn run(&mut self, body: &mut ByteStream) -> Result<(), Trouble> {
        while let Some(chunk) = gather(body).await.map_err(Trouble::body)? {
            self.held.push(chunk.clone());
            if let Err(trouble) = self.send(&chunk).await {
                self.recover(trouble).await?;
            }
        }
        loop {
            let ended = self.end().await;
            match ended {
                Ok(session) => return self.commit(session).await,
                Err(trouble) => self.recover(trouble).await?,
            }
        }
    }

    async fn send(&mut self, chunk: &Bytes) -> Result<(), Trouble> {
        let Some(line) = &mut self.line else { return Err(not_connected()) };
        match line.transfer.write_all(chunk).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// Says that all was sent, waits for the answer, and compares the size: a server takes a
    /// connection that was cut for the end of the file.
    async fn end(&mut self) -> Result<Session, Trouble> {
        let Some(line) = &mut self.line else { return Err(not_connected()) };
        if let Err(error) = line.transfer.shutdown().await {
            return Err(self.explain(error).await);
        }
        let Some(line) = self.line.take() else { return Err(not_connected()) };
        let Line { mut session, transfer, path } = line;
        transfer.finish().await.map_err(|error| Trouble::about(&path, error))?;
        let (sent, stored) = (self.held.sent(), session.size(&path).await?);
        if stored == Some(sent) {
            return Ok(session);
        }
        self.shared.pool.give(session);
        let arrived = stored.map_or_else(|| "none".to_owned(), |stored| stored.to_string());
        let problem = format!("{path}: {sent} bytes were sent and {arrived} arrived");
        let is_more = stored.is_some_and(|stored| stored > sent);
        Err(Trouble::new(if is_more { Kind::Corrupt } else { Kind::Unavailable }, problem))
    }

    async fn explain(&mut self, error: std::io::Error) -> Trouble {
        match self.line.take() {
            Some(line) => line.session.explain(line.transfer, &line.path, error).await,
            None => Trouble::broken(self.key.as_str(), error),
        }
    }

    /// Connects again and sends what the server lacks, as often as it may be tried.
    async fn recover(&mut self, mut trouble: Trouble) -> Result<(), Trouble> {
        while trouble.kind == Kind::Unavailable && self.broken < self.shared.retries {
            self.line = None;
            let error = chain(&trouble);
            let (storage, attempt) = (&self.shared.name, self.broken + 1);
            info!(%storage, %error, key = %self.key, attempt, "an upload broke, going on");
            self.pause().await;
            match self.resume().await {
                Ok(()) => return Ok(()),
                Err(next) => trouble = next,
            }
        }
        Err(trouble)
    }

    async fn pause(&mut self) {
        sleep(pause(self.broken)).await;
        self.broken += 1;
    }

    async fn resume(&mut self) -> Result<(), Trouble> {
        let mut session = self.shared.pool.take().await?;
        let path = self.shared.path(&session, &self.partial);
        let has = session.size(&path).await?.unwrap_or(0);
        let Some(mut rest) = self.held.since(has) else {
            let problem = format!(
                "{path}: the connection broke, and the server has {has} of {} bytes: \
                 more was lost on the way than is held in memory",
                self.held.sent()
            );
            return Err(Trouble::new(Kind::Other, problem));
        };
        if has > self.had {
            (self.had, self.broken) = (has, 1);
        }
        let mut transfer = session.open(Ask::Store(&path, has)).await;
        if has > 0 && matches!(transfer, Err(Refusal::Refused(_))) {
            transfer = session.open(Ask::Append(&path)).await;
        }
        if matches!(transfer, Err(Refusal::Refused(_)))
            && let Some(all) = self.held.since(0)
        {
            // Some servers write no file on that is there, and over none. Where it was something
            // else, the next refusal tells what.
            if let Err(Refusal::Broken(trouble)) = session.remove(&path).await {
                return Err(trouble);
            }
            transfer = session.open(Ask::Store(&path, 0)).await;
            rest = all;
        }
        let transfer = transfer.map_err(|refusal| refusal.into_trouble(&path))?;
        self.line = Some(Line { session, transfer, path });
        for chunk in rest {
            self.send(&chunk).await?;
        }
        Ok(())
    }

    /// Gives the file its name; an answer that is lost on the way is asked for again.
    async fn commit(&mut self, mut session: Session) -> Result<(), Trouble> {
        let mut renaming = false;
        loop {
            match self.place(&mut session, &mut renaming).await {
                Ok(()) => {
                    self.shared.pool.give(session);
                    return Ok(());
                }
                Err(trouble)
                    if trouble.kind == Kind::Unavailable && self.broken < self.shared.retries =>
                {
                    let (storage, error) = (&self.shared.name, chain(&trouble));
                    info!(%storage, %error, key = %self.key, "asking again");
                    self.pause().await;
                    session = self.shared.pool.take().await?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn place(&mut self, session: &mut Session, renaming: &mut bool) -> Result<(), Trouble> {
        let (path, target) =
            (self.shared.path(session, &self.partial), self.shared.path(session, self.key));
        if *renaming
            && session.size(&path).await?.is_none()
            && session.size(&target).await? == Some(self.held.sent())
        {
            // It has its name already, and only the answer was lost.
            return self.drop_old(session).await;
        }
        *renaming = true;
        match session.rename(&path, &target).await {
            Ok(()) => self.drop_old(session).await,
            Err(Refusal::Refused(reply)) if session.size(&target).await?.is_some() => {
                let first = Refusal::Refused(reply);
                self.replace(session, &path, &target).await.map_err(|second| match second {
                    Refusal::Refused(_) => first.into_trouble(&target),
                    broken @ Refusal::Broken(_) => broken.into_trouble(&target),
                })
            }
            Err(refusal) => Err(refusal.into_trouble(&target)),
        }
    }

    /// Replaces a file on a server that does not rename over one: it goes aside first, and comes
    /// back when that is all that succeeds. In between there is no file under the name.
    ///
    /// Whoever is cut off in between leaves it to the clean-up, or to the next listing.
    async fn replace(
        &mut self,
        session: &mut Session,
        path: &str,
        target: &str,
    ) -> Result<(), Refusal> {
        let aside = self.shared.path(session, &self.leftover.aside());
        let mut left = ATTEMPTS;
        loop {
            session.rename(target, &aside).await?;
            let refusal = match session.rename(path, target).await {
                Ok(()) => return self.drop_old(session).await.map_err(Refusal::Broken),
                Err(refusal @ Refusal::Refused(_)) => refusal,
                Err(broken) => return Err(broken),
            };
            match session.rename(&aside, target).await {
                // A listing at the same time has put it back already.
                Err(Refusal::Refused(_)) if left > 0 => left -= 1,
                back => return back.and(Err(refusal)),
            }
        }
    }

    /// Removes the old object that made way; where that is refused it stays, and can be swept.
    async fn drop_old(&self, session: &mut Session) -> Result<(), Trouble> {
        let Some(aside) = self.leftover.was_aside() else { return Ok(()) };
        let path = self.shared.path(session, aside);
        match session.remove(&path).await {
            Err(Refusal::Broken(trouble)) => Err(trouble),
            Err(Refusal::Refused(_)) | Ok(()) => Ok(()),
        }
    }

    /// Ends the transfer, and removes the file and the folders that were made for it.
    async fn clean_up(mut self) {
        if let Some(line) = self.line.take() {
            let mut session = line.session;
            drop(line.transfer);
            if session.settles().await {
                self.shared.pool.give(session);
            }
        }
        self.leftover.remove().await;
    }
}

/// Reads the next piece of a body; small chunks are gathered, so that what is held is what it
/// weighs.
async fn gather(body: &mut ByteStream) -> Result<Option<Bytes>, stream::Error> {
    let mut gathered = BytesMut::new();
    while let Some(chunk) = body.next().await? {
        if gathered.is_empty() && chunk.len() >= PIECE {
            return Ok(Some(chunk));
        }
        gathered.extend_from_slice(&chunk);
        if gathered.len() >= PIECE {
            break;
        }
    }
    Ok((!gathered.is_empty()).then(|| gathered.freeze()))
}

fn not_connected() -> Trouble {
    Trouble::broken("the upload", std::io::ErrorKind::NotConnected.into())
}

const PIECE: usize = 64 * KIB;
const ATTEMPTS: u32 = 4;
