//! The bed for tests of the command: a folder of its own, a clean environment, a clock that
//! stands still, and the built binary.
//!
//! A test says only what is special: a run that is not asked about must exit 0 and keep stderr
//! empty.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A folder with a config, a home, stubs of tools, and an environment for the command.
pub(crate) struct Bed {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// What one run of the command did; see [`Ran::exit`] for what it expects by itself.
pub(crate) struct Ran {
    said: Said,
    exit: Option<i32>,
    stderr_seen: bool,
}

struct Said {
    command: String,
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Bed {
    /// Makes an empty bed; its clock shows [`NOW`] in UTC.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("nxs-bed-").tempdir().unwrap();
        for inner in ["bin", "home", "tmp"] {
            fs::create_dir(folder.path().join(inner)).unwrap();
        }
        let path =
            format!("{}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", show(folder.path()));
        let env = [
            ("PATH", path.as_str()),
            ("HOME", &show(&folder.path().join("home"))),
            ("TMPDIR", &show(&folder.path().join("tmp"))),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("NXS_BACKUP_NOW", NOW),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        Self { folder, env }
    }

    /// Returns the path of `name` in the bed; `""` is the bed itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the main config, `$DIR` standing for the bed; runs use it unless they say `-c`.
    pub(crate) fn config(self, text: &str) -> Self {
        self.file(CONFIG, text)
    }

    /// Writes a file of the bed, `$DIR` in it standing for the bed, its folders made.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        self.write(name, text.replace("$DIR", &show(self.folder.path())), 0o600);
        self
    }

    /// Makes files below `root`, each with its content; a name that ends in `/` is a folder.
    pub(crate) fn tree(self, root: &str, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(self.path(root)).unwrap();
        for (name, content) in files {
            match name.strip_suffix('/') {
                Some(folder) => fs::create_dir_all(self.path(root).join(folder)).unwrap(),
                None => self.write(&format!("{root}/{name}"), content, 0o644),
            }
        }
        self
    }

    /// Puts a shell script called `tool` before all other tools.
    pub(crate) fn stub(self, tool: &str, script: &str) -> Self {
        self.write(&format!("bin/{tool}"), format!("#!/bin/sh\n{script}\n"), 0o755);
        self
    }

    /// Sets a variable for the runs to come.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// Sets the clock for the runs to come: `2026-11-21T03:00:00+01:00[Europe/Berlin]`.
    pub(crate) fn now(&mut self, now: &str) -> &mut Self {
        self.set("NXS_BACKUP_NOW", now);
        self
    }

    /// Runs the command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.finish(self.command(args))
    }

    /// Runs a prepared command to its end.
    pub(crate) fn finish(&self, command: Command) -> Ran {
        let shown = format!("{command:?}");
        let output = assert_cmd::Command::from_std(command)
            .timeout(LONGEST)
            .output()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        Ran { said: self.said(&shown, &output), exit: None, stderr_seen: false }
    }

    /// Runs the command to a good end, looks for `secret` on every command line of the machine
    /// meanwhile, and returns all that was said.
    #[track_caller]
    pub(crate) fn run_watched(&self, args: &[&str], secret: &str) -> String {
        let mut command = self.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = std::time::Instant::now() + LONGEST;
        while child.try_wait().unwrap().is_none() {
            assert!(std::time::Instant::now() < end, "{args:?} takes longer than {LONGEST:?}");
            for entry in fs::read_dir("/proc").unwrap().flatten() {
                let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).into_owned();
                assert!(!line.contains(secret), "{line}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        said
    }

    /// Prepares a run, for a test that wants to feed, follow or kill it.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nxs-backup"));
        command.env_clear().envs(self.env.iter().cloned()).current_dir(self.folder.path());
        if self.path(CONFIG).exists() {
            command.env("NXS_BACKUP_CONFIG", self.path(CONFIG));
        }
        command.args(args);
        command
    }

    /// Returns the names of all files below `folder` of the bed, sorted.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.path(folder), "", &mut found);
        found.sort();
        found
    }

    fn set(&mut self, name: &str, value: &str) {
        let value = value.replace("$DIR", &show(self.folder.path()));
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value));
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn said(&self, command: &str, output: &Output) -> Said {
        let normal =
            |bytes: &[u8]| normalised(&String::from_utf8_lossy(bytes), &show(self.folder.path()));
        Said {
            command: command.to_owned(),
            code: output.status.code(),
            stdout: normal(&output.stdout),
            stderr: normal(&output.stderr),
        }
    }
}

impl Ran {
    /// Expects this exit code; a run that is not asked must have exited 0.
    #[track_caller]
    pub(crate) fn exit(mut self, code: i32) -> Self {
        self.exit = Some(code);
        assert_eq!(self.said.code, Some(code), "exit code\n{}", self.said.all());
        self
    }

    /// Expects exactly this on stdout, normalised.
    #[track_caller]
    pub(crate) fn stdout(self, text: &str) -> Self {
        assert_eq!(self.said.stdout, text, "stdout\n{}", self.said.all());
        self
    }

    /// Expects exactly this on stderr, normalised; a run that is not asked must keep it empty.
    #[track_caller]
    pub(crate) fn stderr(mut self, text: &str) -> Self {
        self.stderr_seen = true;
        assert_eq!(self.said.stderr, text, "stderr\n{}", self.said.all());
        self
    }

    /// Expects `part` somewhere on stdout.
    #[track_caller]
    pub(crate) fn stdout_has(self, part: &str) -> Self {
        assert!(self.said.stdout.contains(part), "no {part:?} on stdout\n{}", self.said.all());
        self
    }

    /// Expects `part` somewhere on stderr, which may hold more.
    #[track_caller]
    pub(crate) fn stderr_has(mut self, part: &str) -> Self {
        self.stderr_seen = true;
        assert!(self.said.stderr.contains(part), "no {part:?} on stderr\n{}", self.said.all());
        self
    }

    /// Lets stderr hold anything.
    pub(crate) fn noisy(mut self) -> Self {
        self.stderr_seen = true;
        self
    }

    /// Returns stdout, normalised.
    pub(crate) fn out(&self) -> &str {
        &self.said.stdout
    }

    /// Returns stderr, normalised.
    pub(crate) fn err(&self) -> &str {
        &self.said.stderr
    }

    /// Returns the exit code, which is then no surprise; `None` after a signal.
    pub(crate) fn code(mut self) -> Option<i32> {
        self.stderr_seen = true;
        self.exit = Some(self.said.code.unwrap_or(-1));
        self.said.code
    }

    /// Returns stdout read as JSON; the paths in it are normalised.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.said.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.said.all()))
    }
}

impl Drop for Ran {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert!(self.exit.is_some() || self.said.code == Some(0), "exit 0\n{}", self.said.all());
        assert!(self.stderr_seen || self.said.stderr.is_empty(), "silence\n{}", self.said.all());
    }
}

impl Said {
    fn all(&self) -> String {
        let Self { command, code, stdout, stderr } = self;
        format!("{command}\nexit {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Replaces what differs from one run of a test to the next: the bed becomes `$DIR`, a run's id
/// `$RUN`.
pub(crate) fn normalised(text: &str, bed: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some(at) = rest.find("Z-") {
        let (from, to) = (at.saturating_sub(15), at + 10);
        let is_run = rest.get(from..to).is_some_and(|id| {
            let stamp = id.as_bytes()[..15].iter().enumerate();
            let digits = |(at, byte): (usize, &u8)| {
                if at == 8 { *byte == b'T' } else { byte.is_ascii_digit() }
            };
            { stamp }.all(digits) && id[17..].bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let (before, shown, next) = if is_run { (from, "$RUN", to) } else { (at, "Z-", at + 2) };
        out.push_str(&rest[..before]);
        out.push_str(shown);
        rest = &rest[next..];
    }
    out.push_str(rest);
    out.replace(bed, "$DIR")
}

fn walk(folder: &Path, name: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder.join(name)) else { return };
    for entry in entries.map(Result::unwrap) {
        let inner = Path::new(name).join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => walk(folder, &show(&inner), found),
            false => found.push(show(&inner)),
        }
    }
}

fn show(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What a bed's clock shows unless it is set.
pub(crate) const NOW: &str = "2026-11-21T03:00:00+00:00[UTC]";

const CONFIG: &str = "nxs-backup.conf";
const LONGEST: Duration = Duration::from_secs(120);
