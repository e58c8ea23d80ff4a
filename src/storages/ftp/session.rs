//! One connection that is logged in, and the commands that are needed on it.
//!
//! Whoever meets trouble drops the session; only one that works goes back to the pool.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use socket2::SockRef;
use suppaftp::tokio::{AsyncRustlsStream, TransferStream};
use suppaftp::types::Response;
use suppaftp::{FtpError, Mode, Status};
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use crate::storages::Kind;
use crate::storages::ftp::dial::{Client, Dialled, Way};
use crate::storages::ftp::errors::{Reply, Trouble, is_blocked};
use crate::storages::ftp::listing::{self, Entry};
use crate::storages::ftp::pool::Counted;

/// The connection of a transfer.
pub(super) type Transfer = TransferStream<AsyncRustlsStream>;

/// A connection that is logged in.
pub(super) struct Session {
    client: Client,
    home: String,
    mlsd: bool,
    epsv: bool,
    used: Instant,
    way: Arc<Way>,
    _counted: Counted,
}

/// What a transfer is opened for. Paths are absolute.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    /// Write a file from this offset on.
    Store(&'a str, u64),
    /// Write at the end of a file.
    Append(&'a str),
    /// Read a file from this offset on.
    Retrieve(&'a str, u64),
    /// List a folder.
    Mlsd(&'a str),
    /// List the current folder.
    List(&'static str),
}

/// A command that the server refused, or one that got no answer.
#[derive(Debug)]
pub(super) enum Refusal {
    Refused(Reply),
    Broken(Trouble),
}

impl Refusal {
    fn of(subject: &str, error: FtpError) -> Self {
        match error {
            FtpError::UnexpectedResponse(response) => Self::Refused(Reply::of(&response)),
            error => Self::Broken(Trouble::about(subject, error)),
        }
    }

    /// Makes it an error about `subject`.
    pub(super) fn into_trouble(self, subject: &str) -> Trouble {
        match self {
            Self::Refused(reply) => Trouble::refused(subject, reply),
            Self::Broken(trouble) => trouble,
        }
    }
}

impl Session {
    pub(super) async fn dial(way: &Arc<Way>, counted: Counted) -> Result<Self, Trouble> {
        let Dialled { client, home, mlsd, epsv } = way.dial().await?;
        let (used, way) = (Instant::now(), Arc::clone(way));
        Ok(Self { client, home, mlsd, epsv, used, way, _counted: counted })
    }

    /// Returns the absolute path of a folder that the config names.
    pub(super) fn absolute(&self, folder: &str) -> String {
        match folder.strip_prefix("//") {
            Some(rest) => format!("/{rest}"),
            None => join(&self.home, folder),
        }
    }

    /// Tells whether the server still listens: one that hung up is seen at once, one that vanished
    /// by asking it after a silence.
    pub(super) async fn is_alive(&mut self) -> bool {
        {
            let socket = self.client.get_ref().await;
            // The system is asked itself: tokio may not have heard yet. Nothing can be waiting
            // there but a farewell.
            let waiting = SockRef::from(&*socket).peek(&mut [MaybeUninit::uninit()]);
            if !waiting.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return false;
            }
        }
        self.used.elapsed() < SILENCE || self.settles().await
    }

    /// Waits until the server has said all that was due.
    pub(super) async fn settles(&mut self) -> bool {
        let answered = timeout(ANSWER, self.client.noop()).await;
        self.used = Instant::now();
        matches!(answered, Ok(Ok(())))
    }

    /// Notes that it was in use just now.
    pub(super) fn touch(&mut self) {
        self.used = Instant::now();
    }

    /// Opens a transfer.
    pub(super) async fn open(&mut self, ask: Ask<'_>) -> Result<Transfer, Refusal> {
        let mut tries = TRIES;
        loop {
            match self.open_once(ask).await {
                // Our own connections may have all the ports that the server has for transfers.
                Err(Refusal::Refused(reply)) if reply.is_busy() && tries > 1 => {
                    tries -= 1;
                    sleep(PAUSE).await;
                }
                opened => return opened,
            }
        }
    }

    async fn open_once(&mut self, ask: Ask<'_>) -> Result<Transfer, Refusal> {
        let mut opened = self.try_open(ask).await;
        if let Err(error) = &opened
            && self.epsv
            && self.way.may_fall_back()
            // Before the first transfer it is not known what was refused: EPSV or the transfer.
            && (is_blocked(error) || (is_refused(error) && !self.way.knows_epsv()))
        {
            opened = self.try_pasv(ask).await;
        }
        if opened.is_ok() {
            self.way.note_epsv(self.epsv);
        }
        match opened {
            Err(FtpError::SecureError(error)) => Err(self.explain_tls(ask.subject(), error).await),
            opened => opened.map_err(|error| Refusal::of(ask.subject(), error)),
        }
    }

    async fn try_pasv(&mut self, ask: Ask<'_>) -> Result<Transfer, FtpError> {
        self.client.set_mode(Mode::Passive);
        let opened = self.try_open(ask).await;
        match opened {
            Ok(_) => self.epsv = false,
            Err(_) => self.client.set_mode(Mode::ExtendedPassive),
        }
        opened
    }

    async fn try_open(&mut self, ask: Ask<'_>) -> Result<Transfer, FtpError> {
        let client = &mut self.client;
        let offset = match ask {
            Ask::Store(_, offset) | Ask::Retrieve(_, offset) => offset,
            _ => 0,
        };
        client.resume_transfer(offset as usize).await?;
        let lists = &[Status::AboutToSend, Status::AlreadyOpen];
        match ask {
            Ask::Store(path, _) => client.put_with_stream(path).await,
            Ask::Append(path) => client.append_with_stream(path).await,
            Ask::Retrieve(path, _) => client.retr_as_stream(path).await,
            Ask::Mlsd(path) => {
                let command = format!("MLSD {path}");
                Ok(client.custom_data_command(command, lists).await?.1)
            }
            Ask::List(command) => Ok(client.custom_data_command(command, lists).await?.1),
        }
    }

    /// Adds to a TLS that failed what the server says about it.
    async fn explain_tls(&mut self, subject: &str, error: String) -> Refusal {
        let said = timeout(ANSWER, self.client.read_response(Status::Ready)).await;
        match said {
            Ok(Err(FtpError::UnexpectedResponse(response))) => {
                Refusal::Refused(Reply::of(&response))
            }
            _ => Refusal::of(subject, FtpError::SecureError(error)),
        }
    }

    /// Ends a transfer that broke with `error`, and tells what the server says about it.
    pub(super) async fn explain(
        mut self,
        transfer: Transfer,
        subject: &str,
        error: io::Error,
    ) -> Trouble {
        match timeout(ANSWER, self.client.abort(transfer)).await {
            Ok(Err(FtpError::UnexpectedResponse(response))) => {
                Trouble::refused(subject, Reply::of(&response))
            }
            _ => Trouble::broken(subject, error),
        }
    }

    /// Tells the size of a file; `None` where there is none.
    pub(super) async fn size(&mut self, path: &str) -> Result<Option<u64>, Trouble> {
        match self.client.size(path).await {
            Ok(bytes) => Ok(Some(bytes as u64)),
            Err(error) => match Refusal::of(path, error) {
                Refusal::Refused(reply) if reply.is_missing() => Ok(None),
                refusal => Err(refusal.into_trouble(path)),
            },
        }
    }

    /// Tells when a file was changed, where the server tells.
    pub(super) async fn modified(&mut self, path: &str) -> Result<Option<Timestamp>, Trouble> {
        let answer = self.command("MDTM", path, &[Status::File]).await;
        match answer {
            Ok(response) => {
                let text = String::from_utf8_lossy(&response.body);
                Ok(listing::time(text.split_whitespace().nth(1)))
            }
            Err(Refusal::Refused(_)) => Ok(None),
            Err(Refusal::Broken(trouble)) => Err(trouble),
        }
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        self.client.rename(from, to).await.map_err(|error| Refusal::of(to, error))
    }

    pub(super) async fn remove(&mut self, path: &str) -> Result<(), Refusal> {
        self.client.rm(path).await.map_err(|error| Refusal::of(path, error))
    }

    pub(super) async fn make_folder(&mut self, path: &str) -> Result<(), Refusal> {
        self.client.mkdir(path).await.map_err(|error| Refusal::of(path, error))
    }

    /// Removes an empty folder; the server refuses another one.
    pub(super) async fn remove_folder(&mut self, path: &str) -> Result<(), Refusal> {
        self.client.rmdir(path).await.map_err(|error| Refusal::of(path, error))
    }

    /// Lists a folder. Names that are not UTF-8 are none of ours and are left out.
    pub(super) async fn list(&mut self, path: &str) -> Result<Vec<Entry>, Refusal> {
        if self.mlsd {
            let lines = self.lines(path, Ask::Mlsd(path)).await?;
            return entries(path, &lines, listing::mlsd);
        }
        // An argument of LIST may be taken for a pattern or an option; a current folder may not.
        let went = self.client.cwd(path).await;
        went.map_err(|error| Refusal::of(path, error))?;
        let lines = match self.lines(path, Ask::List("LIST -a")).await {
            Err(Refusal::Refused(_)) => self.lines(path, Ask::List("LIST")).await?,
            // A server that knows no options has looked for a file called `-a`.
            Ok(lines) if lines.iter().all(String::is_empty) => {
                self.lines(path, Ask::List("LIST")).await?
            }
            listed => listed?,
        };
        let now = Timestamp::now();
        entries(path, &lines, |line| listing::list(line, now))
    }

    /// Tells whether times of listings are exact and in UTC.
    pub(super) fn lists_exactly(&self) -> bool {
        self.mlsd
    }

    async fn lines(&mut self, path: &str, ask: Ask<'_>) -> Result<Vec<String>, Refusal> {
        let mut transfer = self.open(ask).await?;
        let mut all = Vec::new();
        let mut limited = (&mut transfer).take(LONGEST_LISTING);
        if let Err(error) = limited.read_to_end(&mut all).await {
            return Err(Refusal::Broken(Trouble::broken(path, error)));
        }
        if all.len() as u64 == LONGEST_LISTING {
            let problem = format!("{path}: the listing is too long to be read");
            return Err(Refusal::Broken(Trouble::new(Kind::Unsupported, problem)));
        }
        transfer.finish().await.map_err(|error| Refusal::of(path, error))?;
        let line = |line: &[u8]| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            String::from_utf8(line.to_vec()).ok()
        };
        Ok(all.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    async fn command(
        &mut self,
        verb: &str,
        path: &str,
        expected: &[Status],
    ) -> Result<Response, Refusal> {
        let done = self.client.custom_command(format!("{verb} {path}"), expected).await;
        done.map_err(|error| Refusal::of(path, error))
    }
}

/// Reads the lines of a listing; one that cannot be read must not make a file look missing.
fn entries(
    path: &str,
    lines: &[String],
    read: impl Fn(&str) -> Option<Entry>,
) -> Result<Vec<Entry>, Refusal> {
    let unread = lines.iter().find(|line| read(line).is_none() && listing::names_something(line));
    if let Some(line) = unread {
        let line = crate::base::display(line);
        let problem = format!("{path}: the server lists in a form that is not known: {line}");
        return Err(Refusal::Broken(Trouble::new(Kind::Unsupported, problem)));
    }
    Ok(lines.iter().filter_map(|line| read(line)).collect())
}

impl<'a> Ask<'a> {
    fn subject(&self) -> &'a str {
        match self {
            Self::Store(path, _) | Self::Retrieve(path, _) => path,
            Self::Append(path) | Self::Mlsd(path) => path,
            Self::List(command) => command,
        }
    }
}

/// Joins an absolute path and what lies below it.
pub(super) fn join(folder: &str, name: &str) -> String {
    match name {
        "" => folder.to_owned(),
        name => format!("{}/{name}", folder.trim_end_matches('/')),
    }
}

/// Tells whether the server refused for good.
fn is_refused(error: &FtpError) -> bool {
    let FtpError::UnexpectedResponse(response) = error else { return false };
    (500..600).contains(&Reply::of(response).code)
}

/// How often a port for a transfer is asked for.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(200);
/// How long an answer may take that is due at once.
const ANSWER: Duration = Duration::from_secs(10);
/// A connection that was silent for longer is asked before it is used.
const SILENCE: Duration = Duration::from_secs(15);
/// The bytes of one folder's listing: some hundred thousand names.
const LONGEST_LISTING: u64 = 64 << 20;
