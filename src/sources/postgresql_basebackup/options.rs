//! `extra_keys` of pg_basebackup: what a user may add, and what would spoil the copy or send it
//! elsewhere.

use crate::sources::tool::{Given, Opt, Words, read_options};

/// What the options of a user come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// The words for pg_basebackup.
    pub(super) words: Vec<String>,
    /// What was replaced.
    pub(super) notes: Vec<String>,
}

/// Reads `words`.
///
/// Errors: what cannot be given, each a sentence.
pub(super) fn read(words: &Words) -> Result<Extra, Vec<String>> {
    let words = words.split().map_err(|why| vec![format!("`extra_keys`: {why}")])?;
    let given = read_options(&words, PG_BASEBACKUP)?;
    let (mut extra, mut wrong) = (Extra::default(), Vec::new());
    for one in &given {
        match judge(one) {
            Judged::Goes(word) => extra.words.push(word),
            Judged::IsOurs(None) => {}
            Judged::IsOurs(Some(note)) => extra.notes.push(note),
            Judged::Wrong(why) => {
                wrong.push(format!("`{}` cannot be given: {why}", one.written));
            }
        }
    }
    if wrong.is_empty() { Ok(extra) } else { Err(wrong) }
}

enum Judged {
    /// It goes on.
    Goes(String),
    /// It says what is done anyway.
    IsOurs(Option<String>),
    Wrong(&'static str),
}

fn judge(one: &Given) -> Judged {
    let Some(option) = one.option else { return Judged::Goes(one.written.clone()) };
    match (option.long, one.value.as_deref()) {
        ("pgdata", Some("-"))
        | ("format", Some("t" | "tar"))
        | ("wal-method", Some("f" | "fetch")) => Judged::IsOurs(None),
        ("pgdata", _) => Judged::Wrong("the copy goes to the storages"),
        ("format", _) => Judged::Wrong("the copy is a tar"),
        ("wal-method", Some("s" | "stream")) => Judged::Wrong("say `wal: stream`"),
        ("wal-method", _) => Judged::Wrong("a copy without its WAL cannot be started"),
        ("xlog", _) => Judged::IsOurs(Some(
            "`-x` of 2.x is `--wal-method=fetch` today, which is done anyway".to_owned(),
        )),
        (long, Some(value)) => Judged::Goes(format!("--{long}={value}")),
        (long, None) => Judged::Goes(format!("--{long}")),
    }
}

const CONNECT: &str = "`connect` says which server and which user";
const ELSEWHERE: &str = "the copy goes to the storages as one tar";
const COMPRESS: &str = "`compress` of the job does that";
const NO_COPY: &str = "it makes no copy";
const SLOT: &str = "a slot belongs to a WAL that is streamed, and would keep WAL for ever";

/// The options of pg_basebackup up to version 18, and `-x` of those before 10.
const PG_BASEBACKUP: &[Opt] = &[
    Opt::value("pgdata").short('D'),
    Opt::value("format").short('F'),
    Opt::value("incremental").short('i').refused("an increment needs the copies before it"),
    Opt::value("max-rate").short('r'),
    Opt::flag("write-recovery-conf").short('R'),
    Opt::value("target").short('t').refused(ELSEWHERE),
    Opt::value("tablespace-mapping").short('T').refused(ELSEWHERE),
    Opt::value("waldir").refused(ELSEWHERE),
    Opt::value("wal-method").short('X'),
    Opt::flag("xlog").short('x'),
    Opt::flag("gzip").short('z').refused(COMPRESS),
    Opt::value("compress").short('Z').refused(COMPRESS),
    Opt::value("checkpoint").short('c'),
    Opt::flag("create-slot").short('C').refused(SLOT),
    Opt::value("slot").short('S').refused(SLOT),
    Opt::value("label").short('l'),
    Opt::flag("no-clean").short('n'),
    Opt::flag("no-sync").short('N'),
    Opt::flag("progress").short('P'),
    Opt::flag("verbose").short('v'),
    Opt::flag("version").short('V').refused(NO_COPY),
    Opt::flag("help").short('?').refused(NO_COPY),
    Opt::value("manifest-checksums"),
    Opt::flag("manifest-force-encode"),
    Opt::flag("no-estimate-size"),
    Opt::flag("no-manifest").refused("the copy could not be checked any more"),
    Opt::flag("no-slot"),
    Opt::flag("no-verify-checksums"),
    Opt::value("sync-method"),
    Opt::value("dbname").short('d').refused(CONNECT),
    Opt::value("host").short('h').refused(CONNECT),
    Opt::value("port").short('p').refused(CONNECT),
    Opt::value("username").short('U').refused(CONNECT),
    Opt::flag("password").short('W').refused("nobody is there to be asked"),
    Opt::flag("no-password").short('w'),
    Opt::value("status-interval").short('s'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_2_x_is_read_and_what_is_gone_is_said() {
        let extra = read(&Words::text("-x --format=tar -D -")).unwrap();
        assert_eq!(extra.words, [] as [&str; 0]);
        assert!(extra.notes[0].contains("--wal-method=fetch"), "{extra:?}");
    }

    #[test]
    fn what_would_spoil_the_copy_or_send_it_elsewhere_is_refused() {
        for text in [
            "-D /x",
            "--pgdata=/x",
            "-Fp",
            "-X none",
            "-Xs",
            "-t server:/x",
            "--tar=x",
            "-z",
            "-Z 5",
            "--no-man",
            "-h x",
            "-d x",
            "-C",
            "-S s",
            "--waldir=/x",
            "-T a=b",
            "x",
            "-V",
        ] {
            assert!(read(&Words::text(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn the_rest_goes_on() {
        let extra = read(&Words::text("-r 10M -Pv --checkpoint=spread")).unwrap();
        assert_eq!(
            extra.words,
            ["--max-rate=10M", "--progress", "--verbose", "--checkpoint=spread"]
        );
    }
}
