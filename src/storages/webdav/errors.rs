//! What the server said, in words that tell what to do.

use std::fmt;

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode, Url};

use crate::storages::{Kind, http};

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble;

impl Trouble {
    /// Says that a request brought no answer.
    pub(super) fn unreachable(url: &Url, error: reqwest::Error) -> Self {
        let kind = http::kind_of_failure(&error);
        let server = server(url);
        let problem = match kind {
            Kind::Denied => {
                format!("the certificate of {server} is not trusted: name its CA in `ca_file`")
            }
            Kind::Unavailable if error.is_connect() => {
                format!("{server} cannot be reached: check `host`, `port` and `proxy`")
            }
            _ => format!("the connection to {server} broke"),
        };
        Self::of(kind, problem, error.without_url())
    }
}

/// Says why the server refused `method`, from an answer that is no success.
pub(super) async fn refusal(method: &str, response: Response) -> Trouble {
    let (status, url) = (response.status(), response.url().clone());
    if status.is_redirection() {
        return redirected(&response);
    }
    let text = http::excerpt(response).await;
    let status = inner(status, &text);
    let mut said = format!("{} answered {status} to {method} {}", server(&url), path(&url));
    if let Some(words) = words(&text) {
        said = format!("{said} ({words})");
    }
    if let Some(advice) = advice(status, method) {
        said = format!("{said}: {advice}");
    }
    Trouble::new(http::kind_of(status), said)
}

/// Says that what came is no answer of a WebDAV server.
pub(super) fn no_webdav(method: &str, response: &Response) -> Trouble {
    let (status, url) = (response.status(), response.url());
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let what = match kind.unwrap_or_default() {
        html if html.starts_with("text/html") => "a web page, perhaps for a login",
        _ => "no WebDAV answer",
    };
    let problem = format!(
        "{} answered {status} to {method} {} with {what}: check the path in `host`",
        server(url),
        path(url)
    );
    Trouble::new(Kind::Unsupported, problem)
}

fn redirected(response: &Response) -> Trouble {
    let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = to.and_then(|to| response.url().join(to).ok()).map(shown);
    let (server, status) = (server(response.url()), response.status());
    let problem = match to {
        Some(to) => format!("{server} answered {status} and sends to {to}: name that in `host`"),
        None => format!("{server} answered {status}: check `host`"),
    };
    Trouble::new(Kind::Other, problem)
}

/// Tells whether an answer only says that the URL of a folder ends with a slash.
pub(super) fn means_folder(response: &Response) -> bool {
    let url = response.url();
    let to = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = to.and_then(|to| url.join(to).ok());
    response.status().is_redirection()
        && to.is_some_and(|to| to.path().strip_suffix('/') == Some(url.path()))
}

/// A URL without what may be secret in it.
fn shown(mut url: Url) -> String {
    url.set_query(None);
    url.set_fragment(None);
    url.set_username("").ok();
    url.set_password(None).ok();
    url.into()
}

/// The server as people know it.
pub(super) fn server(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The path without percent signs.
fn path(url: &Url) -> impl fmt::Display {
    let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
    crate::base::display(&path).to_string()
}

/// What the server explains in text, on one line; a web page explains nothing.
fn words(text: &str) -> Option<String> {
    // Servers built on Sabre, Nextcloud among them, have one sentence in their XML.
    let sentence = text.split_once("<s:message>").and_then(|(_, rest)| rest.split_once("</"));
    let plain = match sentence {
        Some((sentence, _)) => sentence,
        None if text.starts_with('<') => return None,
        None => text,
    };
    let plain: String = plain.trim_end_matches('.').chars().take(WORDS).collect();
    (!plain.is_empty()).then(|| crate::base::display(&plain).to_string())
}

const WORDS: usize = 200;

/// Looks into an answer of several statuses for the one that is to blame.
fn inner(status: StatusCode, text: &str) -> StatusCode {
    if status != StatusCode::MULTI_STATUS {
        return status;
    }
    let codes = text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok());
    let bad = codes.filter(|code| (400..600).contains(code) && *code != 424);
    bad.filter_map(|code| StatusCode::from_u16(code).ok()).next().unwrap_or(status)
}

fn advice(status: StatusCode, method: &str) -> Option<&'static str> {
    let reads = matches!(method, "GET" | "PROPFIND");
    Some(match status.as_u16() {
        401 => "check `user` and `password`, or `token`",
        403 if reads => "let `user` read here, or name another `backup_dir`",
        403 if method == "DELETE" => "let `user` delete here, or set `rotation: none`",
        403 => "let `user` write here, or name another `backup_dir`",
        404 | 410 if reads => "is there such a folder, and is `backup_dir` below the right URL?",
        404 | 409 | 410 => "a folder above is missing, or a file lies in its place",
        405 => "is this the address of a WebDAV server, and may `user` write there?",
        407 => "the proxy wants a login: give it in `proxy`",
        411 => "the server wants to know the length first: the next body goes through `tmp_dir`",
        413 => "raise the limit on the size of a request there, or set a smaller `split`",
        423 => "another client holds a lock there: wait until it ends, or remove it",
        507 => "free some space, raise the quota, or keep fewer copies",
        429 | 503 => "the server is busy",
        500 => "its log says why; the disk there may be full",
        _ => return None,
    })
}
