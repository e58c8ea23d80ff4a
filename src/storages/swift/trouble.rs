//! What went wrong, in words that tell what to do.

use reqwest::{Response, StatusCode, Url};

use crate::storages::Kind;
use crate::storages::http::{excerpt, kind_of, kind_of_failure};
use crate::storages::swift::login::authority;

/// A call that failed, before it is known whose call it was.
pub(super) type Trouble = crate::storages::trouble::Trouble;

impl Trouble {
    /// Says that a request to `url` brought no answer.
    pub(super) fn failed(url: &Url, error: reqwest::Error) -> Self {
        let (kind, host) = (kind_of_failure(&error), authority(url));
        let problem = match kind {
            Kind::Denied => format!(
                "the certificate of {host} is not trusted: name its authority in `ca_file`, or set \
                 this machine's clock right"
            ),
            _ if error.is_connect() => {
                format!("{host} cannot be reached: is it up, and is the address right?")
            }
            _ if error.is_timeout() => format!("{host} did not answer in time"),
            _ => format!("the connection to {host} broke"),
        };
        Self::new(kind, problem).because(error.without_url())
    }

    /// Says what an answer that is no success means; its text is the cause.
    pub(super) async fn answer(response: Response) -> Self {
        let status = response.status();
        let text = plain(&excerpt(response).await);
        Self::status(status, &text)
    }

    /// Says what `status` means; `text` is the cause.
    pub(super) fn status(status: StatusCode, text: &str) -> Self {
        let (kind, advice) = judge(status, text);
        let problem = match advice {
            Some(advice) => format!("the store answered {status}: {advice}"),
            None => format!("the store answered {status}"),
        };
        let trouble = Self::new(kind, problem);
        if text.is_empty() { trouble } else { trouble.because(text) }
    }
}

/// Tells the kind of a status, and what a person may do about it.
fn judge(status: StatusCode, text: &str) -> (Kind, Option<&'static str>) {
    let quota = text.to_ascii_lowercase().contains("quota");
    match status.as_u16() {
        401 => {
            (Kind::Denied, Some("a fresh token is refused: does the user belong to the project?"))
        }
        403 if quota => (Kind::Full, Some("raise the quota, or keep fewer copies")),
        403 => (
            Kind::Denied,
            Some("give the user a role that may do this, such as `member`, or an ACL"),
        ),
        413 if quota => (Kind::Full, Some("raise the quota, or keep fewer copies")),
        413 => (Kind::Unsupported, Some("it takes no object of this size: set a smaller `split`")),
        422 => (Kind::Unavailable, Some("the bytes were damaged on their way")),
        429 | 498 => (Kind::Unavailable, Some("it limits how often it may be asked")),
        507 => (Kind::Full, Some("its disks are full")),
        499 => (Kind::Unavailable, None),
        500..=504 if status != StatusCode::NOT_IMPLEMENTED => {
            (Kind::Unavailable, Some("it has trouble of its own; it may work later"))
        }
        _ => (kind_of(status), None),
    }
}

/// Takes the tags out of a small page, and the period at its end.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for ch in text.chars() {
        match ch {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                out.push(' ');
            }
            ch if !inside => out.push(ch),
            _ => {}
        }
    }
    let words: Vec<_> = out.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chain;

    #[test]
    fn the_kind_tells_what_may_be_done() {
        for (status, text, kind) in [
            (401, "", Kind::Denied),
            (403, "", Kind::Denied),
            (404, "", Kind::NotFound),
            (413, "Upload exceeds quota.", Kind::Full),
            (413, "Your request is too large.", Kind::Unsupported),
            (422, "", Kind::Unavailable),
            (429, "", Kind::Unavailable),
            (498, "", Kind::Unavailable),
            (500, "", Kind::Unavailable),
            (501, "", Kind::Unsupported),
            (503, "", Kind::Unavailable),
            (507, "", Kind::Full),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Trouble::status(status, text).kind, kind, "{status} {text}");
        }
    }

    #[test]
    fn the_words_name_the_answer_what_to_do_and_the_cause() {
        let page = "<html><h1>Request Entity Too Large</h1><p>Upload exceeds quota.</p></html>";
        let said = chain(&Trouble::status(StatusCode::PAYLOAD_TOO_LARGE, &plain(page)));
        let should = "the store answered 413 Payload Too Large: raise the quota, or keep fewer \
                      copies: Request Entity Too Large Upload exceeds quota";
        assert_eq!(said, should);
    }
}
