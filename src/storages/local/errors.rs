//! What the system said, in words that tell what to do.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::storages::Kind;

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble;

impl Trouble {
    /// Wraps what the system answered about `path`.
    pub(super) fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let path = path.display();
        let (kind, advice) = judge(&error);
        let problem = match advice {
            Some(advice) => format!("{path}: {advice}"),
            None => path.to_string(),
        };
        Self::of(kind, problem, error)
    }
}

/// Tells the kind of a system error, and what a person may do about it.
fn judge(error: &io::Error) -> (Kind, Option<&'static str>) {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => (Kind::NotFound, None),
        Some(Errno::ACCESS | Errno::PERM) => {
            (Kind::Denied, Some("give the user that runs the backup the right to write here"))
        }
        Some(Errno::ROFS) => (Kind::Denied, Some("remount the file system for writing")),
        Some(Errno::NOSPC) => (Kind::Full, Some("free some space, or keep fewer copies")),
        Some(Errno::DQUOT) => (Kind::Full, Some("raise the quota, or keep fewer copies")),
        Some(Errno::STALE | Errno::TIMEDOUT | Errno::HOSTDOWN | Errno::NOTCONN) => {
            (Kind::Unavailable, Some("the file server does not answer"))
        }
        Some(Errno::NOTDIR) => (
            Kind::Other,
            Some("a file or a link lies where a folder is needed: move it away or name another"),
        ),
        Some(Errno::LOOP) => (Kind::Denied, Some("links are not followed here")),
        Some(Errno::NAMETOOLONG) => (Kind::Unsupported, Some("the file system takes no such name")),
        Some(Errno::FBIG) => {
            (Kind::Unsupported, Some("the file system takes no file of this size: set `split`"))
        }
        _ => (Kind::Other, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    #[test]
    fn the_kind_tells_what_may_be_done() {
        for (errno, kind) in [
            (Errno::NOENT, Kind::NotFound),
            (Errno::ACCESS, Kind::Denied),
            (Errno::PERM, Kind::Denied),
            (Errno::ROFS, Kind::Denied),
            (Errno::NOSPC, Kind::Full),
            (Errno::DQUOT, Kind::Full),
            (Errno::STALE, Kind::Unavailable),
            (Errno::TIMEDOUT, Kind::Unavailable),
            (Errno::IO, Kind::Other),
        ] {
            assert_eq!(Trouble::io(Path::new("/b"), errno).kind, kind, "{errno}");
        }
    }

    #[test]
    fn the_words_name_the_path_the_cause_and_what_to_do() {
        let said = chain(&Trouble::io(Path::new("/b/x"), Errno::DQUOT));
        let should = "/b/x: raise the quota, or keep fewer copies: \
                      Disk quota exceeded (os error 122)";
        assert_eq!(said, should);
    }
}
