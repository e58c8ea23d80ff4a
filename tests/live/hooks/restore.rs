//! Commands around a restore.

use super::{SAY, bed, said, words};
use crate::support::bed::Bed;

const ALL: &str = "before_restore: say r-before\nafter_restore: say r-after\n\
                   per_target: {before_restore: say rt-before, after_restore: say rt-after}";

fn backed_up() -> Bed {
    let bed = bed(ALL).stub("say", &format!("{SAY}; echo \"to=$TO into=$INTO\" >> where"));
    bed.run(["start"]);
    said(&bed);
    bed
}

#[test]
fn hooks_come_around_a_restore_and_each_target() {
    let bed = backed_up();
    bed.run(["restore", "--to", "out"]).noisy();
    let lines = said(&bed);
    assert_eq!(lines[0], "r-before job=stuff=stuff target== targets=bad good result= error= id=25");
    assert_eq!(
        lines[1],
        "rt-before job=stuff=stuff target=bad=bad targets=bad good result= error= id=25"
    );
    assert_eq!(
        lines[2],
        "rt-after job=stuff=stuff target=bad=bad targets=bad good result=ok error= id=25"
    );
    assert_eq!(
        lines[5],
        "r-after job=stuff=stuff target== targets=bad good result=ok error= id=25"
    );
    assert_eq!(lines.len(), 6);
    let place = std::fs::read_to_string(bed.path("where")).unwrap();
    assert_eq!(place.lines().next(), Some("to=out into="));
    bed.run(["restore", "--target", "good", "--into", "new"]).noisy();
    assert_eq!(words(&bed), ["r-before", "rt-before", "load", "rt-after", "r-after"]);
    let place = std::fs::read_to_string(bed.path("where")).unwrap();
    assert_eq!(place.lines().last(), Some("to= into=new"));
}

#[test]
fn what_only_looks_runs_no_hook() {
    let bed = backed_up();
    bed.run(["restore", "--to", "out", "--dry-run"]);
    bed.run(["restore", "--target", "good", "--into", "new", "--dry-run"]);
    bed.run(["restore", "--to", "out", "--explain"]);
    bed.run(["restore", "--target", "good", "--to", "-"]).stdout("data of good\n");
    assert_eq!(said(&bed), Vec::<String>::new());
}

#[test]
fn a_failing_before_restore_leaves_everything_as_it_was_and_after_restore_still_runs() {
    let bed = backed_up().stub("say", &format!("{SAY}; [ $1 != r-before ]"));
    let ran = bed.run(["restore", "--target", "good", "--into", "new"]).exit(1).noisy();
    let problem =
        "hook before_restore failed (exit status: 1): err of r-before; so it was not brought back";
    assert!(ran.err().contains(problem), "{}", ran.err());
    assert!(!bed.path("got-new").exists());
    let lines = said(&bed);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("r-after") && lines[1].contains("result=failed"), "{lines:?}");
    bed.run(["restore", "--to", "out"]).exit(1).noisy();
    assert_eq!(words(&bed), ["r-before", "r-after"]);
}

#[test]
fn a_failing_hook_of_one_target_leaves_that_one_out() {
    let bed = backed_up().stub("say", &format!("{SAY}; [ $1$TARGET != rt-beforebad ]"));
    bed.run(["restore", "--to", "out"]).exit(3).noisy();
    assert!(bed.files("out").iter().all(|name| name.contains("good")), "{:?}", bed.files("out"));
    let lines = said(&bed);
    assert!(lines.last().unwrap().contains("result=partial"), "{lines:?}");
}

#[test]
fn a_failing_after_restore_is_an_error_of_its_own() {
    let bed = backed_up().stub("say", &format!("{SAY}; [ $1 != r-after ]"));
    let ran = bed.run(["restore", "--target", "good", "--into", "new"]).exit(3).noisy();
    assert!(ran.err().contains("hook after_restore failed (exit status: 1)"), "{}", ran.err());
    assert!(bed.path("got-new").exists());
}
