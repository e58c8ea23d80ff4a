//! What a server answered, in words that tell what to do.

use std::{fmt, io};

use suppaftp::FtpError;
use suppaftp::types::Response;

use crate::storages::Kind;

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble<Mark>;

/// What it means for other connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// The server has too many, ours among them.
    pub(super) crowded: bool,
}

impl Trouble {
    /// Says what went wrong with `subject`, a path or a server.
    pub(super) fn about(subject: &str, error: FtpError) -> Self {
        match error {
            FtpError::UnexpectedResponse(response) => Self::refused(subject, Reply::of(&response)),
            FtpError::ConnectionError(error) => Self::broken(subject, error),
            FtpError::SecureError(error) => Self::insecure(subject, error),
            FtpError::BadResponse => {
                Self::new(Kind::Unavailable, format!("{subject}: the answer is no FTP"))
            }
            other => Self::of(Kind::Other, subject, other),
        }
    }

    /// Says that the server refused.
    pub(super) fn refused(subject: &str, reply: Reply) -> Self {
        let (kind, advice) = reply.meaning();
        let problem = format!("{subject}: {advice}");
        let mark = Mark { crowded: reply.is_crowded() };
        Self::of(kind, problem, reply).marked(mark)
    }

    /// Says that a connection failed.
    pub(super) fn broken(subject: &str, error: io::Error) -> Self {
        if let Some(blocked) = error.get_ref().and_then(|inner| inner.downcast_ref::<Blocked>()) {
            let problem = format!(
                "{subject}: the port {} that the server opened for the transfer cannot be reached; \
                 let its passive ports through the firewall",
                blocked.port
            );
            return Self::of(Kind::Unavailable, problem, io::Error::from(blocked.kind));
        }
        match error.kind() {
            // Said before anything is sent: a command is one line.
            io::ErrorKind::InvalidInput => {
                Self::of(Kind::Unsupported, format!("{subject}: FTP takes no such name"), error)
            }
            _ => Self::of(Kind::Unavailable, format!("{subject}: the connection broke"), error),
        }
    }

    /// Says that no TLS came about.
    fn insecure(subject: &str, error: String) -> Self {
        let error = error.trim_start_matches("Secure error: ").to_owned();
        let (kind, advice) = if error.contains(UNTRUSTED) {
            let advice = "the server's certificate is refused; set `ca_file` to the certificate of \
                          its authority, and `host` to the name that the certificate is for";
            (Kind::Denied, advice)
        } else if error.contains("ProtocolVersion") || error.contains("protocol version") {
            (Kind::Unsupported, "the server and we have no TLS version in common")
        } else if error.contains("corrupt message") || error.contains("InvalidContentType") {
            (Kind::Unsupported, "no TLS is spoken there; are `port` and `tls` right?")
        } else {
            (Kind::Unavailable, "no TLS came about")
        };
        Self::of(kind, format!("{subject}: {advice}"), error)
    }
}

/// What rustls says before the reason why it refuses a certificate.
const UNTRUSTED: &str = "invalid peer certificate";

/// The port of a transfer that cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("port {port} cannot be reached")]
pub(super) struct Blocked {
    pub(super) port: u16,
    pub(super) kind: io::ErrorKind,
}

/// Tells whether the port of a transfer could not be reached.
pub(super) fn is_blocked(error: &FtpError) -> bool {
    let FtpError::ConnectionError(error) = error else { return false };
    error.get_ref().is_some_and(|inner| inner.is::<Blocked>())
}

/// The answer of a server: its code and its text on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u32,
    text: String,
}

impl Reply {
    /// Reads the answer; of its text at most [`LONGEST`] characters are kept.
    pub(super) fn of(response: &Response) -> Self {
        let all = String::from_utf8_lossy(&response.body);
        let code = all.get(..3).and_then(|code| code.parse().ok());
        let code = code.unwrap_or_else(|| response.status.code());
        let number = code.to_string();
        let own = |line: &str| {
            let rest = line.strip_prefix(&number);
            let rest = rest.and_then(|rest| rest.strip_prefix(['-', ' '])).unwrap_or(line);
            rest.trim().to_owned()
        };
        let lines: Vec<String> = all.lines().map(own).filter(|line| !line.is_empty()).collect();
        let clean = |ch: char| if ch.is_control() { ' ' } else { ch };
        Self { code, text: lines.join(" ").chars().map(clean).take(LONGEST).collect() }
    }

    /// Takes `secret` out of the text, should the server have said it back.
    pub(super) fn without(self, secret: &str) -> Self {
        match secret {
            "" => self,
            secret => Self { text: self.text.replace(secret, "***"), ..self },
        }
    }

    /// Tells whether the server would take the command at another time, with fewer connections.
    fn is_crowded(&self) -> bool {
        matches!(self.code, 421 | 430 | 530) && (self.code == 421 || self.says(CROWDED))
    }

    /// Tells whether it denies that a file or folder exists, or does not tell.
    pub(super) fn is_about_file(&self) -> bool {
        matches!(self.code, 450 | 550 | 553)
    }

    /// Tells whether there is no such file: 450 says that it is busy, so it is there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code, 550 | 553) && !self.is_denial()
    }

    /// Tells whether the server found no port for a transfer just now.
    pub(super) fn is_busy(&self) -> bool {
        self.code == 425
    }

    /// Tells whether the server says outright that a right is missing.
    pub(super) fn is_denial(&self) -> bool {
        self.says(&["denied", "permitted", "not allowed", "forbidden", "no permission"])
    }

    fn says(&self, words: &[&str]) -> bool {
        let text = self.text.to_lowercase();
        words.iter().any(|word| text.contains(word))
    }

    /// Tells the kind, and what a person may do about it.
    fn meaning(&self) -> (Kind, &'static str) {
        const MISSING: &[&str] = &["no such", "not found", "not exist", "cannot find"];
        const FULL: &[&str] = &["no space", "quota", "disk full", "exceed", "insufficient"];
        match self.code {
            421 => (Kind::Unavailable, "the server closes the connection; has it too many?"),
            425 | 426 => (Kind::Unavailable, "the transfer came to nothing"),
            430 | 530 if self.says(CROWDED) => {
                (Kind::Unavailable, "the server takes no more connections of this user")
            }
            430 | 530..=536 | 550 if self.says(&["ssl", "tls", "encrypt", "secure"]) => {
                (Kind::Denied, "the server demands TLS; set `tls: explicit`")
            }
            430 | 530 => (Kind::Denied, "the login is refused; check `user` and `password`"),
            532..=536 => (Kind::Denied, "the server demands more than user and password"),
            522 => (Kind::Unsupported, "the server refuses the TLS of the transfer"),
            452 | 552 => (Kind::Full, "the server's disk or quota is full; free some space there"),
            450..=459 | 500..=559 if self.says(FULL) => {
                (Kind::Full, "the server's disk or quota is full; free some space there")
            }
            // The words of vsftpd when a write to its disk fails.
            451 if self.says(&["writing to local file"]) => {
                (Kind::Full, "the server cannot write any more; its disk is most likely full")
            }
            550 if self.says(MISSING) => (Kind::NotFound, "there is no such file or folder"),
            550 | 553 => {
                (Kind::Denied, "the server does not let this user do it; give it the right")
            }
            // vsftpd says so when a session of it dies.
            500 if self.says(&["oops"]) => (Kind::Unavailable, "the server ended the session"),
            500..=504 => (Kind::Unsupported, "the server cannot do this"),
            400..=499 => (Kind::Unavailable, "the server cannot do this now"),
            _ => (Kind::Other, "the server refuses"),
        }
    }
}

const CROWDED: &[&str] = &["too many", "maximum", "max ", "limit", "connections"];
const LONGEST: usize = 300;

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server said \"{} {}\"", self.code, self.text)
    }
}

impl std::error::Error for Reply {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    fn reply(text: &str) -> Reply {
        let code: u32 = text[..3].parse().unwrap();
        Reply::of(&Response::new(code.into(), format!("{text}\r\n").into_bytes()))
    }

    #[test]
    fn the_kind_tells_what_may_be_done() {
        for (text, kind) in [
            ("421 There are too many connected users, please try later.", Kind::Unavailable),
            ("530 Sorry, the maximum number of clients (3) for this user", Kind::Unavailable),
            ("530 Login incorrect.", Kind::Denied),
            ("530 Non-anonymous sessions must use encryption.", Kind::Denied),
            ("550 SSL/TLS required on the control channel", Kind::Denied),
            ("550 x: No such file or directory", Kind::NotFound),
            ("550 Permission denied.", Kind::Denied),
            ("550 x: Disk quota exceeded", Kind::Full),
            ("553 Could not create file.", Kind::Denied),
            ("452 x: No space left on device", Kind::Full),
            ("552 Transfer aborted. No space left on device", Kind::Full),
            ("451 Failure writing to local file.", Kind::Full),
            ("451 x: Append/Restart not permitted, try again", Kind::Unavailable),
            ("426 Failure reading network stream.", Kind::Unavailable),
            ("500 OOPS: vsf_sysutil_bind", Kind::Unavailable),
            ("502 Command not implemented.", Kind::Unsupported),
        ] {
            assert_eq!(Trouble::refused("x", reply(text)).kind, kind, "{text}");
        }
        assert!(Trouble::refused("x", reply("421 Too many")).mark.crowded);
        assert!(!Trouble::refused("x", reply("530 Login incorrect.")).mark.crowded);
    }

    #[test]
    fn the_words_name_the_subject_what_to_do_and_the_answer() {
        let said =
            chain(&Trouble::refused("/b/x", reply("550-No\r\n550 Permission \x1b[1mdenied")));
        let should = "/b/x: the server does not let this user do it; give it the right: \
                      the server said \"550 No Permission  [1mdenied\"";
        assert_eq!(said, should);
        let said = reply("530 no hunter2 here").without("hunter2").to_string();
        assert_eq!(said, "the server said \"530 no *** here\"");
    }

    #[test]
    fn a_refused_certificate_is_known_by_its_words() {
        let reason = rustls::CertificateError::UnknownIssuer;
        let error = rustls::Error::InvalidCertificate(reason).to_string();
        let trouble = Trouble::about("h", FtpError::SecureError(error));
        assert_eq!(trouble.kind, Kind::Denied, "{trouble}");
    }
}
