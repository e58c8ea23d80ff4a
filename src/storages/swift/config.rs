//! The keys of a `swift` storage, and what can be wrong with them.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::base::{Key, MIB, PENDING, Secret, Wrong};
use crate::storages::swift::client::Client;
use crate::storages::swift::login::{Given, Login};
use crate::storages::swift::{Swift, login};
use crate::storages::{Section, Setting, Storage, checks, http};

/// The keys of a `swift` storage. What is missing comes from the variables `OS_*`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where tokens come from: Keystone (`https://host:5000/v3`), or version 1
    /// (`https://host/auth/v1.0`). `OS_AUTH_URL`.
    #[serde(default)]
    pub auth_url: Option<String>,
    /// The user; for version 1 `account:user`. `OS_USERNAME`.
    #[serde(default)]
    pub user: Option<String>,
    /// The user's password, or its key for version 1. `OS_PASSWORD`.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The container; it is made when it is missing, as is `<container>_segments`.
    #[serde(default)]
    pub container: Option<String>,
    /// The project that owns the container. `OS_PROJECT_NAME`.
    #[serde(default)]
    pub project: Option<String>,
    /// The domain of the user; `Default` unless set. `OS_USER_DOMAIN_NAME`.
    #[serde(default)]
    pub user_domain: Option<String>,
    /// The domain of the project; `Default` unless set. `OS_PROJECT_DOMAIN_NAME`.
    #[serde(default)]
    pub project_domain: Option<String>,
    /// The region whose object store is used; needed where there are several. `OS_REGION_NAME`.
    #[serde(default)]
    pub region: Option<String>,
    /// An application credential in place of user, password and project.
    /// `OS_APPLICATION_CREDENTIAL_ID`.
    #[serde(default)]
    pub application_credential_id: Option<String>,
    /// Its secret. `OS_APPLICATION_CREDENTIAL_SECRET`.
    #[serde(default)]
    pub application_credential_secret: Option<Secret>,
    /// The folder in the container that holds the backups; all of the container unless set.
    #[serde(default)]
    pub backup_dir: String,
    /// Certificates to trust beside the system's: a PEM file.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL, such as `http://proxy.example:3128`.
    #[serde(default)]
    pub proxy: Option<Secret>,
    /// How long the store keeps an object; it then removes it by itself, whatever the rotation
    /// says. Kept for ever unless set.
    #[serde(default)]
    pub delete_after: Option<Lifetime>,
}

/// How long an object lives: `90d`, `12h`, or seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(pub Duration);

impl Config {
    fn given(&self) -> Given<'_> {
        Given { config: self, env: &|name| std::env::var(name).ok() }
    }

    fn folder(&self) -> String {
        self.backup_dir.trim_matches('/').to_owned()
    }

    fn container(&self) -> &str {
        self.container.as_deref().unwrap_or_default()
    }

    fn wrong_names(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let folder = self.folder();
        if !folder.is_empty() && Key::new(folder).is_err() {
            let message = "`backup_dir` must be a plain path without `..`, `.` or empty parts";
            wrong.push(Wrong::new("backup_dir", message));
        }
        match self.container() {
            "" => {
                let message = "`container` is missing: name the container that holds the backups";
                wrong.push(Wrong::new("container", message));
            }
            PENDING => {}
            name if name.contains('/') => {
                let message = "`container` must not hold a slash: a folder goes in `backup_dir`";
                wrong.push(Wrong::new("container", message));
            }
            name if name.len() > LONGEST_CONTAINER => {
                let message =
                    format!("`container` must not be longer than {LONGEST_CONTAINER} bytes");
                wrong.push(Wrong::new("container", message));
            }
            _ => {}
        }
        wrong
    }

    fn login(&self) -> Result<Login, Vec<Wrong>> {
        login::settle(&self.given())
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.login().err().unwrap_or_default();
        wrong.extend(self.wrong_names());
        let proxy = self.proxy.as_ref().map(Secret::reveal);
        wrong.extend(checks::ca_file(self.ca_file.as_deref()));
        wrong.extend(checks::proxy(proxy));
        if self.delete_after.is_some_and(|span| span.0.is_zero()) {
            let message =
                "`delete_after` must be longer than nothing; leave it out to keep for ever";
            wrong.push(Wrong::new("delete_after", message));
        }
        wrong
    }

    fn location(&self) -> String {
        let (host, owner) = self.given().owner();
        let mut location = format!("swift://{host}/{owner}/{}", self.container());
        let folder = self.folder();
        if !folder.is_empty() {
            location.push('/');
            location.push_str(&folder);
        }
        location
    }

    fn address(&self) -> Vec<String> {
        let (host, owner) = self.given().owner();
        let region = self.given().region().unwrap_or_default();
        vec![host, owner, region, self.container().to_owned(), self.folder()]
    }

    fn largest_object(&self, setting: &Setting<'_>) -> Option<u64> {
        Some(SEGMENTS * segment_bytes(setting.peers))
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        let way = http::Way { ca_file: self.ca_file.clone(), proxy: self.proxy.clone() };
        let words = |wrong: Vec<Wrong>| {
            wrong.into_iter().map(|wrong| wrong.message).collect::<Vec<_>>().join("; ")
        };
        let mut client = Client::new(setting, self.login().map_err(words), way);
        client.place(self.container(), &self.folder());
        client.delete_after = self.delete_after.map(|span| span.0);
        client.segment_bytes = segment_bytes(setting.peers);
        Arc::new(Swift(Arc::new(client)))
    }
}

/// Bytes of a segment. Four are in memory at a time: one is filled, three are on their way. So
/// one storage of this kind holds 32 MiB, and more that are served at the same time 20 MiB each.
fn segment_bytes(peers: usize) -> u64 {
    let fair = 40 * MIB / (4 * peers.max(1));
    fair.clamp(5 * MIB, 8 * MIB) as u64
}

impl Lifetime {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time such as `90d`, `12h` or `3600` (seconds)");
        let text = text.trim();
        let digits = text.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let one = match unit.trim() {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(wrong()),
        };
        let seconds = number.checked_mul(one).filter(|seconds| *seconds <= LONGEST_LIFE);
        Ok(Self(Duration::from_secs(seconds.ok_or_else(wrong)?)))
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Lifetime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(LIFETIME)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Lifetime, E> {
                match text {
                    PENDING => Ok(Lifetime(Duration::from_secs(1))),
                    text => Lifetime::parse(text).map_err(E::custom),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl JsonSchema for Lifetime {
    fn schema_name() -> Cow<'static, str> {
        "Lifetime".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": LIFETIME,
            "type": ["string", "integer"],
            "pattern": "^[0-9]+ *[smhdw]?$",
            "minimum": 1
        })
    }
}

const LIFETIME: &str = "seconds, or a time such as 12h, 90d or 52w";
/// A hundred years.
const LONGEST_LIFE: u64 = 36_525 * 86_400;
/// Swift takes 256 bytes, and `_segments` must fit behind it.
const LONGEST_CONTAINER: usize = 247;
/// Swift takes 1000 segments in a manifest unless it is told otherwise.
const SEGMENTS: u64 = 990;

#[cfg(test)]
mod tests;
