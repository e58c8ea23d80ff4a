//! How a MariaDB or MySQL server is reached, and the option file that tells it to a tool.
//!
//! Everything goes by an option file of mode 0600, the password with it; what lies in /etc/mysql
//! counts only where `auth_file` takes it in.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};

/// How the server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The server: a name or an address; `localhost` without a port is its socket.
    pub db_host: Option<String>,
    /// The port; with one the connection goes by TCP, to `localhost` too. By default 3306.
    pub db_port: Option<u16>,
    /// The server's socket, as an absolute path; `db_host` wins over it.
    pub socket: Option<PathBuf>,
    /// The user.
    pub db_user: Option<String>,
    /// The password of the user.
    pub db_password: Option<Secret>,
    /// An option file of MariaDB or MySQL (`[client]` …) that says all of the above; it wins.
    #[serde(alias = "mysql_auth_file")]
    pub auth_file: Option<PathBuf>,
    /// Whether TLS protects the connection: `verify` (the default once there is a `ca_file`: the
    /// certificate must be good, and for this host), `require` (encrypted, whoever answers) or
    /// `no`; unset, the tools decide.
    pub tls: Option<Tls>,
    /// A PEM file with the certificates that may sign the server's.
    #[serde(alias = "ssl_ca")]
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the client's own certificate.
    #[serde(alias = "ssl_cert")]
    pub cert: Option<PathBuf>,
    /// A PEM file with the key of `cert`.
    #[serde(alias = "ssl_key")]
    pub key: Option<PathBuf>,
}

/// Whether TLS is spoken, and what the certificate must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Encrypted, with a certificate that is good and for this host.
    Verify,
    /// Encrypted, whoever answers.
    Require,
    /// Not at all.
    No,
}

/// Which of the two families a server or a tool belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// MariaDB.
    Maria,
    /// MySQL and Percona Server.
    MySql,
}

impl Connect {
    /// Says what is wrong with it; keys stand below `connect.`.
    pub fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut blame = |key: &str, message: String| {
            wrong.push(Wrong::new(format!("connect.{key}"), message));
        };
        let paths = [
            ("socket", &self.socket),
            ("auth_file", &self.auth_file),
            ("ca_file", &self.ca_file),
            ("cert", &self.cert),
            ("key", &self.key),
        ];
        for (key, path) in paths {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                blame(key, format!("`{key}` must be an absolute path"));
            }
        }
        let texts = [("db_host", self.db_host.as_deref()), ("db_user", self.db_user.as_deref())];
        for (key, text) in texts {
            if text.is_some_and(|text| text.contains(['\n', '\r', '\0'])) {
                blame(key, format!("`{key}` must not hold a line break or NUL"));
            }
        }
        let host = self.db_host.as_deref().filter(|host| *host != PENDING);
        if host.is_some_and(|host| host.contains(['/', '@', ' '])) {
            blame("db_host", "`db_host` must be the name or address of the server alone".into());
        }
        if self.db_password.as_ref().is_some_and(|password| password.reveal().contains('\0')) {
            blame("db_password", "`db_password` holds NUL, which the tools cannot take".into());
        }
        if self.cert.is_some() != self.key.is_some() {
            let (there, missing) =
                if self.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            blame(there, format!("`{there}` is set, but `{missing}` is missing"));
        }
        if self.tls == Some(Tls::Verify) && self.ca_file.is_none() && self.auth_file.is_none() {
            blame("tls", "`tls: verify` needs a `ca_file` to check the certificate with".into());
        }
        wrong
    }

    /// Returns what it connects to after defaults.
    pub fn address(&self) -> String {
        if let Some(file) = &self.auth_file {
            return file.display().to_string();
        }
        match (self.by_socket(), &self.socket) {
            (true, Some(socket)) => socket.display().to_string(),
            (true, None) => LOCALHOST.to_owned(),
            (false, _) => format!("{}:{}", self.host(), self.port()),
        }
    }

    /// Returns the port that the config asks for, to be compared with the server's own.
    pub fn wanted_port(&self) -> Option<u16> {
        self.db_port.filter(|_| self.auth_file.is_none())
    }

    /// Spells the option file for a tool of `flavour`, for the groups that are named.
    pub fn options(&self, flavour: Flavour, groups: &[&str]) -> String {
        let mut file = String::new();
        if let Some(auth) = &self.auth_file {
            // The only content: what the tools would take from elsewhere, it can take in itself.
            let _ = writeln!(file, "!include {}", auth.display());
            return file;
        }
        for group in groups {
            let _ = writeln!(file, "[{group}]");
            self.way(&mut file);
            if let Some(user) = &self.db_user {
                line(&mut file, "user", user);
            }
            if let Some(password) = &self.db_password {
                line(&mut file, "password", password.reveal());
            }
            self.tls(flavour, &mut file);
        }
        file
    }

    fn way(&self, file: &mut String) {
        if !self.by_socket() {
            file.push_str("protocol=TCP\n");
            line(file, "host", self.host());
            let _ = writeln!(file, "port={}", self.port());
            return;
        }
        file.push_str("protocol=SOCKET\n");
        if let Some(socket) = &self.socket {
            line(file, "socket", &socket.to_string_lossy());
        }
    }

    fn tls(&self, flavour: Flavour, file: &mut String) {
        let wanted = self.tls.or(self.ca_file.as_ref().map(|_| Tls::Verify));
        file.push_str(match (flavour, wanted) {
            (_, None) => "",
            (Flavour::Maria, Some(Tls::Verify)) => "ssl\nssl-verify-server-cert\n",
            (Flavour::Maria, Some(Tls::Require)) => "ssl\nskip-ssl-verify-server-cert\n",
            (Flavour::Maria, Some(Tls::No)) => "skip-ssl\n",
            (Flavour::MySql, Some(Tls::Verify)) => "ssl-mode=VERIFY_IDENTITY\n",
            (Flavour::MySql, Some(Tls::Require)) => "ssl-mode=REQUIRED\n",
            (Flavour::MySql, Some(Tls::No)) => "ssl-mode=DISABLED\n",
        });
        if wanted == Some(Tls::No) {
            return;
        }
        let files = [("ssl-ca", &self.ca_file), ("ssl-cert", &self.cert), ("ssl-key", &self.key)];
        for (name, path) in files {
            if let Some(path) = path {
                line(file, name, &path.to_string_lossy());
            }
        }
    }

    fn host(&self) -> &str {
        self.db_host.as_deref().unwrap_or(LOCALHOST)
    }

    fn port(&self) -> u16 {
        self.db_port.unwrap_or(3306)
    }

    /// `db_host` wins over `socket`; `localhost` alone is no host but the socket.
    fn by_socket(&self) -> bool {
        match self.db_host.as_deref() {
            None => self.socket.is_some() || self.db_port.is_none(),
            Some(host) => host == LOCALHOST && self.db_port.is_none(),
        }
    }

    /// Tells whether a file that it names is there; for the group and its path.
    pub fn missing_file(&self) -> Option<&Path> {
        let files = [&self.auth_file, &self.ca_file, &self.cert, &self.key];
        files.into_iter().flatten().map(PathBuf::as_path).find(|path| !path.is_file())
    }
}

/// Writes `name="value"` as the option files of both families read it.
fn line(file: &mut String, name: &str, value: &str) {
    let _ = write!(file, "{name}=\"");
    for letter in value.chars() {
        match letter {
            '\\' => file.push_str("\\\\"),
            '"' => file.push_str("\\\""),
            '\n' => file.push_str("\\n"),
            '\r' => file.push_str("\\r"),
            '\t' => file.push_str("\\t"),
            other => file.push(other),
        }
    }
    file.push_str("\"\n");
}

const LOCALHOST: &str = "localhost";

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(change: impl FnOnce(&mut Connect)) -> Connect {
        let mut connect = Connect { db_user: Some("u".into()), ..Connect::default() };
        change(&mut connect);
        connect
    }

    #[test]
    fn a_port_means_tcp_and_localhost_alone_means_the_socket() {
        let spelled = |change: fn(&mut Connect)| {
            let connect = connect(change);
            let way = connect.options(Flavour::Maria, &["client"]);
            (connect.address(), way.contains("protocol=TCP"))
        };
        assert_eq!(spelled(|_| ()), ("localhost".into(), false));
        assert_eq!(spelled(|c| c.db_host = Some("localhost".into())), ("localhost".into(), false));
        assert_eq!(spelled(|c| c.db_port = Some(3307)), ("localhost:3307".into(), true));
        assert_eq!(spelled(|c| c.db_host = Some("db1".into())), ("db1:3306".into(), true));
        assert_eq!(spelled(|c| c.socket = Some("/s".into())), ("/s".into(), false));
        let both = |c: &mut Connect| {
            (c.db_host, c.db_port, c.socket) =
                (Some("localhost".into()), Some(1), Some("/s".into()));
        };
        assert_eq!(spelled(both), ("localhost:1".into(), true));
    }

    #[test]
    fn a_password_is_quoted_so_that_an_option_file_gives_it_back() {
        let connect = connect(|c| c.db_password = Some(Secret::new("a'b\"c\\d #e;\nf")));
        let file = connect.options(Flavour::Maria, &["client"]);
        assert!(file.contains("password=\"a'b\\\"c\\\\d #e;\\nf\"\n"), "{file}");
    }

    #[test]
    fn a_ca_file_asks_for_a_certificate_that_is_checked() {
        let connect = connect(|c| c.ca_file = Some("/ca.pem".into()));
        assert!(connect.options(Flavour::Maria, &["client"]).contains("ssl-verify-server-cert\n"));
        assert!(connect.options(Flavour::MySql, &["client"]).contains("ssl-mode=VERIFY_IDENTITY"));
    }

    #[test]
    fn what_cannot_work_is_found_without_dialling() {
        let keys = |change: fn(&mut Connect)| -> Vec<String> {
            connect(change).problems().into_iter().map(|wrong| wrong.key).collect()
        };
        assert_eq!(keys(|_| ()), [""; 0]);
        assert_eq!(keys(|c| c.socket = Some("s".into())), ["connect.socket"]);
        assert_eq!(keys(|c| c.db_host = Some("mysql://x".into())), ["connect.db_host"]);
        assert_eq!(keys(|c| c.cert = Some("/c".into())), ["connect.cert"]);
        assert_eq!(keys(|c| c.tls = Some(Tls::Verify)), ["connect.tls"]);
        assert_eq!(keys(|c| c.db_password = Some(Secret::new("a\0"))), ["connect.db_password"]);
        assert_eq!(keys(|c| c.db_host = Some(PENDING.into())), [""; 0]);
    }
}
