//! `mail`: one message to each address, as plain text and HTML, by SMTP or by `sendmail`.
//!
//! Every address gets a message of its own: one that does not exist takes nothing from the others,
//! and what could not be sent is sent later to those who miss it alone.

mod article;
mod compose;
mod sendmail;
mod smtp;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use lettre::Address;
use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};
use crate::notify::{Error, Kind, News, Notifier, Result, Section, Setting};

pub use article::{Article, channels};

/// The keys of a `mail`; the server is that of `main`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who gets it.
    pub to: Vec<String>,
    /// The sender; by default `main.mail_from`.
    pub from: Option<String>,
}

/// How mail leaves this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The server; without one `sendmail` is called.
    pub host: Option<String>,
    /// Its port; by default 465 with implicit TLS, else 25.
    pub port: Option<u16>,
    /// Whether and how TLS is spoken.
    pub tls: Tls,
    /// A login and its password.
    pub login: Option<(String, Secret)>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The sender; by default `nxs-backup` at the name of this machine.
    pub from: Option<String>,
}

/// Whether and how TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    #[default]
    None,
    /// Asked for after the greeting; without it nothing is sent.
    Start,
    /// From the first byte.
    Implicit,
}

/// Says why `address` cannot get mail: `a@b.example`, `Name <a@b.example>`, or a user of this
/// machine.
pub fn address_problem(address: &str) -> Option<String> {
    let is_good = address == PENDING || parsed(address).is_some();
    (!is_good).then(|| format!("`{address}` is not a mail address"))
}

/// A name alone is a user of this machine; a host without a dot is good, too.
fn parsed(address: &str) -> Option<Mailbox> {
    let address = address.trim();
    let is_user = |ch: char| ch.is_ascii_alphanumeric() || "._-".contains(ch);
    match address.chars().all(is_user) {
        true => format!("{address}@{}", host_name()).parse().ok(),
        false => address.parse().ok(),
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.to.is_empty() {
            wrong.push(Wrong::new("to", "`to` names nobody"));
        }
        for (index, address) in self.to.iter().enumerate() {
            let problem = address_problem(address);
            wrong.extend(problem.map(|why| Wrong::new(format!("to[{index}]"), why)));
        }
        let from = self.from.as_deref().and_then(address_problem);
        wrong.extend(from.map(|why| Wrong::new("from", why)));
        wrong
    }

    fn connect(&self, setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        let from = self.from.clone().or_else(|| setting.mail.from.clone());
        let server = Server { from, ..setting.mail.clone() };
        let to = self.to.iter().collect::<BTreeSet<_>>().into_iter();
        to.map(|to| (to.clone(), notifier(&server, to, setting.secret_env))).collect()
    }
}

fn notifier(server: &Server, to: &str, secret_env: &BTreeSet<String>) -> Arc<dyn Notifier> {
    let (server, to, secret_env) = (server.clone(), to.to_owned(), secret_env.clone());
    Arc::new(Mail { server, to, secret_env })
}

/// Mail to one address.
struct Mail {
    server: Server,
    to: String,
    secret_env: BTreeSet<String>,
}

#[async_trait]
impl Notifier for Mail {
    async fn send(&self, news: &News) -> Result<()> {
        let wrong =
            |address: &str| Error::new(Kind::Refused, format!("`{address}` is not a mail address"));
        let to = parsed(&self.to).ok_or_else(|| wrong(&self.to))?;
        let from = match &self.server.from {
            Some(from) => parsed(from).ok_or_else(|| wrong(from))?,
            None => Mailbox::new(None, default_sender()?),
        };
        let message = compose::message(news, from, to).map_err(|why| {
            Error::new(Kind::Refused, format!("the message cannot be made: {why}"))
        })?;
        let (envelope, bytes) = (message.envelope(), message.formatted());
        match &self.server.host {
            Some(host) => smtp::send(&self.server, host, envelope, &bytes).await,
            None => sendmail::send(envelope, &bytes, &self.secret_env).await,
        }
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

fn default_sender() -> Result<Address> {
    let host = host_name();
    Address::new("nxs-backup", &host).map_err(|_| {
        let why =
            format!("no sender can be made of the name of this machine, {host:?}: set `mail_from`");
        Error::new(Kind::Refused, why)
    })
}

/// The name of this machine, as far as it can stand in an address.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let is_good = |ch: char| ch.is_ascii_alphanumeric() || ch == '-' || ch == '.';
    if name.is_empty() || !name.chars().all(is_good) { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        for good in ["a@b.example", "root@localhost", "root", "Jörg <j@b.example>", PENDING] {
            assert_eq!(address_problem(good), None, "{good}");
        }
        for bad in ["", "a@", "@b", "a b@c", "a@b, c@d", "a@b\nBcc: c@d"] {
            assert!(address_problem(bad).is_some(), "{bad}");
        }
    }
}
