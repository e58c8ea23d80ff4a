//! `extra_keys` of pg_dump: what a user may add, and what would change the database or the place.

use crate::base::Wrong;
use crate::sources::postgresql::Format;
use crate::sources::tool::{Given, Opt, Words, read_options};

/// What the options of a user come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// The words for pg_dump, those of the format left out.
    pub(super) words: Vec<String>,
    /// The format that they ask for.
    pub(super) format: Option<Format>,
}

/// Reads `words`.
///
/// Errors: what cannot be given, each a sentence.
pub(super) fn read(words: &Words) -> Result<Extra, Vec<String>> {
    let words = words.split().map_err(|why| vec![format!("`extra_keys`: {why}")])?;
    let given = read_options(&words, PG_DUMP)?;
    let mut wrong = Vec::new();
    let mut extra = Extra::default();
    for one in &given {
        match (one.option.map(|option| option.long), one.value.as_deref()) {
            (Some("format"), Some(value)) => match format(value) {
                Some(format) => extra.format = Some(format),
                None => wrong.push(format!(
                    "`{}` cannot be given: only plain and custom dumps can be streamed",
                    one.written
                )),
            },
            _ => extra.words.extend(spelled(one)),
        }
    }
    if wrong.is_empty() { Ok(extra) } else { Err(wrong) }
}

/// Says what is wrong with `words`.
pub(super) fn problems(words: &Words, format: Format) -> Vec<Wrong> {
    let blame = |message: String| Wrong::new("extra_keys", message);
    let extra = match read(words) {
        Ok(extra) => extra,
        Err(wrong) => return wrong.into_iter().map(blame).collect(),
    };
    let is_plain = extra.format.unwrap_or(format) == Format::Plain;
    let compresses =
        extra.words.iter().any(|word| word.starts_with("-Z") || word.starts_with("--compress"));
    let message = "`-Z` cannot be given with a plain dump: `compress` of the job does that";
    (is_plain && compresses).then(|| blame(message.to_owned())).into_iter().collect()
}

/// Spells an option in one word, in full.
fn spelled(given: &Given) -> Option<String> {
    let Some(option) = given.option else { return Some(given.written.clone()) };
    Some(match &given.value {
        Some(value) => format!("--{}={value}", option.long),
        None => format!("--{}", option.long),
    })
}

fn format(value: &str) -> Option<Format> {
    match value {
        "p" | "plain" => Some(Format::Plain),
        "c" | "custom" => Some(Format::Custom),
        _ => None,
    }
}

const ELSEWHERE: &str = "the dump goes to the storages";
const CONNECT: &str = "`connect` says which server and which user";
const TARGET: &str = "`target` says which databases";
const NO_DUMP: &str = "it makes no dump";

/// The options of pg_dump up to version 18; `binary-upgrade` and what only tests use are missing.
const PG_DUMP: &[Opt] = &[
    Opt::flag("create").short('C').refused("a restore could then only go to the same name"),
    Opt::value("file").short('f').refused(ELSEWHERE),
    Opt::value("dbname").short('d').refused(TARGET),
    Opt::value("jobs").short('j').refused("it needs the format of a folder, which is no stream"),
    Opt::value("host").short('h').refused(CONNECT),
    Opt::value("port").short('p').refused(CONNECT),
    Opt::value("username").short('U').refused(CONNECT),
    Opt::flag("password").short('W').refused("nobody is there to be asked"),
    Opt::flag("version").short('V').refused(NO_DUMP),
    Opt::flag("help").short('?').refused(NO_DUMP),
    Opt::value("format").short('F'),
    Opt::value("compress").short('Z'),
    Opt::flag("verbose").short('v'),
    Opt::flag("no-password").short('w'),
    Opt::value("lock-wait-timeout"),
    Opt::flag("no-sync"),
    Opt::value("sync-method"),
    Opt::flag("data-only").short('a'),
    Opt::flag("blobs").short('b'),
    Opt::flag("large-objects"),
    Opt::flag("no-blobs").short('B'),
    Opt::flag("no-large-objects"),
    Opt::flag("clean").short('c'),
    Opt::value("extension").short('e'),
    Opt::value("exclude-extension"),
    Opt::value("encoding").short('E'),
    Opt::value("schema").short('n'),
    Opt::value("exclude-schema").short('N'),
    Opt::flag("no-owner").short('O'),
    Opt::flag("no-reconnect").short('R'),
    Opt::flag("schema-only").short('s'),
    Opt::value("superuser").short('S'),
    Opt::value("table").short('t'),
    Opt::value("table-and-children"),
    Opt::value("exclude-table").short('T'),
    Opt::value("exclude-table-and-children"),
    Opt::flag("no-privileges").short('x'),
    Opt::flag("no-acl"),
    Opt::flag("column-inserts"),
    Opt::flag("attribute-inserts"),
    Opt::flag("disable-dollar-quoting"),
    Opt::flag("disable-triggers"),
    Opt::flag("enable-row-security"),
    Opt::value("exclude-table-data"),
    Opt::value("exclude-table-data-and-children"),
    Opt::value("extra-float-digits"),
    Opt::value("filter"),
    Opt::flag("if-exists"),
    Opt::value("include-foreign-data"),
    Opt::flag("inserts"),
    Opt::flag("load-via-partition-root"),
    Opt::flag("no-comments"),
    Opt::flag("no-data"),
    Opt::flag("no-policies"),
    Opt::flag("no-publications"),
    Opt::flag("no-schema"),
    Opt::flag("no-security-labels"),
    Opt::flag("no-statistics"),
    Opt::flag("no-subscriptions"),
    Opt::flag("no-table-access-method"),
    Opt::flag("no-tablespaces"),
    Opt::flag("no-toast-compression"),
    Opt::flag("no-unlogged-table-data"),
    Opt::flag("on-conflict-do-nothing"),
    Opt::flag("quote-all-identifiers"),
    Opt::value("restrict-key"),
    Opt::value("rows-per-insert"),
    Opt::value("section"),
    Opt::flag("sequence-data"),
    Opt::flag("serializable-deferrable"),
    Opt::value("snapshot"),
    Opt::flag("statistics"),
    Opt::flag("statistics-only"),
    Opt::flag("strict-names"),
    Opt::flag("use-set-session-authorization"),
    Opt::value("role"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_the_database_or_the_place_is_refused() {
        for text in [
            "-C",
            "--crea",
            "-f x",
            "--fil=x",
            "-d x",
            "--dbname x",
            "-Fd",
            "-Ft",
            "--format=dir",
            "-j 4",
            "--jobs=4",
            "-h x",
            "-Upostgres",
            "other",
            "-Ox other",
            "-V",
            "--pass",
        ] {
            assert!(read(&Words::text(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_goes_on_in_full_words_and_the_format_is_known() {
        let extra = read(&Words::text("-Ox -T 'a b' --lock-wait=5 -Fc --new-one")).unwrap();
        assert_eq!(
            extra.words,
            [
                "--no-owner",
                "--no-privileges",
                "--exclude-table=a b",
                "--lock-wait-timeout=5",
                "--new-one"
            ]
        );
        assert_eq!(extra.format, Some(Format::Custom));
    }

    #[test]
    fn a_plain_dump_is_not_compressed_twice() {
        assert_eq!(problems(&Words::text("-Z5"), Format::Plain).len(), 1);
        assert_eq!(problems(&Words::text("-Z5 -Fc"), Format::Plain), []);
        assert_eq!(problems(&Words::text("'"), Format::Plain).len(), 1);
    }
}
