//! Rights without which a dump tool leaves things out and says nothing: it cannot see them.

use crate::sources::mysql::client::{Client, Server};
use crate::sources::mysql::dump::RULES;
use crate::sources::mysql::options::ExtraKeys;
use crate::sources::{Error, Kind, Result};

/// What a dump has by default, the right that shows it, and the option that does without it.
const NEEDS: &[(&str, &str, &str)] =
    &[("triggers", "TRIGGER", "skip-triggers"), ("events", "EVENT", "skip-events")];

/// Looks whether the user sees the triggers, events and routines of `database`, unless they are not wanted.
///
/// Errors: [`Kind::Denied`], which names the right and the option that does without.
pub(super) async fn complete(
    client: &Client,
    server: &Server,
    database: &str,
    extra: &ExtraKeys,
) -> Result<()> {
    let lines = client.ask(server, "SHOW GRANTS").await?;
    let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
    let unwanted = |option: &str, off: &str| {
        let given = extra.given(&RULES).0;
        given.iter().any(|one| one.name == off || one.name == option && one.value == Some("0"))
    };
    for (things, right, off) in NEEDS {
        if !unwanted(things, off) && !has(&lines, right, database) {
            return Err(Error {
                kind: Kind::Denied,
                subject: crate::base::text(database.as_bytes()),
                problem: format!(
                    "the user has no right to see its {things}, which would be missing: GRANT {right} \
                     ON it TO the user, or `extra_keys: --{off}`"
                ),
                source: None,
            });
        }
    }
    if !unwanted("routines", "skip-routines") && !sees_routines(&lines, database) {
        return Err(Error {
            kind: Kind::Denied,
            subject: crate::base::text(database.as_bytes()),
            problem: "the user has no right to see its routines, which would be missing: GRANT \
                      SELECT ON mysql.proc (MariaDB) or SHOW_ROUTINE ON *.* (MySQL) TO the user, or \
                      `extra_keys: --skip-routines`"
                .to_owned(),
            source: None,
        });
    }
    Ok(())
}

/// Tells whether the user sees the routines of others in `database`. With one of the rights to use
/// them it sees them and may not read them: then the tool fails and says so.
fn sees_routines<S: AsRef<str>>(grants: &[S], database: &str) -> bool {
    let of_system =
        |grant: &str| grant.starts_with("GRANT SELECT") && grant.contains(" ON `mysql`.`proc` ");
    let rights = ["SHOW CREATE ROUTINE", "EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE"];
    has(grants, "SELECT", "mysql")
        || has(grants, "SHOW_ROUTINE", "mysql")
        || rights.iter().any(|right| has(grants, right, database))
        || grants.iter().any(|grant| of_system(grant.as_ref()))
}

/// Tells whether one of the grants gives `right` on the whole of `database`; a role may give
/// anything.
fn has<S: AsRef<str>>(grants: &[S], right: &str, database: &str) -> bool {
    grants.iter().map(AsRef::as_ref).any(|grant| {
        let Some((rights, rest)) = grant.split_once(" ON ") else {
            return grant.starts_with("GRANT ");
        };
        let rights = rights.strip_prefix("GRANT ").unwrap_or_default();
        let gives = rights.split(", ").any(|one| one == right || one == "ALL PRIVILEGES");
        let on = rest.split(" TO ").next().unwrap_or_default();
        gives && (on == "*.*" || on.strip_suffix(".*").is_some_and(|on| fits(on, database)))
    })
}

/// Matches the quoted pattern of a grant: `%` and `_` stand for others unless they are escaped.
fn fits(pattern: &str, database: &str) -> bool {
    let pattern = pattern.trim_matches('`').replace("``", "`");
    like(&pattern.chars().collect::<Vec<_>>(), &database.chars().collect::<Vec<_>>())
}

fn like(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['%', rest @ ..], _) => (0..=name.len()).any(|at| like(rest, &name[at..])),
        (['_', rest @ ..], [_, name @ ..]) => like(rest, name),
        (['\\', letter, rest @ ..] | [letter, rest @ ..], [first, name @ ..]) => {
            letter == first && like(rest, name)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routines_are_seen_by_who_reads_the_system_or_may_use_them() {
        let can = |grant: &str| sees_routines(&[grant], "shop");
        for grant in [
            "GRANT SELECT, LOCK TABLES ON *.* TO `u`@`h`",
            "GRANT SELECT ON `mysql`.* TO `u`@`h`",
            "GRANT SELECT ON `mysql`.`proc` TO `u`@`h`",
            "GRANT SHOW_ROUTINE ON *.* TO `u`@`h`",
            "GRANT SELECT, EXECUTE ON `shop`.* TO `u`@`h`",
            "GRANT ALL PRIVILEGES ON `shop`.* TO `u`@`h`",
        ] {
            assert!(can(grant), "{grant}");
        }
        for grant in [
            "GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON `shop`.* TO `u`@`h`",
            "GRANT EXECUTE ON `other`.* TO `u`@`h`",
            "GRANT USAGE ON *.* TO `u`@`h`",
        ] {
            assert!(!can(grant), "{grant}");
        }
    }

    #[test]
    fn a_right_counts_where_it_holds_for_the_whole_database() {
        let can = |grant: &str| has(&[grant], "TRIGGER", "shop_1");
        for grant in [
            "GRANT ALL PRIVILEGES ON *.* TO `u`@`h`",
            "GRANT SELECT, TRIGGER ON `shop\\_1`.* TO `u`@`h`",
            "GRANT SELECT, TRIGGER ON `shop%`.* TO `u`@`h`",
            "GRANT `reader` TO `u`@`h`",
        ] {
            assert!(can(grant), "{grant}");
        }
        for grant in [
            "GRANT SELECT ON *.* TO `u`@`h`",
            "GRANT TRIGGER ON `other`.* TO `u`@`h`",
            "GRANT TRIGGER ON `shop\\_1`.`t` TO `u`@`h`",
            "GRANT USAGE ON *.* TO `u`@`h` IDENTIFIED BY PASSWORD '*X'",
        ] {
            assert!(!can(grant), "{grant}");
        }
    }
}
