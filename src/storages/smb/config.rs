//! The keys of an SMB storage, and what is wrong with them before anybody dials.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use sspi::Username;

use crate::base::{PENDING, Secret, Wrong};
use crate::storages::smb::{Smb, names};
use crate::storages::{Section, Setting, Storage, checks};

/// The keys of an `smb` storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server: a name or an address.
    pub host: String,
    /// The port; 445 unless said otherwise.
    #[serde(default)]
    pub port: Option<u16>,
    /// The name of the share on the server, without slashes.
    pub share: String,
    /// The user: `name`, `DOMAIN\name` or `name@domain`. Without it: `Guest` with an empty
    /// password, on a server that has such an account.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The user's domain or workgroup, where the user is one of a domain.
    #[serde(default)]
    pub domain: Option<String>,
    /// `yes`: encrypt, and refuse a server that cannot. `no`: never encrypt. Without it: as the
    /// server wants.
    #[serde(default)]
    pub encrypt: Option<bool>,
    /// The folder inside the share, with `/` or `\`; it is made when it is missing. Without it:
    /// the top of the share.
    #[serde(default)]
    pub backup_dir: String,
}

impl Config {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(PORT)
    }

    /// Who logs in, as the server is told.
    pub(super) fn username(&self) -> Result<Username, String> {
        let name = match (&self.user, self.domain.as_deref()) {
            (Some(user), domain) => Username::new(user, domain),
            (None, _) => Username::new(GUEST, None),
        };
        name.map_err(|error| error.to_string())
    }

    fn problems_of_user(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let Some(user) = &self.user else {
            for (key, is_set) in
                [("password", self.password.is_some()), ("domain", self.domain.is_some())]
            {
                if is_set {
                    let message = format!("`{key}` is set, but no `user`");
                    wrong.push(Wrong::new(key, message));
                }
            }
            return wrong;
        };
        let pending =
            [Some(user), self.domain.as_ref()].into_iter().flatten().any(|it| it == PENDING);
        if !pending && self.username().is_err() {
            let message = if self.domain.is_some() && user.contains(['\\', '@']) {
                "`user` names a domain already: leave `domain` out"
            } else {
                "`user` must be NAME, DOMAIN\\NAME or NAME@DOMAIN"
            };
            wrong.push(Wrong::new("user", message));
        }
        wrong
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.host.is_empty() {
            wrong.push(Wrong::new("host", "`host` is missing"));
        } else if checks::is_odd_host(&self.host, "\\@") {
            let message = "`host` must be a name or an address alone; the share goes to `share`";
            wrong.push(Wrong::new("host", message));
        }
        wrong.extend(checks::port("port", self.port));
        if self.share.is_empty() {
            wrong.push(Wrong::new("share", "`share` is missing"));
        } else if self.share != PENDING && self.share.contains(['/', '\\']) {
            let message =
                "`share` is the name of a share alone; a folder in it goes to `backup_dir`";
            wrong.push(Wrong::new("share", message));
        }
        wrong.extend(self.problems_of_user());
        if names::folders(&self.backup_dir).any(|part| part == "." || part == "..") {
            let message = "`backup_dir` must not hold `.` or `..`";
            wrong.push(Wrong::new("backup_dir", message));
        } else if let Err(why) = names::folder(&self.backup_dir) {
            wrong.push(Wrong::new("backup_dir", format!("`backup_dir`: {why}")));
        }
        wrong
    }

    fn location(&self) -> String {
        let host = checks::in_url(&self.host);
        let port = match self.port() {
            PORT => String::new(),
            port => format!(":{port}"),
        };
        let parts: Vec<_> = names::folders(&self.backup_dir).collect();
        let folder = parts.iter().map(|part| format!("/{part}")).collect::<String>();
        format!("smb://{host}{port}/{}{folder}", self.share)
    }

    fn address(&self) -> Vec<String> {
        let folder = names::folders(&self.backup_dir).collect::<Vec<_>>().join("/");
        let (host, share) = (self.host.to_lowercase(), self.share.to_lowercase());
        vec![host, self.port().to_string(), share, folder]
    }

    fn largest_object(&self, _setting: &Setting<'_>) -> Option<u64> {
        None
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        Arc::new(Smb::new(self, setting))
    }
}

const PORT: u16 = 445;
/// Who we are without a `user`.
const GUEST: &str = "Guest";

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        Config { host: "nas".into(), share: "backup".into(), ..Config::default() }
    }

    fn blamed(config: &Config) -> Vec<String> {
        config.problems().into_iter().map(|wrong| wrong.key).collect()
    }

    #[test]
    fn what_can_be_known_without_dialling_is_said() {
        let text = |text: &str| Some(text.to_owned());
        let cases: Vec<(Config, &[&str])> = vec![
            (good(), &[]),
            (Config::default(), &["host", "share"]),
            (Config { host: "//nas/backup".into(), ..good() }, &["host"]),
            (Config { host: "fe80::1".into(), ..good() }, &[]),
            (Config { port: Some(0), ..good() }, &["port"]),
            (Config { share: "backup/db".into(), ..good() }, &["share"]),
            (Config { backup_dir: "a/../b".into(), ..good() }, &["backup_dir"]),
            (Config { backup_dir: "a/b?".into(), ..good() }, &["backup_dir"]),
            (Config { password: Some(Secret::new("x")), ..good() }, &["password"]),
            (Config { domain: text("CORP"), ..good() }, &["domain"]),
            (Config { user: text("CORP\\bob"), ..good() }, &[]),
            (Config { user: text("bob@corp.example"), ..good() }, &[]),
            (Config { user: text("bob"), domain: text("CORP"), ..good() }, &[]),
            (Config { user: text("X\\bob"), domain: text("CORP"), ..good() }, &["user"]),
            (Config { user: text("a\\b\\c"), ..good() }, &["user"]),
        ];
        for (config, should) in cases {
            assert_eq!(blamed(&config), should, "{config:?}");
        }
    }

    #[test]
    fn what_was_not_fetched_is_no_mistake() {
        let pending = || PENDING.to_owned();
        let config = Config {
            host: pending(),
            share: pending(),
            user: Some(pending()),
            domain: Some(pending()),
            password: Some(Secret::new(PENDING)),
            backup_dir: pending(),
            ..Config::default()
        };
        assert_eq!(blamed(&config), Vec::<String>::new());
    }

    #[test]
    fn a_folder_is_the_same_however_it_is_written() {
        let with = |backup_dir: &str| Config { backup_dir: backup_dir.into(), ..good() };
        for folder in ["a/b", "/a/b/", "\\a\\b", "a//b"] {
            assert_eq!(with(folder).address(), with("a/b").address(), "{folder}");
            assert_eq!(with(folder).location(), "smb://nas/backup/a/b");
        }
        assert_eq!(with("").location(), "smb://nas/backup");
        assert_ne!(with("a").address(), with("b").address());
        let shouted = Config { host: "NAS".into(), port: Some(445), ..good() };
        assert_eq!(shouted.address(), good().address());
    }

    #[test]
    fn no_password_shows() {
        let config =
            Config { user: Some("bob".into()), password: Some(Secret::new("hunter2")), ..good() };
        assert!(!format!("{config:?} {}", config.location()).contains("hunter2"));
    }
}
