//! One database as one dump: what the tool is told, and how its dump is known to be whole.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::try_unfold;

use crate::sources::mysql::client::{Client, Login, Program, Server, literal, name, unhex_text};
use crate::sources::mysql::connect::Flavour;
use crate::sources::mysql::options::{ExtraKeys, Rules};
use crate::sources::tool::{Call, Last, Tool, ends_with_mark};
use crate::sources::{Error, Kind, Result};
use crate::stream::{ByteStream, Dump, DumpFacts};

/// The dump tools of both families.
pub(super) const DUMP: Tool = Tool {
    names: &["mariadb-dump", "mysqldump"],
    deb: "mariadb-client",
    rpm: "mariadb",
    folders: &[],
};

/// What `extra_keys` may say to a dump tool.
pub(super) const RULES: Rules = Rules {
    refused: &[
        (&["databases", "all-databases", "system"], "each database is one backup of its own"),
        (&["result-file", "tab", "dir"], "the dump goes to the storages, not to files of the tool"),
        (&["xml"], "no client could load it back"),
        (
            &["host", "port", "socket", "user", "password", "protocol", "pipe", "login-path"],
            "how the server is reached stands under `connect`",
        ),
        (
            &["defaults-file", "defaults-extra-file", "defaults-group-suffix", "no-defaults"],
            "an option file goes by `connect.auth_file`",
        ),
        (&["help", "version", "print-defaults"], "it would print something else than a dump"),
    ],
    short: &[
        ('A', "all-databases"),
        ('B', "databases"),
        ('C', "compress"),
        ('E', "events"),
        ('F', "flush-logs"),
        ('K', "disable-keys"),
        ('P', "port"),
        ('Q', "quote-names"),
        ('R', "routines"),
        ('S', "socket"),
        ('T', "tab"),
        ('V', "version"),
        ('W', "pipe"),
        ('X', "xml"),
        ('?', "help"),
        ('a', "create-options"),
        ('c', "complete-insert"),
        ('d', "no-data"),
        ('e', "extended-insert"),
        ('f', "force"),
        ('h', "host"),
        ('i', "comments"),
        ('l', "lock-tables"),
        ('n', "no-create-db"),
        ('p', "password"),
        ('q', "quick"),
        ('r', "result-file"),
        ('t', "no-create-info"),
        ('u', "user"),
        ('v', "verbose"),
        ('w', "where"),
        ('x', "lock-all-tables"),
        ('y', "no-tablespaces"),
    ],
    with_value: &[
        "where",
        "ignore-table",
        "ignore-table-data",
        "ignore-database",
        "ignore-error",
        "max-allowed-packet",
        "net-buffer-length",
        "default-character-set",
        "character-sets-dir",
        "compatible",
        "default-auth",
        "plugin-dir",
        "ssl-ca",
        "ssl-capath",
        "ssl-cert",
        "ssl-cipher",
        "ssl-key",
        "ssl-crl",
        "tls-version",
        "fields-terminated-by",
        "log-error",
        "network-timeout",
        "host",
        "port",
        "socket",
        "user",
        "password",
        "result-file",
        "tab",
        "protocol",
        "dir",
    ],
};

/// What a dump of one database needs to know.
pub(super) struct Order<'a> {
    /// The database.
    pub(super) database: &'a str,
    /// Tables that are left out.
    pub(super) without: Vec<&'a str>,
    /// What the config adds.
    pub(super) extra: &'a ExtraKeys,
}

/// What a dump needs before it starts.
pub(super) struct Ready {
    /// The statement that gives a database the character set of this one.
    charset: String,
    tool: Program,
}

/// Asks for what a dump of `database` needs.
///
/// Errors: [`Kind::NotFound`] when there is no such database; [`Kind::Tool`].
pub(super) async fn prepare(client: &Client, server: &Server, database: &str) -> Result<Ready> {
    let (charset, tool) =
        tokio::join!(charset(client, server, database), client.fitting(&DUMP, server));
    Ok(Ready { charset: charset?, tool: tool? })
}

/// Starts to dump `order`.
///
/// Errors: [`Kind::Tool`].
pub(super) fn start(
    client: &Client,
    server: &Server,
    order: &Order<'_>,
    Ready { charset, tool }: Ready,
) -> Result<Dump> {
    let login = client.login(tool.flavour)?;
    let call = call(client, server, &tool, &login, order);
    let (has_mark, facts) = (has_mark(order.extra), facts(server, &tool));
    let dump = call.dump(move |last| {
        // The option file lasts until here.
        let _login = login;
        let checked = judge(last, has_mark)?;
        Ok(DumpFacts { checked: Some(checked.to_owned()), ..facts })
    })?;
    // The tools leave it out of a dump of one database; the name is that of where it is loaded.
    Ok(Dump { bytes: headed(charset, dump.bytes), ..dump })
}

/// Puts `head` in front of the first chunk: nothing flows before the tool has given something.
fn headed(head: String, bytes: ByteStream) -> ByteStream {
    let state = (bytes, Some(head));
    ByteStream::from_stream(try_unfold(state, |(mut bytes, head)| async move {
        let Some(chunk) = bytes.next().await? else { return Ok(None) };
        let chunk = match head {
            Some(head) => Bytes::from([head.as_bytes(), &chunk].concat()),
            None => chunk,
        };
        Ok(Some((chunk, (bytes, None))))
    }))
}

/// Returns the statement that gives a database the character set of this one.
async fn charset(client: &Client, server: &Server, database: &str) -> Result<String> {
    let sql = format!(
        "SELECT HEX(DEFAULT_CHARACTER_SET_NAME), HEX(DEFAULT_COLLATION_NAME) FROM \
         information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
        literal(database)
    );
    let answer = client.ask(server, &sql).await?;
    let mut fields = answer.first().map_or(&[][..], Vec::as_slice).split(|byte| *byte == b'\t');
    match (fields.next().map(unhex_text), fields.next().map(unhex_text)) {
        (Some(charset), Some(collation)) if !charset.is_empty() => {
            Ok(format!("ALTER DATABASE CHARACTER SET {charset} COLLATE {collation};\n"))
        }
        _ => Err(missing(database)),
    }
}

/// The error for a database that is not there, or not for this user.
pub(super) fn missing(database: &str) -> Error {
    Error {
        kind: Kind::NotFound,
        subject: crate::base::text(database.as_bytes()),
        problem: "the server has no database of that name that its user may see".into(),
        source: None,
    }
}

fn call(
    client: &Client,
    server: &Server,
    tool: &Program,
    login: &Login,
    order: &Order<'_>,
) -> Call {
    let subject = crate::base::text(order.database.as_bytes());
    let ignored =
        order.without.iter().map(|table| format!("--ignore-table={}.{table}", order.database));
    client
        .call(&tool.path, &subject)
        .arg(login.arg())
        .args(defaults(server, tool, order.extra))
        .args(&order.extra.0)
        .args(ignored)
        .args(["--", order.database])
}

/// What a dump is like unless the config says otherwise.
fn defaults(server: &Server, tool: &Program, extra: &ExtraKeys) -> Vec<&'static str> {
    let mut args = vec![
        "--quick",
        "--routines",
        "--triggers",
        "--events",
        "--hex-blob",
        "--no-tablespaces",
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
    ];
    // The tools refuse the two together.
    if !extra.has("lock-all-tables", &RULES) {
        args.push("--single-transaction");
    }
    if tool.flavour == Flavour::MySql {
        // A dump of one database must not claim the transactions of all the others.
        args.push("--set-gtid-purged=OFF");
        if server.flavour == Flavour::Maria {
            args.push("--column-statistics=0");
        }
    }
    args
}

fn facts(server: &Server, tool: &Program) -> DumpFacts {
    let name = tool.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    DumpFacts {
        tools: BTreeMap::from([(name, tool.version.clone())]),
        server_version: Some(server.version.clone()),
        ..DumpFacts::default()
    }
}

/// Tells whether the tool will write its end mark with these options.
fn has_mark(extra: &ExtraKeys) -> bool {
    let (mut compact, mut comments) = (false, true);
    for one in extra.given(&RULES).0 {
        let off = matches!(one.value, Some("0" | "off" | "OFF" | "false" | "FALSE"));
        match one.name.as_str() {
            "compact" => compact = !off,
            "skip-compact" | "disable-compact" => compact = false,
            "comments" => comments = !off,
            "skip-comments" | "disable-comments" => comments = false,
            _ => {}
        }
    }
    !compact && comments
}

/// Judges the end of a dump; says by what it was known to be whole.
fn judge(last: &Last, has_mark: bool) -> std::result::Result<&'static str, String> {
    if has_mark {
        return ends_with_mark(last, &[MARK]).map(|()| "end mark");
    }
    match last.stdout.trim_ascii_end() {
        [.., b';'] => Ok("exit code"),
        [] => Err("printed nothing, which no dump is".into()),
        _ => Err(format!("ended inside of a statement after {} bytes", last.bytes)),
    }
}

/// Tells whether the user may read the whole database, tables that are hidden from it included.
///
/// A user with rights on single tables does not see the others: neither would the dump. Asked for a
/// table that is not there, the server says so only to one who may read the whole database.
///
/// Errors: [`Kind::Denied`].
pub(super) async fn may_read(client: &Client, server: &Server, database: &str) -> Result<()> {
    let sql = format!("SELECT 1 FROM {}.`nxs-backup may read all` LIMIT 0", name(database));
    match client.ask(server, &sql).await {
        Err(error)
            if error.problem.contains("ERROR 1142") || error.problem.contains("ERROR 1044") =>
        {
            Err(Error {
                kind: Kind::Denied,
                subject: crate::base::text(database.as_bytes()),
                problem: format!(
                    "the user may not read all of it, and what it cannot see would be missing: \
                     GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON {}.* TO its user",
                    name(database)
                ),
                source: None,
            })
        }
        Err(error) if !error.problem.contains("ERROR 1146") => Err(error),
        _ => Ok(()),
    }
}

const MARK: &str = "-- Dump completed";

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(line: &str) -> ExtraKeys {
        ExtraKeys(shell_words::split(line).unwrap())
    }

    #[test]
    fn the_end_mark_is_expected_unless_the_options_suppress_it() {
        for line in [
            "",
            "--skip-dump-date",
            "--compact --skip-compact",
            "--skip-comments -i",
            "--dump-date=0",
        ] {
            assert!(has_mark(&keys(line)), "{line}");
        }
        for line in ["--compact", "--skip-comments", "--comments=0", "-i --compact"] {
            assert!(!has_mark(&keys(line)), "{line}");
        }
    }

    #[test]
    fn a_dump_without_a_mark_must_end_with_a_whole_statement() {
        let last = |text: &str| Last { stdout: text.into(), bytes: 9, ..Last::default() };
        assert_eq!(judge(&last("INSERT INTO a VALUES (1);\n"), false), Ok("exit code"));
        assert!(judge(&last("INSERT INTO a VALUES (1"), false).is_err());
        assert!(judge(&last(""), false).is_err());
        assert!(judge(&last("INSERT INTO a VALUES (1);\n"), true).is_err());
        assert_eq!(judge(&last("-- Dump completed on 2026-11-27\n"), true), Ok("end mark"));
        assert_eq!(judge(&last("-- Dump completed\n"), true), Ok("end mark"));
    }
}
