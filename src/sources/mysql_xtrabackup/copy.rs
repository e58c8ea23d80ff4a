//! The copy itself: a stream of the tool, and how it is known to be whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::sources::mysql::{Client, Connect, Flavour, Program, Server};
use crate::sources::mysql_xtrabackup::{Config, options};
use crate::sources::tool::{Last, Tool};
use crate::sources::{Error, Kind, Result};
use crate::stream::{Dump, DumpFacts};

/// The tools of both families.
pub(super) const BACKUP: Tool = Tool {
    names: &["mariadb-backup", "mariabackup", "xtrabackup"],
    deb: "mariadb-backup",
    rpm: "mariadb-backup",
    folders: &[],
};

/// Starts to copy the server, or only the pages that changed since a log position.
///
/// Errors: [`Kind::Tool`].
pub(super) async fn start(
    client: &Client,
    server: &Server,
    config: &Config,
    since: Option<&str>,
) -> Result<Dump> {
    let tool = client.fitting(&BACKUP, server).await?;
    if tool.flavour != server.flavour {
        return Err(other_family(client, server, &tool));
    }
    let datadir = match config.connect.path_to_conf {
        Some(_) => None,
        None => Some(datadir(client, server).await?),
    };
    let login = client.login_with(&option_file(client.connect(), tool.flavour, config))?;
    let lsn = login.beside("lsn");
    let call = client.call(&tool.path, super::TARGET).arg(login.arg());
    let call = call.args(["--backup", "--stream=xbstream"]);
    let call = call.arg(format!("--target-dir={}", login.beside("work").display()));
    let call = call.arg(format!("--extra-lsndir={}", lsn.display()));
    let call = call.args(datadir.map(|datadir| format!("--datadir={datadir}")));
    let call = call.args(since.map(|since| format!("--incremental-lsn={since}")));
    let since = since.map(str::to_owned);
    let facts = DumpFacts {
        tools: BTreeMap::from([(name_of(&tool), tool.version.clone())]),
        server_version: Some(server.version.clone()),
        ..DumpFacts::default()
    };
    call.args(wishes(config)).dump(move |last| {
        let _login = &login;
        judge(last)?;
        let position = Some(position(&lsn, since.as_deref())?);
        Ok(DumpFacts { position, checked: Some(MARK.to_owned()), ..facts })
    })
}

/// Spells what the config asks for beside the copy.
fn wishes(config: &Config) -> Vec<String> {
    let mut args = Vec::new();
    if config.is_slave {
        args.extend(["--safe-slave-backup".to_owned(), "--slave-info".to_owned()]);
    }
    args.extend(config.throttle.map(|pairs| format!("--throttle={pairs}")));
    if !config.excludes.is_empty() {
        args.push(format!("--databases-exclude={}", config.excludes.join(" ")));
    }
    args.extend(config.extra_keys.iter().flat_map(options::for_tool));
    args
}

/// The settings of the server, then how it is reached: the tools read their own group last.
fn option_file(connect: &Connect, flavour: Flavour, config: &Config) -> String {
    let conf = config.connect.path_to_conf.as_ref();
    let before = conf.map_or(String::new(), |conf| format!("!include {}\n", conf.display()));
    before + &connect.options(flavour, &["xtrabackup"])
}

/// Asks where the server's files are.
async fn datadir(client: &Client, server: &Server) -> Result<String> {
    let answer = client.ask(server, "SELECT @@datadir").await?;
    Ok(String::from_utf8_lossy(answer.first().map_or(&[][..], Vec::as_slice)).into_owned())
}

/// Both the exit code, which was 0, and the last words must be good.
fn judge(last: &Last) -> std::result::Result<(), String> {
    if last.bytes == 0 {
        return Err("printed nothing, which no copy is".into());
    }
    match last.stderr.last() {
        Some(line) if line.trim_end().ends_with(MARK) => Ok(()),
        line => Err(format!(
            "ended without '{MARK}' after {} bytes: the copy is not whole: {}",
            last.bytes,
            line.map_or("it said nothing", String::as_str)
        )),
    }
}

/// Reads the log position that the copy reaches; it must begin at `since`, a full one at 0.
fn position(lsn: &Path, since: Option<&str>) -> std::result::Result<String, String> {
    let names = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
    let text = names.iter().find_map(|name| fs::read_to_string(lsn.join(name)).ok());
    let value = |name: &str| {
        let mut lines = text.as_deref().unwrap_or_default().lines();
        let rest = lines.find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
        rest.and_then(|rest| rest.trim().parse::<u64>().ok())
    };
    let Some(to) = value("to_lsn") else {
        return Err("ended without a log position (`to_lsn`): the copy is not whole".into());
    };
    let Some(since) = since else { return Ok(to.to_string()) };
    match (value("from_lsn"), since.parse::<u64>()) {
        (Some(from), Ok(since)) if from == since && from <= to => Ok(to.to_string()),
        (from, _) => {
            let from = from.map_or("nowhere".to_owned(), |from| from.to_string());
            Err(format!("copied from {from} to {to} instead of from {since} on"))
        }
    }
}

fn other_family(client: &Client, server: &Server, tool: &Program) -> Error {
    let wanted = match server.flavour {
        Flavour::Maria => "mariadb-backup (package mariadb-backup)",
        Flavour::MySql => {
            "xtrabackup (package percona-xtrabackup-84, or that of the server's series)"
        }
    };
    Error {
        kind: Kind::Tool,
        subject: client.subject.clone(),
        problem: format!(
            "{} cannot copy a server of version {}: {wanted} is needed",
            name_of(tool),
            server.version
        ),
        source: None,
    }
}

pub(super) fn name_of(tool: &Program) -> String {
    tool.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(super) const MARK: &str = "completed OK!";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_whole_only_with_the_last_words_of_the_tool() {
        let last =
            |bytes, line: &str| Last { bytes, stderr: vec![line.to_owned()], ..Last::default() };
        assert_eq!(judge(&last(9, "[00] 2026-11-27 04:00:00 completed OK!")), Ok(()));
        assert!(judge(&last(0, "completed OK!")).is_err());
        assert!(judge(&last(9, "completed OK! not")).is_err());
        assert!(judge(&Last { bytes: 9, ..Last::default() }).is_err());
    }

    #[test]
    fn the_position_is_where_the_copy_ends() {
        let folder = tempfile::tempdir().unwrap();
        assert!(position(folder.path(), None).is_err());
        let text = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 12345\nlast_lsn = 12346\n";
        fs::write(folder.path().join("xtrabackup_checkpoints"), text).unwrap();
        assert_eq!(position(folder.path(), None), Ok("12345".into()));
        // A tool that did not take the position, or a server that is behind it.
        assert!(position(folder.path(), Some("12300")).is_err());
        let text = |from, to| format!("from_lsn = {from}\nto_lsn = {to}\n");
        for (from, to, good) in [(12300, 12345, true), (12300, 12300, true), (12300, 99, false)] {
            fs::write(folder.path().join("xtrabackup_checkpoints"), text(from, to)).unwrap();
            assert_eq!(position(folder.path(), Some("12300")).is_ok(), good, "{from} {to}");
        }
    }
}
