//! What stays, what goes and what Prometheus makes of it.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::base::{ArtefactId, Key, Level, RunId};
use crate::report::{PlaceReport, Stored};

fn job(name: &str, targets: &[(&str, bool)]) -> JobReport {
    let started: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
    let mut job = JobReport::start(name, "desc_files", started);
    for (target, good) in targets {
        let run = RunId::new(started, "web1", name);
        let stored = Stored {
            id: ArtefactId::new(&run, 1),
            key: Key::new("a").unwrap(),
            level: Level::Daily.into(),
            stored_bytes: 50,
            shrunken: false,
        };
        let outcome = match good {
            true => PlaceOutcome::Stored(stored),
            false => PlaceOutcome::Failed("no".into()),
        };
        let place = PlaceReport {
            place: "offsite".into(),
            outcome,
            removed: Vec::new(),
            copies: good.then_some(7),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        job.targets.push(TargetReport {
            target: (*target).to_owned(),
            raw_bytes: good.then_some(100),
            files: good.then_some(3),
            took: Duration::from_millis(1500),
            places: vec![place],
            ..TargetReport::default()
        });
    }
    job
}

struct Site(tempfile::TempDir);

impl Site {
    fn run(&self, at: &str, jobs: Vec<JobReport>) -> String {
        let report = Report { server_name: "web1".into(), jobs, ..Report::default() };
        let textfile = self.0.path().join("nxs.prom");
        let now = at.parse().unwrap();
        update(&textfile, self.0.path(), &report, &["a", "b"], now).unwrap();
        fs::read_to_string(textfile).unwrap()
    }
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
}

#[test]
fn a_run_of_one_job_erases_nothing_of_the_others() {
    let site = Site(tempfile::tempdir().unwrap());
    site.run("2026-11-21T03:00:00Z", vec![job("a", &[("/x", true)]), job("b", &[("/y", true)])]);
    let text = site.run("2026-11-22T03:00:00Z", vec![job("b", &[("/y", false)])]);
    let labels = |job: &str, target: &str| {
        format!(
            "server=\"web1\",job_name=\"{job}\",type=\"desc_files\",source=\"\",target=\"{target}\",storage=\"offsite\""
        )
    };
    let (a, b) = (labels("a", "/x"), labels("b", "/y"));
    has(&text, &format!("nxs_backup_last_success_timestamp_seconds{{{a}}} 1795230000"));
    has(&text, &format!("nxs_backup_last_success_timestamp_seconds{{{b}}} 1795230000"));
    has(&text, &format!("nxs_backup_success{{{a}}} 1"));
    has(&text, &format!("nxs_backup_success{{{b}}} 0"));
    has(&text, &format!("nxs_backup_stored_bytes{{{b}}} 50"));
    has(&text, &format!("nxs_backup_copies{{{b}}} 7"));
    has(&text, "nxs_backup_last_run_timestamp_seconds{server=\"web1\"} 1795316400");
    has(&text, "nxs_backup_job_success{server=\"web1\",job_name=\"b\",type=\"desc_files\"} 0");
    let mode = fs::metadata(site.0.path().join("nxs.prom")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the collector is another user");
}

#[test]
fn what_is_gone_from_config_or_source_goes_and_what_could_not_be_asked_for_stays() {
    let site = Site(tempfile::tempdir().unwrap());
    let both = || job("a", &[("/x", true), ("/y", true)]);
    site.run("2026-11-21T03:00:00Z", vec![both(), job("gone", &[("/z", true)])]);
    let mut failed = job("a", &[]);
    failed.errors.push("the server does not answer".into());
    let text = site.run("2026-11-22T03:00:00Z", vec![failed]);
    assert!(
        text.contains("target=\"/x\"") && text.contains("target=\"/y\"") && !text.contains("/z")
    );
    assert_eq!(text.matches("nxs_backup_success{").count(), 2);
    assert!(
        text.lines()
            .filter(|it| it.starts_with("nxs_backup_success{"))
            .all(|it| it.ends_with(" 0"))
    );
    let text = site.run("2026-11-23T03:00:00Z", vec![job("a", &[("/x", true)])]);
    assert!(text.contains("target=\"/x\"") && !text.contains("target=\"/y\""), "{text}");
}

#[test]
fn promtool_takes_what_is_written_whatever_the_names() {
    let site = Site(tempfile::tempdir().unwrap());
    let odd = "we\"ird\\name\nwith ünicode";
    let report = job("a", &[(odd, true), ("/y", false)]);
    let text = site.run("2026-11-21T03:00:00Z", vec![report]);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let textfile = folder.path().join("missing/nxs.prom");
    let report = Report::default();
    let error = update(&textfile, folder.path(), &report, &[], Timestamp::UNIX_EPOCH).unwrap_err();
    let said = crate::base::chain(&error);
    let wanted = "missing/nxs.prom: the figures for Prometheus could not be written there: ";
    assert!(said.contains(wanted), "{said}");
}
