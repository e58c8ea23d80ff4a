//! `discord`: a message to a webhook of Discord.
//!
//! Source: <https://discord.com/developers/docs/resources/webhook#execute-webhook>.

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

/// The keys of a `discord`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the webhook, which is a secret.
    pub url: Secret,
    /// A name to speak under.
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
        vec![(String::new(), Arc::new(Discord(self.clone())))]
    }
}

struct Discord(Config);

#[async_trait]
impl Notifier for Discord {
    async fn send(&self, news: &News) -> Result<()> {
        let Config { url, username, ca_file, proxy } = &self.0;
        // A name of a file must call nobody.
        let mut body = json!({
            "content": short::render(&View::of(news), MOST),
            "allowed_mentions": { "parse": [] },
        });
        if let Some(username) = username {
            body["username"] = json!(username);
        }
        let way = Way { ca_file: ca_file.clone(), proxy: proxy.clone() };
        http::send(&way, Call::json(url.reveal(), &body)).await
    }

    fn is_pulse(&self) -> bool {
        false
    }
}

/// Discord refuses more; it counts as UTF-16, and no character of ours needs two units often.
const MOST: usize = 1900;
