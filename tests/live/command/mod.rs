//! Commands whose output is the data.

mod parallel;

use std::fs;

use crate::support::bed::Bed;
use crate::support::world::{Disk, reaches, sh};

/// A job of these keys with one storage.
fn bed(keys: &str) -> Bed {
    Bed::new().config(&format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
         jobs:\n- job: stuff\n  type: command\n  {}\n  storages:\n  - {{storage: local, name: store, \
         backup_dir: $DIR/store, store: {{days: 2}}}}\n",
        keys.replace('\n', "\n  ")
    ))
}

/// The artefacts of the storage.
fn data(bed: &Bed) -> Vec<String> {
    let of_data = |name: &String| !name.contains("manifest.json") && !name.starts_with(".nxs");
    bed.files("store").into_iter().filter(of_data).collect()
}

#[test]
fn folders_packed_by_tar_come_back_by_tar() {
    let bed = bed("compress: zstd\ntargets: ['one', \"two $(id) 'ü'\"]\nextension: tar\n\
         command: 'tar -C $DIR/src/\"$TARGET\" -cf - .'\n\
         restore_command: 'mkdir -p $DIR/back/\"$INTO\" && tar -C $DIR/back/\"$INTO\" -xpf -'");
    let bed = bed
        .tree("src/one", &[("a", "1"), ("deep/b", "2")])
        .tree("src/two $(id) 'ü'", &[("c", "3")]);
    bed.run(["check"]).stdout_has("no errors");
    bed.run(["start"]);
    assert_eq!(
        data(&bed),
        [
            "one/daily/one_2026-11-21_03-00-00.tar.zst",
            "two $(id) 'ü'/daily/two $(id) 'ü'_2026-11-21_03-00-00.tar.zst",
        ]
    );
    bed.run(["restore", "stuff", "--target", "one", "--into", "new"]).noisy();
    sh(&bed, "diff -r src/one back/new");
    bed.run(["restore", "--target", "two*", "--into", "x y"]).noisy();
    sh(&bed, "diff -r \"src/two \\$(id) 'ü'\" 'back/x y'");
    sh(
        &bed,
        "mkdir stock; zstd -dc store/one/daily/*.zst | tar -C stock -xf -; diff -r src/one stock",
    );
    bed.run(["restore", "--to", "out"]).noisy();
    sh(&bed, "mkdir ours; tar -C ours -xf out/stuff/one/one_*.tar; diff -r src/one ours");
}

#[test]
fn targets_are_asked_for_each_time() {
    let bed =
        bed("targets_command: 'cat $DIR/names'\ncommand: 'echo data of $TARGET; echo $TARGETS'");
    let bed = bed.file("names", "b\na\n");
    bed.run(["start"]);
    assert_eq!(
        data(&bed),
        ["a/daily/a_2026-11-21_03-00-00.dump", "b/daily/b_2026-11-21_03-00-00.dump"]
    );
    assert_eq!(sh(&bed, "cat store/b/daily/b_*.dump"), "data of b\nb a\n");
    let bed = bed.file("names", "");
    let ran = bed.run(["start"]).exit(1).noisy();
    assert!(ran.out().contains("stuff: targets_command printed no name"), "{}", ran.out());
}

#[test]
fn one_command_of_fifty_that_fails_costs_no_copy_and_stops_no_other() {
    let names: Vec<String> = (0..50).map(|number| format!("t{number:02}")).collect();
    let mut bed = bed(&format!(
        "targets: [{}]\ncommand: '. $DIR/how; echo data of $TARGET'",
        names.join(", ")
    ));
    bed = bed.file("how", ":");
    for day in 17..=18 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]).noisy();
    }
    let of_one = |bed: &Bed| {
        let mine = |name: &String| name.starts_with("t07/");
        data(bed).into_iter().filter(mine).collect::<Vec<_>>()
    };
    let before = of_one(&bed);
    assert_eq!(before.len(), 2);
    for (day, how, said) in [
        (
            19,
            "echo half; echo disk broke >&2; exit 9",
            "command failed (exit status: 9): disk broke",
        ),
        (20, "echo half; kill -9 $$", "command failed (signal: 9 (SIGKILL)), without a word"),
        (21, "exit 0", "command ended well and printed nothing"),
        (22, "echo half; false | cat; exit $?", "command failed (exit status: 1), without a word"),
    ] {
        bed = bed.file("how", &format!("if [ $TARGET = t07 ]; then {how}; fi"));
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        let ran = bed.run(["start"]).exit(3).noisy();
        assert!(ran.out().contains(said), "{}", ran.out());
        let failed = ran.out().lines().filter(|line| line.contains("FAILED")).count();
        assert_eq!(failed, 1, "{}", ran.out());
        // `before` makes room for one, once, and never for the last.
        let left = of_one(&bed);
        assert!(!left.is_empty() && left.iter().all(|name| before.contains(name)), "{left:?}");
        assert_eq!(data(&bed).len() - left.len(), 49 * 2);
    }
}

#[test]
fn a_job_without_targets_is_one_artefact_called_as_the_job() {
    let bed = bed("command: ':'\nallow_empty: yes\nextension: .d");
    bed.run(["start"]);
    assert_eq!(data(&bed), ["stuff/daily/stuff_2026-11-21_03-00-00.d"]);
    assert_eq!(fs::read(bed.path("store/stuff/daily/stuff_2026-11-21_03-00-00.d")).unwrap(), b"");
}

#[test]
fn a_full_disk_for_the_spool_is_a_failure() {
    let bed = bed("spool: yes\ntmp_dir: $DIR/small\ncommand: 'head -c 20000000 /dev/urandom'");
    let Some(_disk) = Disk::mount(&bed, "small", "1m") else { return };
    let ran = bed.run(["start"]).exit(1).noisy();
    assert!(ran.out().contains("No space left on device"), "{}", ran.out());
    assert_eq!(data(&bed), Vec::<String>::new());
}

#[test]
fn keys_that_contradict_each_other_are_errors_with_their_line() {
    let bed = bed("command: x\ntargets: [a, a]\ntargets_command: y\nextension: a/b");
    let ran = bed.run(["check"]).exit(2).noisy();
    for said in [
        "`targets` and `targets_command` both name the targets",
        "the target `a` stands here twice",
        "an extension has no `/`",
        "nxs-backup.conf:6:",
    ] {
        assert!(ran.out().contains(said), "{said}\n{}", ran.out());
    }
}

#[test]
fn a_check_runs_no_command_and_says_so() {
    let bed = bed("targets: [a]\ncommand: 'touch $DIR/ran; echo data'");
    reaches(&bed, 0, "its commands are not run by a check");
    assert!(!bed.path("ran").exists());
}

#[test]
fn a_command_learns_its_target_and_its_run_by_the_environment() {
    let bed = bed("targets: ['one', \"two 'ü'\"]\ncommand: env");
    bed.run(["start"]);
    let said = sh(&bed, "cat store/two*/daily/*.dump");
    for line in [
        "JOB=stuff",
        "DATASET_NAME=stuff",
        "TARGET=two 'ü'",
        "ATOM_NAME=two 'ü'",
        "TARGETS=one\ntwo 'ü'",
        "ATOM_NAMES=one\ntwo 'ü'",
    ] {
        assert!(format!("\n{said}\n").contains(&format!("\n{line}\n")), "{line}\n{said}");
    }
    let id = said.lines().find_map(|line| line.strip_prefix("BACKUP_ID=")).unwrap();
    let manifest = sh(&bed, "cat store/two*/daily/*.manifest.json");
    assert!(manifest.contains(&format!("\"run\": \"{id}\"")), "{id}\n{manifest}");
}

#[test]
fn a_program_that_is_not_there_or_falls_silent_leaves_no_copy() {
    for (command, words) in [
        ("no-such-program", "exit status: 127"),
        ("no-such-program | cat", "exit status: 127"),
        ("echo half; exec sleep 300", "gave nothing for 1 s"),
        ("echo half; exit 9", "exit status: 9"),
        ("echo half; kill -9 $$", "signal: 9"),
    ] {
        let bed = bed(&format!("dump_timeout: 1s\ncommand: '{command}'"));
        bed.run(["start"]).exit(1).stderr_has(words);
        assert_eq!(data(&bed), [""; 0]);
    }
}
