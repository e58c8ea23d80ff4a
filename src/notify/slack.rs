//! `slack`: a message to an incoming webhook of Slack.
//!
//! Source: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/>.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::{Secret, Wrong};
use crate::notify::http::{self, Call, Way};
use crate::notify::view::View;
use crate::notify::{News, Notifier, Result, Section, Setting, short};

/// The keys of a `slack`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the incoming webhook, which is a secret.
    pub url: Secret,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL.
    pub proxy: Option<Secret>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let Self { url, ca_file, proxy } = self;
        http::problems(Some(("url", url)), ca_file.as_deref(), proxy.as_ref())
    }

    fn connect(&self, _setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        vec![(String::new(), Arc::new(Slack(self.clone())))]
    }
}

struct Slack(Config);

#[async_trait]
impl Notifier for Slack {
    async fn send(&self, news: &News) -> Result<()> {
        let Config { url, ca_file, proxy } = &self.0;
        let text = short::render(&View::of(news), MOST);
        // What means something to Slack in a text.
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let way = Way { ca_file: ca_file.clone(), proxy: proxy.clone() };
        http::send(&way, Call::json(url.reveal(), &json!({ "text": text }))).await
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

const MOST: usize = 3000;
