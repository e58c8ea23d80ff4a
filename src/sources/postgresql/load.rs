//! How a dump comes back: into a new database under another name, which takes the place of the
//! present one only once the load has succeeded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tracing::warn;

use crate::base::{chain, text};
use crate::sources::postgresql::make::{Properties, create, head_of};
use crate::sources::postgresql::scan::Scan;
use crate::sources::postgresql::server::{conninfo, identifier, literal};
use crate::sources::postgresql::{
    Databases, Format, GLOBALS, GLOBALS_EXT, database_of, make, programs,
};
use crate::sources::{Error, Kind, Loader, Result, Stored, Target};
use crate::stream::ByteStream;

#[async_trait]
impl Loader for Databases {
    async fn inspect(&self, stored: &Stored, into: &str, dump: ByteStream) -> Result<()> {
        let refused = |problem: &str| Err(refused(into, problem));
        if stored.ext == GLOBALS_EXT {
            return match into {
                GLOBALS => inspect_plain(stored, dump, &mut Vec::new()).await,
                _ => refused("roles and tablespaces belong to no database: say `--into globals`"),
            };
        }
        if into.is_empty() || into.len() > LONGEST_NAME {
            return refused("a database has a name of 1 to 63 bytes");
        }
        if self.properties(into).await?.is_some_and(|there| there.is_template) {
            return refused("is a template for new databases and is not replaced");
        }
        match Format::of(&stored.ext) {
            Format::Custom => {
                let version = self.server.version().await?;
                let pg_restore = programs::fitting(&self.server, "pg_restore", &version).await?;
                self.reads_all(&pg_restore, &stored.target).feed(dump).await
            }
            Format::Plain => {
                let mut found = Vec::new();
                inspect_plain(stored, dump, &mut found).await?;
                match found.first() {
                    None => Ok(()),
                    Some(what) => Err(refused_dump(&stored.target, what)),
                }
            }
        }
    }

    async fn present(&self, stored: &Stored, into: &str) -> Result<Option<Target>> {
        if stored.ext == GLOBALS_EXT {
            return Ok(Some(Target::named(GLOBALS, GLOBALS_EXT)));
        }
        let there = self.properties(into).await?.is_some();
        // Without a part: nothing that the config leaves out is left out of it.
        Ok(there.then(|| Target {
            name: text(into.as_bytes()),
            part: Vec::new(),
            base: into.as_bytes().to_vec(),
            ext: self.format.ext().to_owned(),
            path: None,
        }))
    }

    async fn load(&self, stored: &Stored, into: &str, mut dump: ByteStream) -> Result<()> {
        if stored.ext == GLOBALS_EXT {
            return self.load_globals(dump).await;
        }
        let head = head_of(&mut dump).await;
        let (new, old) = passing_names();
        let made = async {
            let there = self.properties(into).await?;
            let original = self.properties(&database_of(&stored.target)).await?;
            let sql = create(&new, &head, there.as_ref().or(original.as_ref()));
            self.server.tell(self.aside(into), &[&sql]).await?;
            Ok::<_, Error>(there)
        };
        let there = made.await.map_err(untouched)?;
        let filled = async {
            self.fill(stored, &new, dump).await?;
            match &there {
                Some(_) => self.swap(into, &new, &old).await,
                None => {
                    let sql = rename(&new, into);
                    self.server.tell(self.aside(into), &[&sql]).await
                }
            }
        };
        if let Err(error) = filled.await {
            self.remove(into, &new).await;
            return Err(untouched(error));
        }
        if there.is_some() {
            self.inherit(into, &old).await?;
            self.remove(into, &old).await;
        }
        Ok(())
    }
}

impl Databases {
    /// Feeds psql, which stops at the first error.
    pub(super) async fn feed_psql(
        &self,
        database: &str,
        subject: &str,
        dump: ByteStream,
    ) -> Result<()> {
        let psql = programs::any(&self.server, "psql").await?;
        let (call, _folder) = self.server.call(&psql, subject, None)?;
        let call = call.args(["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "--file=-", "-d"]);
        call.arg(conninfo(database)).feed(dump).await
    }

    async fn fill(&self, stored: &Stored, new: &str, dump: ByteStream) -> Result<()> {
        if Format::of(&stored.ext) == Format::Plain {
            return self.feed_psql(new, &stored.target, dump).await;
        }
        let version = self.server.version().await?;
        let pg_restore = programs::fitting(&self.server, "pg_restore", &version).await?;
        let (call, _folder) = self.server.call(&pg_restore.path, &stored.target, None)?;
        let call = call.args(["--exit-on-error", "--no-password", "--dbname"]);
        call.arg(conninfo(new)).feed(dump).await
    }

    /// Asks what `database` is like; nothing where it is not there.
    async fn properties(&self, database: &str) -> Result<Option<Properties>> {
        self.server.ask(self.aside(database), &make::question(database)).await
    }

    /// Puts `new` in the place of `into`, which becomes `old`: both or neither.
    async fn swap(&self, into: &str, new: &str, old: &str) -> Result<()> {
        let both = format!("{}; {}", rename(into, old), rename(new, into));
        let sessions =
            format!("from pg_catalog.pg_stat_activity where datname = {}", literal(into));
        let count = format!("select to_json(count(*)) {sessions}");
        let end = format!("select pg_catalog.pg_terminate_backend(pid) {sessions}");
        let mut tries = 1;
        loop {
            let open: u64 = self.server.ask(self.aside(into), &count).await?;
            if open > 0 {
                warn!("{into}: {open} sessions are ended, since the database is replaced");
            }
            match self.server.tell(self.aside(into), &[&end, &both]).await {
                Err(error) if tries < TRIES && error.problem.contains(IN_USE) => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Gives `into` the settings and rights that `old` had as a database: no dump of one has them.
    async fn inherit(&self, into: &str, old: &str) -> Result<()> {
        let aside = self.aside(into);
        let statements: Vec<String> = self.server.ask(aside, &make::inherited(into, old)).await?;
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        if statements.is_empty() {
            return Ok(());
        }
        self.server.tell(aside, &statements).await.map_err(|error| Error {
            problem: format!(
                "is loaded, but its settings and rights could not be taken over; {old} is what was \
                 there before, drop it when it is of no more use"
            ),
            subject: into.to_owned(),
            kind: Kind::Other,
            source: Some(error.into()),
        })
    }

    /// Drops a database of a passing name; one that stays is named.
    async fn remove(&self, into: &str, name: &str) {
        let sql = format!("drop database if exists {}", identifier(name));
        if let Err(error) = self.server.tell(self.aside(into), &[&sql]).await {
            warn!("{name}: could not be dropped and stays on the server: {}", chain(&error));
        }
    }

    /// A database to be in while `into` is renamed.
    fn aside(&self, into: &str) -> &str {
        match self.server.connect.db_name() {
            name if name == into => "template1",
            name => name,
        }
    }
}

/// Reads a plain dump to its end; what must not be run goes to `found`.
async fn inspect_plain(
    stored: &Stored,
    mut dump: ByteStream,
    found: &mut Vec<String>,
) -> Result<()> {
    let mut scan = Scan::default();
    while let Some(chunk) = dump.next().await.map_err(|error| Error {
        kind: Kind::Other,
        subject: stored.target.clone(),
        problem: "cannot be read to its end".to_owned(),
        source: Some(error.into()),
    })? {
        scan.feed(&chunk);
    }
    found.extend(scan.found().map(str::to_owned));
    Ok(())
}

fn refused(into: &str, problem: &str) -> Error {
    let (subject, problem) = (into.to_owned(), problem.to_owned());
    Error { kind: Kind::Other, subject, problem, source: None }
}

fn refused_dump(target: &str, what: &str) -> Error {
    let problem = format!(
        "the dump holds `{what}`, which would reach beyond the database that it is loaded into: \
         restore it with --to DIR and look at it"
    );
    refused(target, &problem)
}

/// Says that a failed load changed nothing, and what to do about a role that is not there.
fn untouched(error: Error) -> Error {
    let mut problem = error.problem;
    if problem.contains("role \"") && problem.contains("does not exist") {
        problem.push_str(
            "; roles belong to the server: restore its globals first (`restore --target globals \
             --into globals`), or create the role",
        );
    }
    Error { kind: Kind::Untouched, problem, ..error }
}

fn rename(from: &str, to: &str) -> String {
    format!("alter database {} rename to {}", identifier(from), identifier(to))
}

/// Names that nobody else has, for what is loaded and for what is replaced.
fn passing_names() -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let own = format!("{}_{now:x}", std::process::id());
    (format!("nxs_restore_{own}"), format!("nxs_replaced_{own}"))
}

const LONGEST_NAME: usize = 63;
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// What the server says of a database that somebody is in.
const IN_USE: &str = "is being accessed by other users";
