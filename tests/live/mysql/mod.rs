//! Dumps of MariaDB and MySQL.

mod faults;
mod keys;
mod mysql9;
mod replica;
mod round_trip;
mod stubs;

use std::process::Command;

use crate::support::bed::Bed;
use crate::support::server::Server;

/// The server that tests share; each has databases and users of its own.
pub(crate) fn mariadb() -> &'static Server {
    Server::shared("mariadb")
}

/// Runs statements as root by the socket of `a` or `b`, and returns what they answer.
#[track_caller]
pub(crate) fn sql(server: &Server, which: &str, statements: &str) -> String {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--batch", "--skip-column-names", "--user=root"]);
    client.args(["--default-character-set=utf8mb4", "--binary-mode"]);
    client.arg(format!("--socket={}", server.path(&format!("{which}.sock")).display()));
    answer(client, statements)
}

/// Feeds a client and returns what it answers.
#[track_caller]
pub(crate) fn answer(mut client: Command, statements: &str) -> String {
    let output =
        assert_cmd::Command::from_std(client_of(&mut client)).write_stdin(statements).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{statements}\n{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn client_of(client: &mut Command) -> Command {
    std::mem::replace(client, Command::new("true"))
}

/// A `connect` by TCP with the root of the tests.
pub(crate) fn root(server: &Server, port: u16) -> String {
    let port = server.port(port);
    format!("{{db_host: 127.0.0.1, db_port: {port}, db_user: root, db_password: svcpw}}")
}

/// A bed with one job `db` of this type; `source` are its keys, `more` those of the job, each a
/// line of its own.
pub(crate) fn bed(kind: &str, connect: &str, source: &str, more: &str) -> Bed {
    let source = source.replace('\n', "\n          ");
    let more = more.replace('\n', "\n    ");
    Bed::new().config(&format!(
        "main:
  server_name: web1
  log_file: $DIR/log
  state_dir: $DIR/state
jobs:
  - job: db
    type: {kind}
    tmp_dir: $DIR/tmp
    compress: zstd
    {more}
    sources:
        - connect: {connect}
          {source}
    storages:
      - {{storage: local, backup_dir: $DIR/out, store: {{days: 3}}}}
"
    ))
}

/// The keys of what is stored, without manifests.
pub(crate) fn stored(bed: &Bed) -> Vec<String> {
    let all = bed.files("out").into_iter();
    all.filter(|key| !key.ends_with(".json")).collect()
}

/// What may lie nowhere once a run is over: files for passwords.
#[track_caller]
pub(crate) fn nothing_left(bed: &Bed) {
    let left = bed.files("tmp");
    assert!(left.iter().all(|name| !name.contains("nxs-private")), "{left:?}");
}

/// Everything that a database is: schema, rows, views, routines, triggers and events, as text.
#[track_caller]
pub(crate) fn everything_in(server: &Server, which: &str, database: &str) -> String {
    let mut dump = Command::new("mariadb-dump");
    dump.args([
        "--no-defaults",
        "--user=root",
        "--routines",
        "--triggers",
        "--events",
        "--hex-blob",
    ]);
    dump.args(["--skip-comments", "--order-by-primary", "--default-character-set=utf8mb4"]);
    dump.args(["--skip-extended-insert", "--single-transaction"]);
    dump.arg(format!("--socket={}", server.path(&format!("{which}.sock")).display()));
    dump.arg(database);
    let charset = format!(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA \
         WHERE SCHEMA_NAME = '{database}'"
    );
    sql(server, which, &charset) + &answer(dump, "")
}

/// Compares two texts and shows the first line that differs.
#[track_caller]
pub(crate) fn same(left: &str, right: &str) {
    let differ = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert_eq!(differ, None);
    assert_eq!(left.len(), right.len());
}
