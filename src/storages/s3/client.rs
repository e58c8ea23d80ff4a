//! One bucket of one service: requests, signed and sent, and their answers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HOST};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqsign_aws_v4::Credential;
use reqsign_core::Signer;
use reqwest::{Body, Method, Response, StatusCode};
use tokio::sync::OnceCell;

use crate::base::Secret;
use crate::storages::http::Way;
use crate::storages::s3::credentials::{Keys, signer};
use crate::storages::s3::errors::{Need, Trouble};
use crate::storages::{Kind, http as shared};

/// Where a bucket is and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) bucket: String,
    /// `https://host:port`, or `None` for AWS.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    /// The bucket is a part of the path, not of the host name; `None` lets the service decide.
    pub(super) path_style: Option<bool>,
    pub(super) keys: Keys,
    pub(super) ca_file: Option<std::path::PathBuf>,
    pub(super) proxy: Option<Secret>,
}

/// A connected bucket.
pub(super) struct Client {
    /// Scheme and host, with the bucket where that is a part of it.
    host: String,
    /// The beginning of each path: a slash, and the bucket where that is a part of it.
    path: String,
    http: reqwest::Client,
    signer: Signer<Credential>,
    /// Where a service other than AWS may tell what it can do.
    info: Option<String>,
    most_parts: OnceCell<Option<u64>>,
}

/// A request that is being put together.
pub(super) struct Request<'a> {
    method: Method,
    key: &'a str,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Vec<Bytes>,
}

impl Client {
    /// Makes the client; nobody is dialled.
    pub(super) fn new(target: &Target) -> Result<Self, Trouble> {
        let wrong = |error| Trouble::of(Kind::Other, "no connection can be made", error);
        let way = Way { ca_file: target.ca_file.clone(), proxy: target.proxy.clone() };
        let http = shared::client(&way).map_err(wrong)?;
        let near = shared::client(&Way { proxy: None, ..way }).map_err(wrong)?;
        let region = target.region.clone().or_else(region_of_environment);
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let (host, path) = target.place(&region);
        let signer = signer(&target.keys, &region, http.clone(), near);
        let info = target.endpoint.as_ref().map(|at| format!("{}/info", at.trim_end_matches('/')));
        Ok(Self { host, path, http, signer, info, most_parts: OnceCell::new() })
    }

    /// Tells how many parts the service takes in one upload, where it says so: Swift does.
    pub(super) async fn most_parts(&self) -> Option<u64> {
        *self.most_parts.get_or_init(|| self.ask_most_parts()).await
    }

    /// What is no such answer says nothing: for most services `info` is the name of a bucket.
    async fn ask_most_parts(&self) -> Option<u64> {
        let request = self.http.get(self.info.as_ref()?).timeout(PATIENCE);
        let response = request.send().await.ok()?.error_for_status().ok()?;
        let info: serde_json::Value = serde_json::from_slice(&read(response).await.ok()?).ok()?;
        let most = info["s3api"]["max_upload_part_num"].as_u64()?;
        // As an upload of ours, with the same hundredth left over: 990 of 1,000.
        Some((most - most / 100).max(1))
    }

    /// Signs and sends a request.
    ///
    /// Errors: what the store says instead of success; `need` is the right that the call asks for.
    pub(super) async fn send(&self, request: Request<'_>, need: Need) -> Result<Response, Trouble> {
        let response = self.exchange(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refused(response, need).await)
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Response, Trouble> {
        let mut head = http::Request::builder().method(request.method.clone());
        head = head.uri(self.url(&request));
        for (name, value) in &request.headers {
            head = head.header(*name, value);
        }
        let bytes: usize = request.body.iter().map(Bytes::len).sum();
        let carries = matches!(request.method, Method::PUT | Method::POST);
        if carries {
            head = head.header(CONTENT_LENGTH, bytes);
        }
        let unfit = |error| Trouble::of(Kind::Other, "no such request can be made", error);
        let (mut parts, ()) = head.body(()).map_err(unfit)?.into_parts();
        self.signer.sign(&mut parts, None).await.map_err(unsigned)?;
        // The client sets it again, and twice is once too often.
        parts.headers.remove(HOST);
        let body = match request.body.len() {
            _ if !carries => Body::from(""),
            0 | 1 => Body::from(request.body.into_iter().next().unwrap_or_default()),
            _ => Body::wrap_stream(stream::iter(
                request.body.into_iter().map(Ok::<_, std::convert::Infallible>),
            )),
        };
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body));
        let request = request.map_err(Trouble::no_answer)?;
        self.http.execute(request).await.map_err(Trouble::no_answer)
    }

    fn url(&self, request: &Request<'_>) -> String {
        let encode = |text| utf8_percent_encode(text, &QUERY);
        let key = utf8_percent_encode(request.key, &PATH);
        let mut url = format!("{}{}{key}", self.host, self.path);
        if request.key.is_empty() && self.path.len() > 1 {
            url.pop();
        }
        for (number, (name, value)) in request.query.iter().enumerate() {
            let mark = if number == 0 { '?' } else { '&' };
            url.push_str(&format!("{mark}{name}={}", encode(value)));
        }
        url
    }
}

impl Target {
    /// Tells host and the beginning of each path.
    fn place(&self, region: &str) -> (String, String) {
        let aws = || {
            let end = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://s3.{region}.amazonaws.com{end}")
        };
        let endpoint = self.endpoint.clone().unwrap_or_else(aws);
        let endpoint = endpoint.trim_end_matches('/');
        // A certificate for *.host is none for a.b.host.
        let auto = self.endpoint.is_some() || self.bucket.contains('.');
        if self.path_style.unwrap_or(auto) {
            return (endpoint.to_owned(), format!("/{}/", self.bucket));
        }
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        (format!("{scheme}://{}.{host}", self.bucket), "/".to_owned())
    }
}

impl<'a> Request<'a> {
    /// Begins a request; an empty key means the bucket itself.
    pub(super) fn new(method: Method, key: &'a str) -> Self {
        Self { method, key, query: Vec::new(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a parameter.
    #[must_use]
    pub(super) fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds several headers.
    #[must_use]
    pub(super) fn headers(mut self, headers: &[(&'static str, String)]) -> Self {
        self.headers.extend_from_slice(headers);
        self
    }

    /// Sets what is sent; the chunks are shared, not copied.
    #[must_use]
    pub(super) fn body(mut self, chunks: Vec<Bytes>) -> Self {
        self.body = chunks;
        self
    }
}

/// Reads a short answer.
pub(super) async fn read(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Trouble::no_answer)? {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST {
            let problem = "the store's answer is longer than any that S3 knows";
            return Err(Trouble::new(Kind::Other, problem));
        }
    }
    Ok(text)
}

async fn refused(response: Response, need: Need) -> Trouble {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read(response).await.unwrap_or_default();
    Trouble::answer(status, &headers, &body, need)
}

/// Makes an error of an answer that is called a success and is none.
pub(super) fn refused_late(response_headers: &http::HeaderMap, body: &[u8], need: Need) -> Trouble {
    Trouble::answer(StatusCode::INTERNAL_SERVER_ERROR, response_headers, body, need)
}

fn unsigned(error: reqsign_core::Error) -> Trouble {
    let kind = if error.is_retryable() { Kind::Unavailable } else { Kind::Denied };
    let problem = "no keys were found: set `access_key_id` and `secret_access_key`, or `profile`, \
                   or run where the environment or the machine gives some";
    Trouble::of(kind, problem, error)
}

fn region_of_environment() -> Option<String> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|region| !region.is_empty())
}

/// What services other than AWS expect where they have no regions.
const DEFAULT_REGION: &str = "us-east-1";

/// How long a service may think about what it can do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Above the longest listing: 1,000 keys of 1,024 bytes, escaped, with their tags.
const LONGEST: usize = 8 << 20;

const QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: AsciiSet = QUERY.remove(b'/');

#[cfg(test)]
mod tests {
    use super::*;

    fn target(bucket: &str, endpoint: Option<&str>, path_style: Option<bool>) -> Target {
        Target {
            bucket: bucket.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            region: None,
            path_style,
            keys: Keys::Found { profile: None },
            ca_file: None,
            proxy: None,
        }
    }

    #[test]
    fn the_bucket_stands_in_the_host_or_in_the_path() {
        let own = Some("https://store.example:9000");
        for (bucket, endpoint, style, host, path) in [
            ("b", None, None, "https://b.s3.eu-west-1.amazonaws.com", "/"),
            ("b.c", None, None, "https://s3.eu-west-1.amazonaws.com", "/b.c/"),
            ("b", None, Some(true), "https://s3.eu-west-1.amazonaws.com", "/b/"),
            ("b", own, None, "https://store.example:9000", "/b/"),
            ("b", own, Some(false), "https://b.store.example:9000", "/"),
        ] {
            let place = target(bucket, endpoint, style).place("eu-west-1");
            assert_eq!(place, (host.to_owned(), path.to_owned()));
        }
    }

    #[test]
    fn keys_and_parameters_are_escaped_once() {
        let client = Client::new(&target("b", Some("http://h"), None)).unwrap();
        let request = Request::new(Method::GET, "a b/%2F+ä").query("uploadId", "x/y=");
        assert_eq!(client.url(&request), "http://h/b/a%20b/%252F%2B%C3%A4?uploadId=x%2Fy%3D");
        assert_eq!(
            client.url(&Request::new(Method::GET, "").query("uploads", "")),
            "http://h/b?uploads="
        );
    }
}
