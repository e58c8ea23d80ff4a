//! The TCP connection below the library, which also counts what the library forgets.
//!
//! An SMB server grants credits for requests with each answer. When it needs longer it says so
//! first, and grants them with that word instead; the library (0.12.1) overlooks those. Each such
//! word so costs the connection some of its credits for ever, until in the end it can ask nothing
//! any more. [`Meter`] counts them, so that a connection can be replaced in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smb::transport::{SmbTransport, SmbTransportRead, SmbTransportWrite, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Counts credits that were lost on a connection.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU32);

impl Meter {
    /// Tells whether the connection should be replaced.
    pub(super) fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= HIGH
    }

    /// Looks at an answer of the server, without the length before it.
    fn see(&self, answer: &[u8]) {
        self.0.fetch_add(lost_credits(answer), Ordering::Relaxed);
    }
}

/// Tells how many credits an answer grants that the library overlooks.
///
/// Source: <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-smb2/ea4560b7-90da-4803-82b5-344754b92a79> (fields of the header).
fn lost_credits(answer: &[u8]) -> u32 {
    if answer.starts_with(b"\xfdSMB") {
        // It cannot be read here, but a word and nothing else is as short as this.
        return if answer.len() <= SHORT { GUESS } else { 0 };
    }
    let (Some(status), Some(credits)) = (answer.get(8..12), answer.get(14..16)) else { return 0 };
    if answer.starts_with(b"\xfeSMB") && status == PENDING {
        u32::from(u16::from_le_bytes([credits[0], credits[1]]))
    } else {
        0
    }
}

/// `STATUS_PENDING`.
const PENDING: [u8; 4] = 0x103_u32.to_le_bytes();
/// Bytes of an encrypted answer that has no content: 52 of encryption, 64 of header, 9 of body.
const SHORT: usize = 52 + 64 + 9;
/// Credits that an encrypted word may grant: the most that a write of 1 MiB costs, and some.
const GUESS: u32 = 64;
/// Credits that may be lost; servers grant 8192 together, of which [`crate::storages::smb::link`]
/// asks for a part, and what was lost is asked for again and may be lost again.
const HIGH: u32 = 1024;

/// A TCP connection, or one half of it.
pub(super) struct Transport {
    reader: Option<OwnedReadHalf>,
    writer: Option<OwnedWriteHalf>,
    peer: SocketAddr,
    meter: Arc<Meter>,
}

type Done<T> = Result<T, TransportError>;

impl Transport {
    pub(super) async fn connect(peer: SocketAddr, meter: Arc<Meter>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(peer).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: Some(reader), writer: Some(writer), peer, meter })
    }

    async fn read(&mut self, room: &mut [u8]) -> Done<()> {
        let reader = self.reader.as_mut().ok_or(TransportError::NotConnected)?;
        // Whatever happened: only this error ends the library's loops.
        reader.read_exact(room).await.map(drop).map_err(|_| TransportError::NotConnected)
    }

    /// Reads an answer: its length in four bytes, of which the first is 0, then itself.
    async fn answer(&mut self) -> Done<Vec<u8>> {
        let mut length = [0; 4];
        self.read(&mut length).await?;
        let length = u32::from_be_bytes(length);
        if length > LONGEST {
            return Err(TransportError::NotConnected);
        }
        let mut answer = vec![0; length as usize];
        self.read(&mut answer).await?;
        self.meter.see(&answer);
        Ok(answer)
    }

    async fn write(&mut self, bytes: &[u8]) -> Done<()> {
        let writer = self.writer.as_mut().ok_or(TransportError::NotConnected)?;
        writer.write_all(bytes).await.map_err(|_| TransportError::NotConnected)
    }
}

/// What the length before an answer can say.
const LONGEST: u32 = 0x00ff_ffff;

impl SmbTransport for Transport {
    fn connect<'a>(&'a mut self, _: &'a str, _: SocketAddr) -> BoxFuture<'a, Done<()>> {
        async { Err(TransportError::AlreadyConnected) }.boxed()
    }

    fn default_port(&self) -> u16 {
        self.peer.port()
    }

    fn split(self: Box<Self>) -> Done<(Box<dyn SmbTransportRead>, Box<dyn SmbTransportWrite>)> {
        let Self { reader, writer, peer, meter } = *self;
        let read = Self { reader, writer: None, peer, meter: meter.clone() };
        Ok((Box::new(read), Box::new(Self { reader: None, writer, peer, meter })))
    }

    fn remote_address(&self) -> Done<SocketAddr> {
        Ok(self.peer)
    }
}

impl SmbTransportRead for Transport {
    fn receive_exact<'a>(&'a mut self, room: &'a mut [u8]) -> BoxFuture<'a, Done<()>> {
        self.read(room).boxed()
    }

    fn receive(&mut self) -> BoxFuture<'_, Done<Vec<u8>>> {
        self.answer().boxed()
    }
}

impl SmbTransportWrite for Transport {
    fn send_raw<'a>(&'a mut self, bytes: &'a [u8]) -> BoxFuture<'a, Done<()>> {
        self.write(bytes).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_that_come_with_the_word_to_wait_are_counted() {
        let answer = |status: u32, credits: u16| {
            let mut answer = vec![0; 73];
            answer[..4].copy_from_slice(b"\xfeSMB");
            answer[8..12].copy_from_slice(&status.to_le_bytes());
            answer[14..16].copy_from_slice(&credits.to_le_bytes());
            answer
        };
        assert_eq!(lost_credits(&answer(0x103, 48)), 48);
        assert_eq!(lost_credits(&answer(0, 48)), 0);
        assert_eq!(lost_credits(b"\xfdSMB and little more"), GUESS);
        assert_eq!(lost_credits(&[b"\xfdSMB".as_slice(), &[0; 200]].concat()), 0);
        assert_eq!(lost_credits(b""), 0);
    }
}
