//! One database: its online backup into a private folder, and the check of that copy.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::base::BoxError;
use crate::sources::sqlite::Check;
use crate::sources::tool::PrivateFolder;
use crate::sources::{Error, Kind, Result};
use crate::stream::DumpFacts;

/// What is to be copied, and how.
pub(super) struct Copying {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) tmp_dir: PathBuf,
    pub(super) check: Check,
    /// How long others may hold it locked; `None` for ever.
    pub(super) patience: Option<Duration>,
    /// Set when nobody wants the copy any more.
    pub(super) stop: Arc<AtomicBool>,
}

/// A copy that is good: a file that has no name any more.
pub(super) struct Copied {
    pub(super) file: File,
    pub(super) bytes: u64,
    pub(super) facts: DumpFacts,
}

/// Opens a database and reads in it, as a backup does first; one that is locked now is good. Blocks.
///
/// Errors: what is wrong with it.
pub(super) fn readable(name: &str, path: &Path) -> Result<()> {
    let failure = |problem: &str, error: BoxError| Error {
        kind: Kind::Other,
        subject: name.to_owned(),
        problem: problem.to_owned(),
        source: Some(error),
    };
    fs::File::open(path).map_err(|error| failure("could not be read", error.into()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let read = Connection::open_with_flags(path, flags).and_then(|database| {
        database.busy_timeout(Duration::ZERO)?;
        database.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    });
    match read.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
        Err(Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => Ok(()),
        _ => read.map_err(|error| failure(problem_of(&error).unwrap_or(UNREADABLE), error.into())),
    }
}

impl Copying {
    /// Makes the copy. Blocks.
    ///
    /// Errors: what is wrong with the database, its locks, or the room in `tmp_dir`.
    pub(super) fn run(&self) -> Result<Copied> {
        let meta = fs::metadata(&self.path);
        let meta = meta.map_err(|error| self.failure("could not be read", error))?;
        if meta.len() == 0 {
            return Err(self.problem("is empty: no table was ever made in it"));
        }
        let wrong = |error: std::io::Error| {
            let tmp_dir = self.tmp_dir.display();
            self.failure(&format!("no copy can be made in {tmp_dir} (see `tmp_dir`)"), error)
        };
        let folder = PrivateFolder::new(&self.tmp_dir).map_err(wrong)?;
        let copy = folder.path().join("copy");
        self.back_up(&copy)?;
        self.examine(&copy)?;
        let file = File::open(&copy).map_err(wrong)?;
        let bytes = file.metadata().map_err(wrong)?.len();
        let tools = [("sqlite".to_owned(), rusqlite::version().to_owned())].into();
        let checked = Some(self.check.words().to_owned());
        Ok(Copied { file, bytes, facts: DumpFacts { tools, checked, ..DumpFacts::default() } })
    }

    /// Copies all pages as they are at one moment: a writer in WAL mode goes on meanwhile, any
    /// other waits.
    fn back_up(&self, copy: &Path) -> Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let from = Connection::open_with_flags(&self.path, flags);
        let from = from.map_err(|error| self.of_sqlite(error))?;
        from.busy_timeout(Duration::ZERO).map_err(|error| self.of_sqlite(error))?;
        from.execute_batch("BEGIN").map_err(|error| self.of_sqlite(error))?;
        // The first reading takes the lock, which holds until the end.
        self.patiently(|| {
            let read = from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
            match read.as_ref().map_err(rusqlite::Error::sqlite_error_code) {
                Err(Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => Ok(None),
                _ => read.map(Some),
            }
        })?;
        let mut to = Connection::open(copy).map_err(|error| self.of_copy(error))?;
        // It is lost with the machine, and made anew then.
        to.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
            .map_err(|error| self.of_copy(error))?;
        let backup = Backup::new(&from, &mut to).map_err(|error| self.of_copy(error))?;
        loop {
            let step = self.patiently(|| match backup.step(PAGES)? {
                StepResult::Busy | StepResult::Locked => Ok(None),
                step => Ok(Some(step)),
            })?;
            if step == StepResult::Done {
                return Ok(());
            }
        }
    }

    /// Tries until it is not locked any more.
    fn patiently<T>(&self, mut act: impl FnMut() -> rusqlite::Result<Option<T>>) -> Result<T> {
        let begun = Instant::now();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(self.problem("was given up: nobody reads it any more"));
            }
            if let Some(done) = act().map_err(|error| self.of_sqlite(error))? {
                return Ok(done);
            }
            if let Some(patience) = self.patience
                && begun.elapsed() >= patience
            {
                let waited = patience.as_secs();
                return Err(self.problem(&format!(
                    "is locked by another program for longer than {waited} s (the source's \
                     `timeout`)"
                )));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Checks the copy as it will be stored: nothing beside its file counts.
    fn examine(&self, copy: &Path) -> Result<()> {
        let Some(pragma) = self.check.pragma() else { return Ok(()) };
        let path = percent_encode(copy.as_os_str().as_bytes(), NON_ALPHANUMERIC);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let said = Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
            .and_then(|mut copy| {
                let stop = Arc::clone(&self.stop);
                copy.progress_handler(OPS, Some(move || stop.load(Ordering::Relaxed)))?;
                let mut check = copy.prepare(&format!("PRAGMA {pragma}"))?;
                let lines = check.query_map([], |row| row.get::<_, String>(0))?;
                lines.collect::<rusqlite::Result<Vec<_>>>()
            })
            .map_err(|error| match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt) => {
                    self.failure(&format!("is damaged; {pragma} broke off"), error)
                }
                _ => self.failure(&format!("its copy does not pass {pragma}"), error),
            })?;
        match said.as_slice() {
            [ok] if ok == "ok" => Ok(()),
            damage => {
                let (first, all) = (damage.first().map_or("", |line| line.trim()), damage.len());
                let more = if all > 1 { format!(" (the first of {all})") } else { String::new() };
                Err(self.problem(&format!("is damaged; {pragma} says: {first}{more}")))
            }
        }
    }

    fn of_sqlite(&self, error: rusqlite::Error) -> Error {
        let problem = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => return self.of_copy(error),
            _ => problem_of(&error).unwrap_or("could not be copied"),
        };
        self.failure(problem, error)
    }

    fn of_copy(&self, error: rusqlite::Error) -> Error {
        let tmp_dir = self.tmp_dir.display();
        self.failure(&format!("could not be copied to {tmp_dir} (see `tmp_dir`)"), error)
    }

    fn failure(&self, problem: &str, error: impl Into<BoxError>) -> Error {
        Error { source: Some(error.into()), ..self.problem(problem) }
    }

    fn problem(&self, problem: &str) -> Error {
        let (subject, problem) = (self.name.clone(), problem.to_owned());
        Error { kind: Kind::Other, subject, problem, source: None }
    }
}

/// Says what an error of SQLite means for a database.
fn problem_of(error: &rusqlite::Error) -> Option<&'static str> {
    match error.sqlite_error_code()? {
        ErrorCode::NotADatabase => Some("is no database of SQLite, or it is encrypted"),
        ErrorCode::DatabaseCorrupt => Some("is damaged"),
        ErrorCode::ReadOnly => Some(
            "was left in the middle of a change, and only a writer can undo that: open it once \
             with its program or with the sqlite3 shell",
        ),
        _ => None,
    }
}

const UNREADABLE: &str = "could not be read";

impl Check {
    fn pragma(self) -> Option<&'static str> {
        match self {
            Self::Full => Some("integrity_check"),
            Self::Quick => Some("quick_check"),
            Self::None => None,
        }
    }

    /// As the manifest says it.
    fn words(self) -> &'static str {
        match self {
            Self::Full => "online backup, integrity_check of the copy",
            Self::Quick => "online backup, quick_check of the copy",
            Self::None => "online backup",
        }
    }
}

/// Pages of one step: with 4 KiB each 4 MiB, after which a stop is heard.
const PAGES: i32 = 1024;
const PAUSE: Duration = Duration::from_millis(50);
/// Steps of SQLite's machine between two looks at whether to stop.
const OPS: i32 = 100_000;
