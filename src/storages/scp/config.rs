//! The keys of a `scp` storage, and what is wrong with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};
use crate::storages::scp::Scp;
use crate::storages::scp::host_key::Pin;
use crate::storages::{Section, Setting, Storage, checks};

/// The keys of a `scp` storage. `sftp` and `ssh` are other words for it: all three speak SFTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The server: a name or an address.
    pub host: String,
    /// Where its SSH listens; 22 unless set.
    pub port: Option<u16>,
    /// Who logs in there.
    pub user: String,
    /// The password of the user, or of a login that asks questions.
    pub password: Option<Secret>,
    /// A private key (Ed25519, ECDSA or RSA), as an absolute path or below `~/`.
    #[serde(alias = "key_file")]
    pub path_to_key: Option<PathBuf>,
    /// What unlocks the private key.
    pub key_passphrase: Option<Secret>,
    /// Log in with the keys of the SSH agent that `SSH_AUTH_SOCK` names.
    pub agent: bool,
    /// The file of known host keys, as an absolute path or below `~/`; unless set,
    /// `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// The one host key that is trusted: `TYPE BASE64` or `SHA256:…`; no file is read then.
    pub host_key: Option<String>,
    /// Write the key of a host that was never seen into the file of known host keys. A key that
    /// has changed is refused all the same.
    pub accept_new: bool,
    /// The folder that holds the backups: an absolute path, or one below the login folder. It is
    /// made when it is missing.
    pub backup_dir: String,
}

impl Config {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(22)
    }

    /// The folder without doubled slashes and `.`; empty for the login folder itself.
    pub(super) fn folder(&self) -> String {
        let dir = self.backup_dir.trim();
        let below_login = dir.strip_prefix("~/").unwrap_or(if dir == "~" { "" } else { dir });
        let parts: Vec<_> =
            below_login.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let slash = if below_login.len() == dir.len() && dir.starts_with('/') { "/" } else { "" };
        format!("{slash}{}", parts.join("/"))
    }

    fn missing(&self, wrong: &mut Vec<Wrong>) {
        for (key, value) in
            [("host", &self.host), ("user", &self.user), ("backup_dir", &self.backup_dir)]
        {
            if value.trim().is_empty() {
                wrong.push(Wrong::new(key, format!("`{key}` is missing")));
            }
        }
        if self.password.is_none() && self.path_to_key.is_none() && !self.agent {
            let message = "no way to log in: set `path_to_key`, `password` or `agent: yes`";
            wrong.push(Wrong::new("user", message));
        }
        if self.key_passphrase.is_some() && self.path_to_key.is_none() {
            let message =
                "`key_passphrase` unlocks the key that `path_to_key` names, which is not set";
            wrong.push(Wrong::new("key_passphrase", message));
        }
    }

    fn host_problems(&self, wrong: &mut Vec<Wrong>) {
        if checks::is_odd_host(&self.host, "@,;'\"[]*?!") {
            let message = "`host` must be a name or an address alone, without user, port or path";
            wrong.push(Wrong::new("host", message));
        }
        wrong.extend(checks::port("port", self.port));
        if let Some(text) = &self.host_key
            && text != PENDING
            && let Err(problem) = Pin::parse(text)
        {
            wrong.push(Wrong::new("host_key", problem));
        }
        if self.host_key.is_some() {
            let spare =
                [("accept_new", self.accept_new), ("known_hosts", self.known_hosts.is_some())];
            for (key, _) in spare.into_iter().filter(|(_, set)| *set) {
                let message =
                    format!("`{key}` has no meaning beside `host_key`, which alone decides");
                wrong.push(Wrong::new(key, message));
            }
        }
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        self.missing(&mut wrong);
        self.host_problems(&mut wrong);
        for (key, path) in [("path_to_key", &self.path_to_key), ("known_hosts", &self.known_hosts)]
        {
            if path.as_ref().is_some_and(|path| !path.is_absolute() && !path.starts_with("~")) {
                let message = format!("`{key}` must be an absolute path, or begin with `~/`");
                wrong.push(Wrong::new(key, message));
            }
        }
        let secrets = [("password", &self.password), ("key_passphrase", &self.key_passphrase)];
        for (key, secret) in secrets {
            if secret.as_ref().is_some_and(|secret| secret.reveal().contains('\0')) {
                wrong.push(Wrong::new(key, format!("`{key}` must not hold a NUL byte")));
            }
        }
        if self.user.chars().any(char::is_control) {
            wrong.push(Wrong::new("user", "`user` must not hold control characters"));
        }
        if self.backup_dir.chars().any(char::is_control) {
            wrong.push(Wrong::new("backup_dir", "`backup_dir` must not hold control characters"));
        }
        if self.backup_dir.split('/').any(|part| part == "..") {
            wrong.push(Wrong::new("backup_dir", "`backup_dir` must not lead upwards (`..`)"));
        }
        wrong
    }

    fn location(&self) -> String {
        let host = checks::in_url(&self.host);
        let port = self.port.filter(|port| *port != 22).map(|port| format!(":{port}"));
        let folder = self.folder();
        let slash = if folder.starts_with('/') { "" } else { "/~/" };
        format!("sftp://{}@{host}{}{slash}{folder}", self.user, port.unwrap_or_default())
    }

    fn address(&self) -> Vec<String> {
        let host = self.host.trim_end_matches('.').to_lowercase();
        // Servers may give every user a root of his own, so the same path is another folder.
        vec![host, self.port().to_string(), self.user.clone(), self.folder()]
    }

    fn largest_object(&self, _setting: &Setting<'_>) -> Option<u64> {
        None
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        Arc::new(Scp::new(setting, self))
    }
}

/// Replaces a leading `~` with the home of the user that runs us.
pub(super) fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        Config {
            host: "backup.example".to_owned(),
            user: "nxs".to_owned(),
            password: Some(Secret::new("pw")),
            backup_dir: "/srv//backup/./web/".to_owned(),
            ..Config::default()
        }
    }

    fn blamed(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = good();
        change(&mut config);
        config.problems().into_iter().map(|wrong| wrong.key).collect()
    }

    #[test]
    fn what_is_right_has_no_problems() {
        assert_eq!(blamed(|_| ()), [""; 0]);
        assert_eq!(blamed(|config| config.host = "2001:db8::1".to_owned()), [""; 0]);
        assert_eq!(blamed(|config| config.path_to_key = Some("~/.ssh/id".into())), [""; 0]);
        assert_eq!(blamed(|config| config.host_key = Some(PENDING.to_owned())), [""; 0]);
        assert_eq!(blamed(|config| config.host = PENDING.to_owned()), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_blamed_on_its_key() {
        let empty = Config::default().problems();
        let keys: Vec<_> = empty.iter().map(|wrong| wrong.key.as_str()).collect();
        assert_eq!(keys, ["host", "user", "backup_dir", "user"]);
        assert_eq!(blamed(|config| config.port = Some(0)), ["port"]);
        assert_eq!(blamed(|config| config.password = None), ["user"]);
        assert_eq!(blamed(|config| config.host = "a@b".to_owned()), ["host"]);
        assert_eq!(blamed(|config| config.host = "ssh://a".to_owned()), ["host"]);
        assert_eq!(blamed(|config| config.backup_dir = "a/../b".to_owned()), ["backup_dir"]);
        assert_eq!(blamed(|config| config.path_to_key = Some("id".into())), ["path_to_key"]);
        assert_eq!(blamed(|config| config.known_hosts = Some("kh".into())), ["known_hosts"]);
        assert_eq!(blamed(|config| config.host_key = Some("SHA256:x".into())), ["host_key"]);
        let passphrase = Some(Secret::new("x"));
        assert_eq!(blamed(|config| config.key_passphrase = passphrase), ["key_passphrase"]);
        assert_eq!(blamed(|config| config.password = Some(Secret::new("a\0b"))), ["password"]);
        let both = |config: &mut Config| {
            config.host_key = Some(PENDING.to_owned());
            config.accept_new = true;
        };
        assert_eq!(blamed(both), ["accept_new"]);
    }

    #[test]
    fn the_folder_is_told_without_its_spelling_and_without_secrets() {
        let said = |dir: &str| {
            let config = Config { backup_dir: dir.to_owned(), ..good() };
            (config.location(), config.folder())
        };
        assert_eq!(said("/srv//backup/./web/").0, "sftp://nxs@backup.example/srv/backup/web");
        assert_eq!(said("web").0, "sftp://nxs@backup.example/~/web");
        for (dir, folder) in [("~/web", "web"), ("~", ""), (".", ""), ("/", "/"), ("~//x", "x")] {
            assert_eq!(said(dir).1, folder, "{dir}");
        }
        let config = Config { port: Some(2222), host: "::1".to_owned(), ..good() };
        assert_eq!(config.location(), "sftp://nxs@[::1]:2222/srv/backup/web");
        let config = Config { port: Some(22), host: "Backup.Example.".to_owned(), ..good() };
        assert_eq!(config.address(), good().address());
        assert!(!format!("{config:?}").contains("pw"));
    }
}
