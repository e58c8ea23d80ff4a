//! `parallel`: several targets of a job at the same time.

use std::fs;
use std::process::{Command, Stdio};

use super::{bed, data};
use crate::support::world::{sh, until};

/// Ends well only if another target is at work at the same time, within `tenths` of a second.
fn meeting(parallel: usize, tenths: usize) -> String {
    format!(
        "parallel: {parallel}\ntargets: [a, b]\ncommand: >-\n  touch $DIR/at-$TARGET; i=0; while [ ! -e \
         $DIR/at-a -o ! -e $DIR/at-b ]; do sleep 0.1; i=$((i+1)); [ $i -lt {tenths} ] || exit 1; done; \
         echo met"
    )
}

#[test]
fn two_targets_are_at_work_at_the_same_time() {
    bed(&meeting(2, 900)).run(["start"]);
    // One after the other, the first never meets the second.
    let ran = bed(&meeting(1, 5)).run(["start"]).exit(3).noisy();
    assert!(ran.out().contains("a: command failed (exit status: 1)"), "{}", ran.out());
}

#[test]
fn never_more_than_asked_for_and_told_in_the_order_of_the_config() {
    // Each target counts who is at work; the first ones take longest.
    let bed = bed(
        "parallel: 3\ntargets: [t8, t7, t6, t5, t4, t3, t2, t1]\ncommand: >-\n  mkdir -p $DIR/busy; \
         touch $DIR/busy/$TARGET; ls $DIR/busy | wc -l >> $DIR/counts; sleep 0.${TARGET#t}; echo data; \
         rm $DIR/busy/$TARGET",
    );
    let ran = bed.run(["start", "--json"]);
    let report = ran.json();
    let targets = report["jobs"][0]["targets"].as_array().unwrap();
    let names: Vec<&str> = targets.iter().map(|row| row["target"].as_str().unwrap()).collect();
    assert_eq!(names, ["t8", "t7", "t6", "t5", "t4", "t3", "t2", "t1"]);
    let counts = fs::read_to_string(bed.path("counts")).unwrap();
    let most = counts.lines().map(|line| line.trim().parse::<u32>().unwrap()).max();
    assert!(most.unwrap() <= 3, "{counts}");
    assert_eq!(data(&bed).len(), 8);
}

#[test]
fn four_at_the_same_time_stay_within_the_memory_of_a_run() {
    let bed = bed(
        "parallel: 4\ncompress: zstd\ntargets: [a, b, c, d]\ncommand: 'head -c 60000000 /dev/urandom'",
    );
    let mut command = bed.command(["start"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    until("the end of the run", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        // The pages of a program that is built for tests are no measure.
        if let (Some(most), Some(program)) = (kib("VmHWM:"), kib("RssFile:")) {
            peak = peak.max(most - program);
        }
        child.try_wait().unwrap().is_some()
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(data(&bed).len(), 4);
    // A released program has 16 MiB of pages: 128 with them.
    assert!(peak > 0 && peak < 112 * 1024, "four dumps at the same time took {peak} KiB");
}

#[test]
fn an_interruption_ends_all_that_are_at_work_and_begins_no_other() {
    let bed = bed(
        "parallel: 2\ntargets: [a, b, c]\ncommand: 'sleep 300 & echo $! > $DIR/pid-$TARGET; echo half; wait'",
    );
    let mut command = bed.command(["start"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for name in ["pid-a", "pid-b"] {
        let has_pid = || !fs::read_to_string(bed.path(name)).unwrap_or_default().trim().is_empty();
        until("a command that runs", has_pid);
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!bed.path("pid-c").exists());
    sh(
        &bed,
        "for f in pid-a pid-b; do for i in $(seq 100); do kill -0 $(cat $f) 2>/dev/null || break; \
              sleep 0.1; done; ! kill -0 $(cat $f) 2>/dev/null; done",
    );
    assert_eq!(data(&bed), Vec::<String>::new());
}
