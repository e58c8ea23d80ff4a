//! `webhook`: a request whose address, headers and body are one's own; the last two are templates.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::base::{PENDING, Secret, Wrong};
use crate::notify::http::{self, Call, Way};
use crate::notify::view::View;
use crate::notify::{Error, Kind, News, Notifier, Result, Section, Setting, template, text};

/// The keys of a `webhook`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the request goes.
    pub url: Secret,
    /// How it is made; POST by default.
    #[serde(default)]
    pub method: Verb,
    /// Its body, a Jinja2 template; by default JSON with all that there is to tell.
    pub body: Option<String>,
    /// Its headers, templates too; `content-type` is JSON unless it is set here.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL.
    pub proxy: Option<Secret>,
}

/// How a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// The body is sent.
    #[default]
    #[serde(alias = "post")]
    Post,
    /// The body is put.
    #[serde(alias = "put")]
    Put,
    /// Without a body.
    #[serde(alias = "get")]
    Get,
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let Self { url, ca_file, proxy, .. } = self;
        let mut wrong = http::problems(Some(("url", url)), ca_file.as_deref(), proxy.as_ref());
        if let Some(why) = self.body.as_deref().and_then(template::problem) {
            wrong.push(Wrong::new("body", format!("`body` is not a template: {why}")));
        }
        for (name, value) in &self.headers {
            let key = format!("headers.{name}");
            if HeaderName::try_from(name).is_err() {
                wrong.push(Wrong::new(&key, format!("`{name}` cannot be the name of a header")));
            }
            if let Some(why) = template::problem(value.reveal()) {
                wrong.push(Wrong::new(&key, format!("`{name}` is not a template: {why}")));
            }
            if value.reveal() != PENDING && HeaderValue::try_from(value.reveal()).is_err() {
                wrong.push(Wrong::new(&key, format!("`{name}` must be one line of text")));
            }
        }
        wrong
    }

    fn connect(&self, _setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        vec![(String::new(), Arc::new(Webhook(self.clone())))]
    }
}

struct Webhook(Config);

#[async_trait]
impl Notifier for Webhook {
    async fn send(&self, news: &News) -> Result<()> {
        let config = &self.0;
        let view = View::of(news);
        let filled = |what: &str, template: &str| {
            template::fill(template, &view)
                .map_err(|why| Error::new(Kind::Refused, format!("the template of {what}: {why}")))
        };
        let body = match (&config.body, config.method) {
            (_, Verb::Get) => String::new(),
            (Some(body), _) => filled("`body`", body)?,
            (None, _) => {
                json!({ "id": news.id(), "text": text::render(&view), "report": view }).to_string()
            }
        };
        let mut headers = vec![("idempotency-key".to_owned(), news.id())];
        for (name, value) in &config.headers {
            headers.push((name.clone(), filled(&format!("the header `{name}`"), value.reveal())?));
        }
        let is_type = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
        if !headers.iter().any(is_type) {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let method = match config.method {
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Get => Method::GET,
        };
        let way = Way { ca_file: config.ca_file.clone(), proxy: config.proxy.clone() };
        let url = config.url.reveal().to_owned();
        let secrets = Vec::new();
        http::send(&way, Call { method, url, headers, body, secrets }).await
    }

    fn is_pulse(&self) -> bool {
        false
    }
}
