//! The log: `LEVEL [job] [YYYY-MM-DD HH:MM:SS]: text` in the file that the config names, or JSON
//! lines; the journal; what a person sees on standard error; and what a mail brings along.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use indicatif::MultiProgress;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::args::Globals;
use crate::cli::journal;
use crate::notify::Log;
use crate::plan::{LogRotation, Main};

/// Keeps the log's writer alive; what is dropped with it is written first.
#[must_use]
pub(crate) struct LogGuard {
    worker: Option<WorkerGuard>,
    /// Why lines that should stand in the log file do not.
    trouble: Trouble,
    /// The log so far, for those who are told of the run.
    kept: Kept,
    /// The file that lines go to.
    pub(crate) file: Option<PathBuf>,
}

/// The first thing that went wrong with the log file.
type Trouble = Arc<OnceLock<String>>;

impl LogGuard {
    /// Writes what still waits and tells why the file lacks lines, if it does.
    pub(crate) fn close(self) -> Option<String> {
        drop(self.worker);
        self.trouble.get().cloned()
    }

    /// Tells why the file lacks lines, as far as that is known before it is closed.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.get().cloned()
    }

    /// Returns the lines so far, the middle cut out of very many.
    pub(crate) fn so_far(&self) -> Log {
        self.kept.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The lines of this run in memory, bounded.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Log>>);

impl Write for Kept {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(&text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log file; a disk that fills up must not go unnoticed.
struct LogFile {
    file: Box<dyn Write + Send>,
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
    let mut guard =
        LogGuard { worker: None, trouble: Trouble::default(), kept: Kept::default(), file: None };
    let file = main.log_file.as_deref().and_then(|path| guard.open(path, main));
    let has_file = file.is_some();
    let file = file.map(|lines| lines.with_filter(LevelFilter::INFO.max(verbosity(globals))));
    let kept = guard.kept.clone();
    let kept = Lines::new(Box::new(move || Box::new(kept.clone())), false);
    let (journal, missing) = journal::layer(main.journald, verbosity(globals));
    let in_journal = journal.is_some() && main.journald.is_none();
    let on_screen = if in_journal { LevelFilter::OFF } else { on_screen(globals, has_file) };
    let screen = Lines::new(screen(bars.clone()), false).with_filter(on_screen);
    let layers = tracing_subscriber::registry().with(file).with(journal).with(screen);
    layers.with(kept.with_filter(LevelFilter::INFO)).try_init().ok();
    if let Some(why) = missing {
        tracing::warn!("the journal of systemd gets no lines: {why}");
    }
    guard
}

impl LogGuard {
    /// Opens the log file; what goes wrong is kept as trouble.
    fn open(&mut self, path: &Path, main: &Main) -> Option<Lines> {
        let (path, file) = match open(path, main) {
            Ok(opened) => opened,
            Err(error) => {
                note(&self.trouble, path, &error);
                return None;
            }
        };
        let file = LogFile { file, path: path.clone(), trouble: self.trouble.clone() };
        let (writer, worker) = NonBlockingBuilder::default().lossy(false).finish(file);
        (self.worker, self.file) = (Some(worker), Some(path));
        let sink = Box::new(move || Box::new(writer.clone()) as Box<dyn Write>);
        Some(Lines::new(sink, main.log_json))
    }
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

/// The file that lines go to, and what writes there.
type Opened = (PathBuf, Box<dyn Write + Send>);

fn open(path: &Path, main: &Main) -> io::Result<Opened> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    match main.log_rotation {
        Some(rotation) => open_rotating(path, folder, rotation, main.log_keep),
        None => Ok((path.to_owned(), Box::new(open_plain(path)?))),
    }
}

fn open_plain(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// `nxs-backup.log.2026-11-21`: a new file for each day or week, by UTC.
fn open_rotating(
    path: &Path,
    folder: &Path,
    rotation: LogRotation,
    keep: u32,
) -> io::Result<Opened> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let rotation = match rotation {
        LogRotation::Never => Rotation::NEVER,
        LogRotation::Daily => Rotation::DAILY,
        LogRotation::Weekly => Rotation::WEEKLY,
    };
    // It prunes before it opens the newest, which it counts or not as it is there or not.
    let most = (keep.max(1) as usize).saturating_add(1);
    let appender = RollingFileAppender::builder().rotation(rotation).filename_prefix(&name);
    let appender = appender.max_log_files(most).build(folder).map_err(io::Error::other)?;
    let begins = format!("{name}.");
    let ours = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
    let ours = ours.filter_map(|name| name.into_string().ok());
    let newest = ours.filter(|name| name.starts_with(&begins)).max();
    let path = newest.map_or_else(|| path.to_owned(), |name| folder.join(name));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
    Ok((path, Box::new(appender)))
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
