//! How a server of Redis is reached: by TCP, TLS or a socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::base::{BoxError, PENDING, Secret, Wrong};
use crate::net::{self, Versions};

/// How the server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The server; by default localhost, unless there is a `socket`.
    #[serde(default)]
    pub db_host: Option<String>,
    /// Its port, 6379 by default.
    #[serde(default)]
    pub db_port: Option<u16>,
    /// A socket, where no `db_host` is named.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// The user of an ACL; without it the password is that of the default user.
    #[serde(default, alias = "user")]
    pub db_user: Option<String>,
    /// The password.
    #[serde(default, alias = "password")]
    pub db_password: Option<Secret>,
    /// Speak TLS; by default where any file of it is named.
    #[serde(default)]
    pub tls: Option<bool>,
    /// A file with certificates to trust beside the system's, in PEM form.
    #[serde(default, alias = "ssl_ca")]
    pub ca_file: Option<PathBuf>,
    /// A certificate of our own, which servers ask for unless `tls-auth-clients` is off.
    #[serde(default, alias = "ssl_cert")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[serde(default, alias = "ssl_key")]
    pub key_file: Option<PathBuf>,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A host and a port.
    Tcp(&'a str, u16),
    /// A socket.
    Socket(&'a PathBuf),
}

/// A connection, whatever carries it.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Connect {
    pub(super) fn place(&self) -> Place<'_> {
        match (&self.db_host, &self.socket) {
            (None, Some(socket)) => Place::Socket(socket),
            (host, _) => {
                let host = host.as_deref().unwrap_or("localhost");
                Place::Tcp(host, self.db_port.unwrap_or(PORT))
            }
        }
    }

    /// Its name for people: `host:port`, or the socket.
    pub(super) fn address(&self) -> String {
        match self.place() {
            Place::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp(host, port) => format!("{host}:{port}"),
            Place::Socket(path) => path.display().to_string(),
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        let files = [&self.ca_file, &self.cert_file, &self.key_file];
        self.tls.unwrap_or_else(|| files.iter().any(|file| file.is_some()))
    }

    pub(super) fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut blame = |key: &str, is_wrong: bool, message: &str| {
            if is_wrong {
                wrong.push(Wrong::new(format!("connect.{key}"), message));
            }
        };
        let odd = |ch: char| ch.is_whitespace() || ch.is_control() || ch == '/';
        let host = self.db_host.as_deref().filter(|host| *host != PENDING);
        let odd_host = host.is_some_and(|host| host.contains(odd));
        blame("db_host", odd_host, "`db_host` must be a name or an address");
        let no_port = self.db_port == Some(0);
        blame("db_port", no_port, "`db_port` must lie between 1 and 65535");
        let files = [
            ("socket", &self.socket, "`socket` must be an absolute path"),
            ("ca_file", &self.ca_file, "`ca_file` must be an absolute path"),
            ("cert_file", &self.cert_file, "`cert_file` must be an absolute path"),
            ("key_file", &self.key_file, "`key_file` must be an absolute path"),
        ];
        for (key, path, message) in files {
            blame(key, path.as_ref().is_some_and(|path| !path.is_absolute()), message);
        }
        let alone = self.db_user.is_some() && self.db_password.is_none();
        blame("db_user", alone, "`db_user` needs a `db_password`");
        let (cert, key) = (self.cert_file.is_some(), self.key_file.is_some());
        blame("cert_file", cert && !key, "`cert_file` needs a `key_file`");
        blame("key_file", key && !cert, "`key_file` needs a `cert_file`");
        let over_socket = matches!(self.place(), Place::Socket(_)) && self.is_tls();
        blame("tls", over_socket, "a socket speaks no TLS: name a `db_host`, or take `tls` away");
        wrong
    }

    /// Dials the server.
    ///
    /// Errors: in words that follow the server's name.
    pub(super) async fn dial(&self) -> Result<Box<dyn Io>, (String, BoxError)> {
        let address = self.address();
        let dialled = async {
            match self.place() {
                Place::Socket(path) => {
                    let stream = UnixStream::connect(path).await?;
                    Ok(Box::new(stream) as Box<dyn Io>)
                }
                Place::Tcp(host, port) => {
                    let stream = TcpStream::connect((host, port)).await?;
                    stream.set_nodelay(true)?;
                    if self.is_tls() {
                        self.over_tls(host, stream).await
                    } else {
                        Ok(Box::new(stream) as Box<dyn Io>)
                    }
                }
            }
        };
        let wrong = |error| (format!("the server {address} could not be reached"), error);
        match tokio::time::timeout(PATIENCE, dialled).await {
            Ok(Ok(io)) => Ok(io),
            Ok(Err(error)) => Err(wrong(error)),
            Err(_) => Err(wrong(format!("no answer within {} s", PATIENCE.as_secs()).into())),
        }
    }

    async fn over_tls(&self, host: &str, stream: TcpStream) -> Result<Box<dyn Io>, BoxError> {
        let ca_file = self.ca_file.as_deref();
        let config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => net::client_config_as(ca_file, cert, key, Versions::All)?,
            _ => net::client_config(ca_file, Versions::All)?,
        };
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}

const PORT: u16 = 6379;
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(edit: impl FnOnce(&mut Connect)) -> Vec<String> {
        let mut connect = Connect::default();
        edit(&mut connect);
        connect.problems().into_iter().map(|wrong| wrong.key).collect()
    }

    #[test]
    fn a_host_wins_over_a_socket_as_in_2_x() {
        let mut connect = Connect { socket: Some("/run/redis.sock".into()), ..Connect::default() };
        assert_eq!(connect.address(), "/run/redis.sock");
        connect.db_host = Some("::1".to_owned());
        assert_eq!(connect.address(), "[::1]:6379");
        assert_eq!(Connect::default().address(), "localhost:6379");
    }

    #[test]
    fn what_cannot_work_is_blamed() {
        assert_eq!(blamed(|_| ()), [""; 0]);
        assert_eq!(blamed(|c| c.db_port = Some(0)), ["connect.db_port"]);
        assert_eq!(blamed(|c| c.db_host = Some("a b".into())), ["connect.db_host"]);
        assert_eq!(blamed(|c| c.db_host = Some(PENDING.into())), [""; 0]);
        assert_eq!(blamed(|c| c.socket = Some("run/x".into())), ["connect.socket"]);
        assert_eq!(blamed(|c| c.db_user = Some("u".into())), ["connect.db_user"]);
        assert_eq!(blamed(|c| c.cert_file = Some("/c".into())), ["connect.cert_file"]);
        let socket_and_tls = |c: &mut Connect| {
            (c.socket, c.tls) = (Some("/s".into()), Some(true));
        };
        assert_eq!(blamed(socket_and_tls), ["connect.tls"]);
    }
}
