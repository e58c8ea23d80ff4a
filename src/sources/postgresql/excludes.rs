//! `excludes`: databases, schemas and tables that are left out.

/// What is left out of one database.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// The database itself.
    pub(super) all: bool,
    /// Options for pg_dump.
    pub(super) options: Vec<String>,
}

/// Tells what `excludes` leave out of `database`: `db`, `db.schema`, `db.schema.table`, where `*`
/// and `?` stand for any letters in a schema or a table.
pub(super) fn left_out(excludes: &[String], database: &str) -> LeftOut {
    let mut left_out = LeftOut::default();
    for exclude in excludes {
        if exclude == database {
            left_out.all = true;
            continue;
        }
        let inner = exclude.strip_prefix(database).and_then(|rest| rest.strip_prefix('.'));
        left_out.options.extend(inner.map(|inner| match inner.split_once('.') {
            None => format!("--exclude-schema={}", pattern(inner)),
            Some((schema, table)) => {
                format!("--exclude-table={}.{}", pattern(schema), pattern(table))
            }
        }));
    }
    left_out
}

/// Spells a name as a pattern of pg_dump that means it to the letter, but for `*` and `?`.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    let mut rest = name;
    while let Some(at) = rest.find(['*', '?']) {
        let (literal, wild) = rest.split_at(at);
        pattern.push_str(&quoted(literal));
        pattern.push_str(&wild[..1]);
        rest = &wild[1..];
    }
    pattern + &quoted(rest)
}

fn quoted(literal: &str) -> String {
    match literal {
        "" => String::new(),
        _ => format!("\"{}\"", literal.replace('"', "\"\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(excludes: &[&str], database: &str) -> Vec<String> {
        let excludes: Vec<String> = excludes.iter().map(|one| (*one).to_owned()).collect();
        left_out(&excludes, database).options
    }

    #[test]
    fn a_name_alone_is_a_database_and_more_of_it_a_schema_or_a_table() {
        let excludes = ["shop", "shop.log", "shop.public.Big Table", "shop2.x"];
        assert_eq!(
            options(&excludes, "shop"),
            ["--exclude-schema=\"log\"", "--exclude-table=\"public\".\"Big Table\""]
        );
        assert!(left_out(&["shop".to_owned()], "shop").all);
        assert!(!left_out(&["shop".to_owned()], "shop2").all);
    }

    #[test]
    fn stars_stand_for_any_letters_and_nothing_else_does() {
        assert_eq!(options(&["a.b.log_*"], "a"), ["--exclude-table=\"b\".\"log_\"*"]);
        assert_eq!(options(&["a.*.x|y"], "a"), ["--exclude-table=*.\"x|y\""]);
        assert_eq!(options(&["a.b.c.d"], "a"), ["--exclude-table=\"b\".\"c.d\""]);
        assert_eq!(options(&["a.b.say \"x\""], "a"), ["--exclude-table=\"b\".\"say \"\"x\"\"\""]);
    }
}
