//! `mattermost`: a message to an incoming webhook of Mattermost.
//!
//! Source: <https://developers.mattermost.com/integrate/webhooks/incoming/>.

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

/// The keys of a `mattermost`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the incoming webhook, which is a secret.
    pub url: Secret,
    /// A channel other than the webhook's own.
    pub channel: Option<String>,
    /// A name to speak under, where the server allows that.
    pub username: Option<String>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL.
    pub proxy: Option<Secret>,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let Self { url, ca_file, proxy, .. } = self;
        http::problems(Some(("url", url)), ca_file.as_deref(), proxy.as_ref())
    }

    fn connect(&self, _setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        vec![(String::new(), Arc::new(Mattermost(self.clone())))]
    }
}

struct Mattermost(Config);

#[async_trait]
impl Notifier for Mattermost {
    async fn send(&self, news: &News) -> Result<()> {
        let Config { url, channel, username, ca_file, proxy } = &self.0;
        // A name of a file must call nobody.
        let text = short::render(&View::of(news), MOST).replace('@', "@\u{200b}");
        let mut body = json!({ "text": text });
        for (key, value) in [("channel", channel), ("username", username)] {
            if let Some(value) = value {
                body[key] = json!(value);
            }
        }
        let way = Way { ca_file: ca_file.clone(), proxy: proxy.clone() };
        http::send(&way, Call::json(url.reveal(), &body)).await
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

const MOST: usize = 4000;
