//! `mongodb`: collections, databases or a whole server, as archives of mongodump.
//!
//! The stock tools do all of it: also what there is to back up is read off the beginning of an
//! archive.

mod archive;
mod connect;
mod extra;
mod list;
mod load;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Wrong;
use crate::sources::form::checked;
use crate::sources::tool::{Call, PrivateFolder, Tool, Words};
use crate::sources::{Back, Error, Found, Kind, Result, Section, Setting, Source, Target};
use crate::stream::{DumpFacts, Payload};

pub use connect::Connect;

use archive::Archive;

/// A source of `mongodb`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the server is reached.
    #[serde(default)]
    pub connect: Connect,
    /// What one artefact holds: a `collection`, as in 2.x, a `database` or the whole `server`.
    #[serde(default)]
    pub by: By,
    /// Databases; `all`, or none, for all but `local` and `config`.
    #[serde(default, alias = "target", alias = "targets")]
    pub target_dbs: Vec<String>,
    /// Collections, as `name` in every database or as `database.name`; `all`, or none, for all.
    #[serde(default)]
    pub target_collections: Vec<String>,
    /// Databases that are left out.
    #[serde(default)]
    pub exclude_dbs: Vec<String>,
    /// Collections that are left out, as `name` in every database or as `database.name`.
    #[serde(default)]
    pub exclude_collections: Vec<String>,
    /// More options for mongodump: one text, or a list.
    #[serde(default, alias = "db_extra_keys")]
    pub extra_keys: Words,
}

/// What one artefact holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One collection.
    #[default]
    Collection,
    /// One database.
    Database,
    /// The whole server.
    Server,
}

/// A server.
struct Mongodb {
    config: Config,
    /// Its name for people.
    address: String,
    tmp_dir: PathBuf,
    dump: Option<Call>,
    /// What the config adds to a dump.
    extra: Vec<String>,
    restore: Option<Call>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.connect.problems();
        wrong.extend(extra::problems(&self.extra_keys));
        let lists = [
            ("target_dbs", &self.target_dbs),
            ("target_collections", &self.target_collections),
            ("exclude_dbs", &self.exclude_dbs),
            ("exclude_collections", &self.exclude_collections),
        ];
        for (key, list) in lists {
            if self.by == By::Server && list.iter().any(|name| name != list::ALL) {
                let message = format!("`{key}` needs `by: collection` or `by: database`");
                wrong.push(Wrong::new(key, message));
            }
        }
        wrong
    }

    fn address(&self) -> Option<String> {
        Some(self.connect.address())
    }

    fn tools(&self) -> Vec<Tool> {
        vec![MONGODUMP]
    }

    fn wanted(&self) -> Vec<String> {
        match self.target_dbs.as_slice() {
            [] => vec![list::ALL.to_owned()],
            names => names.to_vec(),
        }
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        let address = self.connect.address();
        let extra = self.extra_keys.split().unwrap_or_default();
        let call = |tool: Tool| {
            let program = tool.find()?;
            Some(Call::new(&program, &address, setting).args(self.connect.args()))
        };
        Ok(Box::new(Mongodb {
            config: self.clone(),
            tmp_dir: setting.tmp_dir.to_owned(),
            dump: call(MONGODUMP),
            extra,
            restore: call(MONGORESTORE),
            address,
        }))
    }
}

#[async_trait]
impl Source for Mongodb {
    async fn targets(&self) -> Result<Found> {
        self.find().await
    }

    async fn probe(&self) -> Result<Found> {
        if self.config.by == By::Server {
            self.list(None, &self.address).await?;
        }
        self.find().await
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let mut call = self.dumping(&target.name)?;
        let mut archive = Archive::new();
        // What a restore is about to replace is dumped whole, whatever the config leaves out.
        if !target.base.is_empty() {
            call = call.args(&self.extra);
        }
        match target.part.as_slice() {
            [] => {}
            [database] if target.base.is_empty() => {
                let name = name_of(database);
                call = call.arg(format!("--db={name}"));
                archive = archive.of(&name, None);
            }
            [database] => {
                let name = name_of(database);
                call = call.arg(format!("--db={name}"));
                let left_out = self.left_out(&name).await?;
                call = call.args(left_out.iter().map(|one| format!("--excludeCollection={one}")));
                archive = archive.of(&name, None);
            }
            [database, collection, ..] => {
                let (database, collection) = (name_of(database), name_of(collection));
                call =
                    call.args([format!("--db={database}"), format!("--collection={collection}")]);
                archive = archive.of(&database, Some(&collection));
            }
        }
        let (call, private) = self.with_password(call, &target.name)?;
        let dump = call.dump(move |_| {
            drop(private);
            Ok(DumpFacts::default())
        })?;
        Ok(Payload::Dump(checked(&target.name, dump, archive)))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Load(self)
    }
}

impl Mongodb {
    /// The call of mongodump for `subject`, which is the whole server unless more is said.
    fn dumping(&self, subject: &str) -> Result<Call> {
        let call = self.dump.clone().ok_or_else(|| self.missing(MONGODUMP, subject))?;
        Ok(call.about(subject).arg("--archive"))
    }

    /// Gives the password by a file that only we can read; it goes with the folder.
    fn with_password(
        &self,
        call: Call,
        subject: &str,
    ) -> Result<(Call, Option<Arc<PrivateFolder>>)> {
        let Some(password) = &self.config.connect.db_password else { return Ok((call, None)) };
        let wrong = |error: io::Error| Error {
            kind: Kind::Other,
            subject: subject.to_owned(),
            problem: format!("no file for the password can be made in {}", self.tmp_dir.display()),
            source: Some(error.into()),
        };
        let private = PrivateFolder::new(&self.tmp_dir).map_err(wrong)?;
        // A text of JSON is one of YAML.
        let text = serde_json::Value::from(password.reveal()).to_string();
        let path = private.write("config.yaml", &format!("password: {text}\n")).map_err(wrong)?;
        let call = call.arg(format!("--config={}", path.display()));
        Ok((call, Some(Arc::new(private))))
    }

    fn missing(&self, tool: Tool, subject: &str) -> Error {
        let (subject, problem) = (subject.to_owned(), tool.missing());
        Error { kind: Kind::Tool, subject, problem, source: None }
    }
}

/// The name of a database or collection, which is UTF-8 on every server.
fn name_of(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

const MONGODUMP: Tool = Tool {
    names: &["mongodump"],
    deb: "mongodb-database-tools (from mongodb.com)",
    rpm: "mongodb-database-tools (from mongodb.com)",
    folders: &[],
};
const MONGORESTORE: Tool = Tool { names: &["mongorestore"], ..MONGODUMP };
/// As in 2.x.
const EXT: &str = "mongodump";

#[cfg(test)]
mod tests;
