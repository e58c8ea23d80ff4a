//! What the storages that speak HTTP share: the client, and what an answer means.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Proxy, Response, StatusCode};

use crate::base::{BoxError, Secret};
use crate::net::{self, Versions};
use crate::storages::Kind;

/// How a service is reached.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// Certificates to trust beside the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// A proxy as a URL, perhaps with a password; without it the environment decides, as for other
    /// programs.
    pub(super) proxy: Option<Secret>,
}

/// Makes a client. It follows no redirects: a request that is signed or carries a password must
/// not wander.
///
/// Errors: in words, when the CA file or the proxy is none.
pub(super) fn client(way: &Way) -> Result<Client, BoxError> {
    let tls = net::client_config(way.ca_file.as_deref(), Versions::All)?;
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .user_agent(concat!("nxs-backup/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &way.proxy {
        builder = builder.proxy(Proxy::all(proxy.reveal())?);
    }
    Ok(builder.build()?)
}

/// Tells what an answer that is no success means.
pub(super) fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        404 | 410 => Kind::NotFound,
        401 | 403 | 405 | 407 => Kind::Denied,
        413 => Kind::Unsupported,
        507 => Kind::Full,
        408 | 409 | 423 | 425 | 429 | 500 | 502..=504 => Kind::Unavailable,
        501 | 505 => Kind::Unsupported,
        _ => Kind::Other,
    }
}

/// Tells whether a request that brought no answer may succeed later: it was cut off or never
/// arrived. A certificate that is refused stays refused.
pub(super) fn kind_of_failure(error: &reqwest::Error) -> Kind {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(tls) = tls_error(cause) {
            return match tls {
                rustls::Error::InvalidCertificate(_) => Kind::Denied,
                _ => Kind::Unavailable,
            };
        }
        source = cause.source();
    }
    if error.is_builder() || error.is_redirect() { Kind::Other } else { Kind::Unavailable }
}

/// Finds an error of TLS in `cause`. An I/O error does not name what it wraps as its source, and
/// several may lie around it.
fn tls_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(tls) = cause.downcast_ref() {
        return Some(tls);
    }
    let io = cause.downcast_ref::<std::io::Error>()?;
    tls_error(io.get_ref()?)
}

/// Reads the beginning of an answer's text, for an error: at most 2 KiB, on one line.
pub(super) async fn excerpt(mut response: Response) -> String {
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        if text.len() >= EXCERPT {
            break;
        }
    }
    text.truncate(EXCERPT);
    let text = String::from_utf8_lossy(&text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().filter(|ch| !ch.is_control()).collect()
}

const CONNECT: Duration = Duration::from_secs(30);
const EXCERPT: usize = 2048;
