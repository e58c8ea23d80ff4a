//! `mysql_xtrabackup`: a whole MariaDB or MySQL server as its files, streamed by mariadb-backup or
//! xtrabackup, and made ready for a start when it is restored.
//!
//! The tool reads the server's folder itself: same machine, and a user who may read it. With
//! `incremental` a copy holds the pages that changed since the log position in the manifest of the
//! one that it builds on.

mod copy;
mod lineage;
mod options;
mod prepare;

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Secret, Wrong};
use crate::sources::mysql::{CLIENT, Client, Connect, ExtraKeys, Replica};
use crate::sources::tool::Tool;
use crate::sources::{Back, Found, Grow, Result, Section, Setting, Source, Target};
use crate::stream::Payload;

/// A source of `mysql_xtrabackup`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the server is reached, and where its settings are.
    #[serde(default)]
    pub connect: Login,
    /// Databases, or tables as `db.table`, that are left out.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// The server is a replica: its SQL thread stands still while the source is read
    /// (`--safe-slave-backup`).
    #[serde(default, alias = "safe_slave_backup")]
    pub is_slave: bool,
    /// At most so many pairs of reads and writes a second, of 10 MiB for xtrabackup and of 1 MiB for
    /// mariadb-backup; by default no limit.
    pub throttle: Option<u32>,
    /// More options for the tool: in one line, as for a shell, or as a list.
    #[serde(alias = "special_keys", alias = "db_extra_keys")]
    pub extra_keys: Option<ExtraKeys>,
}

/// How the server is reached, and where its settings are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The server's host; it must be this machine.
    pub db_host: Option<String>,
    /// The port; with one the connection goes by TCP, to `localhost` too.
    pub db_port: Option<u16>,
    /// The server's socket, as an absolute path.
    pub socket: Option<PathBuf>,
    /// The user.
    pub db_user: Option<String>,
    /// The password of the user.
    pub db_password: Option<Secret>,
    /// The option file of the server, `/etc/mysql/my.cnf`: where its folder and its socket are.
    /// Without it the server is asked.
    pub path_to_conf: Option<PathBuf>,
}

impl Login {
    fn connect(&self) -> Connect {
        Connect {
            db_host: self.db_host.clone(),
            db_port: self.db_port,
            socket: self.socket.clone(),
            db_user: self.db_user.clone(),
            db_password: self.db_password.clone(),
            ..Connect::default()
        }
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.connect.connect().problems();
        if self.connect.path_to_conf.as_ref().is_some_and(|path| !path.is_absolute()) {
            let message = "`path_to_conf` must be an absolute path";
            wrong.push(Wrong::new("connect.path_to_conf", message));
        }
        if self.excludes.iter().any(|one| one.contains(char::is_whitespace)) {
            let message = "a name with a space in it cannot be given to the tool";
            wrong.push(Wrong::new("excludes", message));
        }
        let extra = self.extra_keys.iter().flat_map(options::problems);
        wrong.extend(extra.map(|message| Wrong::new("extra_keys", message)));
        wrong
    }

    fn address(&self) -> Option<String> {
        let Login { db_host, db_port, socket, path_to_conf, .. } = &self.connect;
        match path_to_conf {
            Some(conf) if db_host.is_none() && db_port.is_none() && socket.is_none() => {
                Some(conf.display().to_string())
            }
            _ => Some(self.connect.connect().address()),
        }
    }

    fn tools(&self) -> Vec<Tool> {
        vec![CLIENT, copy::BACKUP]
    }

    fn wanted(&self) -> Vec<String> {
        vec![TARGET.to_owned()]
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let conf = self.connect.path_to_conf.as_ref();
        let preamble = conf.map_or(String::new(), |conf| format!("!include {}\n", conf.display()));
        Ok(Box::new(Xtrabackup {
            client: Client::new(&self.connect.connect(), setting).after(preamble),
            replica: self.is_slave.then(|| Replica::new(setting)),
            config: self.clone(),
        }))
    }
}

/// A server that is copied as its files.
pub struct Xtrabackup {
    client: Client,
    replica: Option<Replica>,
    config: Config,
}

#[async_trait]
impl Source for Xtrabackup {
    async fn targets(&self) -> Result<Found> {
        let extra = self.config.extra_keys.iter();
        let notes = extra.flat_map(options::notices).collect();
        let target = Target {
            part: Vec::new(),
            base: TARGET.as_bytes().to_vec(),
            ..Target::named(TARGET, "xbstream")
        };
        Ok(Found { targets: vec![target], notes, ..Found::default() })
    }

    async fn probe(&self) -> Result<Found> {
        self.client.server().await?;
        self.targets().await
    }

    async fn scope(&self) -> Result<Vec<String>> {
        let server = self.client.server().await?;
        let mut scope = lineage::of(&self.client, &server).await?;
        scope.push(self.config.excludes.join("\n"));
        scope.extend(self.config.extra_keys.iter().flat_map(options::for_tool));
        Ok(scope)
    }

    fn grow(&self) -> Option<&dyn Grow> {
        Some(self)
    }

    async fn open(&self, _target: &Target) -> Result<Payload> {
        self.start(None).await
    }

    async fn close(&self) -> Result<()> {
        match &self.replica {
            None => Ok(()),
            Some(replica) => replica.resume(&self.client).await,
        }
    }

    fn back(&self) -> Back<'_> {
        Back::Prepare(self)
    }
}

#[async_trait]
impl Grow for Xtrabackup {
    async fn refusal(&self, position: &str) -> Option<String> {
        let now = async {
            let server = self.client.server().await?;
            lineage::position(&self.client, &server).await
        };
        lineage::refusal(position, now.await)
    }

    async fn open_since(&self, _target: &Target, position: &str) -> Result<Payload> {
        self.start(Some(position)).await
    }
}

impl Xtrabackup {
    /// Starts a full copy, or one of what changed since a log position.
    async fn start(&self, since: Option<&str>) -> Result<Payload> {
        let server = self.client.server().await?;
        if let Some(replica) = &self.replica {
            // The tool stops the thread; where it dies before it starts it again, we do.
            replica.pause(&self.client, &server, false).await?;
        }
        copy::start(&self.client, &server, &self.config, since).await.map(Payload::Dump)
    }
}

const TARGET: &str = "xtrabackup";
