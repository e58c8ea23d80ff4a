//! That the bed itself keeps apart what must be apart.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use crate::support::bed::{Bed, NOW, normalised};

#[test]
fn a_run_sees_only_the_environment_of_its_bed() {
    let bed = Bed::new().config("main: {state_dir: $DIR/state}\n").env("EXTRA", "$DIR/x");
    let command = bed.command(["list"]);
    let env: Vec<(String, String)> = command
        .get_envs()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.unwrap().to_string_lossy().into_owned())
        })
        .collect();
    let of =
        |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let dir = bed.path("").to_string_lossy().trim_end_matches('/').to_owned();
    assert_eq!(of("NXS_BACKUP_NOW"), Some(NOW));
    assert_eq!(of("EXTRA"), Some(format!("{dir}/x").as_str()));
    assert_eq!(of("NXS_BACKUP_CONFIG"), Some(format!("{dir}/nxs-backup.conf").as_str()));
    assert_eq!(of("CARGO_MANIFEST_DIR"), None);
    let written = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    assert_eq!(written, format!("main: {{state_dir: {dir}/state}}\n"));
}

#[test]
fn files_of_a_tree_are_listed_by_name() {
    let bed = Bed::new().tree("www", &[("b/index.php", "<?php"), ("a.txt", "a"), ("empty/", "")]);
    assert_eq!(bed.files("www"), ["a.txt", "b/index.php"]);
    assert!(bed.path("www/empty").is_dir());
    assert!(bed.files("nothing").is_empty());
}

#[test]
fn a_stub_stands_before_the_real_tool() {
    let bed = Bed::new().stub("tar", "echo stub");
    let path = bed.command(["x"]);
    let path = path.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    let output = std::process::Command::new("sh").args(["-c", "tar"]).env("PATH", path).output();
    assert_eq!(output.unwrap().stdout, b"stub\n");
}

#[test]
fn paths_and_runs_are_normalised() {
    let text = "/tmp/bed/store: 20261121T030000Z-00ff12ab-1 at 03:00Z-x, Z-\n";
    assert_eq!(normalised(text, "/tmp/bed"), "$DIR/store: $RUN-1 at 03:00Z-x, Z-\n");
}

#[test]
fn what_nobody_asked_about_must_be_success() {
    let bed = Bed::new();
    let fails = |wrong: &dyn Fn()| catch_unwind(AssertUnwindSafe(wrong)).is_err();
    assert!(fails(&|| drop(bed.finish(shell("exit 3")))));
    assert!(fails(&|| drop(bed.finish(shell("echo alas >&2")))));
    assert!(fails(&|| drop(bed.run(["--version"]).exit(77))));
    bed.finish(shell("exit 3")).exit(3);
    bed.finish(shell("echo alas >&2")).noisy();
}

#[test]
fn what_a_run_said_can_be_asked_for() {
    let bed = Bed::new();
    let text = format!("echo '{{\"at\": \"{}\"}}'; echo alas: 1 >&2", bed.path("a").display());
    let ran = bed.finish(shell(&text)).stdout("{\"at\": \"$DIR/a\"}\n").stderr("alas: 1\n");
    assert_eq!(ran.json()["at"], "$DIR/a");
    assert!(ran.stdout_has("at").stderr_has("alas").out().ends_with("}\n"));
}

#[test]
fn the_clock_can_be_set() {
    let mut bed = Bed::new();
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let command = bed.command(["list"]);
    let set = command.get_envs().find(|(name, _)| *name == "NXS_BACKUP_NOW").unwrap().1;
    assert_eq!(set.unwrap(), "2026-11-22T03:00:00+00:00[UTC]");
}

fn shell(text: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", text]);
    command
}
