//! Gets and stats.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::task::unconstrained;

use crate::base::{KIB, Key};
use crate::storages::ftp::Shared;
use crate::storages::ftp::errors::Trouble;
use crate::storages::ftp::session::{Ask, Refusal, Session, Transfer};
use crate::storages::{Kind, Object};
use crate::stream::{self, ByteStream, Feeder};

/// Tells size and time of the file of `key`.
pub(super) async fn stat(shared: &Shared, key: &Key) -> Result<Option<Object>, Trouble> {
    let mut session = shared.pool.take().await?;
    let path = shared.path(&session, key);
    let mut object = None;
    if let Some(bytes) = session.size(&path).await? {
        let modified = session.modified(&path).await?;
        object = Some(Object { key: key.clone(), bytes, modified });
    }
    shared.pool.give(session);
    Ok(object)
}

/// Gives a part of the file of `key`; a task reads ahead by at most three chunks.
pub(super) async fn get(
    shared: &Arc<Shared>,
    key: &Key,
    part: Range<u64>,
) -> Result<ByteStream, Trouble> {
    let mut session = shared.pool.take().await?;
    let path = shared.path(&session, key);
    let Some(bytes) = session.size(&path).await? else {
        shared.pool.give(session);
        return Err(Trouble::new(Kind::NotFound, format!("{path}: there is no such file")));
    };
    if part.start > part.end || part.end > bytes {
        shared.pool.give(session);
        let problem = format!("bytes {part:?} were asked for, {path} has {bytes}");
        return Err(Trouble::new(Kind::Corrupt, problem));
    }
    if part.is_empty() {
        shared.pool.give(session);
        return Ok(ByteStream::from_bytes(Vec::new()));
    }
    let transfer = session.open(Ask::Retrieve(&path, part.start)).await;
    let transfer = transfer.map_err(|refusal| match refusal {
        Refusal::Refused(reply) if part.start > 0 && matches!(reply.code, 500..=504) => {
            let problem = format!("{path}: the server cannot read from the middle (REST)");
            Trouble::of(Kind::Unsupported, problem, reply)
        }
        refusal => refusal.into_trouble(&path),
    })?;
    let (feeder, stream) = ByteStream::channel(2);
    let reading = Reading {
        shared: Arc::clone(shared),
        key: key.clone(),
        path,
        session,
        transfer,
        left: part.end - part.start,
        to_the_end: part.end == bytes,
    };
    tokio::spawn(unconstrained(reading.run(feeder)));
    Ok(stream)
}

struct Reading {
    shared: Arc<Shared>,
    key: Key,
    path: String,
    session: Session,
    transfer: Transfer,
    left: u64,
    /// The part ends where the file ends.
    to_the_end: bool,
}

impl Reading {
    async fn run(mut self, feeder: Feeder) {
        let pumped = tokio::select! {
            biased;
            () = feeder.closed() => Ok(false),
            pumped = self.pump(&feeder) => pumped,
        };
        match pumped {
            Ok(true) => {
                feeder.finish().await.ok();
                self.end().await;
            }
            Ok(false) => self.end().await,
            Err(error) => {
                let name = self.shared.name.clone();
                let key = self.key.clone();
                let trouble = self.explain(error).await;
                let error = trouble.on(&name, "get", &key);
                feeder.fail(stream::Error::new(error)).await;
            }
        }
    }

    /// Passes the part on; tells whether all of it was wanted.
    async fn pump(&mut self, feeder: &Feeder) -> std::io::Result<bool> {
        let mut room = BytesMut::new();
        while self.left > 0 {
            room.reserve(CHUNK);
            while room.len() < CHUNK && (room.len() as u64) < self.left {
                let read = self.transfer.read_buf(&mut room).await?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            // A file that grew since its size was told is none of ours.
            let wanted = self.left.min(room.len() as u64);
            let chunk = room.split_to(wanted as usize).freeze();
            room.clear();
            self.left -= wanted;
            if feeder.send(chunk).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the transfer, and keeps the connection if the server knows that, too.
    async fn end(mut self) {
        if self.to_the_end && self.left == 0 {
            if self.transfer.finish().await.is_ok() {
                self.shared.pool.give(self.session);
            }
            return;
        }
        // The server sees that nobody reads any more, and says so.
        drop(self.transfer);
        if self.session.settles().await {
            self.shared.pool.give(self.session);
        }
    }

    async fn explain(self, error: std::io::Error) -> Trouble {
        if error.kind() != std::io::ErrorKind::UnexpectedEof {
            return Trouble::broken(&self.path, error);
        }
        match self.transfer.finish().await {
            Ok(()) => {
                let problem = format!("{} became shorter while it was read", self.path);
                Trouble::new(Kind::Corrupt, problem)
            }
            Err(error) => Trouble::about(&self.path, error),
        }
    }
}

const CHUNK: usize = 256 * KIB;
