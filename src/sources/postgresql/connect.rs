//! The keys that say how a PostgreSQL server is reached, shared by both of its types.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The server: a name or an address; a path is the folder of its socket.
    pub db_host: Option<String>,
    /// The port; without it 5432. It is a part of the name of a socket, too.
    pub db_port: Option<u16>,
    /// The folder of the socket, or the socket itself, instead of `db_host`.
    pub socket: Option<PathBuf>,
    /// The user; without one the user of the operating system.
    pub db_user: Option<String>,
    /// The password; without one `~/.pgpass`, a certificate or the system's user must do.
    pub db_password: Option<Secret>,
    /// The database that is connected to for questions about the whole server; `postgres` unless
    /// set.
    #[serde(alias = "database")]
    pub db_name: Option<String>,
    /// Whether TLS is spoken and what is checked: `disable`, `allow`, `prefer` (the default),
    /// `require`, `verify-ca`, `verify-full`.
    #[serde(alias = "psql_ssl_mode")]
    pub ssl_mode: Option<SslMode>,
    /// A PEM file with the certificates that the server's must come from, as an absolute path, or
    /// `system`.
    #[serde(alias = "psql_ssl_root_cert", alias = "ssl_ca")]
    pub ssl_root_cert: Option<PathBuf>,
    /// A PEM file with revoked certificates, as an absolute path.
    #[serde(alias = "psql_ssl_crl")]
    pub ssl_crl: Option<PathBuf>,
    /// A PEM file with our own certificate, as an absolute path.
    pub ssl_cert: Option<PathBuf>,
    /// The key of `ssl_cert`: a file that only its user may read, as an absolute path.
    pub ssl_key: Option<PathBuf>,
}

/// Whether TLS is spoken and what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// The certificate must be good and for the name of the server.
    // First: it stands for a value that was not fetched, and fits every other key.
    VerifyFull,
    /// The certificate must be good.
    VerifyCa,
    /// TLS, whoever the server is.
    Require,
    /// TLS where the server has it.
    Prefer,
    /// TLS only where the server insists.
    Allow,
    /// No TLS.
    Disable,
}

impl SslMode {
    fn word(self) -> &'static str {
        match self {
            Self::VerifyFull => "verify-full",
            Self::VerifyCa => "verify-ca",
            Self::Require => "require",
            Self::Prefer => "prefer",
            Self::Allow => "allow",
            Self::Disable => "disable",
        }
    }
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Network(String),
    /// The folder of a socket.
    Folder(PathBuf),
}

impl Connect {
    /// Returns what it connects to: `host:port` or the path of a socket.
    pub(in crate::sources) fn address(&self) -> Option<String> {
        let port = self.port();
        Some(match self.place()? {
            Place::Network(host) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Network(host) => format!("{host}:{port}"),
            Place::Folder(folder) => folder.join(format!("{SOCKET}{port}")).display().to_string(),
        })
    }

    /// Returns the database for questions about the whole server.
    pub(in crate::sources) fn db_name(&self) -> &str {
        self.db_name.as_deref().unwrap_or("postgres")
    }

    /// Returns the environment that makes libpq connect there; the password is not in it.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.display().to_string();
        let host = self.place().map(|place| match place {
            Place::Network(host) => host,
            Place::Folder(folder) => path(&folder),
        });
        let files = [
            ("PGSSLROOTCERT", &self.ssl_root_cert),
            ("PGSSLCRL", &self.ssl_crl),
            ("PGSSLCERT", &self.ssl_cert),
            ("PGSSLKEY", &self.ssl_key),
        ];
        let mut env = vec![
            ("PGPORT", self.port().to_string()),
            ("PGAPPNAME", "nxs-backup".to_owned()),
            ("PGCONNECT_TIMEOUT", CONNECT_SECS.to_string()),
        ];
        env.extend(host.map(|host| ("PGHOST", host)));
        env.extend(self.db_user.clone().map(|user| ("PGUSER", user)));
        env.extend(self.ssl_mode.map(|mode| ("PGSSLMODE", mode.word().to_owned())));
        env.extend(files.into_iter().filter_map(|(name, file)| Some((name, path(file.as_ref()?)))));
        env
    }

    /// Says what is wrong with the keys.
    pub(in crate::sources) fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut blame = |key: &str, message: &str| {
            wrong.push(Wrong::new(format!("connect.{key}"), message));
        };
        match (&self.db_host, &self.socket) {
            (None, None) => {
                blame("db_host", "`db_host` or `socket` is missing: the source names no server");
            }
            (Some(host), Some(_)) if host != PENDING => {
                blame("socket", "`socket` and `db_host` are both set: one of them must go");
            }
            (Some(host), None) if host.contains(odd) || host.trim().is_empty() => {
                blame(
                    "db_host",
                    "`db_host` must be the name or address of the server alone, or the folder of its socket",
                );
            }
            (None, Some(socket)) if !socket.is_absolute() => {
                blame("socket", "`socket` must be an absolute path");
            }
            _ => {}
        }
        if self.db_port == Some(0) {
            blame("db_port", "`db_port` must lie between 1 and 65535");
        }
        if self.db_user.as_deref().is_some_and(breaks_a_line) {
            blame("db_user", "`db_user` must not hold a line break or NUL");
        }
        if self.db_password.as_ref().map(Secret::reveal).is_some_and(breaks_a_line) {
            let message = "`db_password` holds a line break or NUL, which a password file of \
                           PostgreSQL cannot carry";
            blame("db_password", message);
        }
        wrong.extend(self.wrong_tls());
        wrong
    }

    fn wrong_tls(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let files = [
            ("ssl_root_cert", &self.ssl_root_cert),
            ("ssl_crl", &self.ssl_crl),
            ("ssl_cert", &self.ssl_cert),
            ("ssl_key", &self.ssl_key),
        ];
        for (key, file) in files {
            let Some(file) = file else { continue };
            let is_system = key == "ssl_root_cert" && file == Path::new("system");
            if !file.is_absolute() && !is_system {
                let message = format!("`{key}` must be an absolute path");
                wrong.push(Wrong::new(format!("connect.{key}"), message));
            }
        }
        if self.ssl_cert.is_some() != self.ssl_key.is_some() {
            let message = "`ssl_cert` and `ssl_key` belong together: one of them is missing";
            wrong.push(Wrong::new("connect.ssl_cert", message));
        }
        let demanded = matches!(
            self.ssl_mode,
            Some(SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull)
        );
        let by_socket =
            matches!(self.place(), Some(Place::Folder(folder)) if folder != Path::new(PENDING));
        if demanded && by_socket {
            let message = "`ssl_mode` demands TLS, which is never spoken over a socket";
            wrong.push(Wrong::new("connect.ssl_mode", message));
        }
        wrong
    }

    fn port(&self) -> u16 {
        let named = self.socket.as_ref().and_then(|socket| socket.file_name()?.to_str());
        let named = named.and_then(|name| name.strip_prefix(SOCKET)?.parse().ok());
        named.or(self.db_port).unwrap_or(5432)
    }

    fn place(&self) -> Option<Place> {
        if let Some(socket) = &self.socket {
            let is_socket =
                socket.file_name().is_some_and(|name| name.to_string_lossy().starts_with(SOCKET));
            let folder = if is_socket { socket.parent()? } else { socket };
            return Some(Place::Folder(folder.to_owned()));
        }
        let host = self.db_host.as_ref()?;
        match host.starts_with('/') {
            true => Some(Place::Folder(PathBuf::from(host))),
            false => Some(Place::Network(host.clone())),
        }
    }
}

/// Spells a password as a line of a password file, for any server.
pub(super) fn password_line(password: &Secret) -> String {
    let escaped = password.reveal().replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

fn odd(ch: char) -> bool {
    ch.is_whitespace() || ch.is_control() || ch == '@'
}

fn breaks_a_line(text: &str) -> bool {
    text.contains(['\n', '\r', '\0'])
}

/// How the file of a socket begins; its port follows.
const SOCKET: &str = ".s.PGSQL.";
const CONNECT_SECS: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> Connect {
        Connect { db_host: Some(host.to_owned()), ..Connect::default() }
    }

    #[test]
    fn a_server_is_known_by_host_and_port_or_by_its_socket() {
        assert_eq!(at("db").address().unwrap(), "db:5432");
        assert_eq!(at("::1").address().unwrap(), "[::1]:5432");
        let path = Connect { db_port: Some(5433), ..at("/var/run/postgresql") };
        assert_eq!(path.address().unwrap(), "/var/run/postgresql/.s.PGSQL.5433");
        let socket = Some(PathBuf::from("/run/pg/.s.PGSQL.6000"));
        let socket = Connect { socket, ..Connect::default() };
        assert_eq!(socket.address().unwrap(), "/run/pg/.s.PGSQL.6000");
        assert!(socket.env().contains(&("PGHOST", "/run/pg".to_owned())));
        assert!(socket.env().contains(&("PGPORT", "6000".to_owned())));
    }

    #[test]
    fn what_is_wrong_is_found_without_a_server() {
        let keys = |connect: &Connect| {
            connect.problems().into_iter().map(|wrong| wrong.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&Connect::default()), ["connect.db_host"]);
        assert_eq!(keys(&at("a b")), ["connect.db_host"]);
        assert_eq!(keys(&at("db")), [] as [&str; 0]);
        let password = Some(Secret::new("two\nlines"));
        assert_eq!(keys(&Connect { db_password: password, ..at("db") }), ["connect.db_password"]);
        let tls = Connect { ssl_mode: Some(SslMode::Require), ..at("/run") };
        assert_eq!(keys(&tls), ["connect.ssl_mode"]);
        let relative = Connect { ssl_root_cert: Some("ca.pem".into()), ..at("db") };
        assert_eq!(keys(&relative), ["connect.ssl_root_cert"]);
        let alone = Connect { ssl_key: Some("/k".into()), ..at("db") };
        assert_eq!(keys(&alone), ["connect.ssl_cert"]);
    }

    #[test]
    fn a_password_file_escapes_what_separates_its_fields() {
        assert_eq!(password_line(&Secret::new(r"a:b\c'd")), "*:*:*:*:a\\:b\\\\c'd\n");
    }
}
