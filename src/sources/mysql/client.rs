//! The stock client and the dump tool that fit a server, and questions to that server.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::text;
use crate::sources::mysql::connect::{Connect, Flavour};
use crate::sources::tool::{Call, PrivateFolder, Tool};
use crate::sources::{Error, Kind, Result, Setting};
use crate::stream::DumpFacts;

/// The clients that ask and load.
pub const CLIENT: Tool =
    Tool { names: &["mariadb", "mysql"], deb: "mariadb-client", rpm: "mariadb", folders: &[] };

/// How a source's server is asked: made once, without dialling.
pub struct Client {
    connect: Connect,
    /// What messages call the server.
    pub subject: String,
    /// What stands in every option file first.
    preamble: String,
    tmp_dir: PathBuf,
    /// A call of nothing, with what every call needs.
    blank: Blank,
    limit: Duration,
}

/// What a [`Setting`] says that outlives it.
struct Blank {
    job: String,
    secret_env: std::collections::BTreeSet<String>,
    state_dir: PathBuf,
    silence: Option<Duration>,
}

/// A server that has answered, with the client that it answered to.
pub struct Server {
    /// Which family it is.
    pub flavour: Flavour,
    /// Its version as it spells it: `10.11.19-MariaDB-log`, `9.7.4`.
    pub version: String,
    /// The port that it says it listens on.
    pub port: u16,
    client: Program,
}

/// A program of one of the families.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Which family made it.
    pub flavour: Flavour,
    /// Its version: `10.11.19`.
    pub version: String,
}

/// An option file that lasts as long as this value.
pub struct Login {
    folder: PrivateFolder,
    path: PathBuf,
}

impl Login {
    /// Returns the argument that names it, which must be the first.
    pub fn arg(&self) -> String {
        format!("--defaults-file={}", self.path.display())
    }

    /// Returns a path in its folder that goes with it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Client {
    /// Prepares for the server of `connect`.
    pub fn new(connect: &Connect, setting: &Setting<'_>) -> Self {
        let name = setting.name.map_or_else(|| connect.address(), str::to_owned);
        let limit = setting.silence.map_or(LONGEST_ANSWER, |silence| silence.min(LONGEST_ANSWER));
        Self {
            connect: connect.clone(),
            subject: name,
            preamble: String::new(),
            tmp_dir: setting.tmp_dir.to_owned(),
            blank: Blank {
                job: setting.job.to_owned(),
                secret_env: setting.secret_env.clone(),
                state_dir: setting.state_dir.to_owned(),
                silence: setting.silence,
            },
            limit,
        }
    }

    /// Puts lines before all others in the option files of the client.
    #[must_use]
    pub fn after(mut self, preamble: String) -> Self {
        self.preamble = preamble;
        self
    }

    /// Returns how the server is reached.
    pub fn connect(&self) -> &Connect {
        &self.connect
    }

    /// Starts a call of `program` for `subject`; nothing but its arguments is set.
    pub fn call(&self, program: &Path, subject: &str) -> Call {
        self.call_within(program, subject, self.blank.silence)
    }

    /// Like [`Self::call`], with another limit for silence.
    pub fn call_within(&self, program: &Path, subject: &str, silence: Option<Duration>) -> Call {
        let setting = Setting {
            job: &self.blank.job,
            name: None,
            tmp_dir: &self.tmp_dir,
            state_dir: &self.blank.state_dir,
            secret_env: &self.blank.secret_env,
            silence,
        };
        // A login path of the user must not mix in; the tools read it in spite of --defaults-file.
        Call::new(program, subject, &setting).env("MYSQL_TEST_LOGIN_FILE", "/nonexistent/login")
    }

    /// Writes the option file for tools of `flavour`.
    ///
    /// Errors: [`Kind::Other`] when `tmp_dir` cannot be written.
    pub fn login(&self, flavour: Flavour) -> Result<Login> {
        self.login_with(&(self.preamble.clone() + &self.connect.options(flavour, &["client"])))
    }

    /// Writes an option file with this content.
    ///
    /// Errors: as [`Self::login`].
    pub fn login_with(&self, content: &str) -> Result<Login> {
        let write = || {
            let folder = PrivateFolder::new(&self.tmp_dir)?;
            let path = folder.write("my.cnf", content)?;
            Ok(Login { folder, path })
        };
        write().map_err(|error: std::io::Error| Error {
            kind: Kind::Other,
            subject: self.tmp_dir.display().to_string(),
            problem: "no file for the password can be made there (see `tmp_dir`)".into(),
            source: Some(error.into()),
        })
    }

    /// Finds the client that the server answers to, and asks who it is.
    ///
    /// Errors: [`Kind::Tool`] with the words of the best client; [`Kind::Other`] where a port of the
    /// config is not that of the server and the connection did not go by TCP.
    pub async fn server(&self) -> Result<Server> {
        if let Some(path) = self.connect.missing_file() {
            let problem = "the file is not there, and `connect` names it".into();
            let subject = path.display().to_string();
            return Err(Error { kind: Kind::NotFound, subject, problem, source: None });
        }
        let mut first = None;
        for client in self.programs(&CLIENT).await? {
            match self.ask_with(&client, HELLO).await {
                Ok(answer) => return self.known(client, &answer),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.expect("`programs` gives at least one"))
    }

    fn known(&self, client: Program, answer: &[Vec<u8>]) -> Result<Server> {
        let line =
            String::from_utf8_lossy(answer.first().map_or(&[][..], Vec::as_slice)).into_owned();
        let mut fields = line.split('\t');
        let (version, port) =
            (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let (by, port) = (fields.next().unwrap_or_default(), port.parse().unwrap_or_default());
        let flavour = match version.contains("MariaDB") {
            true => Flavour::Maria,
            false => Flavour::MySql,
        };
        if let Some(wanted) = self.connect.wanted_port().filter(|wanted| *wanted != port) {
            // A connection by TCP has a port of its own at its other end; one by a socket has none.
            if !by.contains(':') {
                let problem = format!(
                    "`db_port` is {wanted}, but the server that answered listens on {port} and was \
                     not reached by TCP: it is another one"
                );
                let subject = self.subject.clone();
                return Err(Error { kind: Kind::Other, subject, problem, source: None });
            }
        }
        Ok(Server { flavour, version: version.to_owned(), port, client })
    }

    /// Returns what is worth a note about the server: a port that is not its own.
    pub fn note(&self, server: &Server) -> Option<String> {
        let wanted = self.connect.wanted_port().filter(|wanted| *wanted != server.port)?;
        let (subject, port) = (&self.subject, server.port);
        Some(format!(
            "{subject}: answers on port {wanted}, but says that it listens on {port}: is there a \
             proxy, a tunnel or a container between?"
        ))
    }

    /// Finds the programs of a tool, one of each family, and asks for their versions.
    ///
    /// Errors: [`Kind::Tool`] when there is none.
    pub async fn programs(&self, tool: &Tool) -> Result<Vec<Program>> {
        let mut found: Vec<Program> = Vec::new();
        let mut asked = Vec::new();
        for name in tool.names {
            let Some(path) = crate::sources::tool::on_path(name) else { continue };
            // The old name is often a link to the new one.
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if asked.contains(&real) {
                continue;
            }
            asked.push(real);
            let said = self.version_of(&path).await?;
            let flavour = match said.contains("MariaDB") {
                true => Flavour::Maria,
                false => Flavour::MySql,
            };
            if found.iter().all(|other| other.flavour != flavour) {
                found.push(Program { path, flavour, version: version_in(&said) });
            }
        }
        if found.is_empty() {
            tool.require(&self.subject)?;
        }
        Ok(found)
    }

    /// Asks a program for its version; xtrabackup tells it on stderr.
    async fn version_of(&self, path: &Path) -> Result<String> {
        let told = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&told);
        let dump = self.call(path, &self.subject).arg("--version").dump(move |last| {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) =
                format!("{} {}", String::from_utf8_lossy(&last.stdout), last.stderr.join(" "));
            Ok(DumpFacts::default())
        })?;
        dump.bytes.drain().await.map_err(|error| Error {
            kind: Kind::Tool,
            subject: self.subject.clone(),
            problem: format!("{} does not tell its version", path.display()),
            source: Some(error.into()),
        })?;
        let said = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(said)
    }

    /// Returns the program that fits `server`: of its family where there is one.
    ///
    /// Errors: [`Kind::Tool`] when there is none, or when it is of an older series than the server.
    pub async fn fitting(&self, tool: &Tool, server: &Server) -> Result<Program> {
        let mut programs = self.programs(tool).await?;
        let best = programs.iter().position(|one| one.flavour == server.flavour).unwrap_or(0);
        let program = programs.swap_remove(best);
        let (ours, theirs) = (major(&program.version), major(&server.version));
        if program.flavour == server.flavour && ours < theirs {
            let name = program.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(Error {
                kind: Kind::Tool,
                subject: self.subject.clone(),
                problem: format!(
                    "{name} is of version {}, older than the server's {}: it would not know all that \
                     the server has; install the client of the server's series",
                    program.version, server.version
                ),
                source: None,
            });
        }
        Ok(program)
    }

    /// Asks `sql` and returns the lines of the answer; columns stand apart by tabs.
    ///
    /// Errors: [`Kind::Tool`] with the client's last words.
    pub async fn ask(&self, server: &Server, sql: &str) -> Result<Vec<Vec<u8>>> {
        self.ask_with(&server.client, sql).await
    }

    /// Asks `sql` and returns the answer in the vertical form, a `Name: value` a line.
    ///
    /// Errors: as [`Self::ask`].
    pub async fn ask_vertical(&self, server: &Server, sql: &str) -> Result<Vec<Vec<u8>>> {
        self.ask_as(&server.client, sql, &["--vertical"]).await
    }

    async fn ask_with(&self, client: &Program, sql: &str) -> Result<Vec<Vec<u8>>> {
        self.ask_as(client, sql, &["--skip-column-names"]).await
    }

    async fn ask_as(&self, client: &Program, sql: &str, form: &[&str]) -> Result<Vec<Vec<u8>>> {
        let login = self.login(client.flavour)?;
        let call = self.call(&client.path, &self.subject).arg(login.arg());
        let call = call.args(["--batch", "--raw", CHARSET]).args(form).args(["-e", sql]);
        let said = call.output(self.limit).await?;
        Ok(said
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// Prepares a call of the client that reads statements, and the option file that it needs.
    ///
    /// Errors: as [`Self::login`].
    pub fn reader(&self, server: &Server) -> Result<(Call, Login)> {
        let login = self.login(server.client.flavour)?;
        // Binary mode takes what a dump holds as it is, and no command of the client in it.
        let call = self.call(&server.client.path, &self.subject).arg(login.arg());
        let call = call.args(["--batch", "--binary-mode", CHARSET, "--max-allowed-packet=1G"]);
        Ok((call, login))
    }
}

impl Server {
    /// Returns the version of the client that it answered to, for a manifest.
    pub fn client_version(&self) -> String {
        self.client.version.clone()
    }
}

/// Quotes a name for SQL.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Spells a text for SQL whatever the server's mode is.
pub(super) fn literal(value: &str) -> String {
    let mut hex = String::from("_utf8mb4 x'");
    for byte in value.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex + "'"
}

/// Reads the hex digits of a field.
pub(super) fn unhex(field: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = field.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

/// Reads the hex digits of a field as the text of a name.
pub(super) fn unhex_text(field: &[u8]) -> String {
    match String::from_utf8(unhex(field).unwrap_or_default()) {
        Ok(name) => name,
        Err(error) => text(error.as_bytes()),
    }
}

/// Finds the version in what `--version` prints.
fn version_in(said: &str) -> String {
    let words: Vec<_> = said.split_whitespace().collect();
    let after = |mark: &str| {
        let at = words.iter().position(|word| *word == mark)?;
        words.get(at + 1).copied()
    };
    let found = after("Distrib").or_else(|| after("from")).or_else(|| after("Ver"));
    let found = found
        .or_else(|| after("version"))
        .or_else(|| after("server"))
        .unwrap_or("?")
        .trim_end_matches(',');
    found.split('-').next().unwrap_or(found).to_owned()
}

fn major(version: &str) -> u32 {
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

const CHARSET: &str = "--default-character-set=utf8mb4";
const LONGEST_ANSWER: Duration = Duration::from_secs(300);
/// Version, port, and the other end of this connection: `127.0.0.1:5432` by TCP.
const HELLO: &str = "SELECT @@version, @@port, (SELECT host FROM information_schema.processlist \
                     WHERE id = CONNECTION_ID())";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_tools_of_all_times_print() {
        let said = [
            (
                "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                "10.11.19",
            ),
            ("mariadb from 11.4.2-MariaDB, client 15.2 for debian-linux-gnu (x86_64)", "11.4.2"),
            ("mysqldump  Ver 9.7.4 for Linux on x86_64 ((Debian))", "9.7.4"),
            ("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", "5.7.44"),
            ("xtrabackup version 8.0.35-31 based on MySQL server 8.0.35 Linux (x86_64)", "8.0.35"),
        ];
        for (said, version) in said {
            assert_eq!(version_in(said), version);
        }
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(name("a`b"), "`a``b`");
        assert_eq!(literal("a'"), "_utf8mb4 x'6127'");
        assert_eq!(unhex_text(b"C3A4"), "\u{e4}");
        assert_eq!(unhex(b"zz"), None);
    }
}
