//! Roles and tablespaces: what belongs to no database.

use crate::sources::postgresql::dump::facts;
use crate::sources::postgresql::server::Version;
use crate::sources::postgresql::{Databases, GLOBALS, programs};
use crate::sources::tool::ends_with_mark;
use crate::sources::{Error, Kind, Result};
use crate::stream::{ByteStream, Dump};

impl Databases {
    /// Starts pg_dumpall for what belongs to no database.
    pub(super) async fn dump_globals(&self, version: &Version) -> Result<Dump> {
        let pg_dumpall = programs::fitting(&self.server, "pg_dumpall", version).await?;
        let (call, folder) =
            self.server.call(&pg_dumpall.path, &self.server.subject, self.server.silence)?;
        let call = call.args(["--globals-only", "--no-password"]).args(self.lock_wait());
        let call = call.arg("--database").arg(self.server.connect.db_name());
        let hidden = (!self.may_read_passwords().await?).then_some("--no-role-passwords");
        let mut facts = facts("pg_dumpall", &pg_dumpall, version);
        call.args(hidden).dump(move |last| {
            let _until_its_end = folder;
            ends_with_mark(last, &[END_MARK])?;
            facts.checked = Some("end mark".to_owned());
            Ok(facts)
        })
    }

    /// Says what the user may not read of them.
    pub(super) async fn globals_note(&self) -> Result<Option<String>> {
        let hidden = !self.may_read_passwords().await?;
        let note =
            "globals: passwords of roles are left out, since the user may not read pg_authid";
        Ok(hidden.then(|| note.to_owned()))
    }

    /// Brings roles and tablespaces back; those that are there get the attributes of the dump.
    ///
    /// Errors: [`Kind::Tool`] with the words of psql; what came before stays.
    pub(super) async fn load_globals(&self, dump: ByteStream) -> Result<()> {
        let dump = dump.collect(MOST_GLOBALS).await.map_err(|error| self.globals_error(error))?;
        let database = self.server.connect.db_name();
        let there: Vec<String> = self.server.ask(database, THERE).await?;
        let text = without_what_is_there(&String::from_utf8_lossy(&dump), &there);
        self.feed_psql(database, GLOBALS, ByteStream::from_bytes(text)).await
    }

    async fn may_read_passwords(&self) -> Result<bool> {
        let sql = "select to_json(has_table_privilege('pg_catalog.pg_authid', 'select'))";
        self.server.ask(self.server.connect.db_name(), sql).await
    }

    fn globals_error(&self, error: impl Into<crate::base::BoxError>) -> Error {
        Error {
            kind: Kind::Other,
            subject: GLOBALS.to_owned(),
            problem: "cannot be loaded".to_owned(),
            source: Some(error.into()),
        }
    }
}

/// Takes out what would make again what is there: each such statement has a line of its own.
fn without_what_is_there(dump: &str, there: &[String]) -> String {
    let is_there = |line: &str| {
        there.iter().any(|begin| {
            line.strip_prefix(begin.as_str()).is_some_and(|rest| rest.starts_with([';', ' ']))
        })
    };
    dump.lines().filter(|line| !is_there(line)).map(|line| format!("{line}\n")).collect()
}

const END_MARK: &str = "-- PostgreSQL database cluster dump complete";
const MOST_GLOBALS: usize = 64 << 20;

/// How the statements begin that would make again what is there.
const THERE: &str = "select coalesce(json_agg(begin), '[]') from (\
    select 'CREATE ROLE ' || quote_ident(rolname) as begin from pg_catalog.pg_roles union all \
    select 'CREATE TABLESPACE ' || quote_ident(spcname) from pg_catalog.pg_tablespace) x";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_not_made_again() {
        let dump = "CREATE ROLE app;\nALTER ROLE app WITH LOGIN;\nCREATE ROLE apple;\n\
                    CREATE TABLESPACE ts OWNER app LOCATION '/x';\n";
        let there = ["CREATE ROLE app".to_owned(), "CREATE TABLESPACE ts".to_owned()];
        assert_eq!(
            without_what_is_there(dump, &there),
            "ALTER ROLE app WITH LOGIN;\nCREATE ROLE apple;\n"
        );
    }
}
