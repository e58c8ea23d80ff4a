//! What a server said, in words that tell what to do.

use nfs3_client::RpcError;
use nfs3_client::nfs3_types::mount::mountstat3;
use nfs3_client::nfs3_types::nfs3::nfsstat3;

use crate::storages::nfs::server::Way;
use crate::storages::{Error, Kind};

/// Why a step from handle to handle stopped.
pub(super) enum Trouble {
    /// A handle leads nowhere any more: its file or folder was removed under our hands.
    Stale,
    /// Anything else.
    Error(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Tells what a status of NFS means, and what a person may do about it.
pub(super) fn refused(status: nfsstat3, way: &Way) -> (Kind, String) {
    use nfsstat3 as S;
    let (kind, advice) = match status {
        S::NFS3ERR_NOENT => (Kind::NotFound, "there is no such file".to_owned()),
        S::NFS3ERR_ACCES | S::NFS3ERR_PERM => (Kind::Denied, not_allowed(way)),
        S::NFS3ERR_ROFS => {
            (Kind::Denied, "the export is read-only for us: export it with `rw`".to_owned())
        }
        S::NFS3ERR_NOSPC => {
            (Kind::Full, "no space is left: free some, or keep fewer copies".to_owned())
        }
        S::NFS3ERR_DQUOT => {
            let words = "the quota of uid {uid} is used up: raise it, or keep fewer copies";
            (Kind::Full, words.replace("{uid}", &way.uid.to_string()))
        }
        S::NFS3ERR_FBIG => (
            Kind::Unsupported,
            "the server takes no file of this size: set `split` on the job".to_owned(),
        ),
        S::NFS3ERR_NAMETOOLONG => {
            (Kind::Unsupported, "the server takes no name of this length".to_owned())
        }
        S::NFS3ERR_NOTSUPP => (Kind::Unsupported, "the server cannot do this".to_owned()),
        S::NFS3ERR_STALE | S::NFS3ERR_BADHANDLE => (Kind::Unavailable, STALE.to_owned()),
        S::NFS3ERR_JUKEBOX => {
            (Kind::Unavailable, "the server is busy and asks to come back later".to_owned())
        }
        S::NFS3ERR_NOTDIR | S::NFS3ERR_ISDIR | S::NFS3ERR_EXIST | S::NFS3ERR_NOTEMPTY => {
            (Kind::Other, IN_THE_WAY.to_owned())
        }
        S::NFS3ERR_BAD_COOKIE => {
            (Kind::Unavailable, "the folder changed too much while it was listed".to_owned())
        }
        S::NFS3ERR_IO | S::NFS3ERR_SERVERFAULT | S::NFS3ERR_NXIO => {
            (Kind::Other, "the server has trouble of its own: look into its log".to_owned())
        }
        _ => (Kind::Other, "the server refused".to_owned()),
    };
    (kind, format!("{}: {advice} ({status})", way.place()))
}

fn not_allowed(way: &Way) -> String {
    format!(
        "uid {} and gid {} may not do this there: give them the right on the server, or set \
         `uid` and `gid` of one who may (an export with `root_squash` takes root for nobody)",
        way.uid, way.gid
    )
}

/// Tells why the mount service refused; `exports` is what it says it has.
pub(super) fn not_mounted(
    status: mountstat3,
    way: &Way,
    privileged: bool,
    exports: Option<&str>,
) -> (Kind, String) {
    let there = exports.map(|exports| format!(" to what is there: {exports}")).unwrap_or_default();
    let (host, export) = (&way.host, &way.export);
    let denied = matches!(status, mountstat3::MNT3ERR_ACCES | mountstat3::MNT3ERR_PERM);
    let (kind, words) = if denied {
        let port = if privileged { "" } else { UNPRIVILEGED };
        let words = format!(
            "{host} does not let this host mount {export}: name it in the server's \
             /etc/exports, or set `export`{there}{port}"
        );
        (Kind::Denied, words)
    } else {
        (Kind::Other, format!("{host} has nothing to mount at {export}: set `export`{there}"))
    };
    (kind, format!("{words} ({status})"))
}

/// Tells what a call means that brought no answer of its program.
pub(super) fn unanswered(error: &RpcError, who: &str, privileged: bool) -> (Kind, String) {
    match error {
        RpcError::Io(error) => {
            (Kind::Unavailable, format!("the connection to {who} broke off: {error}"))
        }
        RpcError::Auth(status) => {
            let port = if privileged { "" } else { UNPRIVILEGED };
            let words = format!(
                "{who} refuses AUTH_SYS credentials from here ({status}){port}; where it demands \
                 Kerberos, mount the export and use {LOCAL}"
            );
            (Kind::Denied, words)
        }
        RpcError::ProgUnavail | RpcError::ProgMismatch { .. } => {
            (Kind::Unsupported, format!("{who} does not speak NFSv3: {ONLY_V4}"))
        }
        RpcError::SystemErr => (Kind::Unavailable, format!("{who} has trouble of its own")),
        error => (Kind::Other, format!("{who} gave an answer that makes no sense: {error}")),
    }
}

/// What a refusal may have to do with when we are not root.
const UNPRIVILEGED: &str = "; it may demand a source port below 1024, which only root can take: \
                            run as root, or add `insecure` to the export";

/// What is left where the server has no NFSv3.
pub(super) const ONLY_V4: &str =
    "mount the export with NFSv4 and use a `local` storage with `must_be_mounted: yes`";

const LOCAL: &str = "a `local` storage with `must_be_mounted: yes`";

pub(super) const STALE: &str = "the handle is stale: the file or the export was removed or made \
                                anew on the server";

pub(super) const IN_THE_WAY: &str = "a file, a link or a folder lies in the way: move it, or name \
                                     another `backup_dir`";

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way {
            host: "nas".to_owned(),
            export: "/vol".to_owned(),
            below: "web".to_owned(),
            port: None,
            mount_port: None,
            uid: 1000,
            gid: 100,
            gids: Vec::new(),
            connections: 4,
        }
    }

    #[test]
    fn the_kind_tells_what_may_be_done() {
        use nfsstat3 as S;
        for (status, kind) in [
            (S::NFS3ERR_NOENT, Kind::NotFound),
            (S::NFS3ERR_ACCES, Kind::Denied),
            (S::NFS3ERR_PERM, Kind::Denied),
            (S::NFS3ERR_ROFS, Kind::Denied),
            (S::NFS3ERR_NOSPC, Kind::Full),
            (S::NFS3ERR_DQUOT, Kind::Full),
            (S::NFS3ERR_FBIG, Kind::Unsupported),
            (S::NFS3ERR_STALE, Kind::Unavailable),
            (S::NFS3ERR_JUKEBOX, Kind::Unavailable),
            (S::NFS3ERR_IO, Kind::Other),
        ] {
            assert_eq!(refused(status, &way()).0, kind, "{status}");
        }
    }

    #[test]
    fn the_words_name_the_place_the_cause_and_what_to_do() {
        let said = refused(nfsstat3::NFS3ERR_DQUOT, &way()).1;
        let should = "nas:/vol/web: the quota of uid 1000 is used up: raise it, or keep fewer \
                      copies (NFS3ERR_DQUOT)";
        assert_eq!(said, should);
    }

    #[test]
    fn only_who_is_not_root_is_told_about_source_ports() {
        let said = |privileged| {
            not_mounted(mountstat3::MNT3ERR_ACCES, &way(), privileged, Some("/a, /b")).1
        };
        assert!(said(false).ends_with("add `insecure` to the export (MNT3ERR_ACCES)"));
        assert!(said(true).contains("set `export` to what is there: /a, /b"), "{}", said(true));
        assert!(!said(true).contains("insecure"), "{}", said(true));
    }
}
