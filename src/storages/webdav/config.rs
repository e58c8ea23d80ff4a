//! The keys of a `webdav` storage.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};
use crate::storages::webdav::Webdav;
use crate::storages::webdav::auth::{Auth, Login};
use crate::storages::webdav::folders::Folders;
use crate::storages::webdav::pieces::Pieces;
use crate::storages::webdav::place::Place;
use crate::storages::webdav::service::{Known, Service};
use crate::storages::webdav::swaps::Swaps;
use crate::storages::{Section, Setting, Storage, checks, http};

/// The keys of a `webdav` storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server as a URL: `https://cloud.example/remote.php/dav/files/backup`. Without a
    /// scheme it is `https`.
    #[serde(default, alias = "url")]
    pub host: String,
    /// The port, where the URL names none: by default that of its scheme.
    #[serde(default)]
    pub port: Option<u16>,
    /// The user, for basic and digest authentication.
    #[serde(default, alias = "username")]
    pub user: Option<String>,
    /// The user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token that is sent as `Authorization: Bearer`, instead of a user and a password.
    #[serde(default, alias = "oauth_token")]
    pub token: Option<Secret>,
    /// The folder that holds the backups, below the URL's path; it is made when it is missing.
    #[serde(default)]
    pub backup_dir: String,
    /// A file with certificates to trust beside the system's, in PEM form.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL; without it the environment decides.
    #[serde(default)]
    pub proxy: Option<Secret>,
}

impl Config {
    fn user(&self) -> Option<&str> {
        self.user.as_deref().filter(|user| !user.is_empty())
    }

    fn password(&self) -> Option<&Secret> {
        self.password.as_ref().filter(|password| !password.reveal().is_empty())
    }

    fn token(&self) -> Option<&Secret> {
        self.token.as_ref().filter(|token| !token.reveal().is_empty())
    }

    fn proxy(&self) -> Option<&Secret> {
        self.proxy.as_ref().filter(|proxy| !proxy.reveal().is_empty())
    }

    /// The URL with scheme and port, or why it is none.
    fn url(&self) -> std::result::Result<Url, &'static str> {
        let host = self.host.trim();
        let text = match host.contains("://") {
            true => host.to_owned(),
            false => format!("https://{host}"),
        };
        let mut url = Url::parse(&text).map_err(|_| NO_URL)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(NO_URL);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("`host` must hold no user: say `user` and `password`");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("`host` must end with a path: no `?` and no `#`");
        }
        if self.port.is_some() {
            url.set_port(self.port).map_err(|()| NO_URL)?;
        }
        Ok(url)
    }

    fn place(&self) -> Place {
        // Whoever connects has asked for the problems before.
        let nowhere = || Url::parse("https://host.invalid").expect("a URL without surprises");
        Place::new(self.url().unwrap_or_else(|_| nowhere()), &self.backup_dir)
    }

    fn pieces(&self, setting: &Setting<'_>) -> Option<Pieces> {
        Pieces::of(self.place().base(), self.user().unwrap_or_default(), setting.peers)
    }

    fn login(&self) -> Login {
        match (self.token(), self.user()) {
            (Some(token), _) => Login::Token(token.clone()),
            (None, Some(user)) => {
                Login::User(user.to_owned(), self.password().cloned().unwrap_or_default())
            }
            (None, None) => Login::Nobody,
        }
    }

    fn wrong_login(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut say = |key: &str, message: &str| wrong.push(Wrong::new(key, message));
        if self.token().is_some() && (self.user().is_some() || self.password().is_some()) {
            say("token", "`token` stands instead of `user` and `password`: leave one of them out");
        }
        match (self.user(), self.password()) {
            (None, Some(_)) => say("password", "`password` needs a `user`"),
            (Some(_), None) if self.token().is_none() => {
                say("user", "`user` needs a `password`");
            }
            _ => {}
        }
        if let Some(user) = self.user()
            && (user.contains(':') || user.contains(char::is_control))
        {
            say("user", "`user` must hold no colon and no control character");
        }
        if let Some(token) = self.token()
            && !token.reveal().bytes().all(|byte| byte.is_ascii_graphic())
        {
            say("token", "`token` must be one word, without spaces and line breaks");
        }
        wrong
    }
}

const NO_URL: &str = "`host` must be a URL, such as https://cloud.example/dav";

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        if self.host.trim().is_empty() {
            wrong
                .push(Wrong::new("host", "a webdav storage needs a `host`: the URL of the server"));
        } else if self.host != PENDING
            && let Err(message) = self.url()
        {
            wrong.push(Wrong::new("host", message));
        }
        wrong.extend(checks::port("port", self.port));
        wrong.extend(self.wrong_login());
        if self.backup_dir.split('/').any(|part| part == ".." || part == ".") {
            wrong
                .push(Wrong::new("backup_dir", "`backup_dir` must not hold `.` or `..` as a part"));
        }
        if self.backup_dir.contains(char::is_control) {
            wrong.push(Wrong::new("backup_dir", "`backup_dir` must hold no control character"));
        }
        let ca_file = self.ca_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        wrong.extend(checks::ca_file(ca_file));
        wrong.extend(checks::proxy(self.proxy().map(Secret::reveal)));
        wrong
    }

    fn location(&self) -> String {
        let place = self.place();
        place.folder(&place.inside("")).to_string().trim_end_matches('/').to_owned()
    }

    fn address(&self) -> Vec<String> {
        let place = self.place();
        let folder = place.folder(&place.inside(""));
        let server = folder.host_str().unwrap_or_default().to_owned();
        let port = folder.port_or_known_default().unwrap_or_default().to_string();
        // The old address of a Nextcloud is another folder for each user.
        let own = place.base().path().contains("/remote.php/webdav/");
        let user = self.user().filter(|_| own).unwrap_or_default().to_owned();
        vec![server, port, user, folder.path().trim_end_matches('/').to_owned()]
    }

    fn largest_object(&self, setting: &Setting<'_>) -> Option<u64> {
        self.pieces(setting).map(|pieces| pieces.largest_object())
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        let ca_file = self.ca_file.clone().filter(|path| !path.as_os_str().is_empty());
        Arc::new(Webdav(Arc::new(Service {
            name: setting.name.to_owned(),
            place: self.place(),
            way: http::Way { ca_file, proxy: self.proxy().cloned() },
            auth: Auth::new(self.login()),
            retries: setting.retries,
            tmp_dir: setting.tmp_dir.to_owned(),
            pieces: self.pieces(setting),
            folders: Folders::default(),
            swaps: Swaps::default(),
            known: Known::default(),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> Config {
        Config { host: host.to_owned(), backup_dir: "/b".to_owned(), ..Config::default() }
    }

    fn some(text: &str) -> Option<Secret> {
        Some(Secret::new(text))
    }

    #[test]
    fn every_problem_is_found_without_dialling() {
        let user = |name: &str| Some(name.to_owned());
        let cases = [
            (at(""), "host"),
            (at("ftp://h"), "host"),
            (at("https://"), "host"),
            (at("https://u:p@h/"), "host"),
            (at("https://h/?x"), "host"),
            (Config { port: Some(0), ..at("h") }, "port"),
            (Config { user: user("u"), ..at("h") }, "user"),
            (Config { user: user("u:v"), password: some("p"), ..at("h") }, "user"),
            (Config { password: some("p"), ..at("h") }, "password"),
            (Config { token: some("a b"), ..at("h") }, "token"),
            (Config { token: some("t"), user: user("u"), ..at("h") }, "token"),
            (Config { backup_dir: "a/../b".to_owned(), ..at("h") }, "backup_dir"),
            (Config { backup_dir: "a\nb".to_owned(), ..at("h") }, "backup_dir"),
            (Config { ca_file: Some("ca.pem".into()), ..at("h") }, "ca_file"),
            (Config { proxy: some("::"), ..at("h") }, "proxy"),
        ];
        for (config, key) in cases {
            let wrong: Vec<_> = config.problems().into_iter().map(|wrong| wrong.key).collect();
            assert_eq!(wrong, [key], "{config:?}");
        }
    }

    #[test]
    fn what_is_blank_or_not_fetched_is_no_problem() {
        let blank = Config {
            user: Some(String::new()),
            password: some(""),
            token: some(""),
            proxy: some(""),
            ca_file: Some(PathBuf::new()),
            ..at("h")
        };
        assert_eq!(blank.problems(), []);
        let pending = Config {
            user: Some(PENDING.to_owned()),
            password: some(PENDING),
            proxy: some(PENDING),
            ca_file: Some(PENDING.into()),
            ..at(PENDING)
        };
        assert_eq!(pending.problems(), []);
        pending.connect(&Setting::alone("dav"));
    }

    #[test]
    fn no_secret_is_shown() {
        let config = Config { proxy: some("http://u:pw9@h"), password: some("pw8"), ..at("h") };
        let way = http::Way { ca_file: None, proxy: config.proxy.clone() };
        let shown = format!("{config:?} {way:?}");
        assert!(!shown.contains("pw9") && !shown.contains("pw8"), "{shown}");
    }

    #[test]
    fn the_location_is_a_url_and_the_address_has_the_port() {
        let config = Config { backup_dir: "/web 1//x/".to_owned(), ..at("h/dav/") };
        assert_eq!(config.location(), "https://h/dav/web%201/x");
        assert_eq!(config.address(), ["h", "443", "", "/dav/web%201/x"]);
        let config = Config { port: Some(8080), ..at("http://h") };
        assert_eq!(config.location(), "http://h:8080/b");
        assert_eq!(at("https://h/").address(), Config { port: Some(443), ..at("h") }.address());
    }
}
