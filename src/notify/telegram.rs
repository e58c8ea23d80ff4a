//! `telegram`: a message of a bot.
//!
//! Source: <https://core.telegram.org/bots/api#sendmessage>.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::{PENDING, Secret, Wrong};
use crate::notify::http::{self, Call, Way};
use crate::notify::view::View;
use crate::notify::{News, Notifier, Result, Section, Setting, short};

/// The keys of a `telegram`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The token of the bot: `123456:ABC…`.
    pub token: Secret,
    /// The chat: a number, or `@channel`.
    pub chat_id: String,
    /// The topic of a forum, by its number.
    pub thread_id: Option<u64>,
    /// A Bot API server of one's own; by default that of Telegram.
    pub url: Option<Secret>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL.
    pub proxy: Option<Secret>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let Self { token, url, ca_file, proxy, .. } = self;
        let url = url.as_ref().map(|url| ("url", url));
        let mut wrong = http::problems(url, ca_file.as_deref(), proxy.as_ref());
        let token = token.reveal();
        let odd = |ch: char| !(ch.is_ascii_alphanumeric() || [':', '-', '_'].contains(&ch));
        if token != PENDING && (token.contains(odd) || !token.contains(':')) {
            wrong.push(Wrong::new("token", "`token` is not a bot's token, such as 123456:ABC"));
        }
        wrong
    }

    fn connect(&self, _setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        vec![(String::new(), Arc::new(Telegram(self.clone())))]
    }
}

struct Telegram(Config);

#[async_trait]
impl Notifier for Telegram {
    async fn send(&self, news: &News) -> Result<()> {
        let Config { token, chat_id, thread_id, url, ca_file, proxy } = &self.0;
        let base = url.as_ref().map_or(API, |url| url.reveal().trim_end_matches('/'));
        let url = format!("{base}/bot{}/sendMessage", token.reveal());
        let mut body = json!({
            "chat_id": chat_id,
            "text": short::render(&View::of(news), MOST),
            "link_preview_options": { "is_disabled": true },
        });
        if let Some(thread) = thread_id {
            body["message_thread_id"] = json!(thread);
        }
        let way = Way { ca_file: ca_file.clone(), proxy: proxy.clone() };
        http::send(&way, Call::json(url, &body)).await
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

const API: &str = "https://api.telegram.org";
/// Telegram refuses more than 4096.
const MOST: usize = 4000;
