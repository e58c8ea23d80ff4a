//! `ping`: signs of life for a health check, which raises the alarm when they stay away: at the
//! start `URL/start`, at the end `URL` or `URL/fail` with the end of the log.
//!
//! Source: <https://healthchecks.io/docs/http_api/>.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{Secret, Wrong};
use crate::notify::http::{self, Call, Way};
use crate::notify::view::View;
use crate::notify::{News, Notifier, Occasion, Result, Section, Setting, Severity, text};

/// The keys of a `ping`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Called when all went well: `https://hc-ping.com/UUID`.
    pub url: Secret,
    /// Called when a run begins; by default `url` with `/start` behind it. `none`: nothing is.
    pub start: Option<Secret>,
    /// Called when something failed; by default `url` with `/fail` behind it. `none`: nothing is.
    pub fail: Option<Secret>,
    /// Certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL.
    pub proxy: Option<Secret>,
}

impl Config {
    /// Returns the address to call; `None` where the config says that there is none.
    fn address(&self, news: &News) -> Option<String> {
        let (own, ending) = match (news.occasion, news.severity()) {
            (Occasion::Start, _) => (&self.start, "start"),
            (Occasion::Run | Occasion::Digest, Severity::Error) => (&self.fail, "fail"),
            _ => return Some(self.url.reveal().to_owned()),
        };
        match own.as_ref().map(Secret::reveal) {
            Some(NONE) => None,
            Some(url) => Some(url.to_owned()),
            None => {
                let (base, query) = match self.url.reveal().split_once('?') {
                    Some((base, query)) => (base, format!("?{query}")),
                    None => (self.url.reveal(), String::new()),
                };
                Some(format!("{}/{ending}{query}", base.trim_end_matches('/')))
            }
        }
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let Self { url, start, fail, ca_file, proxy } = self;
        let mut wrong = http::problems(Some(("url", url)), ca_file.as_deref(), proxy.as_ref());
        for (key, url) in [("start", start), ("fail", fail)] {
            if let Some(url) = url.as_ref().filter(|url| url.reveal() != NONE) {
                wrong.extend(http::problems(Some((key, url)), None, None));
            }
        }
        wrong
    }

    fn connect(&self, _setting: &Setting<'_>) -> Vec<(String, Arc<dyn Notifier>)> {
        vec![(String::new(), Arc::new(Ping(self.clone())))]
    }
}

struct Ping(Config);

#[async_trait]
impl Notifier for Ping {
    async fn send(&self, news: &News) -> Result<()> {
        let Some(url) = self.0.address(news) else { return Ok(()) };
        let mut body = match news.occasion {
            Occasion::Start => String::new(),
            _ => text::render(&View::of(news)),
        };
        if let Some(told) = news.told.last() {
            body.push_str(&format!("\nEnd of the log\n{}\n", told.log.end(LOG)));
        }
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        let Config { ca_file, proxy, .. } = &self.0;
        let way = Way { ca_file: ca_file.clone(), proxy: proxy.clone() };
        let (method, secrets) = (Method::POST, Vec::new());
        http::send(&way, Call { method, url, headers, body, secrets }).await
    }

    fn is_pulse(&self) -> bool {
        true
    }
}

const NONE: &str = "none";
const LOG: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_occasion_has_an_address_of_its_own() {
        let config = |url: &str, start: Option<&str>| Config {
            url: Secret::new(url),
            start: start.map(Secret::new),
            fail: None,
            ca_file: None,
            proxy: None,
        };
        let news = |occasion| News {
            server: "web1".into(),
            occasion,
            now: jiff::Zoned::default(),
            told: Vec::new(),
            with_log: false,
            silent_since: None,
        };
        let address = |config: &Config, occasion| config.address(&news(occasion));
        let plain = config("https://hc/uuid/", None);
        assert_eq!(address(&plain, Occasion::Start).unwrap(), "https://hc/uuid/start");
        assert_eq!(address(&plain, Occasion::Run).unwrap(), "https://hc/uuid/");
        let query = config("https://hc/uuid?create=1", None);
        assert_eq!(address(&query, Occasion::Start).unwrap(), "https://hc/uuid/start?create=1");
        assert_eq!(address(&config("https://hc/uuid", Some("none")), Occasion::Start), None);
    }
}
