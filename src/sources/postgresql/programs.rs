//! The client programs of PostgreSQL: where they lie, and which of them fits a server.
//!
//! A dump program refuses a server of a later major version than its own, and what a later one
//! writes an earlier server may not read. So the one of the server's own version is taken where
//! there is one, else the next later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sources::postgresql::server::{Server, Version};
use crate::sources::tool::on_path;
use crate::sources::{Error, Kind, Result};

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sources) struct Program {
    /// Where it is.
    pub(in crate::sources) path: PathBuf,
    /// Its major version.
    pub(in crate::sources) major: u32,
    /// Its version: `15.18`.
    pub(in crate::sources) version: String,
}

/// Finds a program that can work with a server of this version.
///
/// Errors: [`Kind::Tool`] that names the package to install.
pub(in crate::sources) async fn fitting(
    server: &Server,
    name: &str,
    version: &Version,
) -> Result<Program> {
    let found = all(server, name).await;
    if let Some(best) = best(&found, version.major) {
        let whole = look(server, best.path.clone()).await;
        return Ok(whole.unwrap_or_else(|| best.clone()));
    }
    let problem = match found.iter().max_by_key(|program| program.major) {
        None => format!("the program {name} is missing: {}", install(version.major)),
        Some(newest) => format!(
            "{name} {} ({}) is older than the server ({}) and cannot dump it: {}",
            newest.version,
            newest.path.display(),
            version.text,
            install(version.major)
        ),
    };
    Err(failure(server, problem))
}

/// Finds a program of any version.
///
/// Errors: [`Kind::Tool`] that names the package to install.
pub(in crate::sources) async fn any(server: &Server, name: &str) -> Result<PathBuf> {
    for path in everywhere(name) {
        // The wrapper may have nothing to wrap.
        if !is_wrapper(&path) || look(server, path.clone()).await.is_some() {
            return Ok(path);
        }
    }
    let problem = format!(
        "the program {name} is missing: install the package postgresql-client (Debian, Ubuntu) or \
         postgresql (Fedora, RHEL)"
    );
    Err(failure(server, problem))
}

fn best(found: &[Program], major: u32) -> Option<&Program> {
    let later = || found.iter().filter(|program| program.major > major);
    let own = found.iter().find(|program| program.major == major);
    own.or_else(|| later().min_by_key(|program| program.major))
}

/// Finds all of this name; one in a folder of a version is not asked, nor the wrapper where there
/// is another.
async fn all(server: &Server, name: &str) -> Vec<Program> {
    let mut found = Vec::new();
    for path in everywhere(name) {
        match number(&path) {
            Some(major) => found.push(Program { path, major, version: major.to_string() }),
            None if is_wrapper(&path) && !found.is_empty() => {}
            None => found.extend(look(server, path).await),
        }
    }
    found
}

/// Asks a program for its version; one that does not answer is none.
async fn look(server: &Server, path: PathBuf) -> Option<Program> {
    let call = server.plain_call(&path, &server.subject).arg("--version");
    let said = call.output(PATIENCE).await.ok()?;
    let (version, major) = version(&String::from_utf8_lossy(&said))?;
    Some(Program { path, major, version })
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian …)`.
fn version(said: &str) -> Option<(String, u32)> {
    let version = said.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits = version.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version[..digits].parse().ok()?))
}

/// Where a program of this name lies: on PATH, then in the folders of each version, the newest
/// first; the wrapper of Debian, which chooses by rules of its own, comes last.
fn everywhere(name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = on_path(name).into_iter().collect();
    for pattern in FOLDERS {
        let folders = glob::glob(pattern).into_iter().flatten().flatten();
        let mut folders: Vec<_> =
            folders.map(|folder| (number(&folder), folder.join(name))).collect();
        folders.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
        let there = folders
            .into_iter()
            .map(|(_, path)| path)
            .filter(|path| path.to_str().and_then(on_path).is_some());
        found.extend(there);
    }
    found.sort_by_key(|path| is_wrapper(path));
    found
}

/// Reads the major version in the path of a folder of packages.
fn number(path: &Path) -> Option<u32> {
    let path = path.to_str()?;
    let rest = path.strip_prefix("/usr/lib/postgresql/").or(path.strip_prefix("/usr/pgsql-"))?;
    rest.split('/').next()?.parse().ok()
}

fn is_wrapper(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|real| real.ends_with("pg_wrapper"))
}

fn install(major: u32) -> String {
    format!(
        "install the package postgresql-client-{major} (Debian, Ubuntu) or postgresql{major} \
         (Fedora, RHEL), or a later one"
    )
}

fn failure(server: &Server, problem: String) -> Error {
    Error { kind: Kind::Tool, subject: server.subject.clone(), problem, source: None }
}

/// Where packages put the programs of each version.
pub(super) const FOLDERS: &[&str] = &["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"];
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn program(major: u32) -> Program {
        let path = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_dump"));
        Program { path, major, version: format!("{major}.1") }
    }

    #[test]
    fn the_servers_own_version_is_taken_else_the_next_later_never_an_earlier_one() {
        let found = [program(17), program(15), program(16)];
        assert_eq!(best(&found, 15).unwrap().major, 15);
        assert_eq!(best(&found, 14).unwrap().major, 15);
        assert_eq!(best(&found[..1], 15).unwrap().major, 17);
        assert_eq!(best(&found, 18), None);
    }

    #[test]
    fn a_program_says_its_version() {
        let said = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(version(said), Some(("15.18".to_owned(), 15)));
        assert_eq!(version("psql (PostgreSQL) 18beta1"), Some(("18beta1".to_owned(), 18)));
        assert_eq!(version("Error: You must install at least one postgresql-client"), None);
    }

    #[test]
    fn a_folder_tells_its_version() {
        assert_eq!(number(Path::new("/usr/lib/postgresql/9/bin/psql")), Some(9));
        assert_eq!(number(Path::new("/usr/pgsql-16/bin/psql")), Some(16));
        assert_eq!(number(Path::new("/usr/bin/psql")), None);
    }
}
