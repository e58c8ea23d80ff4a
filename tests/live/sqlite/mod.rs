//! `sqlite` on files that programs use: the stock sqlite3 writes them, and reads what comes back.

mod failures;

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::cli::{config, local};
use crate::support::bed::Bed;
use crate::support::world::{copies, sh};

/// A bed with a job `apps` that copies what `target` matches.
fn bed(target: &str) -> Bed {
    job("", &format!("target: ['{target}']"))
}

/// The same with more keys of the job and of the source.
fn job(more: &str, source: &str) -> Bed {
    let storage = local("store", "days: 1");
    let text = format!(
        "- {{job: apps, type: sqlite, compress: zstd, tmp_dir: $DIR/tmp, {more} \
         sources: [{{{source}}}], storages: [{storage}]}}\n"
    );
    Bed::new().config(&config(&[text])).tree("data", &[])
}

/// Runs SQL on a database of the bed with the stock shell.
#[track_caller]
fn sql(bed: &Bed, database: &str, text: &str) -> String {
    std::fs::write(bed.path("do.sql"), text).unwrap();
    sh(bed, &format!("sqlite3 -bail '{database}' <do.sql"))
}

/// A program that writes to a database without end, each time a row to both of two tables.
struct Writer {
    shell: Child,
    _feeder: std::thread::JoinHandle<()>,
}

impl Writer {
    fn start(path: &Path) -> Self {
        let mut command = Command::new("sqlite3");
        command.arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let stdin = shell.stdin.take().unwrap();
        Self { shell, _feeder: std::thread::spawn(move || write_on(stdin)) }
    }
}

fn write_on(mut stdin: ChildStdin) {
    use std::io::Write;
    const STEP: &[u8] = b"BEGIN IMMEDIATE; INSERT INTO a VALUES (hex(randomblob(200)));\n\
                          INSERT INTO b VALUES (1); COMMIT;\n";
    stdin.write_all(b".timeout 10000\n").ok();
    while stdin.write_all(STEP).is_ok() {}
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shell.kill().ok();
        self.shell.wait().ok();
    }
}

const ODD: &str = "
CREATE TABLE t (id INTEGER PRIMARY KEY, txt TEXT, bin BLOB, num REAL, both AS (id * 2) STORED, none);
INSERT INTO t (txt, bin, num, none) VALUES ('äöü 漢字 '' \"', x'00ff00', -1e300, NULL), ('', x'', 0, 7);
CREATE TABLE child (id INTEGER REFERENCES t (id) ON DELETE CASCADE) STRICT;
INSERT INTO child VALUES (1);
CREATE TABLE empty (a, b);
CREATE UNIQUE INDEX i ON t (txt) WHERE txt <> '';
CREATE VIEW v AS SELECT * FROM t JOIN child USING (id);
CREATE TRIGGER tr AFTER INSERT ON child BEGIN INSERT INTO empty VALUES (new.id, 'x'); END;
CREATE VIRTUAL TABLE search USING fts5 (txt);
INSERT INTO search VALUES ('a needle in hay');
PRAGMA user_version = 42;
PRAGMA application_id = 4711;
";

#[test]
fn a_database_comes_back_with_everything_in_it() {
    let bed = bed("$DIR/data/*.db");
    sql(&bed, "data/app.db", ODD);
    let before =
        sh(&bed, "sqlite3 data/app.db .dump 'PRAGMA user_version' 'PRAGMA application_id'");
    bed.run(["check"]);
    bed.run(["start"]);
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    sh(&bed, "rm data/app.db");
    bed.run(["restore", "--to", "out"]);
    let restored = bed.files("out");
    assert_eq!(restored.len(), 1, "{restored:?}");
    let again = format!(
        "sqlite3 'out/{}' .dump 'PRAGMA user_version' 'PRAGMA application_id'",
        restored[0]
    );
    assert_eq!(sh(&bed, &again), before);
    let found =
        sh(&bed, &format!("sqlite3 'out/{}' \"SELECT * FROM search('needle')\"", restored[0]));
    assert_eq!(found.trim(), "a needle in hay");
    // By standard tools alone.
    sh(&bed, &format!("zstd -qdo plain.db 'store/{}'", copies(&bed)[0]));
    assert_eq!(
        sh(&bed, "sqlite3 plain.db .dump 'PRAGMA user_version' 'PRAGMA application_id'"),
        before
    );
}

#[test]
fn a_database_in_use_by_a_writer_is_copied_as_it_was_at_one_moment() {
    for mode in ["wal", "delete"] {
        let mut bed = bed("$DIR/data/*");
        let tables = "CREATE TABLE a (x); CREATE TABLE b (x);";
        sql(&bed, "data/app.db", &format!("PRAGMA journal_mode = {mode}; {tables}"));
        let fill = "INSERT INTO a SELECT hex(randomblob(400)) FROM generate_series(1, 20000);
                    INSERT INTO b SELECT 1 FROM generate_series(1, 20000);";
        sql(&bed, "data/app.db", fill);
        let writer = Writer::start(&bed.path("data/app.db"));
        for day in 21..=23 {
            bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
            bed.run(["start"]);
        }
        drop(writer);
        bed.run(["restore", "--to", "out"]);
        // The journals of the writer are no targets, and nothing lies beside what came back.
        let restored = bed.files("out");
        assert_eq!(restored.len(), 1, "{restored:?}");
        let question =
            "PRAGMA integrity_check; SELECT (SELECT count(*) FROM a) = (SELECT count(*) FROM b),
                        (SELECT count(*) FROM a) > 20000";
        let said = sql(&bed, &format!("out/{}", restored[0]), question);
        assert_eq!(said, "ok\n1|1\n", "{mode}");
        assert_eq!(bed.files("tmp"), [""; 0]);
    }
}

#[test]
fn each_file_is_one_copy_and_links_are_followed() {
    let bed = job("", "target: ['$DIR/data/**/*.db'], excludes: ['$DIR/data/old'], check: quick");
    for name in ["data/a/app.db", "data/b/app.db", "data/old/app.db"] {
        sh(&bed, &format!("mkdir -p $(dirname {name})"));
        sql(&bed, name, "CREATE TABLE t (x); INSERT INTO t VALUES (1);");
    }
    sh(&bed, "ln -s a/app.db data/link.db");
    bed.run(["start"]);
    assert_eq!(copies(&bed).len(), 3, "{:?}", copies(&bed));
    let listing = bed.run(["list", "--json"]).json();
    let names =
        listing["backups"].as_array().unwrap().iter().map(|b| b["target"].as_str().unwrap());
    assert_eq!(
        names.collect::<std::collections::BTreeSet<_>>(),
        ["$DIR/data/a/app.db", "$DIR/data/b/app.db", "$DIR/data/link.db"].into()
    );
}
