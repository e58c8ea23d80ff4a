//! Nothing that stands in a file makes loading slow or ends the process.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::{Bed, good_job};

fn quick<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let value = work();
    let took = started.elapsed();
    assert!(took < limit, "took {took:?}");
    value
}

#[test]
fn a_thousand_job_files_load_and_resolve_quickly() {
    let mut files = vec![(
        "main.conf".to_owned(),
        "main: {server_name: web1}\njobs: !include [conf.d/*.conf]\n".to_owned(),
    )];
    for at in 0..1000 {
        let excludes: String = (0..20).fold(String::new(), |mut all, exclude| {
            writeln!(all, "      - cache/{exclude}").unwrap();
            all
        });
        let job = good_job(&format!("job{at:04}"), "");
        let job = job.replace("[/srv]\n", &format!("/srv/{at}\n      excludes:\n{excludes}"));
        files.push((format!("conf.d/{at:04}.conf"), job));
    }
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let bed = Bed::new(&files);
    // Unoptimised code on a busy machine; optimised it takes a small part of a second.
    let plan = quick(Duration::from_secs(8), || bed.plan());
    assert_eq!(plan.jobs.len(), 1000);
}

#[test]
fn hundreds_of_unknown_keys_are_all_reported_at_once() {
    let mut text = String::new();
    for job in 0..50 {
        text.push_str(&good_job(&format!("job{job}"), ""));
        for key in 0..10 {
            writeln!(text, "      unknown_{key}: 1").unwrap();
        }
    }
    let said = quick(Duration::from_secs(8), || Bed::job(&text).problems());
    assert_eq!(said.matches("error: unknown key `unknown_").count(), 500);
}

#[test]
fn bombs_are_refused_quickly() {
    let mut bomb = "main: {server_name: web1}\nx0: &x0 [a,a,a,a,a,a,a,a,a,a]\n".to_owned();
    for at in 1..12 {
        let aliases = vec![format!("*x{}", at - 1); 10].join(",");
        writeln!(bomb, "x{at}: &x{at} [{aliases}]").unwrap();
    }
    let bed = Bed::new(&[("main.conf", &bomb)]);
    let said = quick(Duration::from_secs(8), || bed.problems());
    assert!(said.contains("holds more than"), "{said}");
    let bed = Bed::new(&[("main.conf", &"[".repeat(1_000_000))]);
    let said = quick(Duration::from_secs(8), || bed.problems());
    assert!(said.contains("not valid YAML"), "{said}");
}

#[test]
fn files_that_include_each_other_again_and_again_are_refused() {
    let next = |at: usize| format!("jobs: !include [{}.conf, {0}.conf]", at + 1);
    let mut files: Vec<(String, String)> =
        (0..15).map(|at| (format!("{at}.conf"), next(at))).collect();
    files.push(("15.conf".to_owned(), "[]".to_owned()));
    files.push(("main.conf".to_owned(), next(0)));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let said = quick(Duration::from_secs(20), || Bed::new(&files).problems());
    assert!(said.contains("files"), "{said}");
}

#[test]
fn a_file_that_is_no_config_is_refused() {
    let large = format!("# {}\n", "x".repeat(5 << 20));
    assert!(Bed::new(&[("main.conf", &large)]).problems().contains("larger than 4 MiB"));
    let bed = Bed::new(&[("main.conf", "")]);
    std::fs::write(bed.path("main.conf"), b"main:\n  server_name: \xff\n").unwrap();
    assert!(bed.problems().contains("is not UTF-8 text: see line 2"), "{}", bed.problems());
    let bed = Bed::new(&[("main.conf/x", "")]);
    assert!(bed.problems().contains("it is a folder"), "{}", bed.problems());
    for junk in ["\0", "%YAML 9.9\n---\n", "&a *a", "? : ?", "!!binary x", "{a, b}", "- - -"] {
        let said = Bed::new(&[("main.conf", junk)]).problems();
        assert!(said.starts_with("error: "), "{junk:?} was taken");
    }
}

#[test]
fn a_file_full_of_nonsense_is_reported_in_bounded_time() {
    let mut text = good_job("a", "");
    (0..30_000).for_each(|key| writeln!(text, "      unknown_{key}: 1").unwrap());
    let said = quick(Duration::from_secs(20), || Bed::job(&text).problems());
    assert_eq!(said.matches("error: unknown key").count(), 30_000);
}

#[test]
fn a_pipe_among_the_job_files_is_not_waited_for() {
    let main = "main: {server_name: web1}\njobs: !include [conf.d/*]\n";
    let bed = Bed::new(&[("main.conf", main), ("conf.d/a.conf", &good_job("a", ""))]);
    let made = std::process::Command::new("mkfifo").arg(bed.path("conf.d/b.conf")).status();
    assert!(made.unwrap().success());
    assert!(bed.problems().contains("it is not a regular file"));
}
