//! What an answer may not repeat: services quote the request that they refuse, with its secrets.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::notify::http::Call;

/// The parts of a request that may be secret.
pub(super) struct Echo {
    /// The longest first: a part of another one must not hide it.
    parts: Vec<String>,
}

impl Echo {
    /// Takes the address without its host, the values of headers, and what looks like a token in
    /// the body.
    pub(super) fn of(call: &Call) -> Self {
        let mut parts = BTreeSet::new();
        let (login, path) = split(&call.url);
        for text in [login.to_owned(), path.to_owned(), decoded(login), decoded(path)] {
            parts.extend(words(&text).map(str::to_owned));
            parts.insert(text);
        }
        if let Some(login) = basic(&call.url) {
            parts.insert(login);
        }
        for (_, value) in call.headers.iter().filter(|(name, _)| !is_plain(name)) {
            parts.extend(value.split_whitespace().chain(words(value)).map(str::to_owned));
            parts.insert(value.clone());
        }
        parts.extend(call.secrets.iter().map(|secret| secret.reveal().to_owned()));
        parts.extend(words(&call.body).filter(|word| is_token(word)).map(str::to_owned));
        let quoted: Vec<String> = parts.iter().map(|part| quoted(part)).collect();
        let mut parts: Vec<String> =
            parts.into_iter().chain(quoted).filter(|part| part.len() >= SHORTEST).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        Self { parts }
    }

    /// Puts `***` for each of them.
    pub(super) fn mask(&self, text: &str) -> String {
        let masked = |text: String, part: &String| text.replace(part.as_str(), "***");
        self.parts.iter().fold(text.to_owned(), masked)
    }
}

/// Gives what an address has before its host and behind it.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    (host.rsplit_once('@').map_or("", |(login, _)| login), path)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The login of an address as it is sent.
fn basic(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| !url.username().is_empty())?;
    let password = decoded(url.password().unwrap_or_default());
    Some(BASE64_STANDARD.encode(format!("{}:{password}", decoded(url.username()))))
}

/// As JSON quotes it.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |ch: char| ch.is_alphanumeric() || matches!(ch, '-' | '_');
    text.split(move |ch| !is_word(ch)).filter(|word| word.len() >= SHORTEST)
}

fn is_plain(header: &str) -> bool {
    ["content-type", "idempotency-key"].iter().any(|plain| header.eq_ignore_ascii_case(plain))
}

/// Tells a word of a message from a key: a body is mostly words.
fn is_token(word: &str) -> bool {
    word.len() >= 20 || (word.len() >= 8 && word.contains(|ch: char| ch.is_ascii_digit()))
}

/// What is shorter would hide half of an answer.
const SHORTEST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_repeats_the_request_shows_no_secret() {
        let call = Call {
            url: "https://bob:p%40ss@chat.example/services/T0AB/Hunter%2B1?key=hunter2".into(),
            headers: vec![
                ("Authorization".into(), "Bearer hun ter\"3+x==".into()),
                ("content-type".into(), "application/json".into()),
            ],
            ..Call::json("", &serde_json::json!({"token": "hunter4567", "text": "all is well"}))
        };
        let echo = Echo::of(&call);
        for (said, shown) in [
            ("no POST to /services/T0AB/Hunter%2B1?key=hunter2", "no POST to ***"),
            (r#"{"path":"\/services\/T0AB\/Hunter+1"}"#, r#"{"path":"\/***\/***\/***+1"}"#),
            ("key is hunter2", "key is ***"),
            (r#"{"authorization":"Bearer hun ter\"3+x=="}"#, r#"{"authorization":"***"}"#),
            ("Basic Ym9iOnBAc3M=", "Basic ***"),
            ("bad token hunter4567: all is well", "bad token ***: all is well"),
            ("chat.example takes application/json", "chat.example takes application/json"),
            ("https://bob:p%40ss@chat.example is bob:p@ss", "https://***@chat.example is ***"),
        ] {
            assert_eq!(echo.mask(said), shown, "{said}");
        }
    }
}
