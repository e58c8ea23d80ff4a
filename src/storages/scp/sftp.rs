//! The requests of SFTP version 3 and of OpenSSH's extensions, over a channel of ssh2.
//!
//! libssh2 has an SFTP of its own. It is not used: it offers no way to `posix-rename`, without
//! which no object can be replaced in one step, it waits for every write unless that is many MiB
//! long, it counts a timeout over whole calls, and it hides the server's words.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Read, Write};

use bytes::Bytes;

use crate::base::KIB;
use crate::storages::scp::line::{Line, Watch};
use crate::storages::scp::wire::{Attributes, MODE, Packet, Values};

/// A conversation with the server's SFTP.
pub(super) struct Sftp {
    line: BufReader<Line>,
    next_id: u32,
    /// Answers that came before somebody asked for them.
    early: HashMap<u32, Answer>,
    /// Requests that nobody has read the answer of.
    unanswered: usize,
    room: Packet,
    pub(super) can: Can,
}

/// What the server can beyond version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Can {
    pub(super) posix_rename: bool,
    pub(super) fsync: bool,
    pub(super) statvfs: bool,
    limits: bool,
    /// The most bytes of a read or a write.
    pub(super) step: usize,
}

/// A file or folder that the server holds open for us.
#[derive(Clone, Debug)]
pub(super) struct Handle(Vec<u8>);

/// What a folder holds.
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) attributes: Attributes,
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server refused it.
    Said(Status),
    /// The connection is of no use any more.
    Lost(io::Error),
}

/// What the server says of a request.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn is(&self, code: u32) -> bool {
        matches!(self, Self::Said(status) if status.code == code)
    }

    /// Tells whether there is nothing under the name.
    pub(super) fn is_missing(&self) -> bool {
        self.is(code::NO_SUCH_FILE) || self.is(code::NO_SUCH_PATH)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match self.code {
            code::EOF => "end of file",
            code::NO_SUCH_FILE | code::NO_SUCH_PATH => "no such file",
            code::PERMISSION_DENIED => "permission denied",
            code::FAILURE => "failure",
            code::UNSUPPORTED => "operation unsupported",
            code::WRITE_PROTECT => "write protected",
            code::NO_SPACE => "no space left",
            code::QUOTA => "quota exceeded",
            code => return write!(f, "status {code} {:?}", self.message),
        };
        f.write_str(known)
    }
}

struct Answer {
    kind: u8,
    bytes: Vec<u8>,
}

type Said<T> = Result<T, Fault>;

impl Sftp {
    /// Greets the server.
    ///
    /// Errors: `InvalidData` with the server's words when it does not speak SFTP.
    pub(super) fn begin(line: Line) -> io::Result<Self> {
        let can = Can::default();
        let line = BufReader::with_capacity(INBOX, line);
        let (early, room) = (HashMap::new(), Packet::default());
        let mut sftp = Self { line, next_id: 0, early, unanswered: 0, room, can };
        sftp.line.get_mut().write_all(Packet::new(kind::INIT, VERSION).bytes())?;
        let hello = sftp.receive()?;
        let mut values = Values(&hello.bytes);
        if hello.kind != kind::VERSION || values.number()? < VERSION {
            return Err(invalid("its SFTP is not version 3"));
        }
        while !values.0.is_empty() {
            sftp.can.learn(values.text()?, values.text()?);
        }
        if sftp.can.limits
            && let Ok(step) = sftp.longest()
        {
            sftp.can.step = step;
        }
        Ok(sftp)
    }

    /// Says who waits from now on.
    pub(super) fn watched_by(&mut self, watch: Watch) {
        self.line.get_mut().watch = watch;
    }

    /// Tells whether no answer is due, so that others can go on with it.
    pub(super) fn is_idle(&self) -> bool {
        self.unanswered == 0 && self.early.is_empty()
    }

    /// Makes a file that was not there and opens it for writing.
    pub(super) fn create(&mut self, path: &str) -> Said<Handle> {
        let open = self.request(kind::OPEN).text(path).number(open::WRITE | open::NEW);
        self.handle(open.number(MODE).number(0o600))
    }

    /// Opens a file for reading.
    pub(super) fn open(&mut self, path: &str) -> Said<Handle> {
        let open = self.request(kind::OPEN).text(path).number(open::READ).number(0);
        self.handle(open)
    }

    pub(super) fn open_folder(&mut self, path: &str) -> Said<Handle> {
        let open = self.request(kind::OPEN_FOLDER).text(named(path));
        self.handle(open)
    }

    pub(super) fn close(&mut self, handle: &Handle) -> Said<()> {
        let close = self.request(kind::CLOSE).text(&handle.0);
        self.done(close)
    }

    /// Gives the next entries of an open folder; `None` after the last.
    pub(super) fn entries(&mut self, folder: &Handle) -> Said<Option<Vec<Entry>>> {
        let read = self.request(kind::READ_FOLDER).text(&folder.0);
        let id = self.send(read)?;
        let answer = match self.answer(id)?.of(kind::NAMES) {
            Err(fault) if fault.is(code::EOF) => return Ok(None),
            answer => answer?,
        };
        let mut values = Values(&answer);
        let mut found = Vec::new();
        for _ in 0..values.number()? {
            let name = values.text()?.to_owned();
            values.text()?;
            found.push(Entry { name, attributes: values.attributes()? });
        }
        Ok(Some(found))
    }

    /// Tells of a file; of a link, not of what it points at. `None` when it is missing.
    pub(super) fn look(&mut self, path: &str) -> Said<Option<Attributes>> {
        let look = self.request(kind::LSTAT).text(named(path));
        present(self.attributes(look))
    }

    /// Tells of a file, through links. `None` when it is missing.
    pub(super) fn look_through(&mut self, path: &str) -> Said<Option<Attributes>> {
        let look = self.request(kind::STAT).text(named(path));
        present(self.attributes(look))
    }

    /// Tells of an open file.
    pub(super) fn look_at(&mut self, handle: &Handle) -> Said<Attributes> {
        let look = self.request(kind::FSTAT).text(&handle.0);
        self.attributes(look)
    }

    /// Begins a write; [`Sftp::written`] tells how it went.
    pub(super) fn write(&mut self, handle: &Handle, at: u64, bytes: &[u8]) -> Said<u32> {
        let room = std::mem::take(&mut self.room);
        let write = room.reuse(kind::WRITE, self.next_id).text(&handle.0).long(at).text(bytes);
        self.send(write)
    }

    /// Waits until a write is done.
    pub(super) fn written(&mut self, id: u32) -> Said<()> {
        self.answer(id)?.of(kind::STATUS).map(drop)
    }

    /// Begins a read; [`Sftp::read_bytes`] gives what it brought.
    pub(super) fn read(&mut self, handle: &Handle, at: u64, bytes: u32) -> Said<u32> {
        let read = self.request(kind::READ).text(&handle.0).long(at).number(bytes);
        self.send(read)
    }

    /// Gives the bytes of a read; none at the end of the file.
    pub(super) fn read_bytes(&mut self, id: u32) -> Said<Bytes> {
        let bytes = match self.answer(id)?.of(kind::DATA) {
            Err(fault) if fault.is(code::EOF) => return Ok(Bytes::new()),
            bytes => Bytes::from(bytes?),
        };
        let length = Values(&bytes).text()?.len();
        Ok(bytes.slice(4..4 + length))
    }

    /// Brings what was written to the server's disk.
    pub(super) fn flush(&mut self, handle: &Handle) -> Said<()> {
        let flush = self.request(kind::EXTENDED).text(FSYNC).text(&handle.0);
        self.done(flush)
    }

    /// Renames in one step what may be there already.
    pub(super) fn replace(&mut self, from: &str, to: &str) -> Said<()> {
        let rename = self.request(kind::EXTENDED).text(POSIX_RENAME).text(from).text(to);
        self.done(rename)
    }

    /// Renames to what must not be there.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Said<()> {
        let rename = self.request(kind::RENAME).text(from).text(to);
        self.done(rename)
    }

    pub(super) fn remove(&mut self, path: &str) -> Said<()> {
        let remove = self.request(kind::REMOVE).text(path);
        self.done(remove)
    }

    pub(super) fn make_folder(&mut self, path: &str) -> Said<()> {
        let make = self.request(kind::MAKE_FOLDER).text(path).number(MODE).number(0o700);
        self.done(make)
    }

    /// Removes a folder that is empty.
    pub(super) fn remove_folder(&mut self, path: &str) -> Said<()> {
        let remove = self.request(kind::REMOVE_FOLDER).text(path);
        self.done(remove)
    }

    /// Tells how many bytes a user may still write where `path` is, if the server tells.
    pub(super) fn free_bytes(&mut self, path: &str) -> Option<u64> {
        if !self.can.statvfs {
            return None;
        }
        let ask = self.request(kind::EXTENDED).text(STATVFS).text(named(path));
        let id = self.send(ask).ok()?;
        let answer = self.answer(id).ok()?.of(kind::EXTENDED_REPLY).ok()?;
        let mut values = Values(&answer);
        let mut numbers = [0; 5];
        for number in &mut numbers {
            *number = values.long().ok()?;
        }
        let [_, unit, _, _, available] = numbers;
        Some(unit.saturating_mul(available))
    }

    /// Asks for the most bytes of a read or a write.
    fn longest(&mut self) -> Said<usize> {
        let ask = self.request(kind::EXTENDED).text(LIMITS);
        let id = self.send(ask)?;
        let answer = self.answer(id)?.of(kind::EXTENDED_REPLY)?;
        let mut values = Values(&answer);
        let _packet = values.long()?;
        let (read, write) = (values.long()?, values.long()?);
        let least = read.min(write).min(LONGEST_STEP as u64);
        Ok((least as usize).max(STEP))
    }

    fn request(&self, kind: u8) -> Packet {
        Packet::new(kind, self.next_id)
    }

    fn done(&mut self, request: Packet) -> Said<()> {
        let id = self.send(request)?;
        self.answer(id)?.of(kind::STATUS).map(drop)
    }

    fn handle(&mut self, request: Packet) -> Said<Handle> {
        let id = self.send(request)?;
        let answer = self.answer(id)?.of(kind::HANDLE)?;
        Ok(Handle(Values(&answer).text()?.to_owned()))
    }

    fn attributes(&mut self, request: Packet) -> Said<Attributes> {
        let id = self.send(request)?;
        let answer = self.answer(id)?.of(kind::ATTRIBUTES)?;
        Ok(Values(&answer).attributes()?)
    }

    fn send(&mut self, mut request: Packet) -> Said<u32> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.unanswered += 1;
        self.line.get_mut().write_all(request.bytes())?;
        self.room = request.roomier(std::mem::take(&mut self.room));
        Ok(id)
    }

    /// Waits for the answer to request `id`.
    fn answer(&mut self, id: u32) -> io::Result<Answer> {
        loop {
            if let Some(answer) = self.early.remove(&id) {
                self.unanswered -= 1;
                return Ok(answer);
            }
            let mut answer = self.receive()?;
            let of = Values(&answer.bytes).number()?;
            answer.bytes.drain(..4);
            if self.early.len() >= self.unanswered || self.early.insert(of, answer).is_some() {
                return Err(invalid("an answer came that nobody asked for"));
            }
        }
    }

    fn receive(&mut self) -> io::Result<Answer> {
        let mut head = [0; 5];
        self.line.read_exact(&mut head)?;
        let [a, b, c, d, kind] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(1..=LONGEST_ANSWER).contains(&length) {
            return Err(invalid(&self.no_sftp(&head)));
        }
        let mut bytes = vec![0; length - 1];
        self.line.read_exact(&mut bytes)?;
        Ok(Answer { kind, bytes })
    }

    /// Quotes what came instead of SFTP: a login script, a notice.
    fn no_sftp(&self, head: &[u8]) -> String {
        let said = [head, self.line.buffer()].concat();
        let said = String::from_utf8_lossy(&said[..said.len().min(QUOTE)]).into_owned();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("instead of SFTP it sends {said:?}; look at the login scripts of this user there")
    }
}

impl Answer {
    /// Gives the values of an answer of this kind; a status that is no success is a fault.
    fn of(self, kind: u8) -> Said<Vec<u8>> {
        if self.kind == kind::STATUS {
            let mut values = Values(&self.bytes);
            let code = values.number()?;
            if code != code::OK || kind != kind::STATUS {
                let message = String::from_utf8_lossy(values.text().unwrap_or_default());
                return Err(Fault::Said(Status { code, message: message.into_owned() }));
            }
        } else if self.kind != kind {
            return Err(invalid("an answer of another kind came").into());
        }
        Ok(self.bytes)
    }
}

impl Default for Can {
    fn default() -> Self {
        Self { posix_rename: false, fsync: false, statvfs: false, limits: false, step: STEP }
    }
}

impl Can {
    fn learn(&mut self, name: &[u8], version: &[u8]) {
        let known = match name {
            name if name == POSIX_RENAME.as_bytes() => &mut self.posix_rename,
            name if name == FSYNC.as_bytes() => &mut self.fsync,
            name if name == STATVFS.as_bytes() && version == b"2" => &mut self.statvfs,
            name if name == LIMITS.as_bytes() => &mut self.limits,
            _ => return,
        };
        *known = true;
    }
}

fn present(found: Said<Attributes>) -> Said<Option<Attributes>> {
    match found {
        Err(fault) if fault.is_missing() => Ok(None),
        found => found.map(Some),
    }
}

/// The login folder has no name of its own.
fn named(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

const VERSION: u32 = 3;
/// What every server takes in one write.
const STEP: usize = 32 * KIB;
/// What OpenSSH takes at most.
const LONGEST_STEP: usize = 255 * KIB;
const LONGEST_ANSWER: usize = 512 * KIB;
const INBOX: usize = 64 * KIB;
const QUOTE: usize = 200;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const FSYNC: &str = "fsync@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";
const LIMITS: &str = "limits@openssh.com";

mod kind {
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const LSTAT: u8 = 7;
    pub(super) const FSTAT: u8 = 8;
    pub(super) const OPEN_FOLDER: u8 = 11;
    pub(super) const READ_FOLDER: u8 = 12;
    pub(super) const REMOVE: u8 = 13;
    pub(super) const MAKE_FOLDER: u8 = 14;
    pub(super) const REMOVE_FOLDER: u8 = 15;
    pub(super) const STAT: u8 = 17;
    pub(super) const RENAME: u8 = 18;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
    pub(super) const NAMES: u8 = 104;
    pub(super) const ATTRIBUTES: u8 = 105;
    pub(super) const EXTENDED: u8 = 200;
    pub(super) const EXTENDED_REPLY: u8 = 201;
}

mod open {
    pub(super) const READ: u32 = 1;
    pub(super) const WRITE: u32 = 2;
    /// Make it; it must not be there.
    pub(super) const NEW: u32 = 0x08 | 0x20;
}

/// What a status means; those above 8 are of later versions, which some servers mix in.
pub(super) mod code {
    pub(in crate::storages::scp) const OK: u32 = 0;
    pub(in crate::storages::scp) const EOF: u32 = 1;
    pub(in crate::storages::scp) const NO_SUCH_FILE: u32 = 2;
    pub(in crate::storages::scp) const PERMISSION_DENIED: u32 = 3;
    pub(in crate::storages::scp) const FAILURE: u32 = 4;
    pub(in crate::storages::scp) const UNSUPPORTED: u32 = 8;
    pub(in crate::storages::scp) const NO_SUCH_PATH: u32 = 10;
    pub(in crate::storages::scp) const WRITE_PROTECT: u32 = 12;
    pub(in crate::storages::scp) const NO_SPACE: u32 = 14;
    pub(in crate::storages::scp) const QUOTA: u32 = 15;
}
