//! Who we are to the service: the config and, where that is silent, the variables `OS_*`.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::base::{PENDING, Secret, Wrong};
use crate::storages::swift::config::Config;

/// How a token is asked for.
#[derive(Debug)]
pub(super) enum Login {
    /// Version 1: a user and a key in headers.
    V1 { url: Url, user: String, key: Secret },
    /// Keystone, version 3. `url` ends in `/v3`.
    V3 { url: Url, proof: Proof, region: Option<String> },
}

/// What is shown to Keystone.
#[derive(Debug)]
pub(super) enum Proof {
    Password { user: String, domain: String, password: Secret, scope: Scope },
    Application { id: String, secret: Secret },
}

/// A project and its domain.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) project: String,
    pub(super) domain: String,
}

/// A config and the variables around it. A blank value is none.
pub(super) struct Given<'a> {
    pub(super) config: &'a Config,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Given<'_> {
    fn either(&self, own: Option<&str>, variables: &[&str]) -> Option<String> {
        let own = own.filter(|own| !own.is_empty()).map(str::to_owned);
        let of_env = || variables.iter().find_map(|name| (self.env)(name));
        own.or_else(|| of_env().filter(|value| !value.is_empty()))
    }

    fn auth_url(&self) -> Option<String> {
        self.either(self.config.auth_url.as_deref(), &["OS_AUTH_URL"])
    }

    fn user(&self) -> Option<String> {
        self.either(self.config.user.as_deref(), &["OS_USERNAME"])
    }

    fn password(&self) -> Option<Secret> {
        let own = self.config.password.as_ref().map(Secret::reveal);
        self.either(own, &["OS_PASSWORD"]).map(Secret::new)
    }

    fn project(&self) -> Option<String> {
        self.either(self.config.project.as_deref(), &["OS_PROJECT_NAME", "OS_TENANT_NAME"])
    }

    fn user_domain(&self) -> String {
        let found = self.either(self.config.user_domain.as_deref(), &["OS_USER_DOMAIN_NAME"]);
        found.unwrap_or_else(|| DOMAIN.to_owned())
    }

    fn project_domain(&self) -> String {
        let own = self.config.project_domain.as_deref();
        let found = self.either(own, &["OS_PROJECT_DOMAIN_NAME"]);
        found.unwrap_or_else(|| DOMAIN.to_owned())
    }

    pub(super) fn region(&self) -> Option<String> {
        self.either(self.config.region.as_deref(), &["OS_REGION_NAME"])
    }

    fn credential_id(&self) -> Option<String> {
        let own = self.config.application_credential_id.as_deref();
        self.either(own, &["OS_APPLICATION_CREDENTIAL_ID"])
    }

    fn credential_secret(&self) -> Option<Secret> {
        let own = self.config.application_credential_secret.as_ref().map(Secret::reveal);
        self.either(own, &["OS_APPLICATION_CREDENTIAL_SECRET"]).map(Secret::new)
    }

    /// Tells whether an application credential is meant: the config decides, and the variables
    /// only where it names neither kind.
    fn by_credential(&self) -> bool {
        let config = self.config;
        if is_set(&config.application_credential_id)
            || config.application_credential_secret.as_ref().is_some_and(|it| it.reveal() != "")
        {
            return true;
        }
        let by_user =
            is_set(&config.user) || config.password.as_ref().is_some_and(|it| it.reveal() != "");
        !by_user && self.credential_id().is_some()
    }

    /// Tells the host of `auth_url`, and who owns the containers there.
    pub(super) fn owner(&self) -> (String, String) {
        let url = self.auth_url().unwrap_or_default();
        let host = match Url::parse(&url) {
            Ok(parsed) => authority(&parsed),
            Err(_) => url.clone(),
        };
        let owner = match version(&url) {
            Ok((_, Version::One)) => {
                let user = self.user().unwrap_or_default();
                user.split(':').next().unwrap_or_default().to_owned()
            }
            _ if self.by_credential() => self.credential_id().unwrap_or_default(),
            _ => match (self.project_domain(), self.project().unwrap_or_default()) {
                (domain, project) if domain == DOMAIN => project,
                (domain, project) => format!("{domain}:{project}"),
            },
        };
        (host, owner)
    }
}

/// Finds how to log in.
///
/// Errors: everything that is missing or wrong.
pub(super) fn settle(given: &Given<'_>) -> Result<Login, Vec<Wrong>> {
    let missing = |key: &str, variable: &str| {
        let message = format!("`{key}` is missing: set it here, or {variable} in the environment");
        vec![Wrong::new(key, message)]
    };
    let Some(url) = given.auth_url() else { return Err(missing("auth_url", "OS_AUTH_URL")) };
    let (url, version) = version(&url).map_err(|wrong| vec![wrong])?;
    if version == Version::One {
        return v1(given, url, &missing);
    }
    let proof = if given.by_credential() {
        application(given, &missing)
    } else {
        password(given, &missing)
    };
    Ok(Login::V3 { url, proof: proof?, region: given.region() })
}

type Missing<'a> = &'a dyn Fn(&str, &str) -> Vec<Wrong>;

fn v1(given: &Given<'_>, url: Url, missing: Missing<'_>) -> Result<Login, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let (user, key) = (given.user(), given.password());
    for (key, unused) in [
        ("project", is_set(&given.config.project)),
        ("application_credential_id", is_set(&given.config.application_credential_id)),
        ("region", is_set(&given.config.region)),
    ] {
        if unused {
            let message = format!("`{key}` means nothing to version 1, which `auth_url` names");
            wrong.push(Wrong::new(key, message));
        }
    }
    let in_header = |text: &str| !text.chars().any(char::is_control);
    if key.as_ref().is_some_and(|key| !in_header(key.reveal())) {
        let message = "`password` cannot be sent by version 1: it holds a control character";
        wrong.push(Wrong::new("password", message));
    }
    if user.as_ref().is_some_and(|user| !in_header(user)) {
        wrong.push(Wrong::new("user", "`user` holds a control character"));
    }
    match (user, key) {
        (Some(user), Some(key)) if wrong.is_empty() => Ok(Login::V1 { url, user, key }),
        (user, key) => {
            if user.is_none() {
                wrong.extend(missing("user", "OS_USERNAME"));
            }
            if key.is_none() {
                wrong.extend(missing("password", "OS_PASSWORD"));
            }
            Err(wrong)
        }
    }
}

fn password(given: &Given<'_>, missing: Missing<'_>) -> Result<Proof, Vec<Wrong>> {
    let (domain, project_domain) = (given.user_domain(), given.project_domain());
    match (given.user(), given.password(), given.project()) {
        (Some(user), Some(password), Some(project)) => {
            let scope = Scope { project, domain: project_domain };
            Ok(Proof::Password { user, domain, password, scope })
        }
        (user, password, project) => {
            let all = [
                (user.is_none(), "user", "OS_USERNAME"),
                (password.is_none(), "password", "OS_PASSWORD"),
                (project.is_none(), "project", "OS_PROJECT_NAME"),
            ];
            let absent = all.into_iter().filter(|(is_absent, ..)| *is_absent);
            Err(absent.flat_map(|(_, key, variable)| missing(key, variable)).collect())
        }
    }
}

fn application(given: &Given<'_>, missing: Missing<'_>) -> Result<Proof, Vec<Wrong>> {
    let mut wrong = Vec::new();
    if is_set(&given.config.user) || is_set(&given.config.project) {
        let key = if is_set(&given.config.user) { "user" } else { "project" };
        let message = format!("`{key}` does not go with an application credential: it holds both");
        wrong.push(Wrong::new(key, message));
    }
    let (id, secret) = (given.credential_id(), given.credential_secret());
    if id.is_none() {
        wrong.extend(missing("application_credential_id", "OS_APPLICATION_CREDENTIAL_ID"));
    }
    if secret.is_none() {
        wrong.extend(missing("application_credential_secret", "OS_APPLICATION_CREDENTIAL_SECRET"));
    }
    match (id, secret) {
        (Some(id), Some(secret)) if wrong.is_empty() => Ok(Proof::Application { id, secret }),
        _ => Err(wrong),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Three,
}

/// Reads the version off the URL; one without a version is Keystone's root.
fn version(text: &str) -> Result<(Url, Version), Wrong> {
    let wrong = |message: &str| Wrong::new("auth_url", message);
    if text == PENDING {
        let url = Url::parse("https://not-fetched/v3").expect("a URL that is written here");
        return Ok((url, Version::Three));
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.has_host() && url.query().is_none());
    let Some(mut url) = url else {
        return Err(wrong("`auth_url` must be a URL, such as https://keystone.example:5000/v3"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("`auth_url` must hold no user or password: they are keys of their own"));
    }
    if url.port() == Some(0) {
        return Err(wrong("`auth_url` names port 0, which cannot be reached"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "v1.0" | "1.0" | "v1" => Ok((url, Version::One)),
        "v2.0" => Err(wrong("`auth_url` names version 2 of Keystone, which is gone: use `/v3`")),
        "v3" => {
            url.set_path(&path);
            Ok((url, Version::Three))
        }
        _ => {
            url.set_path(&format!("{path}/v3"));
            Ok((url, Version::Three))
        }
    }
}

/// Spells host and port.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let host = percent_decode_str(host).decode_utf8_lossy();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.into_owned(),
    }
}

fn is_set(value: &Option<String>) -> bool {
    value.as_deref().is_some_and(|value| !value.is_empty())
}

const DOMAIN: &str = "Default";
