//! The textfile, its alerts and its dashboard, as Prometheus sees them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{bed, mend};

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus").join(name)
}

#[track_caller]
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
}

/// The value of the only row of a family that has all of `labels`.
#[track_caller]
fn value(text: &str, family: &str, labels: &[&str]) -> f64 {
    let fits = |line: &&str| {
        line.starts_with(&format!("nxs_backup_{family}{{"))
            && labels.iter().all(|label| line.contains(label))
    };
    let rows: Vec<&str> = text.lines().filter(fits).collect();
    assert_eq!(rows.len(), 1, "{family} {labels:?} in\n{text}");
    rows[0].rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_run_writes_its_figures_and_one_of_one_job_erases_nothing() {
    let mut bed = bed("  metrics: {textfile: $DIR/prom/nxs.prom}\n");
    fs::create_dir(bed.path("prom")).unwrap();
    bed.run(["start"]).exit(3).noisy();
    let read =
        |bed: &crate::support::bed::Bed| fs::read_to_string(bed.path("prom/nxs.prom")).unwrap();
    let text = read(&bed);
    promtool(&["check", "metrics"], &text);
    let blog = ["job_name=\"sites\"", "/www/blog\"", "storage=\"store\""];
    assert_eq!(value(&text, "last_success_timestamp_seconds", &blog), 1_795_230_000.0);
    assert_eq!(value(&text, "copies", &blog), 1.0);
    assert_eq!(value(&text, "files", &blog[..2]), 2.0);
    assert!(value(&text, "raw_bytes", &blog[..2]) > value(&text, "stored_bytes", &blog));
    assert_eq!(value(&text, "success", &["job_name=\"bücher\""]), 0.0);
    assert_eq!(value(&text, "job_success", &["job_name=\"bücher\""]), 0.0);
    mend(&bed);
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start", "bücher"]);
    let text = read(&bed);
    promtool(&["check", "metrics"], &text);
    assert_eq!(value(&text, "last_success_timestamp_seconds", &blog), 1_795_230_000.0);
    assert_eq!(value(&text, "last_success_timestamp_seconds", &["bücher"]), 1_795_316_400.0);
    assert_eq!(value(&text, "job_success", &["job_name=\"bücher\""]), 1.0);
    bed.now("2026-11-23T03:00:00+00:00[UTC]").run(["start", "sites"]);
    assert_eq!(value(&read(&bed), "copies", &blog), 2.0);
    assert_eq!(bed.files("prom"), ["nxs.prom"], "no half file stays");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_outcome_of_the_run() {
    let bed = bed("  metrics: {textfile: $DIR/prom/nxs.prom}\n");
    mend(&bed);
    let ran = bed.run(["start"]).exit(3).noisy();
    let said = "$DIR/prom/nxs.prom: the figures for Prometheus could not be written there: ";
    assert!(ran.out().contains(said) && ran.out().contains("3 copies stored"), "{}", ran.out());
}

#[test]
fn the_alerts_are_good_rules_that_fire_when_they_should() {
    promtool(&["check", "rules", &packaging("alerts.yml").display().to_string()], "");
    promtool(&["test", "rules", &packaging("alerts_test.yml").display().to_string()], "");
}

#[test]
fn alerts_and_dashboard_ask_only_for_figures_that_are_written() {
    let bed = bed("  metrics: {textfile: $DIR/nxs.prom}\n");
    mend(&bed);
    bed.run(["start"]);
    let text = fs::read_to_string(bed.path("nxs.prom")).unwrap();
    let written: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let dashboard = fs::read_to_string(packaging("dashboard.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert!(parsed["panels"].as_array().unwrap().len() >= 5);
    let alerts = fs::read_to_string(packaging("alerts.yml")).unwrap();
    for page in [dashboard, alerts] {
        for at in page.match_indices("nxs_backup_").map(|(at, _)| at) {
            let end =
                page[at..].find(|ch: char| !(ch.is_ascii_alphanumeric() || ch == '_')).unwrap();
            let name = &page[at..at + end];
            assert!(written.contains(name), "{name} is not written; {written:?} are");
        }
    }
}
