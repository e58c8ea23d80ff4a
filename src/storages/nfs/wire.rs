//! The TCP connection below the calls.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nfs3_client::io::{AsyncRead, AsyncWrite};
use nfs3_client::rpc::RpcClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::storages::unique::random;

/// Makes calls, one at a time.
pub(super) type Client = RpcClient<Wire>;

/// A connection whose end is an error: the client reads only when an answer is due.
pub(super) struct Wire(TcpStream);

impl AsyncRead for Wire {
    async fn async_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into).await? {
            0 if !into.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }

    async fn async_read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(into).await.map(drop)
    }
}

impl AsyncWrite for Wire {
    async fn async_write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from).await
    }

    async fn async_write_all(&mut self, from: &[u8]) -> io::Result<()> {
        self.0.write_all(from).await
    }
}

/// Connects to `address`, from a port below 1024 when `privileged` and one can be had.
pub(super) async fn dial(address: SocketAddr, privileged: bool) -> io::Result<Wire> {
    let connecting = async {
        if privileged && let Some(stream) = dial_privileged(address).await? {
            return Ok(stream);
        }
        TcpStream::connect(address).await
    };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(CONNECT, connecting).await.map_err(late)??;
    stream.set_nodelay(true)?;
    Ok(Wire(stream))
}

/// Returns `None` when the system gives us no such port.
async fn dial_privileged(address: SocketAddr) -> io::Result<Option<TcpStream>> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = random() as u16;
    for _ in 0..ATTEMPTS {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = LOWEST + number % (HIGHEST - LOWEST + 1);
        let (socket, local) = match address {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, (Ipv4Addr::UNSPECIFIED, port).into()),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, (Ipv6Addr::UNSPECIFIED, port).into()),
        };
        socket.set_reuseaddr(true)?;
        match socket.bind(local) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
            Err(_) => return Ok(None),
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if is_taken(&error) => (),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Tells whether the port still belongs to an older connection to the same server.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

/// The ports that the kernel's own client takes, too; below them lie those of well-known servers.
const LOWEST: u16 = 665;
const HIGHEST: u16 = 1023;
const ATTEMPTS: u16 = 100;
const CONNECT: Duration = Duration::from_secs(30);
