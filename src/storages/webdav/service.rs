//! One WebDAV server as it is spoken to: requests, logins, and what is known of it so far.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::storages::layers::step;
use crate::storages::webdav::auth::{Auth, Shown};
use crate::storages::webdav::errors::{Trouble, refusal};
use crate::storages::webdav::folders::Folders;
use crate::storages::webdav::pieces::Pieces;
use crate::storages::webdav::place::Place;
use crate::storages::webdav::swaps::Swaps;
use crate::storages::{Error, Kind, Result, http};

/// A server, and a folder of it. Nothing is dialled before the first request.
pub(super) struct Service {
    /// The storage's name in the config.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) way: http::Way,
    pub(super) auth: Auth,
    /// How often a request is sent again whose body is still at hand.
    pub(super) retries: u32,
    /// Where a body lies whose length the server must know.
    pub(super) tmp_dir: PathBuf,
    /// How large bodies go up in pieces, where the server has a place for them.
    pub(super) pieces: Option<Pieces>,
    pub(super) folders: Folders,
    pub(super) swaps: Swaps,
    pub(super) known: Known,
}

/// What is known of the server so far.
#[derive(Default)]
pub(super) struct Known {
    client: OnceLock<Client>,
    /// It has answered as a WebDAV server does.
    pub(super) speaks: AtomicBool,
    /// It refused to lock a folder: it cannot, or we may not.
    pub(super) lockless: AtomicBool,
    /// Whether its listings show names that begin with a dot; held while that is tried.
    pub(super) dotted: Mutex<Option<bool>>,
    /// Whether it takes a body of unknown length; held while that is tried.
    pub(super) chunked: Mutex<Option<bool>>,
    /// It has no place for pieces, whatever its address looks like.
    pub(super) whole_only: AtomicBool,
}

/// A request that can be sent again.
pub(super) struct Ask<'a> {
    method: &'static str,
    url: &'a Url,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: &'static str, url: &'a Url) -> Self {
        Self { method, url, headers: Vec::new(), body: None }
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl Service {
    /// Sends a request, logs in where that is asked for, and returns any other answer.
    pub(super) async fn call(&self, ask: &Ask<'_>) -> std::result::Result<Response, Trouble> {
        let mut resent = false;
        for _ in 0..LOGINS {
            let (mut request, shown) = self.request(ask.method, ask.url)?;
            for (name, value) in &ask.headers {
                request = request.header(*name, value);
            }
            if let Some(body) = &ask.body {
                request = request.body(body.clone());
            }
            let response = match request.send().await {
                Ok(response) => response,
                // The server closed an idle connection in the moment in which it was used again.
                Err(error) if error.is_request() && !error.is_connect() && !resent => {
                    resent = true;
                    continue;
                }
                Err(error) => return Err(Trouble::unreachable(ask.url, error)),
            };
            if response.status() != StatusCode::UNAUTHORIZED {
                self.auth.let_in(&shown);
                return Ok(response);
            }
            self.auth.challenged(&shown, response.headers(), ask.url)?;
            // Read to its end, so that the connection can be used again.
            http::excerpt(response).await;
        }
        let problem = "the server asks for the password again and again: check `password`";
        Err(Trouble::new(Kind::Denied, problem))
    }

    /// Sends a body that is read only once; any answer but 401 is returned.
    pub(super) async fn send_once(
        &self,
        url: &Url,
        length: Option<u64>,
        body: Body,
    ) -> std::result::Result<Response, Trouble> {
        let (mut request, shown) = self.request("PUT", url)?;
        if let Some(length) = length {
            request = request.header(CONTENT_LENGTH, length);
        }
        let sent = request.body(body).send().await;
        let response = sent.map_err(|error| Trouble::unreachable(url, error))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.auth.challenged(&shown, response.headers(), url)?;
            let problem = "the server asked for the password in the middle of a body: run it again";
            return Err(Trouble::new(Kind::Unavailable, problem));
        }
        Ok(response)
    }

    /// Sends a request that must succeed.
    pub(super) async fn must(&self, ask: &Ask<'_>) -> std::result::Result<Response, Trouble> {
        let response = self.call(ask).await?;
        if response.status().is_success() && response.status() != StatusCode::MULTI_STATUS {
            return Ok(response);
        }
        Err(refusal(ask.method, response).await)
    }

    /// Repeats a step of a put whose bytes are at hand, as the retry layer does whole calls.
    pub(super) async fn again<T, F>(&self, subject: &str, call: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Trouble>>,
    {
        step(self.retries, || async {
            call().await.map_err(|trouble| self.error("put", subject, trouble))
        })
        .await
    }

    pub(super) fn error(&self, verb: &'static str, subject: &str, trouble: Trouble) -> Error {
        trouble.on(&self.name, verb, subject)
    }

    /// Notes that it answers as a WebDAV server.
    pub(super) fn speaks(&self) {
        self.known.speaks.store(true, Ordering::Relaxed);
    }

    fn request(
        &self,
        method: &str,
        url: &Url,
    ) -> std::result::Result<(RequestBuilder, Shown), Trouble> {
        let shown = self.auth.show(method, url)?;
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|error| Trouble::of(Kind::Other, "no such method", error))?;
        let mut request = self.client()?.request(method, url.clone());
        if let Some(header) = &shown.header {
            request = request.header(reqwest::header::AUTHORIZATION, header);
        }
        Ok((request, shown))
    }

    fn client(&self) -> std::result::Result<&Client, Trouble> {
        if self.known.client.get().is_none() {
            let made = http::client(&self.way);
            let client = made
                .map_err(|error| Trouble::of(Kind::Other, "no connection can be set up", error))?;
            self.known.client.set(client).ok();
        }
        Ok(self.known.client.get().expect("it was set a line ago"))
    }
}

/// One to learn the challenge, one to replace a stale nonce, one that is let in, and one of these
/// once more.
const LOGINS: usize = 4;
