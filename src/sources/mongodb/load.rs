//! The way back into a server: mongorestore, after the whole archive was read once.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::base::{text, untext};
use crate::sources::form::inspected;
use crate::sources::mongodb::archive::Archive;
use crate::sources::mongodb::{EXT, MONGORESTORE, Mongodb, name_of};
use crate::sources::{Error, Kind, Loader, Result, Stored, Target};
use crate::stream::ByteStream;

#[async_trait]
impl Loader for Mongodb {
    async fn inspect(&self, stored: &Stored, into: &str, dump: ByteStream) -> Result<()> {
        let name = stored.target.as_str();
        possible(into)?;
        if self.restore.is_none() {
            return Err(self.missing(MONGORESTORE, name));
        }
        let archive = inspected(name, dump, Archive::new()).await?;
        let from = database_of(stored);
        let others: Vec<_> = archive.databases().into_iter().filter(|db| *db != from).collect();
        if others.is_empty() {
            return self.refuse_more(name, into, &archive).await;
        }
        let others = others.join(", ");
        Err(refusal(
            name,
            &format!(
                "holds other databases, too, which would be overwritten where they are: {others}; \
             restore --to DIR gives the archive for mongorestore"
            ),
        ))
    }

    async fn present(&self, _stored: &Stored, into: &str) -> Result<Option<Target>> {
        possible(into)?;
        let there = self.collections(into).await?;
        // Without a base: nothing that the config leaves out is left out of it.
        Ok((!there.is_empty()).then(|| Target { base: Vec::new(), ..Target::named(into, EXT) }))
    }

    async fn load(&self, stored: &Stored, into: &str, dump: ByteStream) -> Result<()> {
        let from = database_of(stored);
        let call = self.restore.clone().ok_or_else(|| self.missing(MONGORESTORE, into))?;
        let call = call.about(into).args(["--archive", "--drop", "--stopOnError"]).args([
            format!("--nsInclude={from}.*"),
            format!("--nsFrom={from}.*"),
            format!("--nsTo={into}.*"),
        ]);
        let (call, _private) = self.with_password(call, into)?;
        call.feed(dump).await
    }
}

impl Mongodb {
    /// Refuses a dump of a whole database where `into` has what the dump does not hold: the tool
    /// would leave it there, and the database would not be as it was.
    ///
    /// Errors: names what is too much; also when it cannot be listed.
    async fn refuse_more(&self, name: &str, into: &str, archive: &Archive) -> Result<()> {
        if name_of(&untext(name)).contains('.') {
            return Ok(());
        }
        let held: BTreeSet<_> =
            archive.listed().unwrap_or_default().into_values().flatten().collect();
        let there = self.collections(into).await?;
        let more: Vec<_> = there.difference(&held).map(|one| text(one.as_bytes())).collect();
        if more.is_empty() {
            return Ok(());
        }
        Err(refusal(
            into,
            &format!(
                "has what the dump of {name} does not hold, and mongorestore would leave it there: \
                 {}; drop it (`db.dropDatabase()` in mongosh, after a dump of it), or load under \
                 another name",
                more.join(", ")
            ),
        ))
    }
}

/// The database of a stored dump, of which it may hold only one collection.
fn database_of(stored: &Stored) -> String {
    let name = name_of(&untext(&stored.target));
    // No database has a point in its name.
    name.split_once('.').map_or(name.clone(), |(database, _)| database.to_owned())
}

/// Errors: a name that no database can have, or that the server needs for itself.
fn possible(into: &str) -> Result<()> {
    let odd = |ch: char| ch.is_control() || r#"/\. "$*<>:|?"#.contains(ch);
    if into.is_empty() || into.len() > 63 || into.contains(odd) {
        return Err(refusal(into, "is no name for a database of MongoDB"));
    }
    match into {
        "admin" | "config" | "local" => {
            Err(refusal(into, "is the server's own database, which is not replaced"))
        }
        _ => Ok(()),
    }
}

fn refusal(subject: &str, problem: &str) -> Error {
    let (subject, problem) = (subject.to_owned(), problem.to_owned());
    Error { kind: Kind::Other, subject, problem, source: None }
}
