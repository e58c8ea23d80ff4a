//! Requests of all notifiers that speak HTTP: the client, and what an answer means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client, Method, Proxy, StatusCode, Url};

use crate::base::{KIB, PENDING, Secret, Wrong, chain};
use crate::notify::echo::Echo;
use crate::notify::{Error, Kind, Result};

/// How a service is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// Certificates to trust beside the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// A proxy as a URL, perhaps with a password; without it the environment decides.
    pub(super) proxy: Option<Secret>,
}

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    /// The whole address, which may hold a secret.
    pub(super) url: String,
    /// Values may be secret.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// What is secret in the body.
    pub(super) secrets: Vec<Secret>,
}

impl Call {
    /// A POST of JSON.
    pub(super) fn json(url: impl Into<String>, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let (method, secrets) = (Method::POST, Vec::new());
        Self { method, url: url.into(), headers, body: body.to_string(), secrets }
    }
}

/// Makes the request and takes any 2xx for success.
///
/// Errors: in words that hold neither the address nor a header.
pub(super) async fn send(way: &Way, call: Call) -> Result<()> {
    let client = client(way)?;
    let echo = Echo::of(&call);
    let mut request = client.request(call.method, call.url).body(call.body);
    for (name, value) in call.headers {
        request = request.header(name, value);
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            let kind = kind_of_failure(&error);
            return Err(Error::new(kind, chain(&error.without_url())));
        }
    };
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let said = excerpt(response, &echo).await;
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let hint = if status.is_redirection() { " (it wants another URL)" } else { "" };
    Err(Error::new(kind_of(status), format!("it answered {status}{hint}{said}")))
}

/// It follows no redirects: a request that holds a secret must not wander.
fn client(way: &Way) -> Result<Client> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .user_agent(concat!("nxs-backup/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &way.ca_file {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    let refused = |error: reqwest::Error| Error::new(Kind::Refused, chain(&error.without_url()));
    if let Some(proxy) = &way.proxy {
        builder = builder.proxy(Proxy::all(proxy.reveal()).map_err(refused)?);
    }
    builder.build().map_err(refused)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let wrong =
        |why: String| Error::new(Kind::Refused, format!("`ca_file` {}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    match Certificate::from_pem_bundle(&text) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong("holds no certificate in PEM form".to_owned())),
        Err(error) => Err(wrong(chain(&error))),
    }
}

fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

/// A request that never left may be made again; one that left may have arrived.
fn kind_of_failure(error: &reqwest::Error) -> Kind {
    match () {
        () if error.is_builder() => Kind::Refused,
        () if error.is_connect() && chain(error).contains("invalid peer certificate") => {
            Kind::Refused
        }
        () if error.is_connect() => Kind::Unavailable,
        () => Kind::Unknown,
    }
}

/// Reads the beginning of an answer's text, on one line; what it repeats of the request is masked
/// before it is cut, so that no half of a secret is left.
async fn excerpt(mut response: reqwest::Response, echo: &Echo) -> String {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() > READ {
            return String::new();
        }
    }
    let text = String::from_utf8_lossy(&text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    echo.mask(&text).chars().filter(|ch| !ch.is_control()).take(EXCERPT).collect()
}

/// Says what is wrong with the keys that all kinds share: an address, a CA file, a proxy.
pub(super) fn problems(
    url: Option<(&str, &Secret)>,
    ca_file: Option<&Path>,
    proxy: Option<&Secret>,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if let Some((key, url)) = url.filter(|(_, url)| !is_url(url.reveal())) {
        let message = format!("`{key}` must be a URL that begins with https:// or http://");
        wrong.extend((url.reveal() != PENDING).then(|| Wrong::new(key, message)));
    }
    if ca_file.is_some_and(|path| !path.is_absolute()) {
        wrong.push(Wrong::new("ca_file", "`ca_file` must be an absolute path"));
    }
    let is_proxy = |proxy: &str| proxy == PENDING || Proxy::all(proxy).is_ok();
    if proxy.is_some_and(|proxy| !is_proxy(proxy.reveal())) {
        let message = "`proxy` must be a URL, such as http://proxy.example:3128";
        wrong.push(Wrong::new("proxy", message));
    }
    wrong
}

fn is_url(text: &str) -> bool {
    let url = Url::parse(text).ok();
    url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

const CONNECT: Duration = Duration::from_secs(8);
const EXCERPT: usize = 300;
/// An answer that is longer says nothing that fits into a line.
const READ: usize = 256 * KIB;
