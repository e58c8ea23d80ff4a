//! What the server or the connection said, in words that tell what to do.

use std::io;

use crate::base::BoxError;
use crate::storages::Kind;
use crate::storages::scp::sftp::{Fault, code};

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble<Mark>;

/// What it means for the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    /// It is of no use any more; another one may be.
    pub(super) lost: bool,
}

impl Trouble {
    /// Says that the connection broke.
    pub(super) fn lost(problem: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::of(Kind::Unavailable, problem, source).marked(Mark { lost: true })
    }

    /// Says that nobody waits for the answer any more.
    pub(super) fn given_up() -> Self {
        Self::new(Kind::Body, "the put was given up")
    }
}

impl Fault {
    /// Says what a refused request about `path` means; `right` is what the user lacks when it is
    /// a right: `write into this folder`.
    pub(super) fn about(self, path: &str, right: &str) -> Trouble {
        let status = match self {
            Self::Lost(error) => return lost(error),
            Self::Said(status) => status,
        };
        let (kind, advice) = match status.code {
            code::NO_SUCH_FILE | code::NO_SUCH_PATH => (Kind::NotFound, String::new()),
            code::PERMISSION_DENIED | code::WRITE_PROTECT => {
                let advice = format!("; give the user that logs in the right to {right}");
                (Kind::Denied, advice)
            }
            code::NO_SPACE => (Kind::Full, "; free some space, or keep fewer copies".to_owned()),
            code::QUOTA => (Kind::Full, "; raise the quota, or keep fewer copies".to_owned()),
            code::UNSUPPORTED => (Kind::Unsupported, String::new()),
            code::FAILURE => (Kind::Other, "; its log may say more".to_owned()),
            _ => (Kind::Other, String::new()),
        };
        Trouble::new(kind, format!("{path}: the server says: {status}{advice}"))
    }
}

fn lost(error: io::Error) -> Trouble {
    let problem = match error.kind() {
        io::ErrorKind::TimedOut => "the server does not answer any more",
        io::ErrorKind::UnexpectedEof => "the server ended the connection",
        io::ErrorKind::InvalidData => "the server does not keep to SFTP",
        _ => "the connection to the server broke",
    };
    Trouble::lost(problem, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;
    use crate::storages::scp::sftp::Status;

    #[test]
    fn the_words_name_the_path_the_cause_and_what_to_do() {
        let said = |code, message: &str| {
            let trouble = Fault::Said(Status { code, message: message.to_owned() });
            let trouble = trouble.about("a/b", "write into this folder");
            (trouble.kind, chain(&trouble))
        };
        let (kind, words) = said(code::PERMISSION_DENIED, "Permission denied");
        assert_eq!(kind, Kind::Denied);
        assert_eq!(
            words,
            "a/b: the server says: permission denied; \
             give the user that logs in the right to write into this folder"
        );
        assert_eq!(said(code::QUOTA, "").0, Kind::Full);
        assert_eq!(
            said(code::FAILURE, "").1,
            "a/b: the server says: failure; its log may say more"
        );
    }

    #[test]
    fn a_broken_connection_may_work_later() {
        let silent = io::Error::new(io::ErrorKind::TimedOut, "no answer for 3 s");
        let trouble = Fault::Lost(silent).about("a", "read it");
        assert!(trouble.mark.lost && trouble.kind == Kind::Unavailable);
        assert_eq!(chain(&trouble), "the server does not answer any more: no answer for 3 s");
    }
}
