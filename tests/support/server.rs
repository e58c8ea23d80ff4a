//! Real servers, each started by the tests in a folder of its own on ports that nobody else has.
//!
//! `tests/services/serve` keeps a server in namespaces of its own and ends it when its standard
//! input ends: with the test, or with the process, however that dies. A server that cannot be
//! started fails the test.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A running server.
pub(crate) struct Server {
    name: &'static str,
    folder: PathBuf,
    ports: Ports,
    talk: Mutex<Talk>,
}

struct Talk {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Server {
    /// Gives the server that all tests of this process share; started by the first that asks.
    pub(crate) fn shared(name: &'static str) -> &'static Self {
        static SHARED: Mutex<BTreeMap<&str, &OnceLock<Server>>> = Mutex::new(BTreeMap::new());
        let cell: &'static OnceLock<Self> = {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.entry(name).or_insert_with(|| Box::leak(Box::default()))
        };
        cell.get_or_init(|| Self::own(name))
    }

    /// Starts a server that the test may stop, kill and start again.
    pub(crate) fn own(name: &'static str) -> Self {
        Self::begin(name).unwrap_or_else(|log| panic!("the server `{name}` did not start:\n{log}"))
    }

    /// Like [`Self::own`], for a server that only a moving distribution has: `None`, and loud, where
    /// it says that it cannot be had.
    pub(crate) fn own_if_had(name: &'static str) -> Option<Self> {
        match Self::begin(name) {
            Ok(server) => Some(server),
            Err(log) if log.contains("cannot be had: ") => {
                crate::support::world::skipped(&log);
                None
            }
            Err(log) => panic!("the server `{name}` did not start:\n{log}"),
        }
    }

    fn begin(name: &'static str) -> Result<Self, String> {
        let ports = Ports::take();
        let folder = tempfile::Builder::new().prefix("nxs-svc-").tempdir().unwrap().keep();
        let serve = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/serve");
        let mut command = Command::new(serve);
        command.arg(name).arg(&folder).arg(ports.first.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().unwrap());
        let server = Self { name, folder, ports, talk: Mutex::new(Talk { child, to, from }) };
        let word = server.talk().hear();
        if word != "ready" {
            let log = std::fs::read_to_string(server.path("serve.log")).unwrap_or_default();
            std::fs::remove_dir_all(&server.folder).ok();
            return Err(format!("{word:?}: {log}"));
        }
        Ok(server)
    }

    /// Returns one of its 64 ports, counted from 0.
    pub(crate) fn port(&self, number: u16) -> u16 {
        assert!(number < BLOCK);
        self.ports.first + number
    }

    /// Returns a path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a text file of its folder, without the line break at its end.
    pub(crate) fn text(&self, name: &str) -> String {
        let path = self.path(name);
        let text = std::fs::read_to_string(&path);
        text.unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim_end().to_owned()
    }

    /// Gives a command: `stop`, `start`, `kill`, or `NAME` for its `command_NAME`.
    pub(crate) fn tell(&self, command: &str) {
        let mut talk = self.talk();
        let to = talk.to.as_mut().unwrap();
        writeln!(to, "{command}").unwrap();
        let word = talk.hear();
        assert_eq!(word, "done", "`{command}` of the server `{}`", self.name);
    }

    fn talk(&self) -> std::sync::MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Talk {
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut talk = self.talk();
        talk.to = None;
        talk.child.wait().ok();
    }
}

/// A block of ports, ours as long as the file is locked: other test processes ask for it, too.
struct Ports {
    first: u16,
    _lock: File,
}

impl Ports {
    fn take() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let folder = std::env::temp_dir().join(format!("nxs-test-ports-{uid}"));
        std::fs::create_dir_all(&folder).unwrap();
        for first in (FIRST..LAST).step_by(usize::from(BLOCK)) {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true);
            let lock = options.open(folder.join(first.to_string())).unwrap();
            let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if lock.try_lock().is_ok() && (first..first + BLOCK).all(free) {
                return Self { first, _lock: lock };
            }
        }
        panic!("no block of {BLOCK} free ports between {FIRST} and {LAST}");
    }
}

/// Below the range from which the system takes ports for connections.
const FIRST: u16 = 20_032;
const LAST: u16 = 32_000;
const BLOCK: u16 = 64;
