//! What a server asks for with `WWW-Authenticate`, and the answer to a digest challenge.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc7616>.

use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::base::Digest;

/// One way to log in that the server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// `basic`, `digest` …, in lower case.
    pub(super) scheme: String,
    words: Vec<(String, String)>,
}

impl Offer {
    fn word(&self, name: &str) -> Option<&str> {
        self.words.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads the value of one `WWW-Authenticate` header, which may hold several offers.
pub(super) fn offers(header: &str) -> Vec<Offer> {
    let mut found: Vec<Offer> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let word = word.to_ascii_lowercase();
        let after = after.trim_start_matches([' ', '\t']);
        match after.strip_prefix('=') {
            Some(value) => {
                let (value, next) = value_of(value.trim_start_matches([' ', '\t']));
                if let Some(offer) = found.last_mut() {
                    offer.words.push((word, value));
                }
                rest = next;
            }
            None => {
                found.push(Offer { scheme: word, words: Vec::new() });
                rest = after;
            }
        }
    }
}

/// Takes a value, in quotes or not, and returns what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, ch) in quoted.char_indices() {
        match ch {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &quoted[at + 1..]),
            _ => {
                value.push(ch);
                escaped = false;
            }
        }
    }
    (value, "")
}

/// A digest challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    pub(super) nonce: String,
    opaque: Option<String>,
    /// As the server spelled it.
    algorithm: Option<String>,
    strong: bool,
    session: bool,
    counted: bool,
    /// The password may be right, only the nonce was too old.
    pub(super) stale: bool,
}

impl Challenge {
    /// Understands an offer; `None` when it wants what is not built here.
    pub(super) fn of(offer: &Offer) -> Option<Self> {
        let algorithm = offer.word("algorithm").map(str::to_owned);
        let (strong, session) = match algorithm.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("md5") => (false, false),
            Some("md5-sess") => (false, true),
            Some("sha-256") => (true, false),
            Some("sha-256-sess") => (true, true),
            Some(_) => return None,
        };
        let qop = offer.word("qop");
        let counted = qop.is_some_and(|qop| qop.split(',').any(|word| word.trim() == "auth"));
        if qop.is_some() && !counted {
            return None;
        }
        Some(Self {
            realm: offer.word("realm")?.to_owned(),
            nonce: offer.word("nonce")?.to_owned(),
            opaque: offer.word("opaque").map(str::to_owned),
            algorithm,
            strong,
            session,
            counted,
            stale: offer.word("stale").is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }

    /// Tells which of two challenges is the better one.
    pub(super) fn rank(&self) -> u8 {
        u8::from(self.strong)
    }

    /// Spells the `Authorization` for one request, the `count`-th with this nonce.
    pub(super) fn answer(&self, who: &Who<'_>, request: (&str, &str), count: u32) -> String {
        let (method, uri) = request;
        let Who { user, password, cnonce } = *who;
        let hash = |text: String| self.hash(&text);
        let mut secret = hash(format!("{user}:{}:{password}", self.realm));
        if self.session {
            secret = hash(format!("{secret}:{}:{cnonce}", self.nonce));
        }
        let asked = hash(format!("{method}:{uri}"));
        let nonce = &self.nonce;
        let response = match self.counted {
            true => hash(format!("{secret}:{nonce}:{count:08x}:{cnonce}:auth:{asked}")),
            false => hash(format!("{secret}:{nonce}:{asked}")),
        };
        let mut words = vec![
            format!("username={}", quoted(user)),
            format!("realm={}", quoted(&self.realm)),
            format!("nonce={}", quoted(nonce)),
            format!("uri={}", quoted(uri)),
            format!("response=\"{response}\""),
        ];
        words.extend(self.algorithm.iter().map(|word| format!("algorithm={word}")));
        words.extend(self.opaque.iter().map(|word| format!("opaque={}", quoted(word))));
        if self.counted {
            words.push(format!("qop=auth, nc={count:08x}, cnonce={}", quoted(cnonce)));
        } else if self.session {
            words.push(format!("cnonce={}", quoted(cnonce)));
        }
        format!("Digest {}", words.join(", "))
    }

    fn hash(&self, text: &str) -> String {
        let digest = match self.strong {
            true => Digest::new(Sha256::digest(text).to_vec()),
            false => Digest::new(Md5::digest(text).to_vec()),
        };
        digest.to_string()
    }
}

/// Who answers a challenge.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    /// Our own random word.
    pub(super) cnonce: &'a str,
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_offers_of_one_header_are_read() {
        let found = offers(
            "Negotiate, Basic realm=\"a \\\"b\\\", c\" , Digest realm=x,nonce=\"n=,\", \
             stale=TRUE, qop=\"auth-int, auth\"",
        );
        let names: Vec<_> = found.iter().map(|offer| offer.scheme.as_str()).collect();
        assert_eq!(names, ["negotiate", "basic", "digest"]);
        assert_eq!(found[1].word("realm"), Some("a \"b\", c"));
        let digest = Challenge::of(&found[2]).unwrap();
        assert!(digest.stale && digest.counted && digest.nonce == "n=,");
        assert_eq!(offers("=,=\"").len(), 0);
        let unknown = offers("Digest realm=a, nonce=b, algorithm=SHA-512-256");
        assert_eq!(Challenge::of(&unknown[0]), None);
    }

    /// The example of RFC 7616, section 3.9.1.
    #[test]
    fn the_answers_are_those_of_the_standard() {
        let cases = [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (algorithm, response) in cases {
            let header = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let challenge = Challenge::of(&offers(&header)[0]).unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let who = Who { user: "Mufasa", password: "Circle of Life", cnonce };
            let said = challenge.answer(&who, ("GET", "/dir/index.html"), 1);
            assert!(said.contains(&format!("response=\"{response}\"")), "{said}");
            assert!(said.contains("nc=00000001") && said.contains("qop=auth"), "{said}");
        }
    }
}
