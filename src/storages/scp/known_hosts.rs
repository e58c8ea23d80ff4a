//! The files in which OpenSSH keeps host keys.
//!
//! Certificates of hosts (`@cert-authority`) are not supported: such lines count for nothing.
//!
//! Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".

use std::path::{Path, PathBuf};

use ssh2::{CheckResult, KnownHostFileKind, Session};

use crate::storages::scp::host_key::HostKey;

/// A line about the server that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) key: HostKey,
    pub(super) revoked: bool,
    pub(super) file: PathBuf,
}

/// Gives the lines of `text`, read from `file`, that are about the server called `name`.
pub(super) fn about(name: &str, text: &str, file: &Path) -> Vec<Line> {
    text.lines().filter_map(|line| read(name, line, file)).collect()
}

fn read(name: &str, line: &str, file: &Path) -> Option<Line> {
    let line = line.trim();
    let mut words = line.split_whitespace().peekable();
    let revoked = match words.peek().copied()? {
        "@revoked" => words.next().is_some(),
        word if word.starts_with(['@', '#']) => return None,
        _ => false,
    };
    let (names, kind, key) = (words.next()?, words.next()?, words.next()?);
    let key = HostKey::from_base64(key).filter(|key| key.kind() == kind)?;
    let is_meant = match names.strip_prefix('|') {
        Some(_) => is_hash_of(name, &format!("{names} {}", key.text()), &key),
        None => fits(name, names),
    };
    is_meant.then(|| Line { key, revoked, file: file.to_owned() })
}

/// Tells whether a list of patterns means `name`: one fits, and none that is negated does.
fn fits(name: &str, patterns: &str) -> bool {
    let mut found = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if is_like(name, &pattern.to_lowercase()) => return false,
            Some(_) => (),
            None => found |= is_like(name, &pattern.to_lowercase()),
        }
    }
    found
}

/// Compares with a pattern of `*` and `?`; brackets mean themselves.
fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.as_bytes(), pattern.as_bytes());
    let (mut at, mut in_pattern, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[at] => {
                (at, in_pattern) = (at + 1, in_pattern + 1);
            }
            _ => {
                let Some((behind, from)) = star else { return false };
                star = Some((behind, from + 1));
                (in_pattern, at) = (behind + 1, from + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|byte| *byte == b'*')
}

/// Lets libssh2 compare a name with its hash.
fn is_hash_of(name: &str, line: &str, key: &HostKey) -> bool {
    let Ok(mut hosts) = Session::new().and_then(|session| session.known_hosts()) else {
        return false;
    };
    let read = hosts.read_str(line, KnownHostFileKind::OpenSSH);
    read.is_ok() && matches!(hosts.check(name, key.blob()), CheckResult::Match)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    fn means(names: &str, name: &str) -> bool {
        !about(name, &format!("# a comment\n\n{names} {KEY} and a comment\n"), Path::new("f"))
            .is_empty()
    }

    #[test]
    fn names_and_patterns_are_compared_as_openssh_does() {
        assert!(means("a.example", "a.example"));
        assert!(means("10.0.0.1,A.example", "a.example"));
        assert!(means("[a.example]:2222", "[a.example]:2222"));
        assert!(!means("a.example", "[a.example]:2222"));
        assert!(means("*.example", "a.example"));
        assert!(means("a?example", "a.example"));
        assert!(!means("*.example,!a.example", "a.example"));
        assert!(!means("!b.example", "a.example"));
        assert!(!means("*.examples", "a.example"));
        assert!(means("*a*e*", "a.example"));
    }

    #[test]
    fn lines_that_say_nothing_count_for_nothing() {
        assert!(!means("@cert-authority *", "a.example"));
        assert!(!means("", "a.example"));
        assert!(about("a", "a ssh-ed25519 AAAA", Path::new("f")).is_empty());
        assert!(
            about("a", &format!("a {}", KEY.replacen("ed25519", "rsa", 1)), Path::new("f"))
                .is_empty()
        );
    }

    #[test]
    fn a_hashed_name_is_found() {
        let hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=";
        assert!(means(hashed, "192.168.1.61"));
        assert!(!means(hashed, "192.168.1.62"));
    }
}
