//! The log: `LEVEL [job] [YYYY-MM-DD HH:MM:SS]: text` in the file that the config names, or JSON
//! lines; and what a person sees on standard error.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use indicatif::MultiProgress;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::args::Globals;
use crate::plan::Main;

/// Keeps the log's writer alive; what is dropped with it is written first.
#[must_use]
pub(crate) struct LogGuard {
    worker: Option<WorkerGuard>,
    /// Why lines that should stand in the log file do not.
    trouble: Trouble,
}

/// The first thing that went wrong with the log file.
type Trouble = Arc<OnceLock<String>>;

impl LogGuard {
    /// Writes what still waits and tells why the file lacks lines, if it does.
    pub(crate) fn close(self) -> Option<String> {
        drop(self.worker);
        self.trouble.get().cloned()
    }
}

/// The log file; a disk that fills up must not go unnoticed.
struct LogFile {
    file: File,
    path: PathBuf,
    trouble: Trouble,
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.file.write_all(line) {
            Ok(()) => {}
            Err(error) => note(&self.trouble, &self.path, &error),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn note(trouble: &Trouble, path: &Path, error: &io::Error) {
    trouble.get_or_init(|| format!("{}: cannot be written as log file: {error}", path.display()));
}

/// Sets the log up for a verb that writes one; call once.
pub(crate) fn init(main: &Main, globals: &Globals, bars: &MultiProgress) -> LogGuard {
    let trouble = Trouble::default();
    let (file, worker) = match main.log_file.as_deref().map(|path| (path, open(path))) {
        None => (None, None),
        Some((path, Ok(file))) => {
            let file = LogFile { file, path: path.to_owned(), trouble: trouble.clone() };
            let (writer, worker) = NonBlockingBuilder::default().lossy(false).finish(file);
            let sink = Box::new(move || Box::new(writer.clone()) as Box<dyn Write>);
            (Some(Lines::new(sink, main.log_json)), Some(worker))
        }
        Some((path, Err(error))) => {
            note(&trouble, path, &error);
            (None, None)
        }
    };
    let has_file = file.is_some();
    let file = file.map(|lines| lines.with_filter(LevelFilter::INFO.max(verbosity(globals))));
    let screen = Lines::new(screen(bars.clone()), false).with_filter(on_screen(globals, has_file));
    tracing_subscriber::registry().with(file).with(screen).try_init().ok();
    LogGuard { worker, trouble }
}

fn verbosity(globals: &Globals) -> LevelFilter {
    match globals.verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// A run that goes well under cron prints nothing, so that cron mails only trouble.
fn on_screen(globals: &Globals, has_file: bool) -> LevelFilter {
    let watched = io::stderr().is_terminal() || globals.verbose > 0 || !has_file;
    match (globals.quiet || globals.json, watched) {
        (true, _) => LevelFilter::ERROR,
        (false, true) => verbosity(globals),
        (false, false) => LevelFilter::WARN,
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

type Sink = Box<dyn Fn() -> Box<dyn Write> + Send + Sync>;

fn screen(bars: MultiProgress) -> Sink {
    Box::new(move || Box::new(Screen(bars.clone())))
}

/// Standard error, with the bars out of the way while a line is written.
struct Screen(MultiProgress);

impl Write for Screen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| anstream::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes one line an event.
struct Lines {
    sink: Sink,
    json: bool,
}

/// The job that a span belongs to.
struct JobName(String);

impl Lines {
    fn new(sink: Sink, json: bool) -> Self {
        Self { sink, json }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let (Some(job), Some(span)) = (said.job, context.span(id)) {
            span.extensions_mut().replace(JobName(job));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = *event.metadata().level();
        if !event.metadata().target().starts_with("nxs_backup") && level > Level::WARN {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let job = said.job.or_else(|| job_of(event, &context));
        let line = match self.json {
            true => json_line(level, job.as_deref(), &said.text),
            false => plain_line(level, job.as_deref(), &said.text),
        };
        (self.sink)().write_all(line.as_bytes()).ok();
    }
}

fn job_of<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &Event<'_>,
    context: &Context<'_, S>,
) -> Option<String> {
    let spans = context.event_scope(event)?;
    spans.into_iter().find_map(|span| span.extensions().get::<JobName>().map(|job| job.0.clone()))
}

/// What an event says: its text, other fields behind it, and its job.
#[derive(Default)]
struct Said {
    job: Option<String>,
    text: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "job" => self.job = Some(format!("{value:?}")),
            "message" => self.text.insert_str(0, &format!("{value:?}")),
            name => self.text.push_str(&format!(" {name}={value:?}")),
        }
    }
}

/// Control bytes never reach a terminal or forge a line.
fn printable(text: &str) -> String {
    let shown = |ch: char| match ch {
        '\n' => "\n    ".to_owned(),
        ch if ch.is_control() => ch.escape_default().to_string(),
        ch => ch.to_string(),
    };
    text.trim_end().chars().map(shown).collect()
}

fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

fn plain_line(level: Level, job: Option<&str>, text: &str) -> String {
    let job = job.map(|job| format!(" [{}]", printable(job))).unwrap_or_default();
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    format!("{}{job} [{now}]: {}\n", word(level), printable(text))
}

fn json_line(level: Level, job: Option<&str>, text: &str) -> String {
    let time = jiff::Timestamp::now();
    let line = serde_json::json!({"time": time, "level": word(level), "job": job, "text": text});
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_form_of_the_old_program() {
        let line = plain_line(Level::WARN, Some("site"), "disk is full");
        assert!(line.starts_with("WARNING [site] [2"), "{line}");
        assert!(line.ends_with("]: disk is full\n"), "{line}");
        assert!(plain_line(Level::INFO, None, "x").starts_with("INFO [2"));
    }

    #[test]
    fn control_bytes_cannot_forge_a_line() {
        let line = plain_line(Level::INFO, None, "a\nERROR [b]: c\x1b[31m");
        assert_eq!(line.lines().count(), 2);
        assert!(line.lines().nth(1).unwrap().starts_with("    ERROR"));
        assert!(!line.contains('\x1b'));
    }
}
