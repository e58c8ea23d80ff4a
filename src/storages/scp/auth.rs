//! Logging in: the key, the agent, the password, in this order, as far as they are set.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt, Session};

use crate::base::Secret;
use crate::storages::Kind;
use crate::storages::scp::config::{Config, at_home};
use crate::storages::scp::errors::Trouble;
use crate::storages::scp::line::{Slow, Watch};

/// Logs in; the session must have shaken hands and its host key be good.
pub(super) fn log_in(session: &Session, config: &Config, watch: &Watch) -> Result<(), Trouble> {
    let offered = watch.over(|| session.auth_methods(&config.user).map(str::to_owned));
    let offered = match offered {
        Ok(offered) => offered,
        Err(_) if session.authenticated() => return Ok(()),
        Err(error) => return Err(broke(error, watch)),
    };
    let mut login = Login { session, config, watch, offered };
    let mut ways = Way::all(config);
    let mut refused = Vec::new();
    while let Some(at) = ways.iter().position(|way| login.offers(way)) {
        let done = login.go(&ways.remove(at));
        if session.authenticated() {
            return Ok(());
        }
        let more = login.asks_for_more();
        match done {
            Err(Refused::Lost(trouble)) => return Err(trouble),
            Err(Refused::Said(why)) if !more => refused.push(why),
            _ => (),
        }
    }
    refused.extend(ways.iter().map(|way| way.not_offered(&login.offered)));
    Err(login.refused(&refused))
}

/// A way to log in, as far as the config has it.
enum Way<'a> {
    Key(&'a Path),
    Agent,
    Password(&'a Secret),
}

impl<'a> Way<'a> {
    fn all(config: &'a Config) -> Vec<Self> {
        let key = config.path_to_key.as_deref().map(Self::Key);
        let agent = config.agent.then_some(Self::Agent);
        let password = config.password.as_ref().map(Self::Password);
        [key, agent, password].into_iter().flatten().collect()
    }

    fn not_offered(&self, offered: &str) -> String {
        match self {
            Self::Key(_) | Self::Agent => format!("it takes no keys (but: {offered})"),
            Self::Password(_) => format!("it takes no passwords (but: {offered})"),
        }
    }
}

struct Login<'a> {
    session: &'a Session,
    config: &'a Config,
    watch: &'a Watch,
    /// What the server takes, in its words: `publickey,password`.
    offered: String,
}

/// How one way to log in went: a connection that broke ends it all, a refusal is noted.
enum Refused {
    Lost(Trouble),
    Said(String),
}

impl Login<'_> {
    fn go(&self, way: &Way<'_>) -> Result<(), Refused> {
        match way {
            Way::Key(path) => self.key(&at_home(path)),
            Way::Agent => self.agent(),
            Way::Password(password) => self.password(password),
        }
    }

    fn offers(&self, way: &Way<'_>) -> bool {
        match way {
            Way::Key(_) | Way::Agent => self.takes("publickey"),
            Way::Password(_) => self.takes("password") || self.takes("keyboard-interactive"),
        }
    }

    fn takes(&self, method: &str) -> bool {
        self.offered.split(',').any(|offered| offered == method)
    }

    /// Tells whether the server has taken what was shown and wants something else beside it:
    /// libssh2 reports that as a refusal, but what the server takes has changed.
    fn asks_for_more(&mut self) -> bool {
        let list = || self.session.auth_methods(&self.config.user).map(str::to_owned);
        match self.watch.over(list) {
            Ok(offered) if offered != self.offered => {
                self.offered = offered;
                true
            }
            _ => false,
        }
    }

    fn refused(&self, why: &[String]) -> Trouble {
        let Config { user, host, .. } = self.config;
        let why = match why {
            [] => format!("it wants more than was set (it takes: {})", self.offered),
            why => why.join("; "),
        };
        Trouble::new(Kind::Denied, format!("{host} does not let `{user}` in: {why}"))
    }

    fn key(&self, path: &Path) -> Result<(), Refused> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Refused::Said(format!("the key file {shown} could not be read: {error}"))
        })?;
        let passphrase = self.config.key_passphrase.as_ref().map(Secret::reveal);
        if text.starts_with("PuTTY-User-Key-File") {
            return Err(Refused::Said(format!(
                "{shown} is a key of PuTTY: convert it (`puttygen KEY -O private-openssh -o NEW`)"
            )));
        }
        if passphrase.is_none() && is_locked(&text) {
            return Err(Refused::Said(format!(
                "the key file {shown} is locked by a passphrase: set `key_passphrase`"
            )));
        }
        let user = &self.config.user;
        let log_in = || self.session.userauth_pubkey_memory(user, None, &text, passphrase);
        self.watch.over(log_in).map_err(|error| match error.code() {
            ErrorCode::Session(AUTHENTICATION_FAILED | PUBLICKEY_UNVERIFIED) => {
                Refused::Said(format!(
                    "the key {shown} was refused; its public half must stand in the \
                     authorized_keys of `{user}` there"
                ))
            }
            _ if is_broken(&error) => Refused::Lost(broke(error, self.watch)),
            _ if is_locked(&text) => Refused::Said(format!(
                "the key file {shown} could not be unlocked: is `key_passphrase` right?"
            )),
            _ => Refused::Said(format!(
                "the key file {shown} is no private key that can be read here ({})",
                error.message()
            )),
        })
    }

    fn agent(&self) -> Result<(), Refused> {
        let silent = |error: ssh2::Error| {
            Refused::Said(format!(
                "no SSH agent answers ({}); is SSH_AUTH_SOCK set where this runs?",
                error.message()
            ))
        };
        let mut agent = self.session.agent().map_err(silent)?;
        agent.connect().map_err(silent)?;
        agent.list_identities().map_err(silent)?;
        let keys = agent.identities().map_err(silent)?;
        if keys.is_empty() {
            return Err(Refused::Said("the SSH agent has no keys: `ssh-add` adds one".to_owned()));
        }
        for key in &keys {
            match self.watch.over(|| agent.userauth(&self.config.user, key)) {
                Ok(()) => return Ok(()),
                Err(error) if is_broken(&error) => {
                    return Err(Refused::Lost(broke(error, self.watch)));
                }
                Err(_) => (),
            }
        }
        let names: Vec<_> = keys.iter().map(|key| key.comment().to_owned()).collect();
        Err(Refused::Said(format!("the keys of the SSH agent were refused: {}", names.join(", "))))
    }

    fn password(&self, password: &Secret) -> Result<(), Refused> {
        let user = &self.config.user;
        let done = if self.takes("password") {
            self.watch.over(|| self.session.userauth_password(user, password.reveal()))
        } else {
            let mut answers = Answers(password);
            self.watch.over(|| self.session.userauth_keyboard_interactive(user, &mut answers))
        };
        done.map_err(|error| match error.code() {
            ErrorCode::Session(PASSWORD_EXPIRED) => Refused::Said(
                "the password has expired: log in there by hand and set a new one".to_owned(),
            ),
            _ if is_broken(&error) => Refused::Lost(broke(error, self.watch)),
            _ => Refused::Said(
                "the password was refused; if it is right, the account may be locked, expired \
                 or not allowed in (the server's log says)"
                    .to_owned(),
            ),
        })
    }
}

/// Gives the password to every question whose answer is not shown.
struct Answers<'a>(&'a Secret);

impl KeyboardInteractivePrompt for Answers<'_> {
    fn prompt<'a>(&mut self, _: &str, _: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        let answer = |prompt: &Prompt<'_>| match prompt.echo {
            true => String::new(),
            false => self.0.reveal().to_owned(),
        };
        prompts.iter().map(answer).collect()
    }
}

/// Tells whether a private key wants a passphrase.
fn is_locked(text: &str) -> bool {
    if text.contains("ENCRYPTED") {
        return true;
    }
    let Some((_, inner)) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") else {
        return false;
    };
    let inner: String = inner.chars().filter(|ch| !ch.is_whitespace()).take(48).collect();
    let head = STANDARD.decode(inner).unwrap_or_default();
    head.strip_prefix(b"openssh-key-v1\0\0\0\0\x04none").is_none()
}

/// Tells whether an error is about the connection, not about who logs in.
fn is_broken(error: &ssh2::Error) -> bool {
    let broken = [SOCKET_SEND, SOCKET_DISCONNECT, SOCKET_RECV, SOCKET_NONE];
    error.is_slow() || broken.iter().any(|code| error.code() == ErrorCode::Session(*code))
}

/// Says that the connection broke before we were in.
pub(super) fn broke(error: ssh2::Error, watch: &Watch) -> Trouble {
    if error.is_slow() {
        return Trouble::lost("the server does not answer the login", watch.silence());
    }
    Trouble::lost("the server ended the connection before the login was done", error)
}

/// What libssh2 calls its errors.
const SOCKET_NONE: i32 = -1;
const SOCKET_SEND: i32 = -7;
const SOCKET_DISCONNECT: i32 = -13;
const PASSWORD_EXPIRED: i32 = -15;
const AUTHENTICATION_FAILED: i32 = -18;
const PUBLICKEY_UNVERIFIED: i32 = -19;
const SOCKET_RECV: i32 = -43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_key_is_seen() {
        let open = format!("openssh-key-v1\0\0\0\0\x04none{}", "x".repeat(20));
        let locked = format!("openssh-key-v1\0\0\0\0\x0aaes256-ctr{}", "x".repeat(20));
        let file = |inner: &str| {
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", STANDARD.encode(inner))
        };
        assert!(!is_locked(&file(&open)));
        assert!(is_locked(&file(&locked)));
        assert!(is_locked("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        assert!(!is_locked("-----BEGIN PRIVATE KEY-----"));
    }
}
