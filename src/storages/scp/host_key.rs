//! Whether the server is the one that is meant: its host key against what is known.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::storages::Kind;
use crate::storages::scp::config::{Config, at_home};
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::known_hosts::{self, Line};
use crate::storages::scp::wire::Values;

/// A public key of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostKey(Vec<u8>);

impl HostKey {
    pub(super) fn new(blob: impl Into<Vec<u8>>) -> Self {
        Self(blob.into())
    }

    /// Reads a key as files write it.
    pub(super) fn from_base64(text: &str) -> Option<Self> {
        let key = Self(STANDARD.decode(text).ok()?);
        (!key.kind().is_empty()).then_some(key)
    }

    pub(super) fn blob(&self) -> &[u8] {
        &self.0
    }

    /// Returns `ssh-ed25519` and the like; empty when it is no key.
    pub(super) fn kind(&self) -> &str {
        let kind = Values(&self.0).text().ok();
        kind.and_then(|kind| std::str::from_utf8(kind).ok()).unwrap_or_default()
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.0)))
    }

    /// Returns it as files write it: `TYPE BASE64`.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.kind(), STANDARD.encode(&self.0))
    }

    fn shown(&self) -> String {
        format!("{} {}", self.kind(), self.fingerprint())
    }
}

/// The one key that the config trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pin {
    Key(HostKey),
    Fingerprint(String),
}

impl Pin {
    /// Reads `TYPE BASE64` or `SHA256:…`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(digest) = text.strip_prefix("SHA256:") {
            let digest = digest.trim_end_matches('=');
            return match STANDARD_NO_PAD.decode(digest) {
                Ok(bytes) if bytes.len() == 32 => Ok(Self::Fingerprint(format!("SHA256:{digest}"))),
                _ => Err("`host_key` is no SHA256 fingerprint: 43 letters and digits follow \
                          `SHA256:`"
                    .to_owned()),
            };
        }
        let mut words = text.split_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match HostKey::from_base64(key) {
            Some(key) if key.kind() == kind => Ok(Self::Key(key)),
            _ => {
                Err("`host_key` must be `TYPE BASE64` (as in a `.pub` file) or `SHA256:…`"
                    .to_owned())
            }
        }
    }

    fn is(&self, key: &HostKey) -> bool {
        match self {
            Self::Key(pinned) => pinned == key,
            Self::Fingerprint(fingerprint) => *fingerprint == key.fingerprint(),
        }
    }
}

/// What is known of the server before it is asked.
pub(super) struct Trust {
    pin: Option<Pin>,
    lines: Vec<Line>,
    files: Vec<PathBuf>,
    /// What the server is called in files: `host` or `[host]:port`.
    name: String,
    accept_new: bool,
}

/// What a host key is worth.
pub(super) enum Verdict {
    Good,
    /// It is not the one that was pinned; one of another type may be.
    Another(Trouble),
    Bad(Trouble),
}

impl Trust {
    /// Reads what the config and the files say about the server.
    pub(super) fn of(config: &Config) -> Result<Self, Trouble> {
        let pin = config.host_key.as_deref().map(Pin::parse).transpose();
        let pin = pin.map_err(|problem| Trouble::new(Kind::Denied, problem))?;
        let files = match (&pin, &config.known_hosts) {
            (Some(_), _) => Vec::new(),
            (None, Some(file)) => vec![at_home(file)],
            (None, None) => DEFAULT_FILES.iter().map(|file| at_home(Path::new(file))).collect(),
        };
        let name = match config.port() {
            22 => config.host.to_lowercase(),
            port => format!("[{}]:{port}", config.host.to_lowercase()),
        };
        let accept_new = config.accept_new;
        let mut trust = Self { pin, lines: Vec::new(), files, name, accept_new };
        trust.lines = trust.read()?;
        Ok(trust)
    }

    /// Returns the types of keys that are known, best first; each entry is for one attempt.
    pub(super) fn attempts(&self) -> Vec<String> {
        let known: Vec<&str> = match &self.pin {
            Some(Pin::Key(key)) => vec![key.kind()],
            Some(Pin::Fingerprint(_)) => return FAMILIES.map(str::to_owned).to_vec(),
            None => {
                self.lines.iter().filter(|line| !line.revoked).map(|line| line.key.kind()).collect()
            }
        };
        let algorithms = |kind| if kind == "ssh-rsa" { RSA } else { kind };
        let all = FAMILIES.join(",");
        let known = known.into_iter().map(algorithms).flat_map(|kind| kind.split(','));
        let mut order: Vec<&str> = Vec::new();
        for algorithm in known.chain(all.split(',')) {
            if !order.contains(&algorithm) {
                order.push(algorithm);
            }
        }
        vec![order.join(",")]
    }

    /// Says whether `key`, which the server has shown, is the right one.
    pub(super) fn judge(&self, key: &HostKey) -> Verdict {
        if let Some(pin) = &self.pin {
            return match pin.is(key) {
                true => Verdict::Good,
                false => Verdict::Another(self.not_pinned(key)),
            };
        }
        if let Some(line) = self.lines.iter().find(|line| line.revoked && line.key == *key) {
            let problem = format!(
                "the host key {} of {} is revoked in {}: somebody else may have it; \
                 give the server a new one",
                key.shown(),
                self.name,
                line.file.display()
            );
            return Verdict::Bad(Trouble::new(Kind::Denied, problem));
        }
        let mut known = self.lines.iter().filter(|line| !line.revoked).peekable();
        match known.peek().copied() {
            Some(_) if known.any(|line| line.key == *key) => Verdict::Good,
            Some(line) => Verdict::Bad(self.changed(line, key)),
            None if self.accept_new => match self.remember(key) {
                Ok(()) => Verdict::Good,
                Err(trouble) => Verdict::Bad(trouble),
            },
            None => Verdict::Bad(self.unknown(key)),
        }
    }

    fn read(&self) -> Result<Vec<Line>, Trouble> {
        let mut lines = Vec::new();
        for file in &self.files {
            match fs::read_to_string(file) {
                Ok(text) => lines.extend(known_hosts::about(&self.name, &text, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => {
                    let problem = format!(
                        "{}: the known host keys could not be read; \
                         name another file in `known_hosts`, or set `host_key`",
                        file.display()
                    );
                    return Err(Trouble::of(Kind::Denied, problem, error));
                }
            }
        }
        Ok(lines)
    }

    /// Adds the key of a host that nobody has seen; another thread may have done so just now.
    fn remember(&self, key: &HostKey) -> Result<(), Trouble> {
        static REMEMBERING: Mutex<()> = Mutex::new(());
        let _one = REMEMBERING.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.files.first().map_or(Path::new(""), PathBuf::as_path);
        let known = self.read()?;
        if known.iter().any(|line| line.key == *key && !line.revoked) {
            return Ok(());
        }
        if let Some(line) = known.first() {
            return Err(self.changed(line, key));
        }
        append(file, &format!("{} {}\n", self.name, key.text())).map_err(|error| {
            let problem = format!(
                "{}: the new host key {} of {} could not be written there",
                file.display(),
                key.shown(),
                self.name
            );
            Trouble::of(Kind::Denied, problem, error)
        })
    }

    fn unknown(&self, key: &HostKey) -> Trouble {
        let kind = key.kind().trim_start_matches("ssh-");
        let kind = if kind.starts_with("ecdsa") { "ecdsa" } else { kind };
        let problem = format!(
            "the host key {} of {} is not known; compare it with the server's own \
             (`ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub` there), then set \
             host_key: '{}'",
            key.shown(),
            self.name,
            key.text()
        );
        Trouble::new(Kind::Denied, problem)
    }

    fn changed(&self, line: &Line, key: &HostKey) -> Trouble {
        let problem = format!(
            "the host key of {} has changed: {} has {}, the server shows {}; somebody may sit \
             between you and it: only if the server was really set up anew, remove the old key \
             (`ssh-keygen -R '{}' -f {}`) and let the new one be known",
            self.name,
            line.file.display(),
            line.key.shown(),
            key.shown(),
            self.name,
            line.file.display()
        );
        Trouble::new(Kind::Denied, problem)
    }

    fn not_pinned(&self, key: &HostKey) -> Trouble {
        let pinned = match &self.pin {
            Some(Pin::Key(key)) => key.shown(),
            Some(Pin::Fingerprint(fingerprint)) => fingerprint.clone(),
            None => String::new(),
        };
        let problem = format!(
            "the host key of {} is not the one that `host_key` names: that is {pinned}, the \
             server shows {}; somebody may sit between you and it: only if the server was really \
             set up anew, set host_key: '{}'",
            self.name,
            key.shown(),
            key.text()
        );
        Trouble::new(Kind::Denied, problem)
    }
}

fn append(file: &Path, line: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let open = match fs::read(file) {
        Ok(text) => !text.is_empty() && !text.ends_with(b"\n"),
        Err(_) => false,
    };
    let line = if open { format!("\n{line}") } else { line.to_owned() };
    let mut out = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    out.write_all(line.as_bytes())?;
    out.sync_all()
}

const DEFAULT_FILES: [&str; 2] = ["~/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"];
const RSA: &str = "rsa-sha2-512,rsa-sha2-256";
const FAMILIES: [&str; 3] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521", RSA];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    const ED: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHA7ddiY2aoT9mUFqiM1pgiaqBVFUNgKYQzhVtKD2DX";

    fn key(text: &str) -> HostKey {
        HostKey::from_base64(text.split(' ').nth(1).unwrap()).unwrap()
    }

    fn trust(folder: &tempfile::TempDir, text: &str, accept_new: bool) -> Trust {
        let file = folder.path().join("kh/known_hosts");
        if !text.is_empty() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
        }
        let config = Config {
            host: "Host".to_owned(),
            port: Some(2222),
            known_hosts: Some(file),
            accept_new,
            ..Config::default()
        };
        Trust::of(&config).unwrap()
    }

    fn words(verdict: Verdict) -> Option<String> {
        match verdict {
            Verdict::Good => None,
            Verdict::Another(trouble) | Verdict::Bad(trouble) => Some(chain(&trouble)),
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_line_for_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let said = words(trust(&folder, "", false).judge(&key(ED))).unwrap();
        let fingerprint = key(ED).fingerprint();
        assert!(said.contains(&fingerprint), "{said}");
        assert!(said.ends_with(&format!("then set host_key: '{ED}'")), "{said}");
        assert!(said.contains("ssh_host_ed25519_key.pub"), "{said}");
        assert!(Pin::parse(ED).unwrap().is(&key(ED)));
        assert!(Pin::parse(&fingerprint).unwrap().is(&key(ED)));
        assert!(!Pin::parse(&fingerprint).unwrap().is(&key(OTHER)));
    }

    #[test]
    fn a_new_key_is_remembered_once_and_a_changed_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(words(trust(&folder, "other.example x", true).judge(&key(ED))), None);
        let text = fs::read_to_string(folder.path().join("kh/known_hosts")).unwrap();
        assert_eq!(text, format!("other.example x\n[host]:2222 {ED}\n"));
        let again = trust(&folder, &text, true);
        assert_eq!(words(again.judge(&key(ED))), None);
        let said = words(again.judge(&key(OTHER))).unwrap();
        assert!(said.contains("has changed") && said.contains("ssh-keygen -R '[host]:2222'"));
        assert_eq!(fs::read_to_string(folder.path().join("kh/known_hosts")).unwrap(), text);
    }

    #[test]
    fn a_revoked_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let trust = trust(&folder, &format!("@revoked * {ED}"), true);
        assert!(words(trust.judge(&key(ED))).unwrap().contains("revoked"));
    }

    #[test]
    fn the_known_type_is_asked_for_first() {
        let folder = tempfile::tempdir().unwrap();
        let rsa = format!("ssh-rsa {}", STANDARD.encode(b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03"));
        let trust = trust(&folder, &format!("[host]:2222 {rsa}"), false);
        let [order] = &trust.attempts()[..] else { panic!("one attempt") };
        assert!(order.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519,"), "{order}");
    }

    #[test]
    fn a_pin_that_is_none_is_said() {
        for bad in ["", "SHA256:abc", "ssh-rsa", "ssh-rsa AAAA", "MD5:aa:bb"] {
            assert!(Pin::parse(bad).is_err(), "{bad}");
        }
        let swapped = ED.replacen("ssh-ed25519", "ssh-rsa", 1);
        assert!(Pin::parse(&swapped).is_err());
    }
}
