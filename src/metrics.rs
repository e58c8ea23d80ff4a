//! How runs went, as a textfile for the collector of node_exporter.
//!
//! What earlier runs said lies in `state_dir`, so that a run of one job erases nothing of the
//! others; the textfile itself is never read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::display;
use crate::report::{JobReport, PlaceOutcome, Report, TargetReport};

/// Figures that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: the figures for Prometheus could not be written there", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Adds a run that ended at `now` to what is known, and writes all of it to `textfile`.
///
/// `known` are the jobs of the config: figures of others go. Errors: [`Error`].
pub fn update(
    textfile: &Path,
    state_dir: &Path,
    report: &Report,
    known: &[&str],
    now: Timestamp,
) -> Result<(), Error> {
    let memory = state_dir.join(MEMORY);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error { path, source }
    };
    let mut state = load(&memory);
    state.add(report, known, now);
    let json = serde_json::to_vec(&state).map_err(io::Error::other);
    json.and_then(|json| write(&memory, &json, 0o600)).map_err(failed(&memory))?;
    write(textfile, render(&state).as_bytes(), 0o644).map_err(failed(textfile))
}

/// All that is known of former runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    server: String,
    last_run: i64,
    jobs: BTreeMap<String, JobState>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct JobState {
    kind: String,
    last_run: i64,
    duration: f64,
    good: bool,
    warnings: bool,
    targets: Vec<TargetState>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct TargetState {
    source: String,
    target: String,
    duration: f64,
    raw_bytes: Option<u64>,
    files: Option<u64>,
    places: Vec<PlaceState>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct PlaceState {
    storage: String,
    good: bool,
    last_success: Option<i64>,
    stored_bytes: Option<u64>,
    copies: Option<u64>,
}

/// A memory that cannot be read is as good as none.
fn load(path: &Path) -> State {
    let json = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// Writes a whole file or nothing.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.ok_or_else(|| io::Error::other("it lies in no folder"))?;
    let mut file = tempfile::Builder::new().prefix(".nxs-backup-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

impl State {
    fn add(&mut self, report: &Report, known: &[&str], now: Timestamp) {
        self.server.clone_from(&report.server_name);
        self.last_run = now.as_second();
        self.jobs.retain(|name, _| known.contains(&name.as_str()));
        for job in &report.jobs {
            // A job that is switched off has nothing to say, and what it said holds no longer.
            if job.targets.is_empty() && job.errors.is_empty() {
                self.jobs.remove(&job.job);
            } else {
                self.jobs.entry(job.job.clone()).or_default().add(job, now);
            }
        }
    }
}

impl JobState {
    fn add(&mut self, job: &JobReport, now: Timestamp) {
        self.kind.clone_from(&job.kind);
        self.last_run = now.as_second();
        self.duration = job.took.as_secs_f64();
        self.good = !job.has_failure();
        self.warnings = job.has_warning();
        let before = std::mem::take(&mut self.targets);
        let is = |state: &TargetState, target: &TargetReport| {
            state.source == target.source.as_deref().unwrap_or_default()
                && state.target == target.target
        };
        for target in &job.targets {
            let known = before.iter().find(|state| is(state, target)).cloned();
            self.targets.push(known.unwrap_or_default().with(target, now));
        }
        // Where not even the targets could be asked for, the old ones are still missed.
        if !job.errors.is_empty() {
            let gone = |state: &&TargetState| !job.targets.iter().any(|target| is(state, target));
            self.targets.extend(before.iter().filter(gone).cloned().map(TargetState::missed));
        }
    }
}

impl TargetState {
    fn with(mut self, target: &TargetReport, now: Timestamp) -> Self {
        self.source = target.source.clone().unwrap_or_default();
        self.target.clone_from(&target.target);
        self.duration = target.took.as_secs_f64();
        self.raw_bytes = target.raw_bytes.or(self.raw_bytes);
        self.files = target.files.or(self.files);
        let before = std::mem::take(&mut self.places);
        for place in &target.places {
            let mut state =
                before.iter().find(|it| it.storage == place.place).cloned().unwrap_or_default();
            state.storage.clone_from(&place.place);
            state.good =
                !matches!(place.outcome, PlaceOutcome::Failed(_) | PlaceOutcome::Missed(_))
                    && place.errors.is_empty();
            if let PlaceOutcome::Stored(stored) = &place.outcome {
                state.last_success = Some(now.as_second());
                state.stored_bytes = Some(stored.stored_bytes);
            }
            state.copies = place.copies.or(state.copies);
            self.places.push(state);
        }
        match self.places.is_empty() {
            true => Self { places: before, ..self }.missed(),
            false => self,
        }
    }

    fn missed(mut self) -> Self {
        self.places.iter_mut().for_each(|place| place.good = false);
        self
    }
}

/// Makes the text of the file.
fn render(state: &State) -> String {
    let server = format!("server=\"{}\"", escaped(&state.server));
    let mut page = Page { text: String::new(), server };
    let last_run = vec![(String::new(), Some(state.last_run as f64))];
    page.family("last_run_timestamp_seconds", "When any run ended last.", last_run);
    page.jobs(state);
    page.targets(state);
    page.places(state);
    page.text
}

/// The text while it is made.
struct Page {
    text: String,
    /// The label that every row has.
    server: String,
}

/// Labels behind that of the server, and what they are worth; `None` where that is not known.
type Row = (String, Option<f64>);

impl Page {
    fn family(&mut self, name: &str, help: &str, rows: Vec<Row>) {
        if rows.iter().all(|(_, value)| value.is_none()) {
            return;
        }
        let said = "a String takes every write";
        writeln!(self.text, "# HELP nxs_backup_{name} {help}").expect(said);
        writeln!(self.text, "# TYPE nxs_backup_{name} gauge").expect(said);
        for (labels, value) in rows {
            if let Some(value) = value {
                let server = &self.server;
                writeln!(self.text, "nxs_backup_{name}{{{server}{labels}}} {value}").expect(said);
            }
        }
    }

    fn jobs(&mut self, state: &State) {
        let rows = |value: fn(&JobState) -> f64| {
            let row = |(name, job): (&String, &JobState)| (job_labels(name, job), Some(value(job)));
            state.jobs.iter().map(row).collect::<Vec<Row>>()
        };
        let last_run = rows(|job| job.last_run as f64);
        self.family("job_last_run_timestamp_seconds", "When the job ran last.", last_run);
        let took = rows(|job| job.duration);
        self.family("job_duration_seconds", "How long the last run of the job took.", took);
        let good = rows(|job| flag(job.good));
        self.family("job_success", "1 if nothing failed in the last run of the job.", good);
        let warnings = rows(|job| flag(job.warnings));
        self.family("job_warnings", "1 if its last run has something to look at.", warnings);
    }

    fn targets(&mut self, state: &State) {
        let rows = |value: fn(&TargetState) -> Option<f64>| {
            let all = state.jobs.iter().flat_map(|(name, job)| {
                let row = move |target| (target_labels(name, job, target), value(target));
                job.targets.iter().map(row)
            });
            all.collect::<Vec<Row>>()
        };
        self.family("duration_seconds", "How long the target took.", rows(|it| Some(it.duration)));
        let raw_bytes = rows(|it| it.raw_bytes.map(|bytes| bytes as f64));
        self.family("raw_bytes", "Size before compression.", raw_bytes);
        let files = rows(|it| it.files.map(|files| files as f64));
        self.family("files", "Files, folders and links in it.", files);
    }

    fn places(&mut self, state: &State) {
        let rows = |value: fn(&PlaceState) -> Option<f64>| {
            let all = state.jobs.iter().flat_map(|(name, job)| {
                job.targets.iter().flat_map(move |target| {
                    let labels = target_labels(name, job, target);
                    target.places.iter().map(move |place| {
                        let storage = escaped(&place.storage);
                        (format!("{labels},storage=\"{storage}\""), value(place))
                    })
                })
            });
            all.collect::<Vec<Row>>()
        };
        let last = rows(|it| it.last_success.map(|secs| secs as f64));
        self.family("last_success_timestamp_seconds", "When a copy was stored last.", last);
        self.family("success", "1 if the last try went well.", rows(|it| Some(flag(it.good))));
        let stored = rows(|it| it.stored_bytes.map(|bytes| bytes as f64));
        self.family("stored_bytes", "Size of the last copy.", stored);
        let copies = rows(|it| it.copies.map(|copies| copies as f64));
        self.family("copies", "Whole copies that are kept.", copies);
    }
}

fn flag(good: bool) -> f64 {
    if good { 1.0 } else { 0.0 }
}

fn job_labels(name: &str, job: &JobState) -> String {
    format!(",job_name=\"{}\",type=\"{}\"", escaped(name), escaped(&job.kind))
}

fn target_labels(name: &str, job: &JobState, target: &TargetState) -> String {
    let (source, target) = (escaped(&target.source), escaped(&display(&target.target)));
    format!("{},source=\"{source}\",target=\"{target}\"", job_labels(name, job))
}

/// A label's value as the text format has it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const MEMORY: &str = "metrics.json";

#[cfg(test)]
mod tests;
