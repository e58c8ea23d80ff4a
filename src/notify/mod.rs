//! Telling people and machines how a run went: one trait, one file a kind, and the list of kinds.
//!
//! A notifier does one thing: it gives news to the other side. Who hears what, retries, timeouts
//! and what is kept for later lie in `post`. A new kind is its file with its `Config`, and four
//! lines here: `mod`, variant, row and arm.

mod channel;
/// A message of Discord.
pub mod discord;
mod echo;
mod http;
mod log;
/// Mail to one address, by SMTP or `sendmail`.
pub mod mail;
/// A message of Mattermost.
pub mod mattermost;
mod news;
/// A message of ntfy.
pub mod ntfy;
mod outbox;
/// Signs of life for a health check.
pub mod ping;
/// Who hears what, and what is kept until it was heard.
pub mod post;
mod short;
/// A message of Slack.
pub mod slack;
/// A message of Telegram.
pub mod telegram;
mod template;
mod text;
mod view;
/// A request of one's own making.
pub mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Plugin, Wrong};

pub use channel::{Channel, Rule, When};
pub use log::Log;
pub use news::{Late, News, Occasion, Severity, Told};

/// A notifier as the config describes it: one variant a kind, called as in [`Config::KINDS`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Config {
    /// Mail.
    Mail(mail::Config),
    /// A request of one's own making.
    Webhook(webhook::Config),
    /// A message of Slack.
    Slack(slack::Config),
    /// A message of Telegram.
    Telegram(telegram::Config),
    /// A message of Discord.
    Discord(discord::Config),
    /// A message of Mattermost.
    Mattermost(mattermost::Config),
    /// A message of ntfy.
    Ntfy(ntfy::Config),
    /// Signs of life for a health check.
    Ping(ping::Config),
}

impl Config {
    /// The kinds that are built, with their other spellings.
    pub const KINDS: &'static [Plugin] = &[
        Plugin::notifier("mail", &["email"], mail::Config::json_schema),
        Plugin::notifier("webhook", &[], webhook::Config::json_schema),
        Plugin::notifier("slack", &[], slack::Config::json_schema),
        Plugin::notifier("telegram", &[], telegram::Config::json_schema),
        Plugin::notifier("discord", &[], discord::Config::json_schema),
        Plugin::notifier("mattermost", &[], mattermost::Config::json_schema),
        Plugin::notifier("ntfy", &[], ntfy::Config::json_schema),
        Plugin::notifier("ping", &["healthcheck", "healthchecks"], ping::Config::json_schema),
    ];

    /// Returns what the kind says of itself.
    pub fn section(&self) -> &dyn Section {
        match self {
            Self::Mail(mail) => mail,
            Self::Webhook(webhook) => webhook,
            Self::Slack(slack) => slack,
            Self::Telegram(telegram) => telegram,
            Self::Discord(discord) => discord,
            Self::Mattermost(mattermost) => mattermost,
            Self::Ntfy(ntfy) => ntfy,
            Self::Ping(ping) => ping,
        }
    }
}

/// What the `Config` of a kind says of itself.
pub trait Section {
    /// Says what is wrong beyond the types of the values. What was not fetched is
    /// [`crate::base::PENDING`].
    fn problems(&self) -> Vec<Wrong>;
    /// Makes the notifiers, one for each who is told; each name is what tells it from the others
    /// of the same entry, empty where there is but one. Nothing is dialled before the first news.
    fn connect(&self, setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)>;
}

/// What a notifier learns about the program that it speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// How mail is sent.
    pub mail: &'a mail::Server,
    /// Environment variables that secrets came from: children must not inherit them.
    pub secret_env: &'a BTreeSet<String>,
}

/// Somebody who can be told.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Gives the news to the other side; success means that it has taken them.
    ///
    /// Errors: [`Error`], whose kind says whether it may have taken them.
    async fn send(&self, news: &News) -> Result<()>;
    /// Tells whether it is a sign of life: it hears of starts too, and of nothing that is over.
    fn is_pulse(&self) -> bool;
}

/// What a notifier answers.
pub type Result<T> = std::result::Result<T, Error>;

/// News that did not arrive, or of which nobody knows whether they did.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What may be done about it.
    pub kind: Kind,
    /// The cause, in words without secrets.
    pub message: String,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not taken, and it may be taken later: the only kind that is tried again at once.
    Unavailable,
    /// Not taken, and it will not be until somebody changes something.
    Refused,
    /// It was given and no answer came: it may have been taken.
    Unknown,
}

impl Error {
    /// Makes an error.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}
