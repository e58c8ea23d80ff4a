//! The bytes between us and the server's SFTP, with patience.
//!
//! libssh2 gives up a blocking call after its own timeout and can take it up again. We let it do
//! so every second: to see whether anybody still waits, and to measure silence, not whole calls.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh2::{Channel, ErrorCode};

use crate::storages::gate::Gate;

/// How long a call may be silent, and who waits for it.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) gate: Arc<Gate>,
    pub(super) patience: Duration,
}

impl Watch {
    /// Takes a call up again until it ends, the patience does, or nobody waits any more.
    pub(super) fn over<T, E: Slow>(&self, mut call: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        let begun = Instant::now();
        loop {
            match call() {
                Err(error) if error.is_slow() => {
                    if self.gate.is_given_up() || begun.elapsed() >= self.patience {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }

    /// Says how long nothing was heard.
    pub(super) fn silence(&self) -> String {
        format!("no answer for {} s", self.patience.as_secs_f64())
    }
}

/// An error that may only mean that the answer takes longer.
pub(super) trait Slow {
    fn is_slow(&self) -> bool;
}

impl Slow for io::Error {
    fn is_slow(&self) -> bool {
        self.kind() == io::ErrorKind::TimedOut
    }
}

impl Slow for ssh2::Error {
    fn is_slow(&self) -> bool {
        self.code() == ErrorCode::Session(TIMEOUT)
    }
}

/// `LIBSSH2_ERROR_TIMEOUT`.
const TIMEOUT: i32 = -9;

/// How long libssh2 may block, in milliseconds: the longest until a given-up call is noticed.
pub(super) const TICK_MILLIS: u32 = 1000;

/// One channel of one connection. Dropped, it hangs up at once.
pub(super) struct Line {
    channel: Channel,
    socket: TcpStream,
    pub(super) watch: Watch,
}

impl Line {
    /// `socket` is the one under `channel`.
    pub(super) fn new(channel: Channel, socket: TcpStream, watch: Watch) -> Self {
        Self { channel, socket, watch }
    }

    fn judged(&self, done: io::Result<usize>) -> io::Result<usize> {
        match done {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "end of file")),
            Err(error) if error.is_slow() => {
                Err(io::Error::new(io::ErrorKind::TimedOut, self.watch.silence()))
            }
            done => done,
        }
    }
}

impl Read for Line {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let channel = &mut self.channel;
        let done = self.watch.over(|| channel.read(room));
        self.judged(done)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let channel = &mut self.channel;
        let done = self.watch.over(|| match channel.write(bytes) {
            // The server's window is closed; it opens with a message from there.
            Ok(0) if !channel.eof() => Err(io::ErrorKind::TimedOut.into()),
            done => done,
        });
        self.judged(done)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Without it libssh2 would wait for the server to agree.
        self.socket.shutdown(Shutdown::Both).ok();
    }
}
