//! Every kind of problem, word for word: `tests/fixtures/config/problems.txt`.
//!
//! After a change that is meant, `UPDATE_GOLDEN=1` writes the file anew; read its diff.

use std::fmt::Write as _;
use std::fs;

use nxs_backup::config;

use super::{Bed, checkout, good_job};

/// A job whose one storage has these keys.
fn remote(keys: &str) -> Bed {
    stored_at(&[keys])
}

/// A job that stores twice with these keys.
fn twice(keys: &str) -> Bed {
    stored_at(&[keys, keys])
}

fn stored_at(storages: &[&str]) -> Bed {
    let good = good_job("a", "");
    let head = &good[..good.find("    storages").unwrap()];
    let keys = |keys: &&str| format!("    - {{{keys}, backup_dir: /x, store: {{days: 1}}}}\n");
    let storages: String = storages.iter().map(keys).collect();
    Bed::job(&format!("{head}    storages:\n{storages}"))
}

const MAIN: &str = "main: {server_name: web1}\njobs: !include [conf.d/*.conf]\n";

fn cases() -> Vec<(&'static str, Bed)> {
    let mut cases = structure();
    cases.extend(includes());
    cases.extend(jobs());
    cases.extend(main_section());
    cases.extend(notify_section());
    cases
}

fn structure() -> Vec<(&'static str, Bed)> {
    let one = |text: &str| Bed::new(&[("main.conf", text)]);
    let good = good_job("a", "");
    vec![
        ("syntax error", one("main:\n  server_name: [a\njobs: b\n")),
        ("not a mapping", one("- a\n")),
        ("empty file", one("")),
        ("unknown top key", one(&format!("mian: {{server_name: a}}\njobs:\n{good}"))),
        ("no jobs key", one("main: {server_name: a}\n")),
        ("blank jobs key", one("main: {server_name: a}\njobs:\n")),
        ("a job that is a word", one("main: {server_name: a}\njobs: [backup, {}]\n")),
        ("duplicate key", one(&format!("main: {{server_name: a}}\njobs:\n{good}main: {{}}\n"))),
        ("unknown tag", one(&format!("main: {{server_name: !evn NAME}}\njobs:\n{good}"))),
        ("two documents", one(&format!("main: {{server_name: a}}\njobs:\n{good}---\na: 1\n"))),
    ]
}

fn includes() -> Vec<(&'static str, Bed)> {
    let good = good_job("a", "");
    let cycle = "jobs: !include [b.conf]\nmain: {server_name: a}\n";
    vec![
        (
            "missing include",
            Bed::new(&[("main.conf", "main: !include main.d/none.yml\njobs: []\n")]),
        ),
        (
            "pattern in scalar form",
            Bed::new(&[("main.conf", "main: {server_name: a}\njobs: !include conf.d/*.conf\n")]),
        ),
        ("pattern without a match", Bed::new(&[("main.conf", MAIN)])),
        (
            "include cycle",
            Bed::new(&[
                ("main.conf", cycle),
                ("b.conf", "!include c.conf"),
                ("c.conf", "- !import b.conf"),
            ]),
        ),
        ("included text", Bed::new(&[("main.conf", MAIN), ("conf.d/a.conf", "just text\n")])),
        (
            "one bad file does not hide the next",
            Bed::new(&[
                ("main.conf", MAIN),
                ("conf.d/1.conf", "- job: [x\n"),
                ("conf.d/2.conf", &good.replace("type:", "typ:")),
                ("conf.d/3.conf", &good.replace("backup_dir:", "backupdir:")),
            ]),
        ),
    ]
}

fn jobs() -> Vec<(&'static str, Bed)> {
    let good = good_job("a", "");
    let with = |more: &str| Bed::job(&good_job("a", more));
    let instead = |from: &str, to: &str| Bed::job(&good.replace(from, to));
    vec![
        ("unknown keys everywhere", Bed::job(UNKNOWN_KEYS)),
        ("one other problem a section", Bed::job(ONE_A_SECTION)),
        ("duplicate jobs", Bed::job(&format!("{good}{good}"))),
        ("reserved name", Bed::job(&good_job("databases", ""))),
        ("no name", instead("job: a\n    type", "type")),
        ("blank name", instead("job: a", "job: ''")),
        ("no type", instead("    type: desc_files\n", "")),
        ("unknown type", instead("desc_files", "desc_file")),
        ("store of increments", instead("desc_files", "inc_files")),
        ("unknown storage", instead("storage: local", "storage: locl")),
        ("storage without its keys", instead("storage: local", "storage: swift")),
        ("key of another storage", instead("storage: local", "storage: scp\n      bucket_name: b")),
        ("impossible port", remote("storage: ftp, host: ftp1, port: 70000")),
        ("port zero", remote("storage: scp, host: ssh1, user: u, password: p, port: 0")),
        ("bucket with a slash", remote("storage: s3, bucket_name: a/b")),
        ("relative export", remote("storage: nfs, host: nas, export: backups")),
        (
            "two storages of one place",
            twice("storage: smb, host: nas, share: s, user: u, password: p"),
        ),
        ("keys not built", with("    encrypt: {recipients: [age1x]}\n    snapshot: {type: lvm}\n")),
        ("keys not built that mean nothing", with("    spool: no\n    parallel: 1\n    hooks:\n")),
        ("limits not built", with("    limits: {net: 1M, memory: 1G}\n")),
        ("keys of former versions", with("    deferred_copying_level: 2\n")),
        ("blank store", instead("{days: 3}", "{days: '', weeks: '', months: 0}")),
        ("no store", instead("      store: {days: 3}\n", "")),
        ("every storage off", instead("      store", "      enable: no\n      store")),
        ("no sources", instead("sources:\n    - target: [/srv]", "sources: []")),
        ("no storages", Bed::job(&good[..good.find("    storages").unwrap()])),
        ("no target", instead("- target: [/srv]", "- gzip: yes")),
        ("relative target", instead("[/srv]", "[/srv, var/www, ./x]")),
        ("relative backup_dir", instead("/backup/a", "backup/a")),
        ("backup_dir upwards", instead("/backup/a", "/backup/../etc")),
        ("blank backup_dir", instead("/backup/a", "''")),
        ("same place twice", Bed::job(SAME_PLACE)),
        ("contradicting rotation", with("    rotation: before\n    safety_backup: yes\n")),
        ("contradicting months", instead("{days: 3}", "{month: 3, months: 4}")),
        ("unguarded rotation", with("    min_copies: 0\n")),
        ("wrong words", with("    verify: ful\n")),
        ("wrong size", with("    split: 10X\n")),
        ("size without a unit", with("    split: 5\n")),
        ("wrong duration", with("    timeout: soon\n")),
        ("wrong number", with("    retries: -1\n")),
        ("wrong boolean", with("    enable: maybe\n")),
        ("wrong level", with("    compress: {type: gzip, level: 99}\n")),
        ("two jobs, one folder", Bed::job(TWO_JOBS_ONE_FOLDER)),
        ("unset variable", with("    tmp_dir: !env NXS_BACKUP_TEST_NOBODY_SETS_THIS\n")),
        ("name from elsewhere", instead("job: a", "job: !env NAME")),
    ]
}

fn main_section() -> Vec<(&'static str, Bed)> {
    let good = good_job("a", "");
    let main =
        |main: &str| Bed::new(&[("main.conf", &format!("main:\n{main}jobs:\n{good}{NAMED}"))]);
    vec![
        ("no server_name", main("  server_name: ''\n  storage_connects: []\n")),
        ("relative paths", main("  server_name: a\n  state_dir: state\n  log_file: x.log\n")),
        ("two log files", main("  server_name: a\n  log_file: /a\n  log_file_name: /b\n")),
        ("mail and limits of 2.x", main("  server_name: a\n  admin_mail: me\n  cpu_shares: ''\n")),
        ("unknown default", main("  server_name: a\n  defaults: {tmpdir: /x, verify: lst}\n")),
        (
            "named storages",
            main(
                "  server_name: a\n  storage_connects:\n  - {name: offsit, storage: local, pth: x}\n\
                 \x20 - {storage: local}\n  - {name: x, storage: tape}\n",
            ),
        ),
    ]
}

fn notify_section() -> Vec<(&'static str, Bed)> {
    let good = good_job("a", "");
    let main = |main: &str| {
        let text = format!("main:\n  server_name: a\n{main}jobs:\n{good}");
        Bed::new(&[("main.conf", &text)])
    };
    let notify = |entry: &str| main(&format!("  notify:\n{entry}"));
    vec![
        (
            "wrong addresses and both kinds of TLS",
            main(
                "  admin_mail: me@\n  client_mail: [ok@a.example, 'b c@d']\n  mail_from: '@x'\n  \
                 smtp_ssl: yes\n  smtp_tls: yes\n",
            ),
        ),
        (
            "unknown kind and key of a notifier",
            notify(
                "  - {kind: slak, url: 'https://a'}\n  - {kind: slack, ulr: hunter2}\n  - \
                 {url: 'https://hooks/hunter2', kind: slack, chanel: x}\n",
            ),
        ),
        (
            "addresses that are none",
            notify(
                "  - {kind: webhook, url: hooks.example/x}\n  - {kind: ntfy, topic: 'a b'}\n  - \
                 {kind: telegram, token: hunter2, chat_id: 1}\n  - {kind: mail, to: [a, 'b@']}\n",
            ),
        ),
        (
            "an error in a template",
            notify(
                "  - kind: webhook\n    url: https://a.example/\n    headers: {X-Sum: '{{ sum }}'}\n    \
                 body: |\n      {\n        \"text\": {{ subjekt|tojson }}\n      }\n",
            ),
        ),
        (
            "an hour that is none",
            notify(
                "  - {kind: mail, to: a, send: daily, at: '25:00'}\n  - {kind: mail, to: b, at: \
                 '07:00'}\n  - {kind: mail, to: c, send: sometimes}\n",
            ),
        ),
        (
            "two of one name",
            notify("  - {kind: mail, name: x, to: a}\n  - {kind: mail, name: x, to: a}\n"),
        ),
        (
            "a notifier that is tried for an hour",
            notify("  - {kind: mail, to: a, retries: 12, timeout: 0s}\n"),
        ),
        ("a textfile that nobody reads", main("  metrics: {textfile: /var/nxs.txt}\n")),
    ]
}

const UNKNOWN_KEYS: &str = "  - job: a
    type: desc_files
    tmp_dri: /var/tmp
    sources:
    - targt: [/srv]
      target: [/srv]
      password: hunter2
    storages:
    - storage: local
      backup_dir: /backup
      passwrod: hunter2
      store: {days: 3, month_s: 1, years: 2}
      limits: {nett: 1M}
";
const ONE_A_SECTION: &str = "  - job: a
    type: desc_files
    verify: always
    sources:
    - target: {a: b}
    - gzip: perhaps
      target: [/srv]
    storages:
    - storage: local
      backup_dir: [a, b]
      timeout: never
      store: {days: many}
    - storage: local
      backup_dir: /backup
      store: 7
";
const SAME_PLACE: &str = "  - job: a
    type: desc_files
    sources: {target: /srv}
    storages:
    - {storage: local, backup_dir: /backup, store: {days: 1}}
    - {storage: local, backup_dir: /backup//./, store: {days: 1}}
    - {storage: local, name: local, backup_dir: /other, store: {days: 1}}
";
const TWO_JOBS_ONE_FOLDER: &str = "  - job: a
    type: desc_files
    sources: {target: /srv}
    storages: &where
    - {storage: local, backup_dir: /backup, store: {days: 1}}
  - job: b
    type: desc_files
    sources: {target: [/srv, /etc]}
    storages: *where
";
const NAMED: &str = "  - job: named
    type: desc_files
    sources: {target: /srv}
    storages:
    - {storage_name: offsite, backup_dir: /x, store: {days: 1}}
";

/// Puts a word in the place of lists of kinds, which grow.
fn without_kinds(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (kinds, word) in [(config::types(), "<types>"), (config::storages(), "<storages>")] {
        let names: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
        for line in &mut lines {
            if let Some(before) = line.strip_suffix(&names.join(", ")) {
                *line = format!("{before}{word}");
            }
        }
    }
    lines.join("\n")
}

#[test]
fn every_problem_is_said_as_it_always_was() {
    let mut said = String::new();
    for (name, bed) in cases() {
        let problems = match name {
            "unset variable" => super::broken(&bed.plan(), 0),
            _ => bed.problems(),
        };
        writeln!(said, "== {name}\n{}\n", without_kinds(&bed.relative(&problems))).unwrap();
    }
    assert!(!said.contains("hunter2"), "a secret was shown");
    let path = checkout().join("tests/fixtures/config/problems.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &said).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (said, expected) in said.split("\n== ").zip(expected.split("\n== ")) {
        assert_eq!(said, expected, "\n--- is ---\n{said}\n--- should be ---\n{expected}");
    }
    assert_eq!(said, expected);
}
