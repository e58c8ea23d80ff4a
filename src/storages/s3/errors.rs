//! What the store said, in words that tell what to do.

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap};

use crate::storages::s3::xml::Element;
use crate::storages::{Kind, http};

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble<Code>;

/// The store's own word for it, where it answered at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Code(pub(super) String);

/// What the store answered instead of success.
#[derive(Debug, thiserror::Error)]
#[error("the store says {code}{message}")]
struct Said {
    code: String,
    message: String,
}

impl Trouble {
    /// Wraps a request that brought no answer.
    pub(super) fn no_answer(error: reqwest::Error) -> Self {
        let kind = http::kind_of_failure(&error);
        let problem = match kind {
            Kind::Denied => "the certificate of the store is refused: name its CA in `ca_file`",
            _ if error.is_connect() => {
                "the store cannot be reached: check `endpoint`, `proxy` and the network"
            }
            _ => "the connection to the store broke",
        };
        Self::of(kind, problem, error.without_url())
    }

    /// Wraps an answer that is no success; `need` is the right that the call asks for.
    pub(super) fn answer(status: StatusCode, headers: &HeaderMap, body: &[u8], need: Need) -> Self {
        let document = Element::read(body).filter(|document| document.name == "Error");
        let text = |name| document.as_ref().and_then(|document| document.text(name));
        let code = text("Code").map_or_else(|| status.as_u16().to_string(), str::to_owned);
        let code = if code == "403" && clock_is_off(headers) { SKEWED.to_owned() } else { code };
        let message = text("Message").map(|said| said.trim_end_matches('.'));
        let message = message.filter(|said| !said.is_empty() && *said != code);
        let (kind, problem) = match judge(&code, message.unwrap_or_default(), headers) {
            Some((kind, problem)) => (kind, problem),
            None => (http::kind_of(status), by_status(status, need)),
        };
        let message = message.map(|said| format!(": {said}")).unwrap_or_default();
        let said = Said { code: code.clone(), message };
        Self::of(kind, problem, said).marked(Code(code))
    }

    /// Tells whether what was asked for is not there.
    pub(super) fn is_absent(&self) -> bool {
        self.kind == Kind::NotFound
    }
}

/// The right that a call asks for, as policies spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Put,
    Get,
    List,
    Delete,
    Abort,
    Uploads,
}

impl Need {
    fn right(self) -> &'static str {
        match self {
            Self::Put => "s3:PutObject",
            Self::Get => "s3:GetObject",
            Self::List => "s3:ListBucket",
            Self::Delete => "s3:DeleteObject",
            Self::Abort => "s3:AbortMultipartUpload",
            Self::Uploads => "s3:ListBucketMultipartUploads",
        }
    }
}

/// Tells the kind of one of the store's words, and what a person may do about it.
fn judge(code: &str, message: &str, headers: &HeaderMap) -> Option<(Kind, String)> {
    let (kind, problem) = match code {
        "NoSuchKey" | "NoSuchUpload" => (Kind::NotFound, "there is no such object"),
        "NoSuchBucket" => (
            Kind::Other,
            "there is no such bucket: make it, or check `bucket_name`, `endpoint` and `region`",
        ),
        "InvalidAccessKeyId" | "InvalidAccessKey" => {
            (Kind::Denied, "the store does not know `access_key_id`: check it and `endpoint`")
        }
        "SignatureDoesNotMatch" => {
            (Kind::Denied, "the signature is refused: check `secret_access_key` and `region`")
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            (Kind::Denied, "the session token is refused: get a new one for `session_token`")
        }
        SKEWED => (
            Kind::Denied,
            "the clocks of this machine and of the store differ by more than 15 minutes: set the \
             clock, best by NTP",
        ),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "301"
        | "307" => return Some((Kind::Other, other_region(headers))),
        "SlowDown" | "ServiceUnavailable" | "TooManyRequests" | "503" | "429" => {
            (Kind::Unavailable, "the store is overloaded and asks to come back later")
        }
        "InternalError" | "RequestTimeout" | "OperationAborted" | "BadDigest"
        | "IncompleteBody" => (Kind::Unavailable, "the store could not do it this time"),
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "StorageFull" => {
            (Kind::Full, "no room is left: raise the quota, or keep fewer copies")
        }
        "EntityTooLarge" | "TooManyParts" => TOO_LARGE,
        "InvalidArgument" if message.to_lowercase().contains("part number") => TOO_LARGE,
        "KeyTooLongError" => (Kind::Unsupported, "the store takes no name this long"),
        "InvalidStorageClass" => {
            (Kind::Other, "the store does not have this `storage_class`: name one that it has")
        }
        "InvalidObjectState" => (
            Kind::Denied,
            "the object lies in an archive class: thaw it first (`aws s3api restore-object`)",
        ),
        "InvalidRange" | "416" => (Kind::Corrupt, "the object is shorter than was asked for"),
        "NotImplemented" | "501" => (Kind::Unsupported, "the store cannot do this"),
        _ => return None,
    };
    Some((kind, problem.to_owned()))
}

fn by_status(status: StatusCode, need: Need) -> String {
    match http::kind_of(status) {
        Kind::Denied => format!("the store forbids it: allow this key {}", need.right()),
        Kind::NotFound => "there is no such object".to_owned(),
        Kind::Unavailable => "the store could not do it this time".to_owned(),
        _ => "the store refuses it".to_owned(),
    }
}

fn other_region(headers: &HeaderMap) -> String {
    let region = headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
    match region {
        Some(region) => format!("the bucket lies in another region: set `region: {region}`"),
        None => "the bucket lies elsewhere: check `region` and `endpoint`".to_owned(),
    }
}

/// An answer to HEAD has no words, but a date.
fn clock_is_off(headers: &HeaderMap) -> bool {
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    date.is_some_and(|date| {
        let apart = date.timestamp().duration_since(jiff::Timestamp::now());
        apart.unsigned_abs().as_secs() > 14 * 60
    })
}

const SKEWED: &str = "RequestTimeTooSkewed";
const TOO_LARGE: (Kind, &str) =
    (Kind::Unsupported, "the store takes no object this large: set a smaller `split`");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    fn answer(status: u16, body: &str, need: Need) -> Trouble {
        let status = StatusCode::from_u16(status).unwrap();
        Trouble::answer(status, &HeaderMap::new(), body.as_bytes(), need)
    }

    fn coded(status: u16, code: &str) -> Trouble {
        answer(status, &format!("<Error><Code>{code}</Code></Error>"), Need::Put)
    }

    #[test]
    fn the_kind_tells_what_may_be_done() {
        for (status, code, kind) in [
            (404, "NoSuchKey", Kind::NotFound),
            (404, "NoSuchBucket", Kind::Other),
            (403, "InvalidAccessKeyId", Kind::Denied),
            (403, "SignatureDoesNotMatch", Kind::Denied),
            (403, "RequestTimeTooSkewed", Kind::Denied),
            (403, "AccessDenied", Kind::Denied),
            (403, "QuotaExceeded", Kind::Full),
            (503, "SlowDown", Kind::Unavailable),
            (500, "InternalError", Kind::Unavailable),
            (400, "RequestTimeout", Kind::Unavailable),
            (416, "InvalidRange", Kind::Corrupt),
            (501, "NotImplemented", Kind::Unsupported),
            (418, "Teapot", Kind::Other),
        ] {
            assert_eq!(coded(status, code).kind, kind, "{code}");
        }
    }

    #[test]
    fn the_words_name_the_cause_and_what_to_do() {
        let body = "<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";
        for (need, right) in [(Need::Delete, "s3:DeleteObject"), (Need::List, "s3:ListBucket")] {
            let should = format!(
                "the store forbids it: allow this key {right}: \
                 the store says AccessDenied: Access Denied"
            );
            assert_eq!(chain(&answer(403, body, need)), should);
        }
        let said = chain(&answer(502, "<html>", Need::Get));
        assert_eq!(said, "the store could not do it this time: the store says 502");
    }

    #[test]
    fn a_clock_that_is_off_is_seen_in_an_answer_without_words() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Fri, 01 Jan 2021 00:00:00 GMT".parse().unwrap());
        let trouble = Trouble::answer(StatusCode::FORBIDDEN, &headers, b"", Need::Get);
        assert_eq!(trouble.mark.0, SKEWED);
    }

    #[test]
    fn another_region_is_named() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-bucket-region", "eu-west-1".parse().unwrap());
        let trouble = Trouble::answer(StatusCode::MOVED_PERMANENTLY, &headers, b"", Need::Put);
        assert!(chain(&trouble).contains("set `region: eu-west-1`"), "{}", chain(&trouble));
    }
}
