//! One database as one dump.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::sources::postgresql::programs::{self, Program};
use crate::sources::postgresql::read_through::read_through;
use crate::sources::postgresql::server::{Version, conninfo};
use crate::sources::postgresql::{Databases, Format, database_of, excludes, extra_keys};
use crate::sources::tool::{Call, ends_with_mark};
use crate::sources::{Result, Target};
use crate::stream::{Dump, DumpFacts};

impl Databases {
    /// Starts pg_dump. A target without a part is what a restore is about to replace: all of it
    /// is dumped, whatever the config leaves out.
    pub(super) async fn dump_database(&self, target: &Target, version: &Version) -> Result<Dump> {
        let database = database_of(&target.name);
        let pg_dump = programs::fitting(&self.server, "pg_dump", version).await?;
        let (call, folder) =
            self.server.call(&pg_dump.path, &self.server.subject, self.server.silence)?;
        let format = Format::of(&target.ext);
        let mut call = call.arg("--no-password").args(self.lock_wait());
        if format == Format::Custom {
            call = call.arg("--format=custom");
        }
        if !target.part.is_empty() {
            let extra = extra_keys::read(&self.config.extra_keys).unwrap_or_default();
            let left_out = excludes::left_out(&self.config.excludes, &database);
            call = call.args(left_out.options).args(extra.words);
        }
        let call = call.arg("--dbname").arg(conninfo(&database));
        let mut facts = facts("pg_dump", &pg_dump, version);
        if format == Format::Plain {
            return call.dump(move |last| {
                let _until_its_end = folder;
                ends_with_mark(last, &[END_MARK])?;
                facts.checked = Some("end mark".to_owned());
                Ok(facts)
            });
        }
        let pg_restore = programs::fitting(&self.server, "pg_restore", version).await?;
        facts.tools.insert("pg_restore".to_owned(), pg_restore.version.clone());
        facts.checked = Some("pg_restore read all of it".to_owned());
        let dump = call.dump(move |_| {
            let _until_its_end = folder;
            Ok(facts)
        })?;
        Ok(read_through(dump, self.reads_all(&pg_restore, &self.server.subject)))
    }

    /// Prepares pg_restore to read an archive to its end and write nothing.
    pub(super) fn reads_all(&self, pg_restore: &Program, subject: &str) -> Call {
        self.server.plain_call(&pg_restore.path, subject).arg("--file=/dev/null")
    }

    /// A table that stays locked is named by the server itself, before our own patience ends.
    pub(super) fn lock_wait(&self) -> Option<String> {
        let wait = self.server.silence.map(|silence| silence * 3 / 4)?;
        Some(format!("--lock-wait-timeout={}", wait.max(Duration::from_secs(1)).as_millis()))
    }
}

/// What a dump says of itself.
pub(super) fn facts(name: &str, program: &Program, version: &Version) -> DumpFacts {
    DumpFacts {
        tools: BTreeMap::from([(name.to_owned(), program.version.clone())]),
        server_version: Some(version.text.clone()),
        ..DumpFacts::default()
    }
}

const END_MARK: &str = "-- PostgreSQL database dump complete";
