//! A put: a temporary file beside the target, flushed, then renamed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::{Key, MIB};
use crate::storages::gate::Gate;
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::folder::{about_write, above, make, remove_empty};
use crate::storages::scp::host::{Host, tidying};
use crate::storages::scp::sftp::{Handle, Sftp, code};
use crate::storages::unique::unique;
use crate::storages::{Kind, Object, threaded};
use crate::stream::ByteStream;

/// Stores `body`; a thread connects, makes the file and writes it.
pub(super) async fn put(host: Arc<Host>, key: Key, body: ByteStream) -> Result<Object, Trouble> {
    // While the body is silent the thread asks the server something, so that nobody takes the
    // connection for dead.
    threaded::put(body, Some(BEAT), move |handed| {
        let gate = handed.gate.clone();
        let create = |sftp: &mut Sftp| Upload::create(sftp, &host, &key);
        let (mut sftp, mut upload) = host.lease(&gate, create)?;
        let filled = upload.fill(&mut sftp, handed.begin());
        let done = filled.and_then(|()| upload.finish(&mut sftp, &host, &gate));
        match done {
            Ok(object) => {
                host.give_back(sftp);
                Ok(object)
            }
            Err(trouble) => {
                upload.take_back(sftp, &host, trouble.mark.lost);
                Err(trouble)
            }
        }
    })
    .await
}

/// How long a put waits for its body before it shows the server that it lives.
const BEAT: Duration = Duration::from_secs(5);

/// A temporary file that is being written.
struct Upload {
    key: Key,
    temporary: String,
    target: String,
    handle: Handle,
    /// Bytes handed to the server so far.
    sent: u64,
    /// Bytes that are too few for a write of their own: at most one step of the server.
    small: Vec<u8>,
    /// Writes that the server has not answered, with their length.
    unanswered: VecDeque<(u32, usize)>,
    in_flight: usize,
}

impl Upload {
    fn create(sftp: &mut Sftp, host: &Host, key: &Key) -> Result<Self, Trouble> {
        for _ in 0..ATTEMPTS {
            let temporary = host.path(key.partial(&unique()).as_str());
            match sftp.create(&temporary) {
                Ok(handle) => {
                    return Ok(Self {
                        key: key.clone(),
                        target: host.path(key.as_str()),
                        temporary,
                        handle,
                        sent: 0,
                        small: Vec::new(),
                        unanswered: VecDeque::new(),
                        in_flight: 0,
                    });
                }
                // Not there yet, or a delete removed the empty folder just now.
                Err(fault) if fault.is_missing() => {
                    let folder = above(&temporary).unwrap_or_default();
                    make(sftp, if folder.is_empty() { "/" } else { folder })?;
                }
                Err(fault) => return Err(about_write(sftp, fault, &host.path(key.as_str()))),
            }
        }
        let path = host.path(key.folder());
        let problem = format!("{path}: somebody removes the folder all the time");
        Err(Trouble::new(Kind::Unavailable, problem))
    }

    fn fill(&mut self, sftp: &mut Sftp, mut chunks: ByteStream) -> Result<(), Trouble> {
        while let Some(chunk) = chunks.blocking_next().map_err(Trouble::body)? {
            match chunk.is_empty() {
                true => self.show_life(sftp)?,
                false => self.take(sftp, &chunk)?,
            }
        }
        self.settle(sftp)
    }

    /// Sends whole steps and keeps the rest.
    fn take(&mut self, sftp: &mut Sftp, mut chunk: &[u8]) -> Result<(), Trouble> {
        let step = sftp.can.step;
        if !self.small.is_empty() {
            let (head, rest) = chunk.split_at(chunk.len().min(step - self.small.len()));
            self.small.extend_from_slice(head);
            chunk = rest;
            if self.small.len() == step {
                self.send_small(sftp)?;
            }
        }
        while chunk.len() >= step {
            let (head, rest) = chunk.split_at(step);
            self.send(sftp, head)?;
            chunk = rest;
        }
        self.small.extend_from_slice(chunk);
        Ok(())
    }

    fn send_small(&mut self, sftp: &mut Sftp) -> Result<(), Trouble> {
        let mut small = std::mem::take(&mut self.small);
        let sent = self.send(sftp, &small);
        small.clear();
        self.small = small;
        sent
    }

    fn send(&mut self, sftp: &mut Sftp, bytes: &[u8]) -> Result<(), Trouble> {
        let written = sftp.write(&self.handle, self.sent, bytes);
        let id = written.map_err(|fault| about_write(sftp, fault, &self.target))?;
        self.unanswered.push_back((id, bytes.len()));
        self.sent += bytes.len() as u64;
        self.in_flight += bytes.len();
        while self.in_flight > IN_FLIGHT {
            self.hear(sftp)?;
        }
        Ok(())
    }

    /// Waits for the oldest answer.
    fn hear(&mut self, sftp: &mut Sftp) -> Result<(), Trouble> {
        let Some((id, bytes)) = self.unanswered.pop_front() else { return Ok(()) };
        self.in_flight -= bytes;
        sftp.written(id).map_err(|fault| about_write(sftp, fault, &self.target))
    }

    /// Sends what is left and waits for all answers.
    fn settle(&mut self, sftp: &mut Sftp) -> Result<(), Trouble> {
        if !self.small.is_empty() {
            self.send_small(sftp)?;
        }
        while !self.unanswered.is_empty() {
            self.hear(sftp)?;
        }
        Ok(())
    }

    fn show_life(&mut self, sftp: &mut Sftp) -> Result<(), Trouble> {
        self.settle(sftp)?;
        let seen = sftp.look_at(&self.handle);
        seen.map(drop).map_err(|fault| about_write(sftp, fault, &self.target))
    }

    /// Brings the file to the disk and gives it its name.
    fn finish(&self, sftp: &mut Sftp, host: &Host, gate: &Gate) -> Result<Object, Trouble> {
        if sftp.can.fsync {
            let flushed = sftp.flush(&self.handle);
            flushed.map_err(|fault| about_write(sftp, fault, &self.target))?;
        }
        let seen = sftp.look_at(&self.handle);
        let facts = seen.map_err(|fault| about_write(sftp, fault, &self.target))?;
        if facts.bytes.is_some_and(|bytes| bytes != self.sent) {
            let there = facts.bytes.unwrap_or_default();
            let problem = format!(
                "{}: the server has {there} bytes of the {} that were sent",
                self.target, self.sent
            );
            return Err(Trouble::new(Kind::Corrupt, problem));
        }
        let closed = sftp.close(&self.handle);
        closed.map_err(|fault| about_write(sftp, fault, &self.target))?;
        if !gate.commit() {
            return Err(Trouble::given_up());
        }
        match self.rename(sftp) {
            Err(trouble) if trouble.mark.lost => self.was_renamed(host, trouble)?,
            done => done?,
        }
        let modified = facts.modified.and_then(|at| Timestamp::from_second(i64::from(at)).ok());
        Ok(Object { key: self.key.clone(), bytes: self.sent, modified })
    }

    fn rename(&self, sftp: &mut Sftp) -> Result<(), Trouble> {
        if sftp.can.posix_rename {
            let renamed = sftp.replace(&self.temporary, &self.target);
            return renamed.map_err(|fault| fault.about(&self.target, "rename in this folder"));
        }
        match sftp.rename(&self.temporary, &self.target) {
            Err(fault)
                if fault.is(code::FAILURE) && matches!(sftp.look(&self.target), Ok(Some(_))) =>
            {
                let problem = format!(
                    "{} is there already, and the server cannot replace a file in one step (it \
                     lacks posix-rename@openssh.com); the old one stays",
                    self.target
                );
                Err(Trouble::new(Kind::Unsupported, problem))
            }
            done => done.map_err(|fault| fault.about(&self.target, "rename in this folder")),
        }
    }

    /// Finds out what became of a rename whose answer got lost, and does it if it was not done.
    fn was_renamed(&self, host: &Host, trouble: Trouble) -> Result<(), Trouble> {
        let Ok(mut sftp) = host.dial_to_tidy_up() else { return Err(trouble) };
        match sftp.look(&self.temporary) {
            Ok(Some(_)) => self.rename(&mut sftp),
            Ok(None) => match sftp.look(&self.target) {
                Ok(Some(found)) if found.bytes == Some(self.sent) => Ok(()),
                _ => Err(trouble),
            },
            Err(_) => Err(trouble),
        }
    }

    /// Removes the temporary file, over a new connection when the old one is of no use; what
    /// cannot be reached now is removed at the next chance.
    fn take_back(self, mut sftp: Sftp, host: &Host, lost: bool) {
        sftp.watched_by(tidying());
        if lost || !self.removed(&mut sftp, host) {
            drop(sftp);
            let gone = host.dial_to_tidy_up().is_ok_and(|mut sftp| self.removed(&mut sftp, host));
            if !gone {
                host.left(self.temporary);
            }
        } else if self.unanswered.iter().all(|(id, _)| sftp.written(*id).is_ok()) {
            host.give_back(sftp);
        }
    }

    fn removed(&self, sftp: &mut Sftp, host: &Host) -> bool {
        sftp.close(&self.handle).ok();
        match sftp.remove(&self.temporary) {
            Err(fault) if !fault.is_missing() => false,
            _ => {
                remove_empty(sftp, host, self.key.folder()).ok();
                true
            }
        }
    }
}

/// Bytes that may be under way: the server's window, and what hides a long round trip. None of
/// them are kept here.
const IN_FLIGHT: usize = 16 * MIB;
const ATTEMPTS: usize = 100;
