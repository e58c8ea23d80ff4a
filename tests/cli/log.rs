//! What is written to the log, and what a person sees while a run lasts.

use std::fs;
use std::process::Command;

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::sh;

fn log_of(bed: &Bed) -> String {
    fs::read_to_string(bed.path("log/nxs.log")).unwrap()
}

#[test]
fn lines_have_the_form_of_2_x() {
    let mut bed = two_sites();
    bed.run(["start"]).stdout("");
    let log = log_of(&bed);
    let shape = |line: &str| line.replace(|ch: char| ch.is_ascii_digit(), "0");
    assert_eq!(
        shape(log.lines().next().unwrap()),
        "INFO [sites] [0000-00-00 00:00:00]: starting, type desc_files"
    );
    assert!(
        log.lines().all(|line| shape(line).starts_with("INFO [sites] [0000-00-00 00:00:00]: ")),
        "{log}"
    );
    assert!(
        log.contains("www/blog: stored on 'store' as blog/daily/blog_2026-11-21_03-00-00.tar.zst"),
        "{log}"
    );
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
    assert_eq!(log_of(&bed).lines().count(), 2 * log.lines().count(), "the log is appended to");
    fs::remove_dir_all(bed.path("store")).unwrap();
    fs::write(bed.path("store"), "").unwrap();
    bed.run(["start"]).exit(1).noisy();
    assert!(log_of(&bed).contains("\nERROR [sites] ["), "{}", log_of(&bed));
}

#[test]
fn json_lines_can_be_read_by_machines() {
    let bed = two_sites();
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("log_file:", "log_format: json, log_file:"));
    bed.run(["start"]).stdout("");
    for line in log_of(&bed).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["job"]), (&"INFO".into(), &"sites".into()), "{line}");
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["text"].is_string());
    }
}

#[test]
fn names_cannot_forge_lines_or_colour_the_terminal() {
    let name = "a\nERROR [b] [2026-11-21 03:00:00]: c\x1b[31m";
    let jobs = [job("odd", "$DIR/odd/*", &[local("store", "days: 3"), local("file", "days: 3")])];
    let bed = two_sites().config(&config(&jobs)).tree("odd", &[]).file("file", "");
    fs::create_dir(bed.path("odd").join(name)).unwrap();
    let ran = bed.run(["start", "-v"]).exit(3).noisy();
    let log = log_of(&bed);
    for text in [ran.out(), ran.err(), &log] {
        assert!(!text.contains('\x1b'), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ERROR [b]")), "{text}");
    }
    drop(ran);
    for verb in [
        &["list"][..],
        &["plan"],
        &["show", "2026"],
        &["verify"],
        &["prune", "-n"],
        &["restore", "--to", "out"],
        &["find", "*"],
    ] {
        let ran = bed.run(verb.iter()).noisy();
        let said = ran.out().to_owned() + ran.err();
        assert!(!said.contains('\x1b') && !said.contains("\nERROR [b]"), "{verb:?}: {said}");
        let _ = ran.code();
    }
}

/// Runs the command under a terminal of its own and returns all that it showed.
fn on_a_terminal(bed: &Bed, args: &str) -> String {
    let plain = bed.command([""; 0]);
    let program = plain.get_program().to_str().unwrap().to_owned();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("stty cols 120; {program} {args}"), "/dev/null"]);
    command.env_clear().env("TERM", "xterm").current_dir(bed.path(""));
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_terminal_shows_a_bar_with_a_rate_and_nothing_else_does() {
    let text = config(&[job("sites", "$DIR/www/*", &[local("store", "days: 3")])]);
    let bed = two_sites().config(&text.replace("type:", "limits: {net: 10MiB}, type:"));
    sh(&bed, "head -c 8000000 /dev/urandom > www/blog/noise");
    let shown = on_a_terminal(&bed, "start");
    assert!(shown.contains("sites: ") && shown.contains("iB/s"), "{shown:?}");
    assert!(shown.contains("all done: 2 copies stored"), "{shown:?}");
    let shown = on_a_terminal(&bed, "restore --to out");
    assert!(shown.contains("restored from 'store'"), "{shown:?}");
    let ran = bed.run(["start", "-v"]).noisy();
    assert!(!ran.err().contains("iB/s") && !ran.err().contains('\r'), "{}", ran.err());
    drop(ran);
    let shown = on_a_terminal(&bed, "start -q");
    assert!(!shown.contains("iB/s"), "{shown:?}");
}
