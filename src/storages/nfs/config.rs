//! The keys of an `nfs` storage, and what can be wrong with them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Wrong};
use crate::storages::nfs::Nfs;
use crate::storages::nfs::options;
use crate::storages::nfs::server::{Server, Way};
use crate::storages::{Section, Setting, Storage, checks};

/// The keys of an `nfs` storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server's name or address. It must speak NFSv3; for NFSv4 or Kerberos mount the export
    /// and use a `local` storage with `must_be_mounted: yes`.
    pub host: String,
    /// The folder that holds the backups, as the server's own absolute path; it is made when it
    /// is missing below the export.
    pub backup_dir: String,
    /// What the server exports, as in its /etc/exports; `backup_dir` lies at or below it, and is
    /// itself the export where this is not set.
    #[serde(default, alias = "remote_mount_point")]
    pub export: Option<String>,
    /// The port of NFS; asked from rpcbind where it is not set.
    #[serde(default)]
    pub port: Option<u16>,
    /// The port of the mount service; asked from rpcbind where it is not set.
    #[serde(default)]
    pub mount_port: Option<u16>,
    /// Whose rights we use, as a number; our own user's where it is not set.
    #[serde(default)]
    pub uid: Option<u32>,
    /// The group of `uid`; our own user's where it is not set.
    #[serde(default)]
    pub gid: Option<u32>,
    /// Connections at once, each with one call on its way; more of them help on a long line.
    #[serde(default)]
    pub connections: Option<u16>,
    /// Mount options of 2.x: nothing is mounted any more, so most mean nothing.
    #[serde(default)]
    pub extra_keys: Option<String>,
}

impl Config {
    fn export(&self) -> &str {
        self.export.as_deref().unwrap_or(&self.backup_dir)
    }

    fn way(&self) -> Way {
        let (dir, export) = (plain(&self.backup_dir), plain(self.export()));
        let own = self.uid.is_none() && self.gid.is_none();
        Way {
            host: self.host.clone(),
            below: below(&dir, &export).unwrap_or_default().to_owned(),
            export,
            port: self.port,
            mount_port: self.mount_port,
            uid: self.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()),
            gid: self.gid.unwrap_or_else(|| rustix::process::getegid().as_raw()),
            gids: if own { own_groups() } else { Vec::new() },
            connections: self.connections.unwrap_or(CONNECTIONS).into(),
        }
    }

    fn wrong_paths(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let export = self.export.as_deref();
        for (key, path) in [("backup_dir", Some(self.backup_dir.as_str())), ("export", export)] {
            let Some(path) = path else { continue };
            if !path.starts_with('/') {
                let message = format!("`{key}` must be an absolute path of the server");
                wrong.push(Wrong::new(key, message));
            }
            if path.split('/').any(|part| part == "..") {
                wrong.push(Wrong::new(key, format!("`{key}` must not lead upwards (`..`)")));
            }
            if path.len() > LONGEST_PATH || path.contains('\0') {
                let message = format!("`{key}` is no path that a server could have");
                wrong.push(Wrong::new(key, message));
            }
        }
        let (dir, export) = (plain(&self.backup_dir), plain(self.export()));
        let is_pending = [&self.backup_dir, self.export()].contains(&PENDING);
        if wrong.is_empty() && !is_pending && below(&dir, &export).is_none() {
            let message =
                "`backup_dir` must lie at or below `export`: both are paths of the server";
            wrong.push(Wrong::new("backup_dir", message));
        }
        wrong
    }

    fn wrong_numbers(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (key, port) in [("port", self.port), ("mount_port", self.mount_port)] {
            wrong.extend(checks::port(key, port));
        }
        if !(1..=MOST_CONNECTIONS).contains(&self.connections.unwrap_or(CONNECTIONS)) {
            let message = format!("`connections` must be between 1 and {MOST_CONNECTIONS}");
            wrong.push(Wrong::new("connections", message));
        }
        wrong
    }

    fn wrong_host(&self) -> Option<Wrong> {
        let (host, message) = (self.host.as_str(), "`host` must be the name or the address alone");
        if host == PENDING {
            return None;
        }
        if let Some((_, path)) = host.split_once(":/").filter(|(_, path)| !path.starts_with('/')) {
            let message = format!("{message}: the part `/{path}` belongs into `export`");
            return Some(Wrong::new("host", message));
        }
        let bad = host.is_empty() || checks::is_odd_host(host, "");
        bad.then(|| Wrong::new("host", message))
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong: Vec<_> = self.wrong_host().into_iter().collect();
        wrong.extend(self.wrong_paths());
        wrong.extend(self.wrong_numbers());
        let extra = self.extra_keys.as_deref().filter(|extra| *extra != PENDING);
        let read = options::read(extra.unwrap_or_default());
        wrong.extend(read.wrong.into_iter().map(|message| Wrong::new("extra_keys", message)));
        wrong
    }

    fn location(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("nfs://{}{port}{}", checks::in_url(&self.host), plain(&self.backup_dir))
    }

    fn address(&self) -> Vec<String> {
        let port = self.port.unwrap_or(PORT).to_string();
        vec![self.host.to_lowercase(), port, plain(&self.backup_dir)]
    }

    fn largest_object(&self, _setting: &Setting<'_>) -> Option<u64> {
        None
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        let left_out = options::read(self.extra_keys.as_deref().unwrap_or_default()).left_out;
        if !left_out.is_empty() {
            let (storage, options) = (setting.name, left_out.join(","));
            tracing::info!(storage, options, "mount options mean nothing here and are left out");
        }
        Arc::new(Nfs(Arc::new(Server::new(self.way(), setting))))
    }
}

/// Takes doubled slashes, `.` and a slash at the end out of a path.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<_> = parts.collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Returns what of `dir` lies below `export`; `None` when it lies elsewhere.
fn below<'a>(dir: &'a str, export: &str) -> Option<&'a str> {
    let rest = dir.strip_prefix(export.trim_end_matches('/'))?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

/// The other groups of our user, as many as AUTH_SYS carries.
fn own_groups() -> Vec<u32> {
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().take(MOST_GROUPS).map(rustix::fs::Gid::as_raw).collect()
}

/// The port of NFS where nobody says otherwise; tells equal places by it.
const PORT: u16 = 2049;
const CONNECTIONS: u16 = 4;
const MOST_CONNECTIONS: u16 = 64;
const MOST_GROUPS: usize = 16;
/// What the mount protocol carries.
const LONGEST_PATH: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(backup_dir: &str, export: Option<&str>) -> Config {
        Config {
            host: "nas".to_owned(),
            backup_dir: backup_dir.to_owned(),
            export: export.map(str::to_owned),
            port: None,
            mount_port: None,
            uid: None,
            gid: None,
            connections: None,
            extra_keys: None,
        }
    }

    fn blamed(config: &Config) -> Vec<String> {
        config.problems().into_iter().map(|wrong| wrong.key).collect()
    }

    #[test]
    fn what_is_right_is_not_blamed() {
        for (dir, export) in [
            ("/vol/web", None),
            ("/vol/web", Some("/vol/web/")),
            ("/vol/web/a/b", Some("/vol/./web")),
            ("/vol", Some("/")),
            (PENDING, Some("/vol")),
            ("/vol", Some(PENDING)),
        ] {
            assert_eq!(blamed(&config(dir, export)), [""; 0], "{dir} {export:?}");
        }
    }

    #[test]
    fn a_folder_must_be_absolute_and_lie_below_the_export() {
        for (dir, export, key) in [
            ("vol/web", None, "backup_dir"),
            ("/vol/../web", None, "backup_dir"),
            ("/vol/web", Some("vol"), "export"),
            ("/vol/web", Some("/vol/we"), "backup_dir"),
            ("/vol", Some("/vol/web"), "backup_dir"),
        ] {
            assert_eq!(blamed(&config(dir, export)), [key], "{dir} {export:?}");
        }
    }

    #[test]
    fn hosts_ports_and_numbers_that_cannot_be_are_blamed() {
        let good = config("/vol", None);
        for host in ["", "nas:/vol", "nfs://nas/vol", "a b"] {
            assert_eq!(blamed(&Config { host: host.to_owned(), ..good.clone() }), ["host"]);
        }
        for host in ["nas", "10.0.0.1", "fe80::1%eth0", "[::1]", PENDING] {
            assert_eq!(blamed(&Config { host: host.to_owned(), ..good.clone() }), [""; 0]);
        }
        assert_eq!(blamed(&Config { port: Some(0), ..good.clone() }), ["port"]);
        assert_eq!(blamed(&Config { mount_port: Some(0), ..good.clone() }), ["mount_port"]);
        for connections in [0, 65] {
            let config = Config { connections: Some(connections), ..good.clone() };
            assert_eq!(blamed(&config), ["connections"]);
        }
    }

    #[test]
    fn a_place_is_told_by_its_folder_not_by_how_it_is_spelled() {
        let (one, other) = (config("/vol//web/", Some("/vol")), config("/vol/web", None));
        let other = Config { host: "NAS".to_owned(), port: Some(2049), ..other };
        assert_eq!(one.address(), other.address());
        assert_eq!(one.location(), "nfs://nas/vol/web");
        let numbered = Config { host: "fe80::1".to_owned(), ..one.clone() };
        assert_eq!(numbered.location(), "nfs://[fe80::1]/vol/web");
        assert_eq!((one.way().below, other.way().below), ("web".to_owned(), String::new()));
    }
}
