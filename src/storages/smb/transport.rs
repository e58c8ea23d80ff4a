//! The TCP connection below the library, which also counts what the library forgets.
//!
//! An SMB server grants credits for requests with each answer. When it needs longer it says so
//! first, and grants them with that word instead of with the answer; the library (0.12.1)
//! overlooks those. A slow server so runs the connection dry, and then a request waits for ever.
//! [`Meter`] counts along, so that a connection can be replaced in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use smb::transport::{SmbTransport, SmbTransportRead, SmbTransportWrite, TransportError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Counts the credits that the library thinks it has.
#[derive(Debug, Default)]
pub(super) struct Meter {
    credits: AtomicI64,
    most: AtomicI64,
}

impl Meter {
    /// Tells whether the connection should be replaced: a quarter of its best is left.
    pub(super) fn is_low(&self) -> bool {
        self.credits.load(Ordering::Relaxed) * 4 < self.most.load(Ordering::Relaxed)
    }

    /// Looks at an answer of the server, without the length before it.
    fn see(&self, answer: &[u8]) {
        let gained = gained(answer);
        let credits = self.credits.fetch_add(gained, Ordering::Relaxed) + gained;
        self.most.fetch_max(credits, Ordering::Relaxed);
    }
}

/// Tells how many credits more, or less, the library has after an answer.
///
/// Source: <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-smb2/fb188936-5050-48d3-b350-dc43059638a4> (fields of the header).
fn gained(answer: &[u8]) -> i64 {
    if answer.starts_with(b"\xfdSMB") {
        // It cannot be read here, but a word without an answer is as short as this.
        return if answer.len() <= SHORT { -COST } else { 0 };
    }
    let field = |at: usize| {
        answer.get(at..at + 2).map_or(0, |two| i64::from(two[0]) | i64::from(two[1]) << 8)
    };
    let is_word = answer.get(8..12).is_none_or(|status| status == PENDING);
    if is_word { 0 } else { field(14) - field(6) }
}

/// `STATUS_PENDING`.
const PENDING: [u8; 4] = 0x103_u32.to_le_bytes();
/// Bytes of an encrypted answer that has no content: 52 of encryption, 64 of header, 9 of body.
const SHORT: usize = 52 + 64 + 9;
/// Credits that a request of 1 MiB costs.
const COST: i64 = 16;

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

    fn answer(charge: u16, status: u32, credits: u16) -> Vec<u8> {
        let mut answer = vec![0; 73];
        answer[..4].copy_from_slice(b"\xfeSMB");
        answer[6..8].copy_from_slice(&charge.to_le_bytes());
        answer[8..12].copy_from_slice(&status.to_le_bytes());
        answer[14..16].copy_from_slice(&credits.to_le_bytes());
        answer
    }

    #[test]
    fn credits_that_come_with_the_word_to_wait_are_lost() {
        assert_eq!(gained(&answer(16, 0, 48)), 32);
        assert_eq!(gained(&answer(0, 0x103, 48)), 0);
        assert_eq!(gained(&answer(16, 0, 0)), -16);
        assert_eq!(gained(b"\xfdSMB and little more"), -COST);
        assert_eq!(gained(&[b"\xfdSMB".as_slice(), &[0; 200]].concat()), 0);
        assert_eq!(gained(b""), 0);
    }

    #[test]
    fn a_connection_that_runs_dry_is_noticed() {
        let meter = Meter::default();
        assert!(!meter.is_low());
        meter.see(&answer(1, 0, 512));
        for _ in 0..23 {
            meter.see(&answer(0, 0x103, 64));
            meter.see(&answer(16, 0, 0));
            assert!(!meter.is_low());
        }
        meter.see(&answer(16, 0, 0));
        meter.see(&answer(16, 0, 0));
        assert!(meter.is_low());
    }
}
