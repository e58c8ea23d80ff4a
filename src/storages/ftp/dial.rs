//! A new connection: TCP, TLS, login, and what is asked once.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use socket2::{SockRef, TcpKeepalive};
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsStream, ImplAsyncFtpStream};
use suppaftp::types::{Features, FileType};
use suppaftp::{FtpError, Mode, Status};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::base::Secret;
use crate::net::{self, Versions};
use crate::storages::Kind;
use crate::storages::checks::in_url;
use crate::storages::ftp::config::{Config, Passive, Tls};
use crate::storages::ftp::errors::{Blocked, Reply, Trouble};

/// A connection for commands; with or without TLS it is of one type.
pub(super) type Client = ImplAsyncFtpStream<AsyncRustlsStream>;

/// How the server is reached, and what was learnt about that.
pub(super) struct Way {
    host: String,
    port: u16,
    user: String,
    password: Secret,
    tls: Tls,
    passive: Passive,
    ca_file: Option<PathBuf>,
    /// What is known of EPSV here: [`UNKNOWN`], [`WORKS`] or [`FAILS`].
    epsv: AtomicU8,
    trusted: OnceLock<ClientConfig>,
}

/// A new connection and what was asked on it.
pub(super) struct Dialled {
    pub(super) client: Client,
    /// The folder where the login ends.
    pub(super) home: String,
    /// The server knows MLSD.
    pub(super) mlsd: bool,
    /// Transfers are asked for by EPSV, else by PASV.
    pub(super) epsv: bool,
}

impl Way {
    pub(super) fn new(config: &Config) -> Self {
        let password = config.password.clone();
        Self {
            host: config.host.clone(),
            port: config.port(),
            user: config.user().to_owned(),
            password: password.unwrap_or_else(|| Secret::new(NOBODY)),
            tls: config.tls,
            passive: config.passive,
            ca_file: config.ca_file.clone(),
            epsv: AtomicU8::new(UNKNOWN),
            trusted: OnceLock::new(),
        }
    }

    /// Tells whether PASV may be tried where EPSV failed.
    pub(super) fn may_fall_back(&self) -> bool {
        self.passive == Passive::Auto
    }

    /// Tells whether EPSV has brought a transfer here.
    pub(super) fn knows_epsv(&self) -> bool {
        self.epsv.load(Ordering::Relaxed) == WORKS
    }

    /// Notes whether EPSV brought a transfer, or PASV did where EPSV failed.
    pub(super) fn note_epsv(&self, works: bool) {
        self.epsv.store(if works { WORKS } else { FAILS }, Ordering::Relaxed);
    }

    /// Dials and logs in.
    pub(super) async fn dial(&self) -> Result<Dialled, Trouble> {
        match timeout(PATIENCE, self.enter()).await {
            Ok(done) => done,
            Err(_) => {
                let secs = PATIENCE.as_secs();
                let problem = format!(
                    "{}: connected, but no answer within {secs} s; do `port` and `tls` fit?",
                    self.server()
                );
                Err(Trouble::new(Kind::Unavailable, problem))
            }
        }
    }

    async fn enter(&self) -> Result<Dialled, Trouble> {
        let mut client = match self.tls {
            Tls::Implicit => self.implicit().await?,
            Tls::Explicit => self.explicit().await?,
            Tls::No => self.plain().await?,
        };
        self.log_in(&mut client).await?;
        let wrap = |error| Trouble::about(&self.server(), error);
        let features = features(&mut client).await.map_err(wrap)?;
        if features.contains_key("UTF8") {
            // Some servers refuse it because it cannot be off.
            pass_over(client.opts("UTF8", Some("ON")).await).map_err(wrap)?;
        }
        client.transfer_type(FileType::Binary).await.map_err(wrap)?;
        let home = client.pwd().await.map_err(wrap)?.replace("\"\"", "\"");
        let epsv = match self.passive {
            Passive::Auto => self.epsv.load(Ordering::Relaxed) != FAILS,
            Passive::Epsv => true,
            Passive::Pasv => false,
        };
        client.set_mode(if epsv { Mode::ExtendedPassive } else { Mode::Passive });
        // An address in an answer is that of a server behind a router, or of somebody else.
        client.set_passive_nat_workaround(true);
        let client = client.passive_stream_builder(|address| Box::pin(data(address)));
        Ok(Dialled { client, home, mlsd: features.contains_key("MLST"), epsv })
    }

    async fn plain(&self) -> Result<Client, Trouble> {
        let stream = timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port))).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| self.unreachable(error))?;
        keep_alive(&stream);
        let greeted = Client::connect_with_stream(stream).await;
        greeted.map_err(|error| self.no_greeting(error))
    }

    async fn explicit(&self) -> Result<Client, Trouble> {
        let client = self.plain().await?;
        let secured = client.into_secure(self.connector()?, &self.host).await;
        secured.map_err(|error| match error {
            FtpError::UnexpectedResponse(response) => {
                let problem = format!(
                    "{}: the server takes up no TLS; \
                     is `tls: implicit` right, or does it speak none?",
                    self.server()
                );
                Trouble::of(Kind::Unsupported, problem, Reply::of(&response))
            }
            error => Trouble::about(&self.server(), error),
        })
    }

    async fn implicit(&self) -> Result<Client, Trouble> {
        let address = (self.host.as_str(), self.port);
        let connected = Client::connect_secure_implicit(address, self.connector()?, &self.host);
        let mut client = connected.await.map_err(|error| match error {
            FtpError::ConnectionError(error) => self.unreachable(error),
            error => self.no_greeting(error),
        })?;
        keep_alive(&*client.get_ref().await);
        // Transfers speak TLS in any case: a server that knows no other way may refuse to be told.
        for command in ["PBSZ 0", "PROT P"] {
            let told = client.custom_command(command, &[Status::CommandOk]).await;
            pass_over(told.map(drop)).map_err(|error| Trouble::about(&self.server(), error))?;
        }
        Ok(client)
    }

    /// Makes a connector of its own for each connection: a server may demand that transfers take
    /// up the TLS session of their own connection, never that of another one.
    fn connector(&self) -> Result<AsyncRustlsConnector, Trouble> {
        let mut config = match self.trusted.get() {
            Some(config) => config.clone(),
            None => {
                let made = net::client_config(self.ca_file.as_deref(), Versions::Only12);
                let made = made.map_err(|error| {
                    Trouble::of(Kind::Other, format!("{}: no TLS", self.server()), error)
                })?;
                self.trusted.get_or_init(|| made).clone()
            }
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(TlsConnector::from(std::sync::Arc::new(config)).into())
    }

    async fn log_in(&self, client: &mut Client) -> Result<(), Trouble> {
        let password = self.password.reveal();
        client.login(self.user.as_str(), password).await.map_err(|error| match error {
            FtpError::UnexpectedResponse(response) => {
                let reply = Reply::of(&response).without(password);
                Trouble::refused(&format!("{}, user {}", self.server(), self.user), reply)
            }
            error => Trouble::about(&self.server(), error),
        })
    }

    fn server(&self) -> String {
        format!("{}:{}", in_url(&self.host), self.port)
    }

    fn unreachable(&self, error: io::Error) -> Trouble {
        let advice = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "the connection is refused; does the server run, is `port` right?"
            }
            io::ErrorKind::TimedOut => "nobody answers; is a firewall between?",
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                "the server hung up before it said who it is"
            }
            _ => "the server cannot be reached; is `host` right?",
        };
        Trouble::of(Kind::Unavailable, format!("{}: {advice}", self.server()), error)
    }

    fn no_greeting(&self, error: FtpError) -> Trouble {
        match error {
            FtpError::ConnectionError(error) => self.unreachable(error),
            FtpError::BadResponse => {
                let problem =
                    format!("{}: no FTP is spoken there; is `port` right?", self.server());
                Trouble::new(Kind::Unsupported, problem)
            }
            error => Trouble::about(&self.server(), error),
        }
    }
}

async fn features(client: &mut Client) -> Result<Features, FtpError> {
    match client.feat().await {
        Err(FtpError::UnexpectedResponse(_) | FtpError::BadResponse) => Ok(Features::new()),
        done => done,
    }
}

/// Lets a refusal pass.
fn pass_over(done: Result<(), FtpError>) -> Result<(), FtpError> {
    match done {
        Err(FtpError::UnexpectedResponse(_)) => Ok(()),
        done => done,
    }
}

/// Opens the connection of a transfer.
async fn data(address: SocketAddr) -> Result<TcpStream, FtpError> {
    let stream = timeout(CONNECT_DATA, TcpStream::connect(address)).await;
    let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    stream.map_err(|error| {
        let kind = error.kind();
        let blocked = Blocked { port: address.port(), kind };
        FtpError::ConnectionError(io::Error::new(kind, blocked))
    })
}

/// Keeps routers from forgetting the connection while a transfer runs beside it.
fn keep_alive(stream: &TcpStream) {
    let probes = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    // Where the system cannot, a connection that breaks is made again.
    SockRef::from(stream).set_tcp_keepalive(&probes).ok();
    stream.set_nodelay(true).ok();
}

const UNKNOWN: u8 = 0;
const WORKS: u8 = 1;
const FAILS: u8 = 2;

/// What an anonymous user gives as a password.
const NOBODY: &str = "nxs-backup@";
const CONNECT: Duration = Duration::from_secs(30);
const CONNECT_DATA: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
const KEEPALIVE: Duration = Duration::from_secs(60);
const SESSIONS: usize = 4;
