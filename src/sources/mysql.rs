//! `mysql`: databases of MariaDB and MySQL servers, each as one SQL dump of the stock tool.
//!
//! The tool that fits the server is chosen by asking the server. A dump of one database names none,
//! so that it can be loaded under any name.

mod client;
mod connect;
mod dump;
mod grants;
mod load;
mod options;
mod replica;
mod rights;
mod scan;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::base::{PENDING, Wrong, untext};
use crate::sources::tool::Tool;
use crate::sources::{Back, Error, Found, Kind, Result, Section, Setting, Source, Target};
use crate::stream::Payload;

pub use client::{CLIENT, Client, Program, Server};
pub use connect::{Connect, Flavour, Tls};
pub use options::{ExtraKeys, Rules};
pub use replica::Replica;

use client::unhex_text;
use dump::{DUMP, Order, RULES};
use grants::GRANTS;

/// A source of `mysql`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the server is reached.
    #[serde(default)]
    pub connect: Connect,
    /// Names of databases, or `all`: every one but those that the server only shows, such as
    /// `information_schema`.
    #[serde(default, alias = "targets", alias = "target_dbs")]
    pub target: Vec<String>,
    /// Databases, or tables as `db.table`, that are left out.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// Backs up users, roles and their rights as a target of its own, `users_and_grants`.
    #[serde(default)]
    pub grants: bool,
    /// The server is a replica: its SQL thread stands still while the source is read.
    #[serde(default)]
    pub is_slave: bool,
    /// More options for the dump tool: in one line, as for a shell, or as a list.
    #[serde(alias = "special_keys", alias = "db_extra_keys")]
    pub extra_keys: Option<ExtraKeys>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.connect.problems();
        if self.target.is_empty() && !self.grants {
            wrong.push(Wrong::new("target", "`target` is missing: the source names no database"));
        }
        for (at, name) in self.target.iter().enumerate() {
            if SHOWN_ONLY.contains(&name.as_str()) {
                let message = format!("`{name}` is only shown by the server and holds no data");
                wrong.push(Wrong::new(format!("target[{at}]"), message));
            }
        }
        let extra = self.extra_keys.iter().flat_map(|extra| extra.problems(&RULES));
        wrong.extend(extra.map(|message| Wrong::new("extra_keys", message)));
        wrong
    }

    fn address(&self) -> Option<String> {
        Some(self.connect.address())
    }

    fn tools(&self) -> Vec<Tool> {
        vec![CLIENT, DUMP]
    }

    fn wanted(&self) -> Vec<String> {
        let grants = self.grants.then(|| GRANTS.to_owned());
        self.target.iter().cloned().chain(grants).collect()
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        Ok(Box::new(Mysql {
            client: Client::new(&self.connect, setting),
            server: OnceCell::new(),
            replica: self.is_slave.then(|| Replica::new(setting)),
            extra: self.extra_keys.clone().unwrap_or_default(),
            config: self.clone(),
        }))
    }
}

/// A server whose databases are dumped.
pub struct Mysql {
    client: Client,
    server: OnceCell<Server>,
    replica: Option<Replica>,
    extra: ExtraKeys,
    config: Config,
}

impl Mysql {
    /// Returns the server, asked once.
    async fn server(&self) -> Result<&Server> {
        self.server.get_or_try_init(|| self.client.server()).await
    }

    fn leaves_out(&self, database: &str) -> bool {
        self.config.excludes.iter().any(|one| one == database)
    }

    /// Returns the tables of `database` that are left out.
    fn tables_without(&self, database: &str) -> Vec<&str> {
        let below = |one: &'_ String| {
            let table = one.strip_prefix(database)?.strip_prefix('.')?;
            (!table.is_empty()).then_some(one.len() - table.len())
        };
        let excludes = self.config.excludes.iter();
        excludes.filter_map(|one| below(one).map(|at| &one[at..])).collect()
    }

    /// Names what is asked for and there; the rest has failed.
    fn choose(&self, there: &[String], found: &mut Found) {
        let mut failed = Vec::new();
        // It would be taken for the accounts.
        if there.iter().any(|name| name == GRANTS) && !self.leaves_out(GRANTS) {
            failed.push(Error {
                kind: Kind::Other,
                subject: GRANTS.to_owned(),
                problem: "a database has the name that users and grants have here, and is not \
                          backed up: rename it, or name it in `excludes`"
                    .into(),
                source: None,
            });
        }
        let there: Vec<_> = there.iter().filter(|name| *name != GRANTS).cloned().collect();
        let mut add = |name: &str| {
            let target = Target::named(name, "sql");
            if !found.targets.contains(&target) {
                found.targets.push(target);
            }
        };
        for wanted in &self.config.target {
            if wanted == ALL {
                let all = there.iter().filter(|name| !is_shown_only(name));
                all.filter(|name| !self.leaves_out(name)).for_each(|name| add(name));
            } else if self.leaves_out(wanted) {
                continue;
            } else if there.contains(wanted) {
                add(wanted);
            } else {
                failed.push(dump::missing(wanted));
            }
        }
        if self.config.grants {
            add(GRANTS);
        }
        found.failed.extend(failed);
    }
}

#[async_trait]
impl Source for Mysql {
    async fn targets(&self) -> Result<Found> {
        let server = self.server().await?;
        let sql = "SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME";
        let there = self.client.ask(server, sql).await?;
        let there: Vec<_> = there.iter().map(|line| unhex_text(line)).collect();
        let mut found = Found::default();
        found.notes.extend(self.client.note(server));
        self.choose(&there, &mut found);
        Ok(found)
    }

    async fn probe(&self) -> Result<Found> {
        let mut found = self.targets().await?;
        let server = self.server().await?;
        self.client.fitting(&DUMP, server).await?;
        for target in found.targets.iter().filter(|target| target.name != GRANTS) {
            let Ok(database) = String::from_utf8(untext(&target.name)) else { continue };
            let readable = async {
                dump::may_read(&self.client, server, &database).await?;
                rights::complete(&self.client, server, &database, &self.extra).await
            };
            found.failed.extend(readable.await.err());
        }
        Ok(found)
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let server = self.server().await?;
        if let Some(replica) = &self.replica {
            replica.pause(&self.client, server, true).await?;
        }
        if target.name == GRANTS {
            return grants::start(&self.client, server).await.map(Payload::Dump);
        }
        let database = String::from_utf8(untext(&target.name)).map_err(|error| Error {
            kind: Kind::Other,
            subject: target.name.clone(),
            problem: "its name is not UTF-8".into(),
            source: Some(error.into()),
        })?;
        // What a restore is about to replace is dumped whole, whatever the config leaves out.
        let (everything, is_replaced) = (ExtraKeys::default(), target.part.is_empty());
        let extra = if is_replaced { &everything } else { &self.extra };
        let without = if is_replaced { Vec::new() } else { self.tables_without(&database) };
        let order = Order { database: &database, without, extra };
        // Side by side: each question is a start of the client.
        let (may_read, complete, ready) = tokio::join!(
            dump::may_read(&self.client, server, &database),
            rights::complete(&self.client, server, &database, extra),
            dump::prepare(&self.client, server, &database),
        );
        may_read?;
        complete?;
        dump::start(&self.client, server, &order, ready?).map(Payload::Dump)
    }

    async fn close(&self) -> Result<()> {
        match &self.replica {
            None => Ok(()),
            Some(replica) => replica.resume(&self.client).await,
        }
    }

    fn back(&self) -> Back<'_> {
        Back::Load(self)
    }
}

/// Databases that hold no data of their own, and a folder that is none.
fn is_shown_only(name: &str) -> bool {
    SHOWN_ONLY.contains(&name) || name.starts_with("#mysql50#") || name == PENDING
}

const ALL: &str = "all";
const SHOWN_ONLY: &[&str] = &["information_schema", "performance_schema", "sys", "ndbinfo"];
