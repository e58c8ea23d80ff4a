//! Requests to the store: with a token that is renewed when it ends, and answers judged once.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::base::{Key, MIB};
use crate::storages::http::{self, Way};
use crate::storages::swift::auth::{self, Session};
use crate::storages::swift::login::Login;
use crate::storages::swift::piece::Piece;
use crate::storages::swift::trouble::Trouble;
use crate::storages::{Error, Kind, Setting};

/// One container of one account.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) retries: u32,
    pub(super) segment_bytes: u64,
    pub(super) delete_after: Option<Duration>,
    /// How long the store may take for an answer that is not about the bytes of a body.
    patience: Duration,
    container: String,
    /// What stands before every key: empty, or ends with a slash.
    prefix: String,
    login: Result<Login, String>,
    way: Way,
    http: OnceCell<reqwest::Client>,
    session: Mutex<Option<Arc<Session>>>,
    committing: [Mutex<()>; STRIPES],
    segments_limit: OnceCell<u64>,
}

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    /// In the container.
    Objects,
    /// In `<container>_segments`.
    Segments,
}

/// A request that can be sent again.
pub(super) struct Ask {
    method: Method,
    /// Below the account's URL, encoded.
    path: String,
    headers: HeaderMap,
    body: Piece,
    /// Its answer is a body without a bound, or it has one.
    is_long: bool,
}

impl Ask {
    pub(super) fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: HeaderMap::new(), body: Piece::default(), is_long: false }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.insert(name, value.into());
        self
    }

    pub(super) fn body(mut self, body: Piece) -> Self {
        self.is_long = body.bytes() > SHORT;
        self.body = body;
        self
    }

    /// Says that the answer may take long.
    pub(super) fn long(self) -> Self {
        Self { is_long: true, ..self }
    }
}

impl Client {
    pub(super) fn new(setting: &Setting<'_>, login: Result<Login, String>, way: Way) -> Self {
        Self {
            name: setting.name.to_owned(),
            retries: setting.retries,
            segment_bytes: MIB as u64,
            delete_after: None,
            patience: setting.timeout.unwrap_or(PATIENCE),
            container: String::new(),
            prefix: String::new(),
            login,
            way,
            http: OnceCell::new(),
            session: Mutex::default(),
            committing: Default::default(),
            segments_limit: OnceCell::new(),
        }
    }

    /// Says where the keys lie.
    pub(super) fn place(&mut self, container: &str, folder: &str) {
        self.container = container.to_owned();
        self.prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    }

    pub(super) fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.name, verb, subject)
    }

    /// Names the container of a shelf.
    pub(super) fn container(&self, shelf: Shelf) -> String {
        match shelf {
            Shelf::Objects => self.container.clone(),
            Shelf::Segments => format!("{}_segments", self.container),
        }
    }

    /// Names an object as the container has it.
    pub(super) fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the name below `backup_dir`.
    pub(super) fn below<'a>(&self, full: &'a str) -> Option<&'a str> {
        full.strip_prefix(&self.prefix)
    }

    /// Spells the path of a container.
    pub(super) fn shelf_path(&self, shelf: Shelf) -> String {
        format!("/{}", encode(&self.container(shelf)))
    }

    /// Spells the path of an object.
    pub(super) fn path(&self, shelf: Shelf, name: &str) -> String {
        format!("{}/{}", self.shelf_path(shelf), encode(&self.full(name)))
    }

    /// Holds back other commits of the key in this process.
    pub(super) async fn committing(&self, key: &Key) -> MutexGuard<'_, ()> {
        let hash = key
            .as_str()
            .bytes()
            .fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.committing[hash % STRIPES].lock().await
    }

    /// Tells how many segments the store takes in one manifest.
    pub(super) async fn segments_limit(&self) -> Result<u64, Trouble> {
        let limit = self.segments_limit.get_or_try_init(|| async {
            let session = self.session().await?;
            Ok::<_, Trouble>(self.ask_segments_limit(&session).await.unwrap_or(USUAL_LIMIT))
        });
        limit.await.copied()
    }

    /// Clouds may hide what they can do.
    async fn ask_segments_limit(&self, session: &Session) -> Option<u64> {
        let url = Url::parse(&session.url).ok()?.join("/info").ok()?;
        let request = self.http().await.ok()?.get(url).timeout(self.patience);
        let response = request.send().await.ok()?.error_for_status().ok()?;
        let info: serde_json::Value = serde_json::from_slice(&response.bytes().await.ok()?).ok()?;
        info["slo"]["max_manifest_segments"].as_u64()
    }

    /// Sends a request and gives the answer, whatever it says, except that the token is not good.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Response, Trouble> {
        let session = self.session().await?;
        let response = self.send_as(&session, ask).await;
        let is_void = match &response {
            Ok(response) => response.status() == StatusCode::UNAUTHORIZED,
            // An answer that comes before the body was read can be lost with the connection.
            Err(trouble) => {
                trouble.kind == Kind::Unavailable
                    && ask.body.bytes() > 0
                    && self.is_refused(&session).await
            }
        };
        if !is_void {
            return response;
        }
        tracing::debug!(storage = %self.name, "the token is no longer good: asking for another");
        let session = self.renew(&session).await?;
        self.send_as(&session, ask).await
    }

    /// Asks for an object, and once more when there is none: while it is replaced, an object server
    /// can find neither the old one, which it has just chosen, nor the new one.
    pub(super) async fn look_up(&self, ask: &Ask) -> Result<Response, Trouble> {
        match self.send(ask).await {
            Ok(response) if response.status() == StatusCode::NOT_FOUND => self.send(ask).await,
            done => done,
        }
    }

    /// Sends a request; an answer that is no success is an error.
    pub(super) async fn done(&self, ask: &Ask) -> Result<Response, Trouble> {
        let response = self.send(ask).await?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(Trouble::answer(response).await),
        }
    }

    async fn send_as(&self, session: &Session, ask: &Ask) -> Result<Response, Trouble> {
        let address = format!("{}{}", session.url, ask.path);
        let url = Url::parse(&address)
            .map_err(|_| Trouble::new(Kind::Other, format!("{address} is no address")))?;
        let mut request = self.http().await?.request(ask.method.clone(), url.clone());
        request = request.headers(ask.headers.clone()).header("x-auth-token", &session.token);
        if matches!(ask.method, Method::PUT | Method::POST) {
            request = request.header(CONTENT_LENGTH, ask.body.bytes());
            request = request.body(ask.body.to_body());
        }
        if !ask.is_long {
            request = request.timeout(self.patience);
        }
        request.send().await.map_err(|error| Trouble::failed(&url, error))
    }

    async fn is_refused(&self, session: &Session) -> bool {
        let probe = Ask::new(Method::HEAD, self.shelf_path(Shelf::Objects));
        let response = self.send_as(session, &probe).await;
        response.is_ok_and(|response| response.status() == StatusCode::UNAUTHORIZED)
    }

    async fn session(&self) -> Result<Arc<Session>, Trouble> {
        let mut kept = self.session.lock().await;
        match &*kept {
            Some(session) if !session.is_old() => Ok(session.clone()),
            _ => self.log_in(&mut kept).await,
        }
    }

    /// Gets another session than `old`, which somebody else may have got already.
    async fn renew(&self, old: &Arc<Session>) -> Result<Arc<Session>, Trouble> {
        let mut kept = self.session.lock().await;
        match &*kept {
            Some(session) if !Arc::ptr_eq(session, old) => Ok(session.clone()),
            _ => self.log_in(&mut kept).await,
        }
    }

    async fn log_in(&self, kept: &mut Option<Arc<Session>>) -> Result<Arc<Session>, Trouble> {
        let broken = |words: &String| Trouble::new(Kind::Other, words.clone());
        let login = self.login.as_ref().map_err(broken)?;
        let session = Arc::new(auth::log_in(self.http().await?, login).await?);
        *kept = Some(session.clone());
        Ok(session)
    }

    async fn http(&self) -> Result<&reqwest::Client, Trouble> {
        let make = || async {
            let words = "no connection can be made";
            http::client(&self.way).map_err(|error| Trouble::new(Kind::Other, words).because(error))
        };
        self.http.get_or_try_init(make).await
    }
}

/// Encodes a path; slashes stay.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Commits of so many keys can go on at the same time.
const STRIPES: usize = 32;
/// Bodies up to here are sent within the patience.
const SHORT: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(300);
/// What Swift takes unless it is told otherwise.
const USUAL_LIMIT: u64 = 1000;
