//! Which history a server's log positions count in: an increment that began in another one would
//! lack pages, and nobody would see it.
//!
//! A server that was made anew, or put back from a copy, has a new system tablespace file. Only a
//! volume that is set back as a whole keeps it; then the position tells, until the log has grown
//! past it again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::base::chain;
use crate::sources::mysql::{Client, Flavour, Server};
use crate::sources::{Error, Kind, Result};

/// Returns what tells the server's files from those of every other server and time.
///
/// Errors: [`Kind::Tool`] when it does not answer; [`Kind::Denied`] when its files cannot be seen.
pub(super) async fn of(client: &Client, server: &Server) -> Result<Vec<String>> {
    let uuid = match server.flavour {
        Flavour::Maria => "''",
        Flavour::MySql => "@@server_uuid",
    };
    let sql = format!(
        "SELECT @@datadir, IFNULL(@@innodb_data_home_dir, ''), @@innodb_data_file_path, {uuid}"
    );
    let answer = client.ask(server, &sql).await?;
    let line = String::from_utf8_lossy(answer.first().map_or(&[][..], Vec::as_slice));
    let mut columns = line.split('\t');
    let mut next = || columns.next().unwrap_or_default();
    let (datadir, home, files, uuid) = (next(), next(), next(), next().to_owned());
    let path = first_file(datadir, home, files);
    let found = fs::metadata(&path).map_err(|error| Error {
        kind: Kind::Denied,
        subject: path.display().to_string(),
        problem: "cannot be seen, so nothing tells whether an increment fits: run as root or as \
                  the server's user, on its machine"
            .into(),
        source: Some(error.into()),
    })?;
    let born = found.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(String::new(), |born| born.as_nanos().to_string());
    Ok(vec![uuid, found.ino().to_string(), born])
}

/// The first file of the system tablespace: `ibdata1:12M:autoextend` in the folder for it.
fn first_file(datadir: &str, home: &str, files: &str) -> PathBuf {
    let first = files.split([';', ':']).next().unwrap_or_default();
    Path::new(datadir).join(home).join(first)
}

/// Asks for the last checkpoint of the server's log: a copy ends at one, so no later one of the same
/// history is before it.
///
/// Errors: [`Kind::Tool`] when it does not tell; it takes the right `PROCESS`, as the copy does.
pub(super) async fn position(client: &Client, server: &Server) -> Result<u64> {
    let answer = client.ask(server, "SHOW ENGINE INNODB STATUS").await?;
    let text = answer.iter().map(|line| String::from_utf8_lossy(line));
    let found = text.filter_map(|line| {
        line.trim_start().strip_prefix("Last checkpoint at").map(|rest| rest.trim().to_owned())
    });
    found.filter_map(|number| number.parse().ok()).next().ok_or_else(|| Error {
        kind: Kind::Tool,
        subject: client.subject.clone(),
        problem: "SHOW ENGINE INNODB STATUS tells no last checkpoint".into(),
        source: None,
    })
}

/// Says why no copy can begin at `since` where the last checkpoint is at `now`.
pub(super) fn refusal(since: &str, now: Result<u64>) -> Option<String> {
    match (since.parse::<u64>(), now) {
        (Ok(since), Ok(now)) if since <= now => None,
        (Ok(since), Ok(now)) => Some(format!(
            "the server's last checkpoint is at {now}, before {since}, where that copy ends: was it set \
             back?"
        )),
        (Err(_), _) => Some(format!("{since} is no log position")),
        (_, Err(error)) => Some(format!("where the log is cannot be told: {}", chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tablespace_is_found_wherever_it_is() {
        let path = |home, files| first_file("/var/lib/mysql/", home, files);
        assert_eq!(path("", "ibdata1:12M:autoextend"), Path::new("/var/lib/mysql/ibdata1"));
        assert_eq!(path("/ib", "a:10M;b:10M:autoextend"), Path::new("/ib/a"));
        assert_eq!(path("", "/raw/ibdata1:12M"), Path::new("/raw/ibdata1"));
    }

    #[test]
    fn nothing_builds_on_a_position_that_the_log_has_not_reached() {
        assert_eq!(refusal("12", Ok(12)), None);
        assert!(refusal("13", Ok(12)).unwrap().contains("was it set back"));
        assert!(refusal("x", Ok(12)).unwrap().contains("is no log position"));
        let silent =
            Error { kind: Kind::Tool, subject: "s".into(), problem: "gone".into(), source: None };
        assert!(refusal("1", Err(silent)).unwrap().contains("s: gone"));
    }
}
