//! What there is on a server: databases and collections, as far as the config wants them.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::text;
use crate::sources::form::Form;
use crate::sources::mongodb::archive::Archive;
use crate::sources::mongodb::{By, Config, EXT, Mongodb};
use crate::sources::{Error, Found, Kind, Result, Target};
use crate::stream::{self, DumpFacts};

/// Collections and views by their database.
type Listed = BTreeMap<String, BTreeSet<String>>;

impl Mongodb {
    /// Names the targets.
    pub(super) async fn find(&self) -> Result<Found> {
        if self.config.by == By::Server {
            let target = Target { part: Vec::new(), ..Target::named(SERVER, EXT) };
            return Ok(Found { targets: vec![target], ..Found::default() });
        }
        let mut found = Found::default();
        let listed = self.databases(&mut found).await?;
        for (database, collections) in &listed {
            add(&self.config, database, collections, &mut found);
        }
        let named = self.config.target_collections.iter().filter(|name| *name != ALL);
        let gone = named.filter(|name| !is_there(&listed, name));
        found.failed.extend(gone.map(|name| missing(name, "there is no collection of that name")));
        Ok(found)
    }

    /// The collections of `database` that a dump of it leaves out.
    pub(super) async fn left_out(&self, database: &str) -> Result<BTreeSet<String>> {
        let lists = [&self.config.target_collections, &self.config.exclude_collections];
        if lists.iter().all(|list| list.is_empty()) {
            return Ok(BTreeSet::new());
        }
        let mut collections = self.collections(database).await?;
        collections.retain(|one| !is_wanted(&self.config, database, one));
        Ok(collections)
    }

    /// All databases, or those that are asked for, with what is in them.
    async fn databases(&self, found: &mut Found) -> Result<Listed> {
        let targets = &self.config.target_dbs;
        let mut listed = Listed::new();
        if targets.is_empty() || targets.iter().any(|name| name == ALL) {
            listed = self.list(None, &self.address).await?;
            listed.retain(|name, _| !OF_THE_SERVER.contains(&name.as_str()));
        }
        for name in targets.iter().filter(|name| *name != ALL) {
            if self.config.exclude_dbs.contains(name) {
                found.notes.push(format!("{}: left out by `exclude_dbs`", text(name.as_bytes())));
            } else if !listed.contains_key(name) {
                match self.collections(name).await {
                    Err(error) => found.failed.push(error),
                    Ok(none) if none.is_empty() => {
                        found.failed.push(missing(name, "there is no database of that name"));
                    }
                    Ok(collections) => drop(listed.insert(name.clone(), collections)),
                }
            }
        }
        listed.retain(|name, _| !self.config.exclude_dbs.contains(name));
        Ok(listed)
    }

    /// The collections and views of a database; none where there is no such database.
    pub(super) async fn collections(&self, database: &str) -> Result<BTreeSet<String>> {
        let listed = self.list(Some(database), database).await?;
        Ok(listed.into_iter().find(|(name, _)| name == database).unwrap_or_default().1)
    }

    /// Asks mongodump: an archive begins with the names of all that it will hold. What would
    /// follow is not waited for.
    pub(super) async fn list(&self, database: Option<&str>, subject: &str) -> Result<Listed> {
        tracing::info!(
            "{subject}: asking mongodump what there is; it is stopped once it has said so"
        );
        let call = self
            .dumping(subject)?
            .args(&self.extra)
            .args(database.map(|name| format!("--db={name}")));
        let (call, private) = self.with_password(call, subject)?;
        let mut dump = call.dump(|_| Ok(DumpFacts::default()))?;
        let mut archive = Archive::new();
        let listed = loop {
            if let Some(listed) = archive.listed() {
                break listed;
            }
            match dump.bytes.next().await {
                Ok(Some(chunk)) => {
                    archive.pass(chunk).map(drop).map_err(|why| refusal(subject, &why))?
                }
                Ok(None) => return Err(refusal(subject, "mongodump told of no databases")),
                Err(error) => return Err(told(subject, error)),
            }
        };
        drop((dump, private));
        let mut listed = listed;
        for (database, collections) in &mut listed {
            collections.retain(|collection| !is_internal(database, collection));
        }
        listed.retain(|_, collections| !collections.is_empty());
        Ok(listed)
    }
}

/// The error of the tool itself, where it is one.
fn told(subject: &str, error: stream::Error) -> Error {
    let problem = match error.reason::<Error>() {
        Some(own) => own.problem.clone(),
        None => "what it holds could not be listed".to_owned(),
    };
    Error { kind: Kind::Tool, ..refusal(subject, &problem) }
}

/// Adds the targets of one database.
fn add(config: &Config, database: &str, collections: &BTreeSet<String>, found: &mut Found) {
    let wanted = collections.iter().filter(|one| is_wanted(config, database, one));
    match config.by {
        By::Server => {}
        By::Database if wanted.clone().next().is_none() => {
            let name = text(database.as_bytes());
            found.notes.push(format!("{name}: every collection is left out"));
        }
        By::Database => found.targets.push(Target::named(database, EXT)),
        By::Collection => found.targets.extend(wanted.map(|one| Target {
            part: vec![database.into(), one.as_bytes().to_vec()],
            base: one.as_bytes().to_vec(),
            ..Target::named(&format!("{database}.{one}"), EXT)
        })),
    }
}

/// Tells whether any database has what is asked for as `name` or as `database.name`.
fn is_there(listed: &Listed, wanted: &str) -> bool {
    listed.iter().any(|(database, collections)| {
        let full = wanted.strip_prefix(database.as_str()).and_then(|rest| rest.strip_prefix('.'));
        collections.contains(wanted) || full.is_some_and(|name| collections.contains(name))
    })
}

/// Tells whether a collection is asked for and not left out.
pub(super) fn is_wanted(config: &Config, database: &str, collection: &str) -> bool {
    let is_named = |list: &[String]| {
        list.iter().any(|name| {
            let full = name.strip_prefix(database).and_then(|rest| rest.strip_prefix('.'));
            name == collection || full == Some(collection)
        })
    };
    let targets = &config.target_collections;
    let all = targets.is_empty() || targets.iter().any(|name| name == ALL);
    (all || is_named(targets)) && !is_named(&config.exclude_collections)
}

/// Tells whether a collection belongs to the server, which makes it anew.
pub(super) fn is_internal(database: &str, collection: &str) -> bool {
    match database {
        "admin" => matches!(collection, "system.keys"),
        _ => collection.starts_with("system.") && collection != "system.js",
    }
}

fn missing(name: &str, problem: &str) -> Error {
    let (subject, problem) = (text(name.as_bytes()), problem.to_owned());
    Error { kind: Kind::NotFound, subject, problem, source: None }
}

fn refusal(subject: &str, problem: &str) -> Error {
    let (subject, problem) = (text(subject.as_bytes()), problem.to_owned());
    Error { kind: Kind::Other, subject, problem, source: None }
}

/// Stands for all there are.
pub(super) const ALL: &str = "all";
/// The only target of a whole server.
const SERVER: &str = "mongodb";
/// What belongs to one server and its replica set, and would harm another.
const OF_THE_SERVER: &[&str] = &["local", "config"];
