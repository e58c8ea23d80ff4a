//! Digests and changes, and `report`.

use super::{bed, mend, spoil};
use crate::support::bed::Bed;
use crate::support::hook::Hook;

fn headlines(hook: &Hook) -> Vec<String> {
    let headline = |one: &crate::support::hook::Asked| {
        one.json()["report"]["headline"].as_str().unwrap().to_owned()
    };
    hook.asked().iter().map(headline).collect()
}

fn at<'a>(bed: &'a mut Bed, time: &str) -> &'a Bed {
    bed.now(&format!("2026-11-{time}:00+00:00[UTC]"))
}

#[test]
fn a_daily_message_tells_of_all_runs_and_report_send_does_not_wait_for_its_hour() {
    let hook = Hook::new();
    let mut bed = bed(&format!(
        "  notify:\n  - {{kind: webhook, url: '{}', send: daily, at: '07:00'}}\n",
        hook.url("/daily")
    ));
    at(&mut bed, "21T03:00").run(["start"]).exit(3).noisy();
    mend(&bed);
    at(&mut bed, "21T04:00").run(["start"]);
    assert_eq!(headlines(&hook), [""; 0]);
    bed.run(["report"]).stdout(
        "TOLD     WAITING  OLDEST               WHY\nwebhook  2        2026-11-21 03:00:00\n",
    );
    at(&mut bed, "21T08:00").run(["start", "sites"]);
    assert_eq!(headlines(&hook), ["1 of 3 backup runs FAILED"]);
    at(&mut bed, "22T03:00").run(["start"]);
    assert_eq!(headlines(&hook), [""; 0]);
    bed.run(["report", "--send"]).stdout("webhook: 1 report sent\n");
    assert_eq!(headlines(&hook), ["backup ok: 2 jobs, 3 copies"]);
    bed.run(["report", "--send"]).stdout("webhook: nothing waits\n");
    hook.answer("/daily", &[401]);
    at(&mut bed, "23T03:00").run(["start"]);
    bed.run(["report", "--send"])
        .exit(1)
        .stderr_has("could not be sent and is kept for the next run: it answered 401");
}

#[test]
fn on_change_tells_of_the_first_failure_and_of_its_end() {
    let hook = Hook::new();
    let mut bed = bed(&format!(
        "  notify:\n  - {{kind: webhook, url: '{}', send: on_change}}\n",
        hook.url("/x")
    ));
    for (day, good, wanted) in [
        (1, true, None),
        (2, false, Some("backup done in part: 1 of 2 jobs failed")),
        (3, false, None),
        (4, true, Some("backup ok: 2 jobs, 3 copies")),
        (5, true, None),
    ] {
        match good {
            true if bed.path("broken").is_file() => mend(&bed),
            false if bed.path("broken").is_dir() => spoil(&bed),
            _ => {}
        }
        let ran = at(&mut bed, &format!("{day:02}T03:00")).run(["start"]);
        drop(ran.exit(if good { 0 } else { 3 }).noisy());
        assert_eq!(headlines(&hook).first().map(String::as_str), wanted, "on day {day}");
    }
}

#[test]
fn what_is_far_from_the_last_runs_is_a_warning_and_no_failure() {
    let hook = Hook::new();
    let url = hook.url("/x");
    let mut bed = bed(&format!("  notify:\n  - {{kind: webhook, url: '{url}', level: warning}}\n"));
    mend(&bed);
    for day in 1..=3 {
        at(&mut bed, &format!("{day:02}T03:00")).run(["start"]);
    }
    assert_eq!(headlines(&hook), [""; 0]);
    std::fs::write(bed.path("www/blog/noise"), vec![7; 20 << 20]).unwrap();
    (0..150).for_each(|at| {
        std::fs::write(bed.path(&format!("www/shop/{at}")), "x").unwrap();
    });
    at(&mut bed, "04T03:00").run(["start"]).stderr_has("far above the median");
    let told = hook.asked().remove(0).json();
    assert_eq!(told["report"]["headline"], "backup ok: 2 jobs, 3 copies, 2 warnings");
    let warnings = told["report"]["warnings"].to_string();
    assert!(warnings.contains("/www/blog: raw size: 20.0 MiB, far above"), "{warnings}");
    assert!(warnings.contains("/www/shop: number of files: 152, far above"), "{warnings}");
}
