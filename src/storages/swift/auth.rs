//! Tokens: from Keystone with its catalogue, or from version 1.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::storages::Kind;
use crate::storages::swift::login::{Login, Proof, authority};
use crate::storages::swift::trouble::Trouble;

/// A token, and where it is good.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) token: HeaderValue,
    /// The account's URL, without a slash at its end.
    pub(super) url: String,
    /// When a new token should be asked for, though this one still works.
    renew_at: Option<Instant>,
}

impl Session {
    fn new(login: &Url, token: &str, url: &str, life: Option<Duration>) -> Result<Self, Trouble> {
        let broken = |what| Trouble::new(Kind::Other, format!("{} gave {what}", authority(login)));
        let mut token = HeaderValue::from_str(token).map_err(|_| broken("no usable token"))?;
        token.set_sensitive(true);
        let mut url = Url::parse(url).map_err(|_| broken("no usable address of the store"))?;
        // A proxy that ends TLS hides from the store that it is there.
        if login.scheme() == "https"
            && url.scheme() == "http"
            && authority(login) == authority(&url)
        {
            url.set_scheme("https").ok();
        }
        let early = |life: Duration| life - (life / 10).min(LONGEST_EARLY);
        let renew_at = life.map(|life| Instant::now() + early(life));
        Ok(Self { token, url: url.as_str().trim_end_matches('/').to_owned(), renew_at })
    }

    pub(super) fn is_old(&self) -> bool {
        self.renew_at.is_some_and(|at| at <= Instant::now())
    }
}

/// Asks for a token.
pub(super) async fn log_in(http: &Client, login: &Login) -> Result<Session, Trouble> {
    match login {
        Login::V1 { url, user, key } => v1(http, url, user, key.reveal()).await,
        Login::V3 { url, proof, region } => v3(http, url, proof, region.as_deref()).await,
    }
}

async fn v1(http: &Client, url: &Url, user: &str, key: &str) -> Result<Session, Trouble> {
    let mut key = secret_header(key)?;
    key.set_sensitive(true);
    let request = http.get(url.clone());
    let request = request.header("x-auth-user", secret_header(user)?).header("x-auth-key", key);
    let response = send(request, url).await?;
    let host = authority(url);
    match response.status() {
        status if status.is_success() => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let problem = format!(
                "{host} refuses the user {user}: check `user` (account:user) and `password`"
            );
            return Err(Trouble::new(Kind::Denied, problem));
        }
        _ => return Err(odd(url, response.status())),
    }
    let text = |name: &str| text_of(response.headers(), name);
    let (Some(token), Some(storage)) = (text("x-auth-token"), text("x-storage-url")) else {
        return Err(no_token(url));
    };
    let life = text("x-auth-token-expires").and_then(|life| life.parse().ok());
    Session::new(url, &token, &storage, life.map(Duration::from_secs))
}

async fn v3(
    http: &Client,
    url: &Url,
    proof: &Proof,
    region: Option<&str>,
) -> Result<Session, Trouble> {
    let response = ask(http, url, &question(proof, true)).await?;
    let unknown = matches!(proof, Proof::Application { .. }) && is_json(&response);
    match response.status() {
        StatusCode::UNAUTHORIZED => return Err(refused(http, url, proof).await),
        // Keystone says of a credential that it does not know that it is not there.
        StatusCode::NOT_FOUND if unknown => return Err(refused(http, url, proof).await),
        _ => {}
    }
    if response.status() != StatusCode::CREATED {
        return Err(odd(url, response.status()));
    }
    let token = text_of(response.headers(), "x-subject-token").ok_or_else(|| no_token(url))?;
    let body = response.bytes().await.map_err(|error| Trouble::failed(url, error))?;
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|error| no_token(url).because(error))?;
    let storage = endpoint(&answer.token.catalog, region)?;
    Session::new(url, &token, storage, answer.token.life())
}

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    catalog: Vec<Service>,
    issued_at: Option<jiff::Timestamp>,
    expires_at: Option<jiff::Timestamp>,
}

impl Token {
    /// By the server's own clock, so that ours may be wrong.
    fn life(&self) -> Option<Duration> {
        Duration::try_from(self.expires_at?.duration_since(self.issued_at?)).ok()
    }
}

#[derive(Deserialize)]
struct Service {
    r#type: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    region: Option<String>,
    url: String,
}

/// Finds the public address of the object store.
fn endpoint<'a>(catalogue: &'a [Service], region: Option<&str>) -> Result<&'a str, Trouble> {
    let stores = catalogue.iter().filter(|service| service.r#type == "object-store");
    let public = stores.flat_map(|service| &service.endpoints);
    let public: Vec<_> = public.filter(|endpoint| endpoint.interface == "public").collect();
    let regions = || {
        let mut names: Vec<_> =
            public.iter().map(|endpoint| endpoint.region.as_deref().unwrap_or("?")).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    let problem = match (region, public.as_slice()) {
        (_, []) => {
            "the catalogue names no public object store: does this cloud have one for the project?"
                .to_owned()
        }
        (None, [only]) => return Ok(&only.url),
        (None, _) => {
            format!("there are several object stores: set `region` to one of {}", regions())
        }
        (Some(region), _) => {
            let is_there = |endpoint: &&&Endpoint| endpoint.region.as_deref() == Some(region);
            match public.iter().find(is_there) {
                Some(found) => return Ok(&found.url),
                None => format!(
                    "the region {region} has no object store: set `region` to one of {}",
                    regions()
                ),
            }
        }
    };
    Err(Trouble::new(Kind::Other, problem))
}

fn question(proof: &Proof, scoped: bool) -> Value {
    match proof {
        Proof::Password { user, domain, password, scope } => {
            let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"name": domain}, "password": password.reveal(),
            }}}});
            auth["scope"] = match scoped {
                true => json!({"project": {
                    "name": scope.project, "domain": {"name": scope.domain},
                }}),
                false => json!("unscoped"),
            };
            json!({"auth": auth})
        }
        Proof::Application { id, secret } => json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": id, "secret": secret.reveal()},
        }}}),
    }
}

/// Keystone says the same of a wrong password and of a wrong project; without a project it tells.
async fn refused(http: &Client, url: &Url, proof: &Proof) -> Trouble {
    let host = authority(url);
    let Proof::Password { user, domain, scope, .. } = proof else {
        let problem = format!(
            "{host} refuses the application credential: check its id and secret, or whether it \
             has expired"
        );
        return Trouble::new(Kind::Denied, problem);
    };
    let wrong = format!(
        "{host} refuses the user {user} of the domain {domain}: check `user`, `password` and \
         `user_domain`"
    );
    let Ok(response) = ask(http, url, &question(proof, false)).await else {
        return Trouble::new(Kind::Denied, wrong);
    };
    let token = response.headers().get("x-subject-token").cloned();
    let Some(token) = token.filter(|_| response.status() == StatusCode::CREATED) else {
        return Trouble::new(Kind::Denied, wrong);
    };
    let mut problem = format!(
        "the password is right, but the user {user} has no role in the project {} of the domain \
         {}: check `project` and `project_domain`",
        scope.project, scope.domain
    );
    if let Some(names) = projects(http, url, token).await {
        problem.push_str(&format!("; the user's projects are: {names}"));
    }
    Trouble::new(Kind::Denied, problem)
}

async fn projects(http: &Client, url: &Url, token: HeaderValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Projects {
        projects: Vec<Project>,
    }
    #[derive(Deserialize)]
    struct Project {
        name: String,
    }
    let request = http.get(format!("{url}/auth/projects")).header("x-auth-token", token);
    let body = request.timeout(PATIENCE).send().await.ok()?.bytes().await.ok()?;
    let found: Projects = serde_json::from_slice(&body).ok()?;
    let names: Vec<_> = found.projects.into_iter().map(|project| project.name).take(5).collect();
    if names.is_empty() { Some("none".to_owned()) } else { Some(names.join(", ")) }
}

async fn ask(http: &Client, url: &Url, question: &Value) -> Result<Response, Trouble> {
    let request = http.post(format!("{url}/auth/tokens"));
    let request = request.header(CONTENT_TYPE, "application/json").body(question.to_string());
    send(request, url).await
}

async fn send(request: RequestBuilder, url: &Url) -> Result<Response, Trouble> {
    request.timeout(PATIENCE).send().await.map_err(|error| Trouble::failed(url, error))
}

fn odd(url: &Url, status: StatusCode) -> Trouble {
    if matches!(status.as_u16(), 300..=308 | 400 | 404 | 405) {
        let problem = format!("{url} gives no tokens ({status}): check `auth_url`");
        return Trouble::new(Kind::Other, problem);
    }
    // The text of the answer might quote what we sent: it is not shown.
    let problem = format!("{} gives no token: it answered {status}", authority(url));
    Trouble::new(Trouble::status(status, "").kind, problem)
}

fn is_json(response: &Response) -> bool {
    text_of(response.headers(), CONTENT_TYPE.as_str()).is_some_and(|kind| kind.contains("json"))
}

fn no_token(url: &Url) -> Trouble {
    let problem = format!("{url} answered without a token: check `auth_url`");
    Trouble::new(Kind::Other, problem)
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn secret_header(text: &str) -> Result<HeaderValue, Trouble> {
    let words = "the user or its key holds a character that version 1 cannot send";
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Trouble::new(Kind::Other, words))
}

/// How long a token may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long before its end a token is renewed, at most.
const LONGEST_EARLY: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(stores: &[(&str, &str)]) -> Vec<Service> {
        let endpoints = stores.iter().map(|(interface, region)| {
            json!({"interface": interface, "region": region, "url": format!("http://{region}")})
        });
        let endpoints: Vec<_> = endpoints.collect();
        let all = json!([{"type": "identity"}, {"type": "object-store", "endpoints": endpoints}]);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn the_store_of_the_region_is_found() {
        let one = catalogue(&[("internal", "A"), ("public", "A")]);
        let two = catalogue(&[("public", "A"), ("public", "B"), ("admin", "C")]);
        assert_eq!(endpoint(&one, None).unwrap(), "http://A");
        assert_eq!(endpoint(&two, Some("B")).unwrap(), "http://B");
        for (catalogue, region, says) in [
            (&two, None, "set `region` to one of A, B"),
            (&two, Some("C"), "the region C has no object store: set `region` to one of A, B"),
            (&catalogue(&[]), None, "names no public object store"),
        ] {
            let said = endpoint(catalogue, region).unwrap_err().to_string();
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_store_behind_the_same_proxy_is_asked_over_tls_too() {
        let login = Url::parse("https://cloud:8443/auth/v1.0").unwrap();
        let url = |storage| Session::new(&login, "t", storage, None).unwrap().url;
        assert_eq!(url("http://cloud:8443/v1/AUTH_a/"), "https://cloud:8443/v1/AUTH_a");
        assert_eq!(url("http://store:8080/v1/AUTH_a"), "http://store:8080/v1/AUTH_a");
    }

    #[test]
    fn a_token_is_renewed_before_it_ends() {
        let login = Url::parse("http://cloud/v3").unwrap();
        let old = |life| Session::new(&login, "t", "http://s", life).unwrap().is_old();
        assert!(!old(None) && !old(Some(Duration::from_secs(60))) && old(Some(Duration::ZERO)));
    }
}
