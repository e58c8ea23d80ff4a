//! Answers that cannot be believed: each is one clear sentence and costs no old copy.

use std::fs;

use super::{ANSWER, bed, data};
use crate::support::world::sh;

#[test]
fn a_bad_answer_or_a_bad_file_is_one_clear_sentence_and_costs_nothing() {
    let good = format!("echo x > $DIR/dump\n{ANSWER}");
    let mut bed = bed("dump_cmd: make-dump", &good);
    for day in 17..=18 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]).noisy();
    }
    let before = data(&bed);
    assert_eq!(before.len(), 2);
    sh(
        &bed,
        "mkdir folder; ln -s same link; echo x > same; echo x > old; touch -d '3 days ago' old",
    );
    // The time of a change cannot be set by hand: the old file waits until it is old.
    std::thread::sleep(std::time::Duration::from_millis(3200));
    let at = |path: &str| ANSWER.replace("$DIR/dump", path);
    let cases = [
        (format!("{good}; exit 7"), "dump_cmd failed (exit status: 7), without a word"),
        (
            format!("{good}; echo broken >&2; kill -9 $$"),
            "dump_cmd failed (signal: 9 (SIGKILL)): broken",
        ),
        ("exec no-such-program".into(), "dump_cmd failed (exit status: 127)"),
        (":".into(), "dump_cmd answered nothing"),
        ("echo snapshot saved".into(), "dump_cmd answered no JSON"),
        (format!("{good}; {ANSWER}"), "dump_cmd answered more than one document"),
        (good.replace("basename", "base_name"), "dump_cmd answered without `basename`"),
        (at("dump"), "a `full_path` that is not absolute: dump"),
        (at("$DIR/absent"), "$DIR/absent, which does not exist"),
        (at("$DIR/folder"), "$DIR/folder, which is a folder"),
        (
            format!("cat $DIR/same > $DIR/same2; mv $DIR/same2 $DIR/same; {}", at("$DIR/link")),
            "$DIR/link, which is a link",
        ),
        (at("$DIR/old"), "$DIR/old, which is an old file: it changed last"),
        (at("/etc/hostname"), "/etc/hostname, which lies below /etc, a folder of the system"),
        (at("/proc/self/environ"), "which lies below /proc, a folder of the system"),
        (format!(": > $DIR/dump; {ANSWER}"), "$DIR/dump, which is empty"),
        (
            format!("rm -f $DIR/pipe; mkfifo $DIR/pipe; {}", at("$DIR/pipe")),
            "$DIR/pipe, which is no regular file",
        ),
    ];
    bed.now("2026-11-19T03:00:00+00:00[UTC]");
    let folder = bed.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    for (script, said) in cases {
        bed = bed.stub("make-dump", &script.replace("$DIR", &folder));
        let ran = bed.run(["start"]).exit(1).noisy();
        assert!(
            ran.out().contains(&format!("snap: {said}")) || ran.out().contains(said),
            "{script}\n{}",
            ran.out()
        );
        assert!(ran.err().contains(said), "{script}\n{}", ran.err());
        assert_eq!(data(&bed), before, "{script}");
    }
    for kept in ["same", "old", "link", "folder"] {
        assert!(fs::symlink_metadata(bed.path(kept)).is_ok(), "{kept} was removed");
    }
    bed = bed.stub("make-dump", &good.replace("$DIR", &folder));
    bed.run(["start"]).noisy();
    assert_eq!(data(&bed).len(), 2);
}

#[test]
fn a_script_that_still_writes_gives_no_whole_copy() {
    // A writer that goes on in the background changes the file while it is read.
    let bed = bed(
        "dump_cmd: make-dump",
        &format!(
            "head -c 50000000 /dev/zero > $DIR/dump\n(while :; do echo x; sleep 0.01; done >> $DIR/dump) \
             > /dev/null 2>&1 &\necho $! > $DIR/pid\n{ANSWER}"
        ),
    );
    let ran = bed.run(["start"]).exit(1).noisy();
    sh(&bed, "kill $(cat pid) || :");
    assert!(ran.out().contains("changed while it was read"), "{}", ran.out());
    assert_eq!(data(&bed), Vec::<String>::new());
}
