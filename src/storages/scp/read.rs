//! Gets and stats.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::base::{Key, MIB, chain};
use crate::storages::gate::{Gate, Waiting};
use crate::storages::layers::pause;
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::host::Host;
use crate::storages::scp::sftp::{Handle, Sftp};
use crate::storages::scp::wire::Attributes;
use crate::storages::{Kind, Object};
use crate::stream::{self as bytes_stream, ByteStream, Feeder};

/// A part of a file that can be read; a short part was read already.
pub(super) struct Opened {
    host: Arc<Host>,
    key: Key,
    sftp: Option<Sftp>,
    download: Download,
    first: Option<Bytes>,
}

/// Opens the file of `key` at the beginning of `part`.
pub(super) fn open(
    host: &Arc<Host>,
    key: &Key,
    part: Range<u64>,
    gate: &Arc<Gate>,
) -> Result<Opened, Trouble> {
    let path = host.path(key.as_str());
    let is_short = part.end.saturating_sub(part.start) <= SHORT;
    let (sftp, (download, first)) = host.lease(gate, |sftp| {
        let mut download = Download::open(sftp, &path, part.clone())?;
        let first = is_short.then(|| download.all(sftp)).transpose()?;
        Ok((download, first))
    })?;
    let mut opened = Opened { host: host.clone(), key: key.clone(), sftp: None, download, first };
    match opened.first {
        Some(_) => host.give_back(sftp),
        None => opened.sftp = Some(sftp),
    }
    Ok(opened)
}

impl Opened {
    /// Gives the part as a stream; a thread reads ahead. Dropped, it lets the thread go.
    pub(super) fn stream(mut self, waiting: Waiting) -> ByteStream {
        if let Some(first) = self.first.take() {
            return ByteStream::from_bytes(first);
        }
        let (feeder, chunks) = ByteStream::channel(4);
        let gate = waiting.0.clone();
        spawn_blocking(move || {
            if let Some((feeder, trouble)) = self.pump(feeder, &gate) {
                let error = trouble.on(&self.host.name, "get", &self.key);
                feeder.blocking_fail(bytes_stream::Error::new(error));
            }
        });
        let state = (chunks, waiting);
        ByteStream::from_stream(stream::try_unfold(state, |(mut chunks, waiting)| async move {
            Ok(chunks.next().await?.map(|chunk| (chunk, (chunks, waiting))))
        }))
    }

    fn pump(&mut self, feeder: Feeder, gate: &Arc<Gate>) -> Option<(Feeder, Trouble)> {
        let mut failed = 0;
        while !self.download.is_done() {
            match self.next(gate) {
                Ok(chunk) => {
                    failed = 0;
                    feeder.blocking_send(chunk).ok()?;
                }
                Err(trouble)
                    if trouble.mark.lost && failed < self.host.retries && !gate.is_given_up() =>
                {
                    let (storage, error) = (&self.host.name, chain(&trouble));
                    info!(%storage, %error, "reading on over a new connection");
                    // The first time at once: most often it was only this connection.
                    std::thread::sleep(failed.checked_sub(1).map(pause).unwrap_or_default());
                    self.sftp = None;
                    failed += 1;
                }
                Err(trouble) => return Some((feeder, trouble)),
            }
        }
        if let Some(mut sftp) = self.sftp.take()
            && sftp.close(&self.download.handle).is_ok()
        {
            self.host.give_back(sftp);
        }
        feeder.blocking_finish().ok();
        None
    }

    /// Reads on; where the connection is gone, over a new one, if the file is still the same.
    fn next(&mut self, gate: &Arc<Gate>) -> Result<Bytes, Trouble> {
        if self.sftp.is_none() {
            let old = &self.download;
            let (sftp, new) = self.host.lease(gate, |sftp| {
                let new = Download::open(sftp, &old.path, old.at..old.end)?;
                if new.facts == old.facts {
                    return Ok(new);
                }
                let problem = format!("{} changed while it was read", old.path);
                Err(Trouble::new(Kind::Corrupt, problem))
            })?;
            self.download = new;
            self.sftp = Some(sftp);
        }
        match &mut self.sftp {
            Some(sftp) => self.download.next(sftp),
            None => Err(Trouble::new(Kind::Other, "there is no connection")),
        }
    }
}

/// A part of a file that is being read.
struct Download {
    path: String,
    handle: Handle,
    facts: Attributes,
    /// What comes next, and what was asked for up to where.
    at: u64,
    asked: u64,
    end: u64,
    step: u32,
    /// Reads that the server has not answered, with their length.
    unanswered: VecDeque<(u32, u32)>,
}

impl Download {
    fn open(sftp: &mut Sftp, path: &str, part: Range<u64>) -> Result<Self, Trouble> {
        let missing = || Trouble::new(Kind::NotFound, format!("{path}: there is no such file"));
        let handle = match sftp.open(path) {
            Ok(handle) => handle,
            Err(fault) if fault.is_missing() => return Err(missing()),
            Err(fault) => {
                // Some servers open no folder and say only that it failed.
                return match sftp.look(path) {
                    Ok(Some(found)) if found.is_folder() => Err(missing()),
                    _ => Err(fault.about(path, READ)),
                };
            }
        };
        let facts = sftp.look_at(&handle).map_err(|fault| fault.about(path, READ))?;
        let bytes = facts.bytes.unwrap_or_default();
        let problem = if !facts.is_file() {
            missing()
        } else if part.start > part.end || part.end > bytes {
            let problem = format!("bytes {part:?} were asked for, {path} has {bytes}");
            Trouble::new(Kind::Corrupt, problem)
        } else {
            return Ok(Self {
                path: path.to_owned(),
                handle,
                facts,
                at: part.start,
                asked: part.start,
                end: part.end,
                step: sftp.can.step as u32,
                unanswered: VecDeque::new(),
            });
        };
        sftp.close(&handle).ok();
        Err(problem)
    }

    fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// Reads all of a short part and closes the file.
    fn all(&mut self, sftp: &mut Sftp) -> Result<Bytes, Trouble> {
        let mut all = Vec::with_capacity((self.end - self.at) as usize);
        while !self.is_done() {
            all.extend_from_slice(&self.next(sftp)?);
        }
        sftp.close(&self.handle).map_err(|fault| fault.about(&self.path, READ))?;
        Ok(all.into())
    }

    /// Gives the next bytes, with more under way behind them.
    fn next(&mut self, sftp: &mut Sftp) -> Result<Bytes, Trouble> {
        let got = self.ask_ahead(sftp).and_then(|()| match self.unanswered.pop_front() {
            Some((id, wanted)) => Ok((sftp.read_bytes(id)?, wanted)),
            None => Ok((Bytes::new(), 0)),
        });
        let (bytes, wanted) = got.map_err(|fault| fault.about(&self.path, READ))?;
        if bytes.is_empty() || bytes.len() > wanted as usize {
            let problem = format!("{} became shorter while it was read", self.path);
            return Err(Trouble::new(Kind::Corrupt, problem));
        }
        self.at += bytes.len() as u64;
        if bytes.len() < wanted as usize {
            self.begin_again(sftp, bytes.len() as u32)?;
        }
        Ok(bytes)
    }

    fn ask_ahead(&mut self, sftp: &mut Sftp) -> Result<(), crate::storages::scp::sftp::Fault> {
        while self.asked < self.end && self.asked - self.at < AHEAD {
            let wanted = u64::from(self.step).min(self.end - self.asked) as u32;
            let id = sftp.read(&self.handle, self.asked, wanted)?;
            self.unanswered.push_back((id, wanted));
            self.asked += u64::from(wanted);
        }
        Ok(())
    }

    /// The server gives fewer bytes at a time than were asked for: what is under way lies beyond
    /// a gap, and is asked for anew in smaller steps.
    fn begin_again(&mut self, sftp: &mut Sftp, step: u32) -> Result<(), Trouble> {
        for (id, _) in std::mem::take(&mut self.unanswered) {
            sftp.read_bytes(id).map_err(|fault| fault.about(&self.path, READ))?;
        }
        (self.asked, self.step) = (self.at, step);
        Ok(())
    }
}

const READ: &str = "read this file";
/// Parts up to this length are read before the stream is given.
const SHORT: u64 = 256 << 10;
/// Bytes that were asked for and have not come: as much as the window of the connection holds.
const AHEAD: u64 = 4 * MIB as u64;

/// Tells size and time of the file of `key`.
pub(super) fn stat(sftp: &mut Sftp, host: &Host, key: &Key) -> Result<Option<Object>, Trouble> {
    let path = host.path(key.as_str());
    let found = sftp.look(&path).map_err(|fault| fault.about(&path, "enter this folder"))?;
    Ok(found.filter(Attributes::is_file).map(|facts| describe(key.clone(), &facts)))
}

pub(super) fn describe(key: Key, facts: &Attributes) -> Object {
    let modified = facts.modified.and_then(|at| Timestamp::from_second(i64::from(at)).ok());
    Object { key, bytes: facts.bytes.unwrap_or_default(), modified }
}
