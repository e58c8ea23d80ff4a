//! Scripts that make a file and answer where it is.

mod answers;
mod etcd;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::bed::Bed;
use crate::support::world::{Disk, sh};

/// A job whose script `make-dump` is on PATH; `keys` are more of its keys.
fn bed(keys: &str, script: &str) -> Bed {
    stored_at(
        &["{storage: local, name: store, backup_dir: $DIR/store, store: {days: 2}}"],
        keys,
        script,
    )
}

fn stored_at(storages: &[&str], keys: &str, script: &str) -> Bed {
    let storages = storages.join(", ");
    let bed = Bed::new().config(&format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
         jobs:\n- job: snap\n  type: external\n  {keys}\n  storages: [{storages}]\n"
    ));
    let script = script.replace("$DIR", bed.path("").to_str().unwrap().trim_end_matches('/'));
    bed.stub("make-dump", &script)
}

/// What the objects of the storage are called, without those that are not data.
fn data(bed: &Bed) -> Vec<String> {
    let of_data = |name: &String| !name.contains("manifest.json") && !name.starts_with(".nxs");
    bed.files("store").into_iter().filter(of_data).collect()
}

/// Says where the file `dump` of the bed is, without a line break at the end.
const ANSWER: &str =
    r#"printf '{"full_path": "$DIR/dump", "basename": "etcd", "extension": "tar", "gzip": false}'"#;

/// Waits until the process whose id stands in a file is no more.
fn assert_ends(pid_file: &Path) {
    let pid = fs::read_to_string(pid_file).unwrap();
    let status = format!("/proc/{}/stat", pid.trim());
    for _ in 0..200 {
        match fs::read_to_string(&status) {
            Err(_) => return,
            Ok(stat) if stat.contains(") Z ") => return,
            Ok(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    panic!("the process {} of {} lives on", pid.trim(), pid_file.display());
}

#[test]
fn the_file_of_a_script_is_stored_under_the_name_that_it_gives_and_then_removed() {
    let script =
        "echo begins >&2; env > $DIR/env; seq 200000 > $DIR/dump; cp $DIR/dump $DIR/same\n";
    let bed = bed(
        "compress: zstd\n  dump_cmd: '[[ a == a ]] && make-dump'",
        &format!("{script}{ANSWER}"),
    );
    bed.run(["check"]).stdout_has("no errors");
    bed.run(["plan"]).stdout_has("snap");
    assert!(!bed.path("same").exists(), "a plan runs no script");
    bed.run(["start"]);
    assert_eq!(data(&bed), ["daily/etcd_2026-11-21_03-00-00.tar.zst"]);
    assert!(!bed.path("dump").exists(), "it is removed once it is stored");
    sh(&bed, "zstd -dc store/daily/*.tar.zst | cmp - same");
    bed.run(["list"]).stdout_has("snap");
    bed.run(["verify", "--full"]).stdout_has("1 whole");
    bed.run(["restore", "--to", "out"]);
    sh(&bed, "cmp out/etcd_2026-11-21_03-00-00.tar same");
    let env = fs::read_to_string(bed.path("env")).unwrap();
    for word in ["JOB=snap", "DATASET_NAME=snap", "TARGET=snap", "ATOM_NAME=snap", "TARGETS=snap"] {
        assert!(env.lines().any(|line| line == word), "{word}\n{env}");
    }
    let id = env.lines().find_map(|line| line.strip_prefix("BACKUP_ID=")).unwrap();
    let manifest = sh(&bed, "cat store/daily/*.manifest.json");
    assert!(manifest.contains(&format!("\"run\": \"{id}\"")), "{id}\n{manifest}");
    let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    let said = log.lines().find(|line| line.ends_with("dump_cmd: begins"));
    assert!(said.is_some_and(|line| line.starts_with("INFO [snap] [")), "{log}");
}

#[test]
fn what_is_compressed_already_is_stored_as_it_is() {
    let script = "seq 1000 | gzip > $DIR/dump; cp $DIR/dump $DIR/same\n";
    let answer = ANSWER.replace("false", "true") + "; echo";
    let bed = bed("compress: zstd\n  dump_cmd: make-dump", &format!("{script}{answer}"));
    bed.run(["start"]);
    sh(&bed, "cmp store/daily/etcd_2026-11-21_03-00-00.tar.gz same");
    bed.run(["verify", "--full"]).stdout_has("1 whole");
    bed.run(["restore", "--to", "-"]).noisy();
    bed.run(["restore", "--to", "out"]);
    sh(&bed, "cmp out/etcd_2026-11-21_03-00-00.tar.gz same");
}

#[test]
fn copies_are_rotated_whatever_their_names() {
    let mut bed = bed(
        "dump_cmd: make-dump",
        "n=$(cat $DIR/n || echo 1); echo $((n + 1)) > $DIR/n; echo data > $DIR/dump\n\
         printf '{\"full_path\": \"$DIR/dump\", \"basename\": \"b%s\", \"extension\": \"x%s\", \
         \"gzip\": false}\\n' $n $n",
    );
    for day in 16..=19 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]).noisy();
    }
    assert_eq!(data(&bed), ["daily/b3_2026-11-18_03-00-00.x3", "daily/b4_2026-11-19_03-00-00.x4"]);
}

#[test]
fn a_file_stays_where_a_storage_has_no_copy_of_it() {
    let near = "{storage: local, name: store, backup_dir: $DIR/store, store: {days: 2}}";
    let gone = "{storage: local, name: gone, backup_dir: $DIR/gone, must_be_mounted: yes, store: {days: 2}}";
    let bed =
        stored_at(&[near, gone], "dump_cmd: make-dump", &format!("echo x > $DIR/dump\n{ANSWER}"));
    let ran = bed.run(["start"]).exit(3).noisy();
    assert!(ran.out().contains("$DIR/dump was left there: not every storage has a copy of it"));
    assert!(bed.path("dump").exists());
    assert_eq!(data(&bed), ["daily/etcd_2026-11-21_03-00-00.tar"]);
    let bed = stored_at(&[gone], "dump_cmd: make-dump", &format!("echo x > $DIR/dump\n{ANSWER}"));
    bed.run(["start"]).exit(1).noisy();
}

#[test]
fn with_skip_backup_rotate_the_command_stores_its_copies_itself() {
    let bed = bed(
        "skip_backup_rotate: yes\n  dump_cmd: make-dump",
        "echo stored elsewhere; echo > $DIR/ran",
    );
    let ran = bed.run(["start", "-v"]).noisy();
    assert!(ran.out().contains("nothing due"), "{}", ran.out());
    assert!(
        fs::read_to_string(bed.path("log/nxs.log")).unwrap().contains("dump_cmd: stored elsewhere")
    );
    assert!(bed.path("ran").exists());
    assert_eq!(data(&bed), Vec::<String>::new());
    let bed = bed.stub("make-dump", "echo no room >&2; exit 4");
    let ran = bed.run(["start"]).exit(1).noisy();
    assert!(ran.out().contains("snap: dump_cmd failed (exit status: 4): no room"), "{}", ran.out());
}

#[test]
fn a_script_that_takes_too_long_is_ended_with_all_that_it_started() {
    let bed = bed(
        "dump_timeout: 1s\n  dump_cmd: make-dump",
        "sleep 300 & echo $! > $DIR/pid; echo waiting >&2; wait",
    );
    let ran = bed.run(["start"]).exit(1).noisy();
    assert!(ran.out().contains("snap: dump_cmd gave nothing for 1 s and was ended: is something locked? `dump_timeout` sets how long to wait: waiting"), "{}", ran.out());
    assert_ends(&bed.path("pid"));
    assert_eq!(data(&bed), Vec::<String>::new());
}

#[test]
fn an_interruption_ends_the_script_and_stores_nothing() {
    let bed = bed("dump_cmd: make-dump", "sleep 300 & echo $! > $DIR/pid; wait");
    let mut command = bed.command(["start"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while fs::read_to_string(bed.path("pid")).unwrap_or_default().trim().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_ends(&bed.path("pid"));
    assert_eq!(data(&bed), Vec::<String>::new());
}

#[test]
fn variables_that_secrets_came_from_do_not_reach_the_script() {
    let bed = bed(
        "tmp_dir: !env NXS_TEST_TMP\n  dump_cmd: make-dump",
        &format!("env > $DIR/env; echo x > $DIR/dump\n{ANSWER}"),
    );
    let bed = bed.env("NXS_TEST_TMP", "$DIR/tmp").env("NXS_TEST_OTHER", "kept");
    bed.run(["start"]);
    let env = fs::read_to_string(bed.path("env")).unwrap();
    assert!(!env.contains("NXS_TEST_TMP") && env.contains("NXS_TEST_OTHER=kept"), "{env}");
}

#[test]
fn one_broken_script_of_fifty_is_one_red_row_and_the_others_are_kept() {
    let job = |number: usize| {
        format!(
            "- {{job: snap{number}, type: external, dump_cmd: 'make-dump {number}', storages: \
             [{{storage: local, name: store, backup_dir: $DIR/store/{number}, store: {{days: 2}}}}]}}\n"
        )
    };
    let jobs: String = (1..=50).map(job).collect();
    let main = "main: {server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}\n";
    let bed = Bed::new().config(&format!("{main}jobs:\n{jobs}"));
    let folder = bed.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let script = "[ $1 = 7 ] && { echo 'etcd is away' >&2; exit 1; }; echo data > $DIR/dump$1\n";
    let answer = ANSWER.replace("/dump", "/dump'$1'");
    let bed = bed.stub("make-dump", &format!("{script}{answer}").replace("$DIR", &folder));
    let ran = bed.run(["start"]).exit(3).noisy();
    assert_eq!(ran.out().matches("etcd is away").count(), 1, "{}", ran.out());
    let copies: Vec<_> = data(&bed).into_iter().filter(|name| name.contains("/daily/")).collect();
    assert_eq!(copies.len(), 49, "{copies:?}");
    assert!(copies.iter().all(|name| !name.starts_with("7/")));
}

#[test]
fn a_full_disk_for_the_spool_is_a_failure_and_the_file_stays() {
    let keys = "spool: yes\n  tmp_dir: $DIR/small\n  dump_cmd: make-dump";
    let bed = bed(keys, &format!("head -c 20000000 /dev/urandom > $DIR/dump\n{ANSWER}"));
    let Some(_disk) = Disk::mount(&bed, "small", "1m") else { return };
    bed.run(["start"]).exit(1).stderr_has("No space left on device");
    assert_eq!(data(&bed), Vec::<String>::new());
    assert!(bed.path("dump").exists(), "it is the only copy");
}
