//! `postgresql`: databases of a PostgreSQL server, each as one dump of pg_dump, and its globals.
//!
//! A dump is whole after exit code 0 and its end mark (plain), or once pg_restore has read all of
//! it (custom). The password goes by a password file, everything else that leads to the server by
//! the environment, of which nothing is inherited.

pub(in crate::sources) mod connect;
mod dump;
mod excludes;
mod extra_keys;
mod globals;
mod load;
mod make;
pub(in crate::sources) mod programs;
mod read_through;
mod scan;
pub(in crate::sources) mod server;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Wrong, untext};
use crate::sources::tool::{Tool, Words};
use crate::sources::{Back, Error, Found, Kind, Result, Section, Setting, Source, Target};
use crate::stream::Payload;

use connect::Connect;
use server::Server;

/// A source of `postgresql`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the server is reached.
    pub connect: Connect,
    /// Databases, or `all`: every one but templates.
    #[serde(default, alias = "targets", alias = "target_dbs")]
    pub target: Vec<String>,
    /// What is left out: `db`, `db.schema`, `db.schema.table`; `*` and `?` stand for any letters
    /// in a schema or a table.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// `plain`, the default: SQL for psql; or `custom`: an archive for pg_restore.
    #[serde(default)]
    pub format: Format,
    /// Whether roles and tablespaces are a target of their own, `globals`; unless set, they are
    /// where `target` has `all`.
    pub globals: Option<bool>,
    /// More options for pg_dump, in one text or as a list.
    #[serde(default, alias = "special_keys", alias = "db_extra_keys")]
    pub extra_keys: Words,
}

/// What pg_dump writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// SQL for psql.
    #[default]
    Plain,
    /// An archive for pg_restore.
    Custom,
}

impl Format {
    /// The extension of 2.x: since 2.5 that of SQL; before, what its archives were called.
    fn ext(self) -> &'static str {
        match self {
            Self::Plain => "pgdump.sql",
            Self::Custom => "pgdump",
        }
    }

    fn of(ext: &str) -> Self {
        if ext == Self::Custom.ext() { Self::Custom } else { Self::Plain }
    }
}

impl Config {
    /// The format that `format` or `extra_keys` ask for.
    fn format(&self) -> Format {
        let extra = extra_keys::read(&self.extra_keys).ok();
        extra.and_then(|extra| extra.format).unwrap_or(self.format)
    }

    fn wants_all(&self) -> bool {
        self.target.iter().any(|target| target == ALL)
    }

    fn wants_globals(&self) -> bool {
        self.globals.unwrap_or_else(|| self.wants_all())
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.connect.problems();
        let no_target = self.target.iter().all(|target| target.trim().is_empty());
        if no_target && self.globals != Some(true) {
            let message = "`target` is missing: name databases, or `all`";
            wrong.push(Wrong::new("target", message));
        }
        wrong.extend(extra_keys::problems(&self.extra_keys, self.format));
        wrong
    }

    fn address(&self) -> Option<String> {
        self.connect.address()
    }

    fn tools(&self) -> Vec<Tool> {
        let mut tools = vec![PSQL, PG_DUMP];
        tools.extend(self.wants_globals().then_some(PG_DUMPALL));
        tools.extend((self.format() == Format::Custom).then_some(PG_RESTORE));
        tools
    }

    fn wanted(&self) -> Vec<String> {
        let globals = self.wants_globals().then(|| GLOBALS.to_owned());
        self.target.iter().cloned().chain(globals).collect()
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let server = Server::new(&self.connect, setting);
        Ok(Box::new(Databases { server, config: self.clone(), format: self.format() }))
    }
}

/// The databases of a server.
struct Databases {
    server: Server,
    config: Config,
    format: Format,
}

/// A database as the server lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    is_template: bool,
    allows: bool,
    is_broken: bool,
}

#[async_trait]
impl Source for Databases {
    async fn targets(&self) -> Result<Found> {
        let listed: Vec<Listed> = self.server.ask(self.server.connect.db_name(), LIST).await?;
        let mut found = Found::default();
        let mut seen = std::collections::BTreeSet::new();
        for wanted in &self.config.target {
            let is_meant = |one: &&Listed| match wanted.as_str() {
                ALL => !one.is_template,
                name => one.name == name,
            };
            let meant: Vec<&Listed> = listed.iter().filter(is_meant).collect();
            if meant.is_empty() && wanted != ALL {
                found.failed.push(self.failed(Kind::NotFound, wanted, NO_SUCH));
            }
            for one in meant.into_iter().filter(|one| seen.insert(one.name.as_str())) {
                self.add(one, &mut found);
            }
        }
        if self.config.wants_globals() {
            found.targets.push(Target::named(GLOBALS, GLOBALS_EXT));
            found.notes.extend(self.globals_note().await?);
        }
        Ok(found)
    }

    async fn probe(&self) -> Result<Found> {
        let mut found = self.targets().await?;
        let version = self.server.version().await?;
        programs::fitting(&self.server, "pg_dump", &version).await?;
        for target in found.targets.iter().filter(|target| target.ext != GLOBALS_EXT) {
            let database = database_of(&target.name);
            let asked = self.server.ask::<Option<String>>(&database, UNREADABLE).await;
            // Keys of the user may leave out what cannot be read.
            let is_whole = self.config.extra_keys == Words::default()
                && excludes::left_out(&self.config.excludes, &database).options.is_empty();
            let denied = |table: String| {
                self.failed(Kind::Denied, &target.name, &format!("{table} may not be read"))
            };
            found.failed.extend(match asked {
                Ok(table) => table.filter(|_| is_whole).map(denied),
                Err(error) => Some(error),
            });
        }
        Ok(found)
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let version = self.server.version().await?;
        let dump = match target.ext == GLOBALS_EXT {
            true => self.dump_globals(&version).await?,
            false => self.dump_database(target, &version).await?,
        };
        Ok(Payload::Dump(dump))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Load(self)
    }
}

impl Databases {
    fn add(&self, one: &Listed, found: &mut Found) {
        let name = &one.name;
        if excludes::left_out(&self.config.excludes, name).all {
            return found.notes.push(format!("{name}: left out by `excludes`"));
        }
        let problem = match one {
            Listed { is_broken: true, .. } => {
                "is what an interrupted DROP DATABASE left: drop it, or put it into `excludes`"
            }
            Listed { allows: false, .. } => {
                "lets nobody in (ALLOW_CONNECTIONS is off): put it into `excludes` if that is meant"
            }
            _ => return found.targets.push(Target::named(name, self.format.ext())),
        };
        found.failed.push(self.failed(Kind::Denied, name, problem));
    }

    fn failed(&self, kind: Kind, name: &str, problem: &str) -> Error {
        let subject = format!("{}: {name}", self.server.subject);
        Error { kind, subject, problem: problem.to_owned(), source: None }
    }
}

/// The name of a database, from that of its target.
fn database_of(target: &str) -> String {
    String::from_utf8_lossy(&untext(target)).into_owned()
}

/// What stands for every database.
const ALL: &str = "all";
/// The target of roles and tablespaces; its extension tells it from a database of that name.
const GLOBALS: &str = "globals";
const GLOBALS_EXT: &str = "sql";
const NO_SUCH: &str = "there is no database of that name";

/// All databases; one with the limit -2 was half dropped.
const LIST: &str = "select coalesce(json_agg(json_build_object('name', datname, 'is_template', \
    datistemplate, 'allows', datallowconn, 'is_broken', datconnlimit = -2) order by datname), \
    '[]') from pg_catalog.pg_database";

/// A table that we may not read, if there is one.
const UNREADABLE: &str = "select coalesce((select to_json(format('%I.%I', nspname, relname)) from \
    pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace where relkind in \
    ('r', 'm') and nspname !~ '^pg_' and nspname <> 'information_schema' and not \
    (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')) order by nspname, \
    relname limit 1), 'null')";

/// Asks and tells.
pub(in crate::sources) const PSQL: Tool = client(&["psql"]);
const PG_DUMP: Tool = client(&["pg_dump"]);
const PG_DUMPALL: Tool = client(&["pg_dumpall"]);
const PG_RESTORE: Tool = client(&["pg_restore"]);

/// A program of the package of clients.
pub(in crate::sources) const fn client(names: &'static [&'static str]) -> Tool {
    Tool { names, deb: "postgresql-client", rpm: "postgresql", folders: programs::FOLDERS }
}

#[cfg(test)]
mod tests;
