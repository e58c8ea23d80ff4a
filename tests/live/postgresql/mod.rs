//! `postgresql` against a real server.

mod faults;
mod load;
mod odd;
pub(crate) mod refusals;
mod rights;

use std::process::{Command, Output};

use crate::support::bed::Bed;
use crate::support::server::Server;

/// The server that all tests share which do it no harm.
pub(super) fn server() -> &'static Server {
    Server::shared("postgresql")
}

/// Runs SQL as the superuser by the socket and returns what it gives, which must be no error.
#[track_caller]
pub(super) fn sql(server: &Server, database: &str, text: &str) -> String {
    sql_at(server, 0, database, text)
}

/// The same on another port.
#[track_caller]
pub(super) fn sql_at(server: &Server, port: u16, database: &str, text: &str) -> String {
    let output = psql(server, port, database).args(["-c", text]).output().unwrap();
    said(&output)
}

/// Prepares stock psql, without any environment of ours.
pub(super) fn psql(server: &Server, port: u16, database: &str) -> Command {
    let mut psql = Command::new("psql");
    psql.env("PGCLIENTENCODING", "UTF8");
    psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
    psql.arg(server.path("sock")).args(["-p", &server.port(port).to_string(), "-d"]);
    psql.arg(format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'")));
    psql
}

/// Returns what a program printed; it must have ended well.
#[track_caller]
pub(super) fn said(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A config with one job `pg` of these source keys, stored in `store` of the bed.
pub(super) fn config(server: &Server, source: &str) -> String {
    let source = source.replace("$PORT", &server.port(0).to_string());
    let source = source.replace("$SVC", server.path("").to_str().unwrap().trim_end_matches('/'));
    format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/nxs.log}}\njobs:\n- job: pg\n  type: postgresql\n  \
         compress: zstd\n  tmp_dir: $DIR/tmp\n  sources:\n  - {source}\n  storages:\n  - {{storage: \
         local, backup_dir: $DIR/store, store: {{days: 3}}}}\n"
    )
}

/// How the superuser logs in by TCP.
pub(super) const TCP: &str =
    "connect: {db_host: 127.0.0.1, db_port: $PORT, db_user: postgres, db_password: svcpw}";

/// A bed whose job reads these targets as the superuser, with more keys of the source after them.
pub(super) fn bed(server: &Server, more: &str) -> Bed {
    Bed::new().config(&config(server, &format!("{TCP}\n    {more}")))
}

/// Makes a database of this name that no other test uses.
pub(super) fn database(server: &Server, name: &str, content: &str) {
    let quoted = name.replace('"', "\"\"");
    sql(server, "postgres", &format!("create database \"{quoted}\""));
    if !content.is_empty() {
        sql(server, name, content);
    }
}

/// What makes two databases equal: every row, every definition, every right.
pub(super) fn fingerprint(server: &Server, database: &str) -> String {
    let tables = "select string_agg(format('select %L, count(*), md5(string_agg(x::text, chr(10) \
        order by x::text)) from %I.%I x', c.oid::regclass, nspname, relname), ' union all ' order by \
        nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace where relkind \
        in ('r', 'm') and nspname !~ '^(pg_|information_schema)'";
    let tables = sql(server, database, tables);
    let mut all = if tables.is_empty() { String::new() } else { sql(server, database, &tables) };
    for what in DEFINITIONS {
        all.push_str(&format!("\n-- {what}\n"));
        all.push_str(&sql(server, database, what));
    }
    all
}

const DEFINITIONS: &[&str] = &[
    "select pg_get_functiondef(p.oid), proacl from pg_proc p join pg_namespace n on n.oid = \
     pronamespace where nspname !~ '^(pg_|information_schema)' and prokind in ('f', 'p') order by 1",
    "select c.oid::regclass, pg_get_viewdef(c.oid), pg_get_userbyid(relowner) from pg_class c join \
     pg_namespace n on n.oid = relnamespace where relkind in ('v', 'm') and nspname !~ \
     '^(pg_|information_schema)' order by c.oid::regclass::text",
    "select c.oid::regclass, relkind, relacl, pg_get_userbyid(relowner), relrowsecurity from \
     pg_class c join pg_namespace n on n.oid = relnamespace where nspname !~ \
     '^(pg_|information_schema)' order by c.oid::regclass::text",
    "select attrelid::regclass, attname, atttypid::regtype, attnotnull, attgenerated, attidentity \
     from pg_attribute join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = \
     relnamespace where attnum > 0 and not attisdropped and nspname !~ '^(pg_|information_schema)' \
     order by attrelid::regclass::text, attname",
    "select conrelid::regclass, pg_get_constraintdef(oid) from pg_constraint where conrelid <> 0 \
     order by conrelid::regclass::text, 2",
    "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal order by 1",
    "select pg_get_indexdef(indexrelid) from pg_index where indrelid >= 16384 and \
     indexrelid::regclass::text !~ 'pg_toast' order by 1",
    "select schemaname, sequencename, last_value, increment_by from pg_sequences order by 1, 2",
    "select evtname, evtevent from pg_event_trigger order by 1",
    "select oid, pg_get_userbyid(lomowner), lomacl, md5(lo_get(oid)) from pg_largeobject_metadata \
     order by 1",
    "select e.enumtypid::regtype, enumlabel from pg_enum e order by e.enumtypid::regtype::text, \
     enumsortorder",
    "select polname, polrelid::regclass, pg_get_expr(polqual, polrelid) from pg_policy order by 1",
];
