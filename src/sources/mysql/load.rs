//! A dump back into a server, as any database.

use async_trait::async_trait;
use tracing::warn;

use crate::sources::mysql::Mysql;
use crate::sources::mysql::client::{Server, literal, name};
use crate::sources::mysql::grants::{GRANTS, strange_definers};
use crate::sources::mysql::scan::Scan;
use crate::sources::{Error, Kind, Loader, Result, Stored, Target};
use crate::stream::ByteStream;

#[async_trait]
impl Loader for Mysql {
    async fn inspect(&self, stored: &Stored, into: &str, mut dump: ByteStream) -> Result<()> {
        fitting(stored, into)?;
        let refuse = |problem: String| Error {
            kind: Kind::Other,
            subject: stored.target.clone(),
            problem,
            source: None,
        };
        let mut scan = Scan::new(into);
        let is_grants = stored.target == GRANTS;
        while let Some(chunk) =
            dump.next().await.map_err(|error| refuse(crate::base::chain(&error)))?
        {
            if !is_grants {
                scan.read(&chunk).map_err(|error| refuse(error.to_string()))?;
            }
        }
        scan.finish().map_err(|error| refuse(error.to_string()))
    }

    async fn present(&self, _stored: &Stored, into: &str) -> Result<Option<Target>> {
        if into == GRANTS {
            return Ok(Some(Target::named(GRANTS, "sql")));
        }
        let server = self.server().await?;
        let is_there = !self.charset_of(server, into).await?.is_empty();
        // Without a part: nothing that the config leaves out is left out of it.
        Ok(is_there.then(|| Target { part: Vec::new(), ..Target::named(into, "sql") }))
    }

    async fn load(&self, stored: &Stored, into: &str, mut dump: ByteStream) -> Result<()> {
        fitting(stored, into)?;
        let server = self.server().await?;
        let (call, _login) = self.client.reader(server)?;
        if stored.target == GRANTS {
            return call.feed(dump).await;
        }
        // Nothing is dropped before the first of what replaces it is here.
        let first = dump.next().await.map_err(|error| Error {
            kind: Kind::Untouched,
            subject: into.to_owned(),
            problem: "its dump could not be read".into(),
            source: Some(error.into()),
        })?;
        first.into_iter().for_each(|chunk| dump.unread(chunk));
        self.make(server, into).await?;
        call.args(["--", into]).feed(dump).await?;
        self.note_definers(server, into).await;
        Ok(())
    }
}

impl Mysql {
    /// Makes the database, in the place of one that is there.
    async fn make(&self, server: &Server, into: &str) -> Result<()> {
        let sql = format!("DROP DATABASE IF EXISTS {0}; CREATE DATABASE {0}", name(into));
        self.client.ask(server, &sql).await.map(|_| ())
    }

    async fn charset_of(&self, server: &Server, database: &str) -> Result<Vec<Vec<u8>>> {
        let sql = format!(
            "SELECT HEX(SCHEMA_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            literal(database)
        );
        self.client.ask(server, &sql).await
    }

    /// Says which accounts are missing: what they define would fail when it is used.
    async fn note_definers(&self, server: &Server, into: &str) {
        match strange_definers(&self.client, server, into).await {
            Ok(strange) if strange.is_empty() => {}
            Ok(strange) => warn!(
                "{into}: its views or routines belong to accounts that this server does not have, \
                 and fail until these are made: {}",
                strange.join(", ")
            ),
            Err(_) => {
                warn!("{into}: whether the definers of its views and routines exist is not known")
            }
        }
    }
}

/// Refuses what would take the server itself apart.
fn fitting(stored: &Stored, into: &str) -> Result<()> {
    let refuse = |problem: &str| {
        let problem = problem.to_owned();
        Err(Error { kind: Kind::Other, subject: into.to_owned(), problem, source: None })
    };
    match into {
        GRANTS if stored.target != GRANTS => {
            refuse("is what users and grants are called here; take another name")
        }
        _ if stored.target == GRANTS && into != GRANTS => {
            refuse("users and grants have no other name: use `--into users_and_grants`")
        }
        "mysql" | "information_schema" | "performance_schema" | "sys" => refuse(
            "is the server's own and is not replaced by a dump; `--to -` gives the statements, and \
             `grants: yes` backs up the users",
        ),
        _ if into.is_empty() || into.contains(['/', '\0']) || into.len() > 64 * 4 => {
            refuse("is no name for a database")
        }
        _ => Ok(()),
    }
}
