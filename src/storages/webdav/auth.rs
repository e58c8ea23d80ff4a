//! Logging in: the password is shown only to a server that asks, in the way that it asks for.
//!
//! A challenge is learned from a request that can be sent again; one whose body is read only once
//! carries the right header at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use crate::base::Secret;
use crate::storages::Kind;
use crate::storages::unique::random;
use crate::storages::webdav::challenge::{Challenge, Offer, Who, offers};
use crate::storages::webdav::errors::{Trouble, server};

/// Who we are.
#[derive(Clone, Debug)]
pub(super) enum Login {
    /// Nobody in particular.
    Nobody,
    /// A user with a password.
    User(String, Secret),
    /// Whoever holds this token.
    Token(Secret),
}

/// What the server has asked for so far.
#[derive(Debug)]
pub(super) struct Auth {
    login: Login,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    scheme: Scheme,
    since: Instant,
    /// Requests with this challenge.
    count: u32,
    /// Counts challenges, so that an answer to an older one is not taken for wrong.
    number: u64,
    /// A request with this challenge was let in.
    worked: bool,
}

#[derive(Debug)]
enum Scheme {
    Unasked,
    Basic,
    Digest(Challenge),
}

/// The header of one request.
pub(super) struct Shown {
    pub(super) header: Option<HeaderValue>,
    number: u64,
}

impl Auth {
    pub(super) fn new(login: Login) -> Self {
        let state = State {
            scheme: Scheme::Unasked,
            since: Instant::now(),
            count: 0,
            number: 0,
            worked: false,
        };
        Self { login, state: Mutex::new(state) }
    }

    /// Makes the header for a request.
    pub(super) fn show(&self, method: &str, url: &Url) -> Result<Shown, Trouble> {
        let mut state = self.lock();
        let text = match (&self.login, &state.scheme) {
            (Login::Nobody, _) | (Login::User(..), Scheme::Unasked) => None,
            (Login::Token(token), _) => Some(format!("Bearer {}", token.reveal())),
            (Login::User(user, password), Scheme::Basic) => {
                let both = format!("{user}:{}", password.reveal());
                Some(format!("Basic {}", STANDARD.encode(both)))
            }
            (Login::User(user, password), Scheme::Digest(challenge)) => {
                let (cnonce, count) =
                    (format!("{:016x}{:016x}", random(), random()), state.count + 1);
                let who = Who { user, password: password.reveal(), cnonce: &cnonce };
                let text = challenge.answer(&who, (method, url.path()), count);
                state.count = count;
                Some(text)
            }
        };
        let number = state.number;
        let header = text.map(|text| HeaderValue::from_bytes(text.as_bytes())).transpose();
        let mut header = header.map_err(|_| {
            let problem = "`user` or `token` holds what no header may hold, such as a line break";
            Trouble::new(Kind::Denied, problem)
        })?;
        if let Some(header) = &mut header {
            header.set_sensitive(true);
        }
        Ok(Shown { header, number })
    }

    /// Notes that a request was let in.
    pub(super) fn let_in(&self, shown: &Shown) {
        let mut state = self.lock();
        if shown.header.is_some() && state.number == shown.number {
            state.worked = true;
        }
    }

    /// Learns from a 401 what the server wants; the request should then be sent again.
    ///
    /// Errors: `Denied` when what was shown is refused for good.
    pub(super) fn challenged(
        &self,
        shown: &Shown,
        headers: &HeaderMap,
        url: &Url,
    ) -> Result<(), Trouble> {
        let denied =
            |what: &str| Err(Trouble::new(Kind::Denied, format!("{} (401) {what}", server(url))));
        match self.login {
            Login::Nobody => {
                return denied("asks who we are: set `user` and `password`, or `token`");
            }
            Login::Token(_) => return denied("refuses the token: check `token`"),
            Login::User(..) => {}
        }
        let mut state = self.lock();
        if state.number != shown.number {
            return Ok(());
        }
        let (offered, best) = best(headers);
        let next = match (&state.scheme, best) {
            (_, None) => {
                let what = format!("asks for {offered}: basic and digest can be given, or `token`");
                return denied(&what);
            }
            (Scheme::Basic, Some(Scheme::Basic)) => None,
            (Scheme::Digest(_), Some(Scheme::Digest(new))) if !(new.stale || state.worked) => None,
            (_, best) => best,
        };
        let Some(next) = next else {
            return denied("refuses the user or the password: check `user` and `password`");
        };
        let number = state.number + 1;
        *state = State { scheme: next, since: Instant::now(), count: 0, number, worked: false };
        Ok(())
    }

    /// Forgets a digest challenge that may become too old while a body is sent, and tells whether
    /// it did: then a request that can be sent again must come first.
    pub(super) fn freshen(&self) -> bool {
        let mut state = self.lock();
        let old = matches!(state.scheme, Scheme::Digest(_)) && state.since.elapsed() > FRESH;
        if old {
            state.scheme = Scheme::Unasked;
            state.number += 1;
        }
        old
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chooses among the offers; names them all.
fn best(headers: &HeaderMap) -> (String, Option<Scheme>) {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all: Vec<Offer> = values.flat_map(|value| offers(&text(value))).collect();
    let named: Vec<&str> = all.iter().map(|offer| offer.scheme.as_str()).collect();
    let offered = if named.is_empty() { "nothing".to_owned() } else { named.join(", ") };
    let digests = all.iter().filter(|offer| offer.scheme == "digest").filter_map(Challenge::of);
    let best = match digests.max_by_key(Challenge::rank) {
        Some(challenge) => Some(Scheme::Digest(challenge)),
        None => named.contains(&"basic").then_some(Scheme::Basic),
    };
    (offered, best)
}

/// Servers keep a nonce for minutes; one that is younger lives through the beginning of a put.
const FRESH: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap())])
    }

    fn user() -> (Auth, Url) {
        let auth = Auth::new(Login::User("u".to_owned(), Secret::new("p\nw:ä")));
        (auth, Url::parse("http://h/x").unwrap())
    }

    #[test]
    fn nothing_is_shown_before_the_server_asks() {
        let (auth, url) = user();
        let shown = auth.show("GET", &url).unwrap();
        assert!(shown.header.is_none());
        auth.challenged(&shown, &asks("Basic realm=x"), &url).unwrap();
        let shown = auth.show("GET", &url).unwrap();
        assert_eq!(shown.header.as_ref().unwrap(), "Basic dTpwCnc6w6Q=");
        assert!(shown.header.as_ref().unwrap().is_sensitive());
        let again = auth.challenged(&shown, &asks("Basic realm=x"), &url);
        assert_eq!(again.unwrap_err().kind, Kind::Denied);
    }

    #[test]
    fn a_stale_nonce_is_replaced_and_a_wrong_password_is_not_tried_again() {
        let (auth, url) = user();
        let ask = |stale| asks(&format!("Digest realm=x, nonce=n, qop=auth{stale}"));
        let shown = auth.show("GET", &url).unwrap();
        auth.challenged(&shown, &ask(""), &url).unwrap();
        let first = auth.show("GET", &url).unwrap();
        let late = auth.show("GET", &url).unwrap();
        auth.challenged(&first, &ask(", stale=true"), &url).unwrap();
        // Another request had learned the new nonce already.
        auth.challenged(&late, &ask(", stale=true"), &url).unwrap();
        let second = auth.show("GET", &url).unwrap();
        assert!(auth.challenged(&second, &ask(""), &url).is_err());
        auth.let_in(&second);
        auth.challenged(&second, &ask(""), &url).unwrap();
    }

    #[test]
    fn what_cannot_be_given_is_named() {
        let (auth, url) = user();
        let shown = auth.show("GET", &url).unwrap();
        let error = auth.challenged(&shown, &asks("Negotiate, NTLM"), &url).unwrap_err();
        assert!(error.to_string().contains("asks for negotiate, ntlm"), "{error}");
    }
}
