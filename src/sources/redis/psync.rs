//! A whole copy of a server by the replication protocol: we say hello as a replica, take the RDB
//! and leave before the changes that would follow.
//!
//! Source: <https://github.com/redis/redis/blob/7.0/src/replication.c> (`syncCommand`,
//! `rdbPipeReadHandler`, `sendBulkToSlave`).

use std::io;
use std::time::Duration;

use bytes::BytesMut;

use crate::base::KIB;
use crate::sources::redis::NAME;
use crate::sources::redis::connect::Connect;
use crate::sources::redis::rdb::MARK;
use crate::sources::redis::wire::Wire;
use crate::sources::{Error, Kind};
use crate::stream::Feeder;

/// Why there is no copy.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server does not let us be a replica; in its own words.
    Refused(String),
    /// Anything else.
    Broken(Error),
    /// Nobody reads any more.
    Unread,
}

/// What a server says before its RDB.
enum Framing {
    Length(u64),
    Mark([u8; MARK]),
}

/// Takes a copy of the server into `feeder`, which is not finished here.
pub(super) async fn copy(
    connect: &Connect,
    silence: Option<Duration>,
    feeder: &Feeder,
) -> Result<(), Failed> {
    let io = connect.dial().await.map_err(|(problem, error)| {
        let error = Error { source: Some(error), ..trouble(Kind::Other, problem) };
        Failed::Broken(error)
    })?;
    let mut wire = Wire::new(io, silence);
    let copied = Talk { wire: &mut wire, connect }.copy(feeder).await;
    wire.close().await;
    copied
}

/// Logs in and says hello as a replica, without asking for anything.
pub(super) async fn greet(connect: &Connect, silence: Option<Duration>) -> Result<(), Failed> {
    let io = connect.dial().await.map_err(|(problem, error)| {
        let error = Error { source: Some(error), ..trouble(Kind::Other, problem) };
        Failed::Broken(error)
    })?;
    let mut wire = Wire::new(io, silence);
    let greeted = Talk { wire: &mut wire, connect }.greet().await;
    wire.close().await;
    greeted
}

struct Talk<'a> {
    wire: &'a mut Wire,
    connect: &'a Connect,
}

impl Talk<'_> {
    async fn copy(&mut self, feeder: &Feeder) -> Result<(), Failed> {
        self.log_in().await?;
        self.present().await?;
        self.wire.send(&["PSYNC", "?", "-1"]).await.map_err(|error| self.lost(error))?;
        let reply = self.line().await?;
        if let Some(refusal) = reply.strip_prefix('-') {
            return Err(self.refusal(refusal));
        }
        if !reply.to_uppercase().starts_with("+FULLRESYNC") {
            return Err(self.odd(&reply));
        }
        let reply = self.line().await?;
        match framing(&reply) {
            Some(Framing::Length(bytes)) => self.by_length(bytes, feeder).await,
            Some(Framing::Mark(mark)) => self.up_to(mark, feeder).await,
            None => Err(match reply.strip_prefix('-') {
                Some(why) => self.broken(Kind::Other, format!("gave no dump: {why}")),
                None => self.odd(&reply),
            }),
        }
    }

    async fn greet(&mut self) -> Result<(), Failed> {
        self.log_in().await?;
        self.wire.send(&["PING"]).await.map_err(|error| self.lost(error))?;
        let reply = self.line().await?;
        match reply.strip_prefix('-') {
            Some(why) if why.starts_with("NOAUTH") => {
                Err(self.broken(Kind::Denied, format!("wants a password: {why}")))
            }
            _ => self.present().await,
        }
    }

    async fn log_in(&mut self) -> Result<(), Failed> {
        let Some(password) = &self.connect.db_password else { return Ok(()) };
        let mut words = vec!["AUTH"];
        words.extend(self.connect.db_user.as_deref());
        words.push(password.reveal());
        self.wire.send(&words).await.map_err(|error| self.lost(error))?;
        let reply = self.line().await?;
        match reply.strip_prefix('-') {
            None => Ok(()),
            Some(why) => {
                // Some servers quote the whole command that they do not know.
                let why = why.replace(password.reveal(), "***");
                Err(self.broken(Kind::Denied, format!("does not take the password: {why}")))
            }
        }
    }

    /// Says what we can do. A server that does not know a capability does without it.
    async fn present(&mut self) -> Result<(), Failed> {
        const CAPABLE: &[&str] = &["REPLCONF", "capa", "eof", "capa", "psync2"];
        const ONLY_RDB: &[&str] = &["REPLCONF", "rdb-only", "1"];
        for words in [CAPABLE, ONLY_RDB] {
            self.wire.send(words).await.map_err(|error| self.lost(error))?;
            let reply = self.line().await?;
            match reply.strip_prefix('-') {
                Some(why) if is_denial(why) => return Err(self.refusal(why)),
                _ => {}
            }
        }
        Ok(())
    }

    async fn by_length(&mut self, bytes: u64, feeder: &Feeder) -> Result<(), Failed> {
        let mut left = bytes;
        while left > 0 {
            if self.wire.buffer().is_empty() {
                self.fill(bytes - left).await?;
            }
            let buffer = self.wire.buffer();
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let chunk = buffer.split_to(length).freeze();
            left -= length as u64;
            feeder.send(chunk).await.map_err(|_| Failed::Unread)?;
        }
        Ok(())
    }

    /// The mark is random, and nothing follows it before we have answered.
    async fn up_to(&mut self, mark: [u8; MARK], feeder: &Feeder) -> Result<(), Failed> {
        let mut done = 0;
        loop {
            let buffer: &mut BytesMut = self.wire.buffer();
            let is_end = buffer.ends_with(&mark);
            let chunk = buffer.split_to(buffer.len().saturating_sub(MARK)).freeze();
            done += chunk.len() as u64;
            if !chunk.is_empty() {
                feeder.send(chunk).await.map_err(|_| Failed::Unread)?;
            }
            if is_end {
                return Ok(());
            }
            self.fill(done).await?;
        }
    }

    async fn line(&mut self) -> Result<String, Failed> {
        self.wire.line().await.map_err(|error| self.lost(error))
    }

    async fn fill(&mut self, done: u64) -> Result<(), Failed> {
        self.wire.fill(CHUNK).await.map_err(|error| {
            let address = self.connect.address();
            let problem = format!("the server {address} broke off after {done} bytes of its dump");
            Failed::Broken(Error { source: Some(error.into()), ..trouble(Kind::Other, problem) })
        })
    }

    fn lost(&self, error: io::Error) -> Failed {
        let address = self.connect.address();
        let problem = format!("the connection to the server {address} broke");
        Failed::Broken(Error { source: Some(error.into()), ..trouble(Kind::Other, problem) })
    }

    fn broken(&self, kind: Kind, problem: String) -> Failed {
        Failed::Broken(trouble(kind, format!("the server {} {problem}", self.connect.address())))
    }

    fn odd(&self, reply: &str) -> Failed {
        let reply = crate::base::display(reply);
        self.broken(Kind::Other, format!("gave an answer that is none of Redis: {reply}"))
    }

    /// What a server says when it gives no copy: some of it another command may get round.
    fn refusal(&self, why: &str) -> Failed {
        let upper = why.to_uppercase();
        if upper.starts_with("NOAUTH") {
            let problem = format!("wants a password (`db_password`): {why}");
            return self.broken(Kind::Denied, problem);
        }
        if is_denial(why) || upper.contains("UNKNOWN COMMAND") {
            return Failed::Refused(why.to_owned());
        }
        self.broken(Kind::Other, format!("gives no copy now: {why}"))
    }
}

/// Tells whether an error says that we may not.
fn is_denial(why: &str) -> bool {
    ["NOPERM", "NOAUTH", "DENIED"].iter().any(|word| why.starts_with(word))
}

/// Reads `$<length>` or `$EOF:<40 bytes>`.
fn framing(line: &str) -> Option<Framing> {
    let rest = line.strip_prefix('$')?;
    match rest.strip_prefix("EOF:") {
        Some(mark) => mark.as_bytes().try_into().ok().map(Framing::Mark),
        None => rest.parse().ok().map(Framing::Length),
    }
}

fn trouble(kind: Kind, problem: String) -> Error {
    Error { kind, subject: NAME.to_owned(), problem, source: None }
}

const CHUNK: usize = 256 * KIB;
