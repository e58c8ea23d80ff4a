//! What the server said, in words that tell what to do.

use crate::storages::Kind;

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble<Mark>;

/// What it means for the connection, and where it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// The connection is of no use any more; a new one may do.
    pub(super) lost: bool,
    /// What the server said, if it said anything.
    pub(super) status: Option<u32>,
}

impl Trouble {
    /// Says that the connection is of no use any more.
    pub(super) fn lost(problem: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, problem).marked(Mark { lost: true, status: None })
    }

    /// Says why a task of ours ended.
    pub(super) fn task(error: &tokio::task::JoinError) -> Self {
        Self::lost(format!("a task of ours ended: {error}"))
    }

    /// Wraps what the server answered about `subject`.
    pub(super) fn about(subject: &str, error: smb::Error) -> Self {
        match status_of(&error) {
            Some(status) => Self::answer(subject, status),
            None => Self::unanswered(subject, &error),
        }
    }

    /// Wraps what the library said by itself.
    fn unanswered(subject: &str, error: &smb::Error) -> Self {
        Self::known(subject, error).unwrap_or_else(|| {
            let text = error.to_string();
            Self::lost(format!("{subject}: {}", text.trim_end_matches('.')))
        })
    }

    /// Wraps what the library said by itself, where we know better words.
    pub(super) fn known(subject: &str, error: &smb::Error) -> Option<Self> {
        let text = error.to_string();
        let (_, kind, words) = LIBRARY.iter().find(|(sign, ..)| text.contains(sign))?;
        let (lost, problem) = (*kind == Kind::Unavailable, format!("{subject}: {words}"));
        Some(Self::new(*kind, problem).marked(Mark { lost, status: None }))
    }

    /// Wraps what the server answered to a read, a write or a flush.
    pub(super) fn io(subject: &str, error: std::io::Error) -> Self {
        Self::about(subject, smb::Error::IoError(error))
    }

    /// Tells whether there is no such file or folder.
    pub(super) fn is_nothing(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// Tells whether the server said one of `statuses`.
    pub(super) fn said(&self, statuses: &[u32]) -> bool {
        self.mark.status.is_some_and(|status| statuses.contains(&status))
    }

    fn answer(subject: &str, status: u32) -> Self {
        let known = STATUSES.iter().find(|known| known.code == status);
        let Some(known) = known else {
            let problem = format!("{subject}: the server answered with status {status:#010x}");
            let mark = Mark { lost: false, status: Some(status) };
            return Self::new(Kind::Other, problem).marked(mark);
        };
        let Known { name, kind, words, lost, .. } = known;
        let problem = format!("{subject}: {words} (STATUS_{name})");
        Self::new(*kind, problem).marked(Mark { lost: *lost, status: Some(status) })
    }
}

/// Finds the server's status; reads, writes and flushes tell it only inside their text.
fn status_of(error: &smb::Error) -> Option<u32> {
    match error {
        smb::Error::ReceivedErrorMessage(status, _) => Some(*status),
        smb::Error::UnexpectedMessageStatus(status) => Some(*status),
        smb::Error::IoError(error) => {
            let text = error.to_string();
            let said = &text[text.find(" status: ")?..];
            let digits = &said[said.rfind("0x")? + 2..];
            let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
            u32::from_str_radix(&digits[..end], 16).ok()
        }
        _ => None,
    }
}

/// What the library says of its own, and what it means.
const LIBRARY: &[(&str, Kind, &str)] = &[
    ("Encryption is required, seems to be unsupported", Kind::Denied, NO_ENCRYPTION),
    ("Encryption is required, but no algorithms", Kind::Denied, NO_ENCRYPTION),
    ("Encryption is required by the connection config", Kind::Denied, NO_ENCRYPTION),
    (
        "Server requires encryption",
        Kind::Denied,
        "the server demands encryption; take `encrypt: no` away",
    ),
    // A guest has no key to sign with, and the library lets nobody in who cannot prove one.
    ("before SSPI authentication completed", Kind::Denied, GUEST),
    ("Signing may be disabled", Kind::Denied, GUEST),
    ("but signing is required for the session", Kind::Denied, GUEST),
    ("Signature verification failed", Kind::Unavailable, CHANGED),
    ("Failed to verify incoming message", Kind::Unavailable, CHANGED),
    ("connection is stopped", Kind::Unavailable, CUT),
    ("Failed to send message", Kind::Unavailable, CUT),
    ("Failed to receive message", Kind::Unavailable, CUT),
    ("Not connected", Kind::Unavailable, CUT),
    ("Operation timed out", Kind::Unavailable, "the server does not answer"),
];

const CUT: &str = "the connection was cut off";
const CHANGED: &str = "an answer of the server was changed on its way";
const GUEST: &str = "the server does not know the user and would let us in as a guest without a \
                     key, which is not done here; check `user` and `password`";
const NO_ENCRYPTION: &str =
    "the server cannot encrypt; take `encrypt: yes` away, or switch SMB 3 encryption on there";

struct Known {
    code: u32,
    name: &'static str,
    kind: Kind,
    lost: bool,
    words: &'static str,
}

const fn known(code: u32, name: &'static str, kind: Kind, words: &'static str) -> Known {
    Known { code, name, kind, lost: false, words }
}

const fn lost(code: u32, name: &'static str, words: &'static str) -> Known {
    Known { code, name, kind: Kind::Unavailable, lost: true, words }
}

pub(super) const ACCESS_DENIED: u32 = 0xC000_0022;
pub(super) const COLLISION: u32 = 0xC000_0035;
pub(super) const SHARING_VIOLATION: u32 = 0xC000_0043;
pub(super) const DELETE_PENDING: u32 = 0xC000_0056;
pub(super) const PATH_NOT_FOUND: u32 = 0xC000_003A;
pub(super) const IS_A_FOLDER: u32 = 0xC000_00BA;
pub(super) const NOT_A_FOLDER: u32 = 0xC000_0103;
pub(super) const NO_MORE_FILES: u32 = 0x8000_0006;
pub(super) const NO_SUCH_FILE: u32 = 0xC000_000F;

const NOWHERE: &str = "there is no such file or folder";
const LOGIN: &str = "the server refuses the user or the password; check `user`, `password` and \
                     `domain`";
const FULL: &str = "no room is left on the share; free some space, or keep fewer copies";
const QUOTA: &str = "the quota is used up; raise it, or keep fewer copies";
const RIGHTS: &str = "access denied; give the user the right to do this on the share and in the \
                      folder";
const BUSY: &str = "the server is busy";
const NAME: &str = "the server takes no such name";
const SESSION: &str = "the server ended the session";

/// Source: <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-erref/596a1078-e883-4972-9bbc-49e60bebca55>.
const STATUSES: &[Known] = &[
    known(0xC000_0034, "OBJECT_NAME_NOT_FOUND", Kind::NotFound, NOWHERE),
    known(PATH_NOT_FOUND, "OBJECT_PATH_NOT_FOUND", Kind::NotFound, NOWHERE),
    known(NO_SUCH_FILE, "NO_SUCH_FILE", Kind::NotFound, NOWHERE),
    known(NOT_A_FOLDER, "NOT_A_DIRECTORY", Kind::NotFound, "a file lies where a folder is needed"),
    known(DELETE_PENDING, "DELETE_PENDING", Kind::NotFound, "it is being deleted"),
    known(IS_A_FOLDER, "FILE_IS_A_DIRECTORY", Kind::NotFound, "a folder lies there"),
    known(ACCESS_DENIED, "ACCESS_DENIED", Kind::Denied, RIGHTS),
    known(0xC000_0061, "PRIVILEGE_NOT_HELD", Kind::Denied, RIGHTS),
    known(0xC000_0121, "CANNOT_DELETE", Kind::Denied, "the server lets nobody delete this"),
    known(0xC000_00A2, "MEDIA_WRITE_PROTECTED", Kind::Denied, "the share can only be read"),
    known(0xC000_006D, "LOGON_FAILURE", Kind::Denied, LOGIN),
    known(0xC000_0064, "NO_SUCH_USER", Kind::Denied, LOGIN),
    known(0xC000_006A, "WRONG_PASSWORD", Kind::Denied, LOGIN),
    known(0xC000_006E, "ACCOUNT_RESTRICTION", Kind::Denied, "the account may not log in here"),
    known(0xC000_006F, "INVALID_LOGON_HOURS", Kind::Denied, "the account may not log in now"),
    known(0xC000_0070, "INVALID_WORKSTATION", Kind::Denied, "the account may not log in from here"),
    known(0xC000_0071, "PASSWORD_EXPIRED", Kind::Denied, "the password has expired; set a new one"),
    known(0xC000_0224, "PASSWORD_MUST_CHANGE", Kind::Denied, "the password must be changed first"),
    known(0xC000_0072, "ACCOUNT_DISABLED", Kind::Denied, "the account is switched off"),
    known(0xC000_0193, "ACCOUNT_EXPIRED", Kind::Denied, "the account has expired"),
    known(0xC000_0234, "ACCOUNT_LOCKED_OUT", Kind::Denied, "the account is locked; unlock it"),
    known(0xC000_015B, "LOGON_TYPE_NOT_GRANTED", Kind::Denied, "the account may not log in here"),
    known(
        0xC000_00CC,
        "BAD_NETWORK_NAME",
        Kind::Other,
        "the server has no such share; check `share`",
    ),
    known(0xC000_007F, "DISK_FULL", Kind::Full, FULL),
    known(0xC000_0099, "ALLOTTED_SPACE_EXCEEDED", Kind::Full, FULL),
    known(0xC000_0044, "QUOTA_EXCEEDED", Kind::Full, QUOTA),
    known(0xC000_0802, "DISK_QUOTA_EXCEEDED", Kind::Full, QUOTA),
    known(
        SHARING_VIOLATION,
        "SHARING_VIOLATION",
        Kind::Unavailable,
        "another program holds it open; close it there",
    ),
    known(0xC000_0054, "FILE_LOCK_CONFLICT", Kind::Unavailable, "another program has locked it"),
    known(COLLISION, "OBJECT_NAME_COLLISION", Kind::Other, "something lies there already"),
    known(0xC000_0033, "OBJECT_NAME_INVALID", Kind::Unsupported, NAME),
    known(0xC000_0106, "NAME_TOO_LONG", Kind::Unsupported, NAME),
    known(
        0xC000_0904,
        "FILE_TOO_LARGE",
        Kind::Unsupported,
        "the server takes no file of this size; set `split`",
    ),
    known(
        0xC000_0257,
        "PATH_NOT_COVERED",
        Kind::Unsupported,
        "the folder lies on another server (DFS); name that server and its share",
    ),
    known(
        0xC000_00BB,
        "NOT_SUPPORTED",
        Kind::Unsupported,
        "the server cannot do this; it may want a newer SMB version, signing or encryption",
    ),
    known(0xC000_0102, "FILE_CORRUPT", Kind::Corrupt, "the file system of the server is damaged"),
    known(0xC000_00B5, "IO_TIMEOUT", Kind::Unavailable, BUSY),
    known(0xC000_009A, "INSUFFICIENT_RESOURCES", Kind::Unavailable, BUSY),
    known(0xC000_0205, "INSUFF_SERVER_RESOURCES", Kind::Unavailable, BUSY),
    known(0xC000_00BF, "NETWORK_BUSY", Kind::Unavailable, BUSY),
    known(
        0xC000_00D0,
        "REQUEST_NOT_ACCEPTED",
        Kind::Unavailable,
        "the server takes no more connections",
    ),
    lost(0xC000_0203, "USER_SESSION_DELETED", SESSION),
    lost(0xC000_035C, "NETWORK_SESSION_EXPIRED", SESSION),
    lost(0xC000_00C9, "NETWORK_NAME_DELETED", SESSION),
    lost(0xC000_020C, "CONNECTION_DISCONNECTED", SESSION),
    lost(0xC000_020D, "CONNECTION_RESET", SESSION),
    lost(0xC000_0128, "FILE_CLOSED", "the server closed the file"),
    lost(0xC000_0008, "INVALID_HANDLE", "the server closed the file"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_tells_what_may_be_done() {
        for (status, kind, lost) in [
            (0xC000_0034, Kind::NotFound, false),
            (0xC000_0022, Kind::Denied, false),
            (0xC000_006D, Kind::Denied, false),
            (0xC000_007F, Kind::Full, false),
            (0xC000_0044, Kind::Full, false),
            (0xC000_0203, Kind::Unavailable, true),
            (0xC000_00D0, Kind::Unavailable, false),
            (0xC0FF_EE00, Kind::Other, false),
        ] {
            let trouble = Trouble::about("x", smb::Error::UnexpectedMessageStatus(status));
            assert_eq!((trouble.kind, trouble.mark.lost), (kind, lost), "{status:#x}");
        }
    }

    #[test]
    fn the_status_of_a_write_is_found_in_its_text() {
        for (status, kind) in [(0xC000_007F, Kind::Full), (0xC000_0022, Kind::Denied)] {
            let error = smb::Error::UnexpectedMessageStatus(status).to_string();
            let said = error.replace("Unexpected message", "Server returned an error message with");
            for text in [error, said] {
                let trouble = Trouble::io("x", std::io::Error::other(text.clone()));
                assert_eq!(trouble.kind, kind, "{text}");
            }
        }
        let cut = Trouble::io("x", std::io::Error::other("Client connection is stopped"));
        assert!(cut.mark.lost && cut.kind == Kind::Unavailable);
    }

    #[test]
    fn the_words_name_the_subject_the_cause_and_what_to_do() {
        let error = smb::Error::UnexpectedMessageStatus(0xC000_007F);
        let said = Trouble::about("smb://nas/b/x", error).to_string();
        let should = "smb://nas/b/x: no room is left on the share; free some space, or keep fewer \
                      copies (STATUS_DISK_FULL)";
        assert_eq!(said, should);
    }
}
