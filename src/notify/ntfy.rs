//! `ntfy`: a message to a topic of ntfy.
//!
//! Source: <https://docs.ntfy.sh/publish/#publish-as-json>.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::{PENDING, Secret, Wrong};
use crate::notify::http::{self, Call, Way};
use crate::notify::view::View;
use crate::notify::{News, Notifier, Result, Section, Setting, Severity, short};

/// The keys of a `ntfy`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The topic; whoever knows it may listen.
    pub topic: Secret,
    /// The server; by default <https://ntfy.sh>.
    pub url: Option<Secret>,
    /// A token of access.
    pub token: Option<Secret>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL.
    pub proxy: Option<Secret>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let Self { topic, url, ca_file, proxy, .. } = self;
        let url = url.as_ref().map(|url| ("url", url));
        let mut wrong = http::problems(url, ca_file.as_deref(), proxy.as_ref());
        let odd = |ch: char| !(ch.is_ascii_alphanumeric() || ['-', '_'].contains(&ch));
        if topic.reveal() != PENDING && (topic.reveal().is_empty() || topic.reveal().contains(odd))
        {
            let message =
                "`topic` must be letters, digits, `-` and `_`, as in https://ntfy.sh/TOPIC";
            wrong.push(Wrong::new("topic", message));
        }
        wrong
    }

    fn connect(&self, _setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        vec![(String::new(), Arc::new(Ntfy(self.clone())))]
    }
}

struct Ntfy(Config);

#[async_trait]
impl Notifier for Ntfy {
    async fn send(&self, news: &News) -> Result<()> {
        let Config { topic, url, token, ca_file, proxy } = &self.0;
        let view = View::of(news);
        let (priority, tag) = match news.severity() {
            Severity::Error => (4, "rotating_light"),
            Severity::Warning => (3, "warning"),
            Severity::Info => (2, "white_check_mark"),
        };
        let body = json!({
            "topic": topic.reveal(),
            "title": short::shortened(&view.subject, 200),
            "message": short::render(&view, MOST),
            "priority": priority,
            "tags": [tag],
        });
        let mut call = Call::json(url.as_ref().map_or(SERVER, |url| url.reveal()), &body);
        call.secrets.push(topic.clone());
        if let Some(token) = token {
            call.headers.push(("authorization".into(), format!("Bearer {}", token.reveal())));
        }
        let way = Way { ca_file: ca_file.clone(), proxy: proxy.clone() };
        http::send(&way, call).await
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

const SERVER: &str = "https://ntfy.sh";
/// ntfy makes an attachment of more than 4096 bytes; a character has up to four.
const MOST: usize = 1000;
