//! A PostgreSQL server as its programs are called: environment, password file, questions.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::sources::postgresql::connect::{Connect, password_line};
use crate::sources::postgresql::programs;
use crate::sources::tool::{Call, PrivateFolder};
use crate::sources::{Error, Kind, Result, Setting};

/// A server, and what is needed to call programs that talk to it.
pub(in crate::sources) struct Server {
    /// What it is called in errors: the name of the source.
    pub(in crate::sources) subject: String,
    /// Its keys.
    pub(in crate::sources) connect: Connect,
    /// How long a program may give nothing.
    pub(in crate::sources) silence: Option<Duration>,
    /// Where temporary files go.
    pub(in crate::sources) tmp_dir: PathBuf,
    hidden: BTreeSet<String>,
}

/// The version of a server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(in crate::sources) struct Version {
    /// `15`.
    pub(in crate::sources) major: u32,
    /// `15.18 (Debian 15.18-0+deb12u1)`.
    pub(in crate::sources) text: String,
}

impl Server {
    /// Takes over what the source was told.
    pub(in crate::sources) fn new(connect: &Connect, setting: &Setting<'_>) -> Self {
        // What the caller has in PG* must not lead a program to another server.
        let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let inherited = inherited.filter(|name| name.starts_with("PG") || name == "PSQLRC");
        Self {
            subject: setting.name.unwrap_or("postgresql").to_owned(),
            connect: connect.clone(),
            silence: setting.silence,
            tmp_dir: setting.tmp_dir.to_owned(),
            hidden: setting.secret_env.iter().cloned().chain(inherited).collect(),
        }
    }

    /// Prepares a call of `program` that can log in as long as the folder lives; it is ended when
    /// it prints nothing for `silence`.
    ///
    /// Errors: when the password file cannot be written.
    pub(in crate::sources) fn call(
        &self,
        program: &Path,
        subject: &str,
        silence: Option<Duration>,
    ) -> Result<(Call, Option<PrivateFolder>)> {
        let mut call = self.bare_call(program, subject, silence);
        for (name, value) in self.connect.env() {
            call = call.env(name, value);
        }
        let Some(password) = &self.connect.db_password else { return Ok((call, None)) };
        let written = (|| {
            let folder = PrivateFolder::new(&self.tmp_dir)?;
            let path = folder.write("pgpass", &password_line(password))?;
            Ok::<_, io::Error>((folder, path))
        })();
        let (folder, path) = written.map_err(|error| Error {
            kind: Kind::Other,
            subject: self.subject.clone(),
            problem: format!(
                "no file for the password can be made in {} (see `tmp_dir`)",
                self.tmp_dir.display()
            ),
            source: Some(error.into()),
        })?;
        Ok((call.env("PGPASSFILE", path), Some(folder)))
    }

    /// Prepares a call that talks to nobody and may print nothing for long.
    pub(in crate::sources) fn plain_call(&self, program: &Path, subject: &str) -> Call {
        self.bare_call(program, subject, None)
    }

    fn bare_call(&self, program: &Path, subject: &str, silence: Option<Duration>) -> Call {
        let setting = Setting {
            job: "",
            name: None,
            tmp_dir: &self.tmp_dir,
            state_dir: &self.tmp_dir,
            secret_env: &self.hidden,
            silence,
        };
        Call::new(program, subject, &setting)
    }

    /// Asks `database` for the one JSON value that `sql` selects.
    ///
    /// Errors: [`Kind::Tool`] with the words of psql; an answer that is none.
    pub(in crate::sources) async fn ask<T: DeserializeOwned>(
        &self,
        database: &str,
        sql: &str,
    ) -> Result<T> {
        let output = self.psql(database, &[sql]).await?;
        serde_json::from_slice(&output).map_err(|error| Error {
            kind: Kind::Other,
            subject: self.subject.clone(),
            problem: "psql gave an answer that cannot be understood".to_owned(),
            source: Some(error.into()),
        })
    }

    /// Runs each of `statements` in `database`; one that holds several is a transaction.
    ///
    /// Errors: [`Kind::Tool`] with the words of psql.
    pub(in crate::sources) async fn tell(&self, database: &str, statements: &[&str]) -> Result<()> {
        self.psql(database, statements).await.map(drop)
    }

    async fn psql(&self, database: &str, statements: &[&str]) -> Result<bytes::Bytes> {
        let psql = programs::any(self, "psql").await?;
        let (call, _folder) = self.call(&psql, &self.subject, None)?;
        let call = call.env("PGCLIENTENCODING", "UTF8");
        let call = call.args(["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1"]);
        let call = call.arg("-d").arg(conninfo(database));
        let call = statements.iter().fold(call, |call, sql| call.arg("-c").arg(sql));
        call.output(LONGEST_QUESTION).await
    }

    /// Asks which version it has.
    ///
    /// Errors: those of [`Self::ask`]: it cannot be reached or does not let us in.
    pub(in crate::sources) async fn version(&self) -> Result<Version> {
        let sql = "select json_build_object('major', current_setting('server_version_num')::int \
                   / 10000, 'text', current_setting('server_version'))";
        self.ask(self.connect.db_name(), sql).await
    }
}

/// Spells a database for `--dbname`, which would take some names for more than a name.
pub(in crate::sources) fn conninfo(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Spells a text in SQL.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// Spells a name in SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// CREATE DATABASE copies a template, and DROP waits for what is written.
const LONGEST_QUESTION: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_spelled_so_that_they_stay_names() {
        assert_eq!(conninfo("a=b c"), "dbname='a=b c'");
        assert_eq!(conninfo(r"it's \ one"), r"dbname='it\'s \\ one'");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }
}
