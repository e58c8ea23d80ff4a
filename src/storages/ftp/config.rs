//! The keys of an FTP storage, and what can be wrong with them before anybody is dialled.

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};
use crate::storages::ftp::Ftp;
use crate::storages::{Section, Setting, Storage, checks};

/// The keys of a `ftp` storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: a name or an address. With TLS the certificate must be for this name.
    pub host: String,
    /// The port; without it 21, or 990 with `tls: implicit`.
    pub port: Option<u16>,
    /// The user; without one the login is anonymous.
    pub user: Option<String>,
    /// The password of the user. FTP cannot carry one with a line break.
    pub password: Option<Secret>,
    /// Whether TLS protects the password and the data: `explicit` (on the usual port), `implicit`
    /// (on a port of its own) or `no`, the default.
    #[serde(default)]
    pub tls: Tls,
    /// How the server is asked for the port of a transfer: `epsv`, `pasv`, or `auto`, the default:
    /// EPSV, and PASV where that does not work.
    #[serde(default)]
    pub passive: Passive,
    /// The folder that holds the backups, below the folder where the login ends, with or without
    /// a `/` before it; `//x` is the folder `/x` of the server. It is made when it is missing.
    pub backup_dir: String,
    /// A PEM file with certificates to trust beside the system's own, as an absolute path.
    pub ca_file: Option<PathBuf>,
}

/// Whether and how TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// On the usual port, after the command `AUTH TLS`.
    // First: it stands for a value that was not fetched, and fits every other key.
    Explicit,
    /// From the first byte, on a port of its own.
    Implicit,
    /// Not at all: password and data can be read on the way.
    #[default]
    No,
}

/// How the server is asked for the port of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Passive {
    /// EPSV, and PASV where that does not work.
    #[default]
    Auto,
    /// EPSV alone.
    Epsv,
    /// PASV alone; the address in the answer is not used, only the port.
    Pasv,
}

impl Config {
    /// Returns the port with its default filled in.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == Tls::Implicit { 990 } else { 21 })
    }

    /// Returns the user with its default filled in.
    pub(super) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(ANONYMOUS)
    }

    /// Returns the folder without needless slashes: `a/b` below the login folder, or `//a/b`.
    pub(super) fn folder(&self) -> String {
        let parts: Vec<_> = self.backup_dir.split('/').filter(|part| !part.is_empty()).collect();
        let start = if self.backup_dir.starts_with("//") { "//" } else { "" };
        format!("{start}{}", parts.join("/"))
    }

    fn wrong_host(&self) -> Option<&'static str> {
        let host = self.host.as_str();
        match host {
            PENDING => None,
            _ if host.trim().is_empty() => Some("`host` names no server"),
            _ if host.contains(['/', '@']) => {
                Some("`host` must be the name or address of the server alone, not a URL")
            }
            _ if checks::is_odd_host(host, "") => {
                Some("`host` must be the name or address of the server, without spaces")
            }
            _ => None,
        }
    }

    fn wrong_folder(&self) -> Option<&'static str> {
        let folder = self.backup_dir.as_str();
        match folder {
            _ if folder.trim().is_empty() => {
                Some("`backup_dir` names no folder; `/` is the folder where the login ends")
            }
            _ if folder.split('/').any(|part| part == ".." || part == ".") => {
                Some("`backup_dir` must not lead upwards (`..`) or hold `.` parts")
            }
            _ if breaks_a_line(folder) => Some("`backup_dir` must not hold a line break or NUL"),
            _ => None,
        }
    }

    fn wrong_login(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.user.as_deref().is_some_and(breaks_a_line) {
            wrong.push(Wrong::new("user", "`user` must not hold a line break or NUL"));
        }
        let password = self.password.as_ref().map(Secret::reveal);
        if password.is_some_and(breaks_a_line) {
            let message = "`password` holds a line break or NUL, which FTP cannot carry";
            wrong.push(Wrong::new("password", message));
        }
        if self.user.is_none() && password.is_some() {
            wrong.push(Wrong::new("password", "`password` is set, but `user` is missing"));
        }
        wrong
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        wrong.extend(self.wrong_host().map(|message| Wrong::new("host", message)));
        wrong.extend(checks::port("port", self.port));
        wrong.extend(self.wrong_login());
        wrong.extend(self.wrong_folder().map(|message| Wrong::new("backup_dir", message)));
        if self.ca_file.is_some() && self.tls == Tls::No {
            let message = "`ca_file` is set, but without `tls: explicit` or `tls: implicit` \
                           no TLS is spoken";
            wrong.push(Wrong::new("ca_file", message));
        }
        wrong.extend(checks::ca_file(self.ca_file.as_deref()));
        wrong
    }

    fn location(&self) -> String {
        let (scheme, usual) = match self.tls {
            Tls::No => ("ftp", 21),
            Tls::Explicit => ("ftpes", 21),
            Tls::Implicit => ("ftps", 990),
        };
        let user = self.user.as_deref().map(|user| utf8_percent_encode(user, ODD).to_string());
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let host = checks::in_url(&self.host);
        let port = Some(self.port()).filter(|port| *port != usual);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let folder = self.folder();
        let folder: Vec<_> =
            folder.split('/').map(|part| utf8_percent_encode(part, ODD).to_string()).collect();
        let folder = folder.join("/");
        // `//x` has one slash too much behind the one that ends the host.
        let folder = folder.strip_prefix('/').unwrap_or(&folder);
        format!("{scheme}://{user}{host}{port}/{folder}")
    }

    fn address(&self) -> Vec<String> {
        let (host, port) = (self.host.to_lowercase(), self.port().to_string());
        vec![host, port, self.user().to_owned(), self.folder()]
    }

    fn largest_object(&self, _setting: &Setting<'_>) -> Option<u64> {
        None
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        Arc::new(Ftp::new(self, setting))
    }
}

/// Tells whether a value would end the line of the command that carries it.
fn breaks_a_line(value: &str) -> bool {
    value.contains(['\r', '\n', '\0'])
}

/// Who logs in where no user is named.
const ANONYMOUS: &str = "anonymous";

/// What is escaped in the parts of a URL.
const ODD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config {
            host: "ftp.example".to_owned(),
            port: None,
            user: Some("u".to_owned()),
            password: Some(Secret::new("p' \"$\\ %#:@/")),
            tls: Tls::No,
            passive: Passive::Auto,
            backup_dir: "backups".to_owned(),
            ca_file: None,
        };
        change(&mut config);
        config
    }

    #[track_caller]
    fn blames(key: &str, word: &str, change: impl FnOnce(&mut Config)) {
        let wrong = config(change).problems();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].key, key, "{wrong:?}");
        assert!(wrong[0].message.contains(word), "{wrong:?}");
    }

    #[test]
    fn what_can_never_work_is_said_before_anybody_is_dialled() {
        assert_eq!(config(|_| ()).problems(), []);
        blames("host", "no server", |c| c.host = " ".to_owned());
        blames("host", "URL", |c| c.host = "ftp://ftp.example/x".to_owned());
        blames("host", "spaces", |c| c.host = "a b".to_owned());
        blames("port", "65535", |c| c.port = Some(0));
        blames("user", "line break", |c| c.user = Some("a\rb".to_owned()));
        for bad in ["a\nb", "a\rb", "a\0b"] {
            blames("password", "FTP cannot carry", |c| c.password = Some(Secret::new(bad)));
        }
        blames("password", "`user` is missing", |c| c.user = None);
        blames("backup_dir", "no folder", |c| c.backup_dir = String::new());
        blames("backup_dir", "upwards", |c| c.backup_dir = "a/../b".to_owned());
        blames("backup_dir", "line break", |c| c.backup_dir = "a\nb".to_owned());
        blames("ca_file", "no TLS", |c| c.ca_file = Some("/ca.pem".into()));
        blames("ca_file", "absolute", |c| {
            (c.tls, c.ca_file) = (Tls::Explicit, Some("ca.pem".into()));
        });
    }

    #[test]
    fn what_was_not_fetched_is_no_problem() {
        let pending = || PENDING.to_owned();
        let all = config(|c| {
            (c.host, c.user, c.backup_dir) = (pending(), Some(pending()), pending());
            (c.password, c.ca_file) = (Some(Secret::new(PENDING)), Some(pending().into()));
            c.tls = Tls::Explicit;
        });
        assert_eq!(all.problems(), []);
    }

    #[test]
    fn the_location_is_a_url_without_the_password() {
        let plain = config(|c| c.backup_dir = "/a b//c/".to_owned());
        assert_eq!(plain.location(), "ftp://u@ftp.example/a%20b/c");
        let other = config(|c| {
            (c.tls, c.port) = (Tls::Explicit, Some(2121));
            (c.backup_dir, c.user) = ("//srv/x".to_owned(), Some("a@b".to_owned()));
        });
        assert_eq!(other.location(), "ftpes://a%40b@ftp.example:2121//srv/x");
        let anonymous = config(|c| (c.tls, c.user, c.password) = (Tls::Implicit, None, None));
        assert_eq!(anonymous.location(), "ftps://ftp.example/backups");
        let root = config(|c| c.backup_dir = "/".to_owned());
        assert_eq!(root.location(), "ftp://u@ftp.example/");
    }

    #[test]
    fn one_folder_has_one_address_however_it_is_spelled() {
        let address = |dir: &str| config(|c| c.backup_dir = dir.to_owned()).address();
        assert_eq!(address("a/b"), address("/a//b/"));
        assert_ne!(address("a/b"), address("//a/b"));
        let filled = config(|c| (c.host, c.port) = ("FTP.example".to_owned(), Some(21)));
        assert_eq!(filled.address(), config(|_| ()).address());
    }
}
