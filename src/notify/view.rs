//! News as people read them: the words and figures that every kind of message is made of.
//!
//! This is also what templates see: a field that is renamed here breaks templates.

use bytesize::ByteSize;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::base::{count, display};
use crate::notify::{News, Occasion, Severity, Told};
use crate::report::{JobReport, PlaceOutcome, PlaceReport, Report, TargetReport, Verdict};

/// One message in words.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct View {
    /// `main.server_name`.
    pub(crate) server: String,
    /// `error`, `warning` or `info`.
    pub(crate) severity: String,
    /// What happened, without the server: `backup FAILED: 2 of 3 jobs failed`.
    pub(crate) headline: String,
    /// The headline with the server in front.
    pub(crate) subject: String,
    /// When the last run ended, by the local clock.
    pub(crate) time: String,
    /// One line of sums.
    pub(crate) sums: String,
    /// What failed.
    pub(crate) errors: Vec<Line>,
    /// What should be looked at.
    pub(crate) warnings: Vec<Line>,
    /// The jobs: failed ones first, then those with warnings, else in the order in which they ran.
    pub(crate) jobs: Vec<Row>,
    /// Copies that rotation removed.
    pub(crate) removed: Vec<Line>,
    /// What is worth knowing of the message itself: that it comes late, and why.
    pub(crate) notes: Vec<String>,
    /// The log, when it goes along.
    pub(crate) log: Vec<String>,
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// The job; empty when it is about all.
    pub(crate) job: String,
    /// What there is to say.
    pub(crate) text: String,
}

/// One job.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) job: String,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// When it began; only where several runs are told.
    pub(crate) time: String,
    /// `failed`, `in part`, `warning`, `ok` or `off`.
    pub(crate) result: &'static str,
    /// Bytes before compression.
    pub(crate) raw_bytes: u64,
    /// Bytes as stored, on all storages together.
    pub(crate) stored_bytes: u64,
    /// The same as people read them.
    pub(crate) size: String,
    /// As stored.
    pub(crate) stored: String,
    /// How long it took.
    pub(crate) took: String,
    /// How much more or less than the last run: `+12 %`.
    pub(crate) change: String,
    /// How many targets it has.
    pub(crate) targets: usize,
    /// How many copies were stored.
    pub(crate) copies: usize,
}

impl View {
    /// Puts news into words.
    pub(crate) fn of(news: &News) -> Self {
        let mut view = Self { server: printable(&news.server), ..Self::default() };
        let zone = news.now.time_zone();
        let at = news.told.last().map_or_else(|| news.now.timestamp(), |told| told.at);
        view.time = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
        view.severity = news.severity().word().to_owned();
        for told in &news.told {
            view.add(told, news, zone);
        }
        view.jobs.sort_by_key(|row| rank(row.result));
        view.headline = headline(news, &view);
        view.subject = format!("[{}] {}", view.server, view.headline);
        view.sums = view.sum_up(news);
        view
    }

    fn add(&mut self, told: &Told, news: &News, zone: &TimeZone) {
        let several = news.told.len() > 1;
        let time =
            |at: jiff::Timestamp| at.to_zoned(zone.clone()).strftime("%m-%d %H:%M").to_string();
        let before = if several { format!("{}: ", time(told.at)) } else { String::new() };
        let line = |job: &str, text: &str| Line {
            job: printable(job),
            text: printable(&format!("{before}{text}")),
        };
        if let Some(late) = &told.late {
            self.notes.push(late_note(&time(told.at), late));
        }
        told.report.errors.iter().for_each(|error| self.errors.push(line("", error)));
        for job in &told.report.jobs {
            let mut row = Row::of(job);
            row.time = if several { time(job.started) } else { String::new() };
            self.jobs.push(row);
            errors_of(job).iter().for_each(|error| self.errors.push(line(&job.job, error)));
            warnings_of(job).iter().for_each(|text| self.warnings.push(line(&job.job, text)));
            for (target, place) in places(job) {
                let name = display(&target.target);
                place.removed.iter().for_each(|gone| {
                    self.removed
                        .push(line(&job.job, &format!("{name}: '{}': {gone}", place.place)));
                });
            }
        }
        if news.with_log {
            self.log.extend(told.log.lines(told.log_file.as_deref()));
        }
    }

    fn sum_up(&self, news: &News) -> String {
        if self.jobs.is_empty() {
            return String::new();
        }
        let copies: usize = self.jobs.iter().map(|row| row.copies).sum();
        let (raw, stored) = self
            .jobs
            .iter()
            .fold((0, 0), |(raw, stored), row| (raw + row.raw_bytes, stored + row.stored_bytes));
        let jobs = news.told.iter().flat_map(|told| &told.report.jobs);
        let took = took(jobs.map(|job| job.took).sum());
        format!(
            "{} of {}, {} stored as {}, {} removed, {took}",
            count(copies, "copy", "copies"),
            count(self.jobs.len(), "job", "jobs"),
            bytes(raw),
            bytes(stored),
            count(self.removed.len(), "old one", "old ones"),
        )
    }
}

impl Row {
    fn of(job: &JobReport) -> Self {
        let stored = |place: &PlaceReport| match &place.outcome {
            PlaceOutcome::Stored(stored) => Some(stored.stored_bytes),
            _ => None,
        };
        let stored: Vec<u64> = places(job).filter_map(|(_, place)| stored(place)).collect();
        let raw_bytes = job.targets.iter().filter_map(|target| target.raw_bytes).sum();
        let stored_bytes = stored.iter().sum();
        Self {
            job: printable(&job.job),
            kind: printable(&job.kind),
            time: String::new(),
            result: result(job),
            raw_bytes,
            stored_bytes,
            size: if stored.is_empty() { String::new() } else { bytes(raw_bytes) },
            stored: if stored.is_empty() { String::new() } else { bytes(stored_bytes) },
            took: took(job.took),
            change: change(job),
            targets: job.targets.len(),
            copies: stored.len(),
        }
    }
}

fn result(job: &JobReport) -> &'static str {
    match (job.has_failure(), job.has_success()) {
        (true, false) => "failed",
        (true, true) => "in part",
        (false, _) if job.has_warning() => "warning",
        (false, _) if job.targets.is_empty() => "off",
        (false, _) => "ok",
    }
}

fn rank(result: &str) -> usize {
    ["failed", "in part", "warning"].iter().position(|known| *known == result).unwrap_or(3)
}

/// How much larger or smaller the targets are than in their last copies.
fn change(job: &JobReport) -> String {
    let both = job.targets.iter().filter_map(|target| Some((target.raw_bytes?, target.before)));
    let (mut new, mut old, mut known) = (0_u128, 0_u128, false);
    for (raw_bytes, before) in both {
        if let Some(before) = before {
            new += u128::from(raw_bytes);
            old += u128::from(before.raw_bytes);
            known = true;
        }
    }
    match (known, old) {
        (false, _) => String::new(),
        (true, 0) if new == 0 => "±0 %".to_owned(),
        (true, 0) => "from 0".to_owned(),
        (true, old) => {
            let percent = (new as f64 - old as f64) * 100.0 / old as f64;
            match percent.abs() {
                small if small < 0.05 => "±0 %".to_owned(),
                small if small < 10.0 => format!("{percent:+.1} %"),
                _ => format!("{percent:+.0} %"),
            }
        }
    }
}

fn headline(news: &News, view: &View) -> String {
    match news.occasion {
        Occasion::Start => return "backup begins".to_owned(),
        Occasion::Test => return "test: messages of nxs-backup arrive here".to_owned(),
        Occasion::Run | Occasion::Digest => {}
    }
    let runs = match news.told.as_slice() {
        [one] => return headline_of(&one.report, view),
        [] => return silence(news),
        runs => runs.len(),
    };
    let bad = news.told.iter().filter(|told| told.severity() == Severity::Error).count();
    match (bad, view.warnings.len()) {
        (0, 0) => format!("{runs} backup runs ok"),
        (0, odd) => format!("{runs} backup runs ok, {}", count(odd, "warning", "warnings")),
        (bad, _) => format!("{bad} of {runs} backup runs FAILED"),
    }
}

fn silence(news: &News) -> String {
    let since = news.silent_since.unwrap_or_else(|| news.now.timestamp());
    let since = since.to_zoned(news.now.time_zone().clone()).strftime("%Y-%m-%d %H:%M").to_string();
    format!("NO backup has run since {since}")
}

fn headline_of(report: &Report, view: &View) -> String {
    let jobs = report.jobs.len();
    let failed = report.jobs.iter().filter(|job| job.has_failure()).count();
    let odd = match view.warnings.len() {
        0 => String::new(),
        odd => format!(", {}", count(odd, "warning", "warnings")),
    };
    let of_jobs = match failed {
        0 => count(view.errors.len(), "error", "errors"),
        failed => format!("{failed} of {} failed", count(jobs, "job", "jobs")),
    };
    match report.verdict() {
        Verdict::Interrupted => format!("backup INTERRUPTED{odd}"),
        Verdict::Nothing => format!("backup FAILED: {of_jobs}{odd}"),
        Verdict::Partly => format!("backup done in part: {of_jobs}{odd}"),
        Verdict::Done => {
            let copies: usize = view.jobs.iter().map(|row| row.copies).sum();
            let (jobs, copies) = (count(jobs, "job", "jobs"), count(copies, "copy", "copies"));
            format!("backup ok: {jobs}, {copies}{odd}")
        }
    }
}

fn late_note(time: &str, late: &crate::notify::Late) -> String {
    let twice = match late.may_have_arrived {
        true => "; it may have arrived all the same, then this is the second time",
        false => "",
    };
    format!("the report of {time} comes late: {}{twice}", printable(&late.why))
}

fn places(job: &JobReport) -> impl Iterator<Item = (&TargetReport, &PlaceReport)> {
    job.targets.iter().flat_map(|target| target.places.iter().map(move |place| (target, place)))
}

/// Says what failed in a job, a line for each cause.
fn errors_of(job: &JobReport) -> Vec<String> {
    let mut errors = job.errors.clone();
    for target in &job.targets {
        let name = display(&target.target);
        errors.extend(target.errors.iter().map(|error| format!("{name}: {error}")));
        let unreadable = &target.warnings.unreadable;
        if let Some(first) = unreadable.first.first() {
            let n = count(unreadable.count, "file", "files");
            errors.push(format!("{name}: {n} could not be read, first {}", display(first)));
        }
        for place in &target.places {
            let of_place = |text: &str| format!("{name}: '{}': {text}", place.place);
            if let PlaceOutcome::Failed(why) = &place.outcome {
                errors.push(of_place(why));
            }
            errors.extend(place.errors.iter().map(|error| of_place(error)));
        }
    }
    errors
}

/// Says what should be looked at in a job.
fn warnings_of(job: &JobReport) -> Vec<String> {
    let mut warnings = job.warnings.clone();
    for target in &job.targets {
        let name = display(&target.target);
        warnings.extend(target.anomalies.iter().map(|odd| format!("{name}: {odd}")));
        for (noted, word) in [
            (&target.warnings.changed, "changed while being read"),
            (&target.warnings.vanished, "vanished"),
        ] {
            if let Some(first) = noted.first.first() {
                let n = count(noted.count, "file", "files");
                warnings.push(format!("{name}: {n} {word}, first {}", display(first)));
            }
        }
        for place in &target.places {
            let of_place = |text: &String| format!("{name}: '{}': {text}", place.place);
            warnings.extend(place.warnings.iter().map(of_place));
        }
    }
    warnings
}

/// Control bytes other than line breaks never reach a message.
pub(crate) fn printable(text: &str) -> String {
    let shown = |ch: char| match ch {
        '\n' => "\n".to_owned(),
        ch if ch.is_control() => ch.escape_default().to_string(),
        ch => ch.to_string(),
    };
    text.trim_end().chars().map(shown).collect()
}

fn bytes(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

fn took(took: std::time::Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        secs @ 60..3600 => format!("{} min {:02} s", secs / 60, secs % 60),
        secs => format!("{} h {:02} min", secs / 3600, secs / 60 % 60),
    }
}

#[cfg(test)]
pub(crate) mod tests;
