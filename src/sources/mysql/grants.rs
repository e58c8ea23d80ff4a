//! Users, roles and their rights as a target of its own: statements that a client can load.

use std::collections::BTreeMap;

use crate::sources::Result;
use crate::sources::mysql::client::{Client, Server, literal, unhex_text};
use crate::sources::mysql::connect::Flavour;
use crate::sources::mysql::dump::DUMP;
use crate::sources::tool::ends_with_mark;
use crate::stream::{ByteStream, Dump, DumpFacts};

/// What the target is called.
pub(super) const GRANTS: &str = "users_and_grants";

/// Starts to dump them.
///
/// Errors: those of the tool, or of the client.
pub(super) async fn start(client: &Client, server: &Server) -> Result<Dump> {
    let tool = client.fitting(&DUMP, server).await?;
    if (server.flavour, tool.flavour) != (Flavour::Maria, Flavour::Maria) {
        return asked(client, server).await;
    }
    // MariaDB's own tool knows them all, its roles and plugins too.
    let login = client.login(tool.flavour)?;
    let call = client.call(&tool.path, GRANTS).arg(login.arg());
    let facts = DumpFacts {
        tools: BTreeMap::from([("mariadb-dump".to_owned(), tool.version)]),
        server_version: Some(server.version.clone()),
        checked: Some("end mark".to_owned()),
        position: None,
    };
    call.args(["--system=users", "--insert-ignore"]).dump(move |last| {
        let _login = login;
        ends_with_mark(last, &["-- Dump completed"]).map(|()| facts)
    })
}

/// Asks a server of MySQL for each account.
async fn asked(client: &Client, server: &Server) -> Result<Dump> {
    let accounts = "SELECT CONCAT(HEX(User), ' ', HEX(Host)) FROM mysql.user WHERE User NOT LIKE \
                    'mysql.%' ORDER BY User, Host";
    let accounts: Vec<_> =
        client.ask(server, accounts).await?.iter().map(|line| account(line)).collect();
    let (mut users, mut rights) = (String::new(), String::new());
    for account in &accounts {
        // Hashes of caching_sha2_password hold bytes that no text can carry.
        let sql = format!(
            "SET SESSION print_identified_with_as_hex = ON; SHOW CREATE USER {account}; \
             SHOW GRANTS FOR {account}"
        );
        for line in client.ask(server, &sql).await? {
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(user) = line.strip_prefix("CREATE USER ") {
                let (user, roles) = without_default_roles(user);
                users.push_str(&format!("CREATE USER IF NOT EXISTS {user};\n"));
                if let Some(roles) = roles {
                    rights.push_str(&format!("SET DEFAULT ROLE {roles} TO {account};\n"));
                }
            } else {
                rights.push_str(&line);
                rights.push_str(";\n");
            }
        }
    }
    let text = format!("-- Users and grants\n{users}{}-- Dump completed\n", sorted(&rights));
    let facts = DumpFacts {
        tools: BTreeMap::from([("mysql".to_owned(), server.client_version())]),
        server_version: Some(server.version.clone()),
        checked: Some("exit code".to_owned()),
        position: None,
    };
    Ok(Dump::new(ByteStream::from_bytes(text), facts))
}

/// Roles become default only once they are granted.
fn sorted(rights: &str) -> String {
    let is_default = |line: &&str| line.starts_with("SET DEFAULT ROLE");
    let (last, first): (Vec<_>, Vec<_>) = rights.lines().partition(is_default);
    first.into_iter().chain(last).map(|line| format!("{line}\n")).collect()
}

fn account(line: &[u8]) -> String {
    let mut fields = line.split(|byte| *byte == b' ').map(unhex_text);
    let mut next = || fields.next().unwrap_or_default().replace('\'', "''").replace('\\', "\\\\");
    format!("'{}'@'{}'", next(), next())
}

/// Takes the default roles out of what SHOW CREATE USER says: they need not exist yet.
fn without_default_roles(user: &str) -> (String, Option<String>) {
    let Some((before, rest)) = user.split_once(" DEFAULT ROLE ") else {
        return (user.to_owned(), None);
    };
    match rest.split_once(" REQUIRE ") {
        Some((roles, after)) => (format!("{before} REQUIRE {after}"), Some(roles.to_owned())),
        None => (before.to_owned(), Some(rest.to_owned())),
    }
}

/// Finds the definers of what lies in a database that are no accounts of the server.
///
/// Errors: those of the client.
pub(super) async fn strange_definers(
    client: &Client,
    server: &Server,
    database: &str,
) -> Result<Vec<String>> {
    let places = [
        ("VIEWS", "TABLE_SCHEMA"),
        ("ROUTINES", "ROUTINE_SCHEMA"),
        ("TRIGGERS", "TRIGGER_SCHEMA"),
        ("EVENTS", "EVENT_SCHEMA"),
    ];
    let database = literal(database);
    let all: Vec<_> = places
        .iter()
        .map(|(table, schema)| {
            format!("SELECT DEFINER d FROM information_schema.{table} WHERE {schema} = {database}")
        })
        .collect();
    let sql = format!(
        "SELECT DISTINCT HEX(d) FROM ({}) x WHERE CONVERT(d USING utf8mb4) COLLATE utf8mb4_bin NOT IN \
         (SELECT CONVERT(CONCAT(User, '@', Host) USING utf8mb4) COLLATE utf8mb4_bin FROM mysql.user)",
        all.join(" UNION ")
    );
    Ok(client.ask(server, &sql).await?.iter().map(|line| unhex_text(line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_roles_are_set_after_all_is_granted() {
        let user = "`a`@`%` IDENTIFIED WITH 'x' AS 0xAB DEFAULT ROLE `r`@`%` REQUIRE NONE";
        let (user, roles) = without_default_roles(user);
        assert_eq!(user, "`a`@`%` IDENTIFIED WITH 'x' AS 0xAB REQUIRE NONE");
        assert_eq!(roles.as_deref(), Some("`r`@`%`"));
        assert_eq!(sorted("SET DEFAULT ROLE r;\nGRANT a;\n"), "GRANT a;\nSET DEFAULT ROLE r;\n");
        assert_eq!(account(b"6127 25"), "'a'''@'%'");
    }
}
