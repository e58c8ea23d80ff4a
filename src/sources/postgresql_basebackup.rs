//! `postgresql_basebackup`: a whole PostgreSQL cluster as its files, by pg_basebackup.
//!
//! A cluster with one tablespace is streamed as one tar with the WAL that it needs in it. One with
//! several cannot be: pg_basebackup then writes a tar for each, which lie in `tmp_dir` before they
//! go out as one tar of tars. Either way the manifest of the server is in it, and its checksum is
//! the end mark.

mod local;
mod options;
mod restore;
mod steps;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::Wrong;
use crate::sources::postgresql::connect::Connect;
use crate::sources::postgresql::programs::{self, Program};
use crate::sources::postgresql::server::{Server, Version};
use crate::sources::postgresql::{PSQL, client};
use crate::sources::tool::{Call, Last, PrivateFolder, Tool, Words, ends_with_mark};
use crate::sources::{Back, Error, Found, Kind, Result, Section, Setting, Source, Target};
use crate::stream::{Dump, DumpFacts, Payload};

/// A source of `postgresql_basebackup`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the server is reached; its user needs the attribute REPLICATION.
    pub connect: Connect,
    /// How the server writes its checkpoint before: `fast`, the default, at once; `spread` over
    /// time, which spares its disks and may take minutes.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// How the WAL comes along: `fetch`, the default, at the end, in the stream; `stream` beside
    /// it from the beginning, for a server that keeps little WAL: it needs a local copy in
    /// `tmp_dir`, as a cluster with several tablespaces always does.
    #[serde(default)]
    pub wal: Wal,
    /// More options for pg_basebackup, in one text or as a list.
    #[serde(default, alias = "special_keys", alias = "db_extra_keys")]
    pub extra_keys: Words,
}

/// How the server writes its checkpoint before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Checkpoint {
    /// At once.
    #[default]
    Fast,
    /// Over time.
    Spread,
}

/// How the WAL comes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wal {
    /// At the end, in the stream.
    #[default]
    Fetch,
    /// Beside it from the beginning.
    Stream,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.connect.problems();
        let refused = options::read(&self.extra_keys).err().unwrap_or_default();
        wrong.extend(refused.into_iter().map(|message| Wrong::new("extra_keys", message)));
        wrong
    }

    fn address(&self) -> Option<String> {
        self.connect.address()
    }

    fn tools(&self) -> Vec<Tool> {
        vec![PSQL, PG_BASEBACKUP]
    }

    fn wanted(&self) -> Vec<String> {
        vec![CLUSTER.to_owned()]
    }

    fn connect(&self, setting: &Setting<'_>) -> Result<Box<dyn Source>> {
        Ok(Box::new(Cluster {
            server: Server::new(&self.connect, setting),
            config: self.clone(),
            extra: options::read(&self.extra_keys).unwrap_or_default(),
        }))
    }
}

/// A cluster.
struct Cluster {
    server: Server,
    config: Config,
    extra: options::Extra,
}

#[async_trait]
impl Source for Cluster {
    async fn targets(&self) -> Result<Found> {
        let mut notes = self.extra.notes.clone();
        if self.needs_copy().await? {
            notes.push(format!(
                "{CLUSTER}: goes through a local copy in {}, since {}",
                self.server.tmp_dir.display(),
                match self.config.wal {
                    Wal::Stream => "`wal: stream` cannot be streamed itself",
                    Wal::Fetch => "it has several tablespaces",
                }
            ));
        }
        let target = Target {
            name: CLUSTER.to_owned(),
            part: Vec::new(),
            base: BASE.as_bytes().to_vec(),
            ext: "tar".to_owned(),
            path: None,
        };
        Ok(Found { targets: vec![target], failed: Vec::new(), notes })
    }

    async fn probe(&self) -> Result<Found> {
        let mut found = self.targets().await?;
        let version = self.server.version().await?;
        programs::fitting(&self.server, "pg_basebackup", &version).await?;
        if !self.server.ask::<bool>(self.server.connect.db_name(), MAY_REPLICATE).await? {
            found.failed.push(Error {
                kind: Kind::Denied,
                subject: self.server.subject.clone(),
                problem: "the user may not copy the cluster: ALTER ROLE … REPLICATION".to_owned(),
                source: None,
            });
        }
        Ok(found)
    }

    async fn open(&self, target: &Target) -> Result<Payload> {
        let version = self.server.version().await?;
        let program = programs::fitting(&self.server, "pg_basebackup", &version).await?;
        let dump = match self.needs_copy().await? {
            true => self.copy_first(target, &program, &version).await?,
            false => self.stream(&program, &version)?,
        };
        Ok(Payload::Dump(dump))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }

    fn back(&self) -> Back<'_> {
        Back::Prepare(self)
    }
}

impl Cluster {
    async fn needs_copy(&self) -> Result<bool> {
        let several: bool = self.server.ask(self.server.connect.db_name(), SEVERAL).await?;
        Ok(several || self.config.wal == Wal::Stream)
    }

    fn stream(&self, program: &Program, version: &Version) -> Result<Dump> {
        let (call, folder) = self.call(program, Path::new("-"), "fetch", self.server.silence)?;
        let facts = facts(program, version);
        call.dump(move |last| {
            let _until_its_end = folder;
            is_whole(last)?;
            Ok(facts)
        })
    }

    /// Prepares pg_basebackup; the folder holds its password.
    fn call(
        &self,
        program: &Program,
        to: &Path,
        wal: &str,
        silence: Option<Duration>,
    ) -> Result<(Call, Option<PrivateFolder>)> {
        let (call, folder) = self.server.call(&program.path, &self.server.subject, silence)?;
        let checkpoint = match self.config.checkpoint {
            Checkpoint::Fast => "fast",
            Checkpoint::Spread => "spread",
        };
        let call = call.arg("-D").arg(to).args(["--format=tar", "--no-password"]);
        let call = call.arg(format!("--wal-method={wal}"));
        let call = call.arg(format!("--checkpoint={checkpoint}"));
        let call = call.args(["--label", "nxs-backup"]).args(&self.extra.words);
        Ok((call, folder))
    }
}

/// Looks for the end of the server's manifest, the last member of the tar.
fn is_whole(last: &Last) -> std::result::Result<(), String> {
    ends_with_mark(last, &[END_MARK])?;
    match last.bytes % 512 {
        0 => Ok(()),
        _ => Err(format!("ended within a block of its tar, after {} bytes", last.bytes)),
    }
}

fn facts(program: &Program, version: &Version) -> DumpFacts {
    let tools = [("pg_basebackup".to_owned(), program.version.clone())];
    DumpFacts {
        tools: tools.into_iter().collect(),
        server_version: Some(version.text.clone()),
        checked: Some("end of the server's manifest".to_owned()),
        ..DumpFacts::default()
    }
}

/// Where the parts of a restored copy lie below its folder.
struct Laid {
    data: PathBuf,
    tablespaces: PathBuf,
    inbox: PathBuf,
}

impl Laid {
    fn below(folder: &Path) -> Self {
        Self {
            data: folder.join("data"),
            tablespaces: folder.join("tablespaces"),
            inbox: folder.join(".parts"),
        }
    }
}

/// The one target.
const CLUSTER: &str = "cluster";
/// The name of 2.x, with its slip.
const BASE: &str = "postgresq_hot";
const END_MARK: &str = "\"Manifest-Checksum\": ";
const SEVERAL: &str = "select to_json(count(*) > 0) from pg_catalog.pg_tablespace \
                       where spcname not in ('pg_default', 'pg_global')";
const MAY_REPLICATE: &str = "select to_json(coalesce(bool_or(rolreplication or rolsuper), false)) \
                             from pg_catalog.pg_roles where rolname = current_user";

const PG_BASEBACKUP: Tool = client(&["pg_basebackup"]);
