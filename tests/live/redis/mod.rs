//! `redis` against real servers, and against stubs that do what real ones seldom do.

mod failures;
mod stub;
mod ways;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::{config, local};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::sh;

/// A bed with a job `cache` that copies the server behind `connect` to one storage.
fn bed(connect: &str) -> Bed {
    job("", &format!("connect: {{{connect}}}"))
}

/// The same with more keys of the job and of the source.
fn job(more: &str, source: &str) -> Bed {
    let storage = local("store", "days: 1");
    let text = format!(
        "- {{job: cache, type: redis, compress: zstd, tmp_dir: $DIR/tmp, {more} \
         sources: [{{{source}}}], storages: [{storage}]}}\n"
    );
    Bed::new().config(&config(&[text]))
}

fn login(server: &Server) -> String {
    format!("db_host: 127.0.0.1, db_port: {}, db_password: svcpw", server.port(0))
}

/// Gives commands to a server, a line each, and returns its answers.
#[track_caller]
fn redis(port: u16, database: u8, lines: &str) -> String {
    let mut cli = Command::new("redis-cli");
    // A server without a password complains of it on stderr.
    cli.args(["-p", &port.to_string()]).env("REDISCLI_AUTH", "svcpw");
    let lines = format!("SELECT {database}\n{lines}");
    cli.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = cli.spawn().unwrap();
    running.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.starts_with("OK\n") && !said.contains("\nERR"), "{lines}\n{said}");
    said["OK\n".len()..].to_owned()
}

/// Fills two databases with every type, odd names, and keys that expire.
fn fill(port: u16) {
    let big: String = (0..600).map(|n| format!("RPUSH long {n} {}\n", "x".repeat(90))).collect();
    let first = r##"FLUSHALL
SET text "äöü \x00\xff\r\n binary"
SET number 12345678901234
SET "" "the key is empty"
SET "k\x00\xffey with 'quotes' and \"more\"" ""
APPEND bits "a"
SETBIT bits 70007 1
RPUSH list one two three
SADD numbers 1 2 3 -9223372036854775808
SADD words ä b "\x00"
ZADD scores 1.5 a -inf b 3e300 c
HSET hash field value "" "" "\xfe" "\xff"
PFADD loglog a b c d
GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
XADD stream 1-1 a 1 b 2
XADD stream 2-1 c 3
XADD stream 3-1 c 4
XDEL stream 3-1
XGROUP CREATE stream readers 0
XREADGROUP GROUP readers anna COUNT 1 STREAMS stream >
SET later gone PXAT 4102444800123
RPUSH listlater a
EXPIREAT listlater 4102444800
FUNCTION LOAD "#!lua name=lib\nredis.register_function('answer', function() return 42 end)"
"##;
    redis(port, 0, first);
    redis(port, 0, &big);
    redis(port, 7, "SET other database\nHSET h a b\n");
}

/// Everything that a server holds: a digest of all values, each key with its type and the time
/// it expires, and its functions.
fn content(port: u16) -> String {
    const KEYS: &str = "EVAL \"local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do \
                        r[#r+1] = k .. ' ' .. redis.call('TYPE', k).ok .. ' ' .. \
                        redis.call('PEXPIRETIME', k) end table.sort(r) return r\" 0\n";
    let all = [
        redis(port, 0, "DEBUG DIGEST\n"),
        redis(port, 0, KEYS),
        redis(port, 7, KEYS),
        redis(port, 0, "FUNCTION LIST WITHCODE\nFCALL answer 0\n"),
        redis(port, 0, "XPENDING stream readers\nXINFO STREAM stream FULL\n"),
    ];
    // When a consumer was last seen is counted from now.
    let lines = all.concat();
    let steady = lines.lines().scan(false, |skip, line| {
        let shown = if *skip { "" } else { line };
        *skip = matches!(line, "seen-time" | "active-time");
        Some(shown)
    });
    steady.collect::<Vec<_>>().join("\n")
}

/// Starts the server of restored dumps on `dump`; gives its port.
fn started_on(server: &Server, dump: &Path) -> u16 {
    fs::copy(dump, server.path("restored/dump.rdb")).unwrap();
    server.tell("restored");
    server.port(5)
}

/// The path of the only dump in the storage.
fn stored(bed: &Bed) -> std::path::PathBuf {
    let found = bed.files("store").into_iter().filter(|name| name.ends_with(".rdb.zst"));
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1, "{found:?}");
    bed.path("store").join(&found[0])
}

/// What the manifest of the newest backup says.
fn manifest(bed: &Bed) -> serde_json::Value {
    let listing = bed.run(["list", "--json"]).json();
    let id = listing["backups"].as_array().unwrap().last().unwrap()["id"].clone();
    let raw = bed.command(["list", "--json"]).output().unwrap();
    let raw: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    assert!(id.is_string());
    let id = raw["backups"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    bed.run(["show", &id, "--json"]).json()[0]["manifest"].clone()
}

#[test]
fn every_type_with_its_expiry_comes_back_on_a_new_server() {
    let server = Server::own("redis");
    fill(server.port(0));
    let before = content(server.port(0));
    assert!(before.contains("later string 4102444800123"), "{before}");
    let bed = bed(&login(&server));
    bed.run(["check"]);
    bed.run(["start"]);
    let manifest = manifest(&bed);
    assert_eq!(manifest["checked"], "length, end mark and CRC64");
    assert!(manifest["server_version"].as_str().unwrap().starts_with("Redis 7."), "{manifest}");
    assert_eq!(manifest["target"], "redis");
    redis(server.port(0), 0, "FLUSHALL\nFUNCTION FLUSH\n");
    bed.run(["restore", "--to", "out"]).stdout_has("appendonly").stdout_has("dump.rdb");
    let dump = bed.path("out/dump.rdb");
    sh(&bed, "redis-check-rdb out/dump.rdb | grep -q 'RDB looks OK'");
    assert_eq!(content(started_on(&server, &dump)), before);
    // The stored file, by standard tools alone.
    let plain = bed.path("plain.rdb");
    sh(&bed, &format!("zstd -qdo plain.rdb {}", stored(&bed).display()));
    assert_eq!(fs::read(&plain).unwrap(), fs::read(&dump).unwrap());
    assert_eq!(content(started_on(&server, &plain)), before);
}

#[test]
fn a_server_without_a_key_is_copied_too() {
    let server = Server::own("redis");
    let bed = bed(&login(&server));
    bed.run(["start"]);
    bed.run(["restore", "--to", "out"]);
    let port = started_on(&server, &bed.path("out/dump.rdb"));
    assert_eq!(redis(port, 0, "DBSIZE\n").trim(), "0");
}
