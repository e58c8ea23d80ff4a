//! The keys of an `s3` storage, and what can be wrong with them.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::base::{Key, MIB, PENDING, Secret, Wrong};
use crate::storages::s3::S3;
use crate::storages::s3::bucket::Bucket;
use crate::storages::s3::client::Target;
use crate::storages::s3::credentials::Keys;
use crate::storages::s3::options::Options;
use crate::storages::{Section, Setting, Storage, checks};

/// The keys of an `s3` storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bucket; it must exist.
    pub bucket_name: String,
    /// The folder in the bucket that holds the backups; a slash at its beginning means nothing.
    pub backup_dir: String,
    /// The key's name; without it the environment, `profile`, web identity, the container and the
    /// machine are asked, in this order.
    pub access_key_id: Option<String>,
    /// The key.
    pub secret_access_key: Option<Secret>,
    /// The token that belongs to a key for a limited time.
    pub session_token: Option<Secret>,
    /// The profile in `~/.aws/credentials` and `~/.aws/config` that has the key.
    pub profile: Option<String>,
    /// The service as a URL, `https://s3.example:9000`; AWS unless it is set.
    pub endpoint: Option<String>,
    /// The region that requests are signed for; `AWS_REGION` or us-east-1 unless it is set.
    pub region: Option<String>,
    /// Whether the bucket is a part of the path (`yes`) or of the host name (`no`); `auto` is
    /// `yes` for an `endpoint` and for a bucket with a dot, else `no`.
    #[serde(default)]
    pub path_style: PathStyle,
    /// The storage class of artefacts; manifests and indexes stay standard.
    pub storage_class: Option<String>,
    /// Has the store encrypt objects: with its own keys (`s3`), or those of KMS (`kms`).
    pub sse: Option<Encryption>,
    /// The KMS key; the account's default one unless it is set.
    pub kms_key_id: Option<String>,
    /// A PEM file with certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy as a URL; the environment decides unless it is set.
    pub proxy: Option<Secret>,
    /// Options of the mount that 2.x made: `url`, `endpoint` and `use_path_request_style` are
    /// taken over, those that tuned it are dropped.
    pub s3fs_opts: Option<String>,
}

/// Where the bucket stands in a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathStyle {
    /// In the path for an `endpoint`, in the host name for AWS.
    #[default]
    Auto,
    /// In the path.
    Yes,
    /// In the host name.
    No,
}

/// Who has the keys that objects are encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encryption {
    /// The store.
    S3,
    /// The key management service.
    Kms,
}

impl Config {
    fn options(&self) -> Options {
        self.s3fs_opts.as_deref().map(Options::read).unwrap_or_default()
    }

    /// The service as scheme and host, the port only where it is not the usual one; what is no
    /// URL stays as it is.
    fn service(&self) -> Option<String> {
        let text = self.endpoint.clone().or(self.options().url)?;
        Some(Url::parse(&text).map_or(text, |url| url.origin().ascii_serialization()))
    }

    fn region(&self) -> Option<String> {
        self.region.clone().or(self.options().region)
    }

    /// The folder without slashes around it; empty for the whole bucket.
    fn folder(&self) -> &str {
        self.backup_dir.trim().trim_matches('/')
    }

    fn path_style(&self) -> Option<bool> {
        match self.path_style {
            PathStyle::Auto => self.options().path_style.then_some(true),
            PathStyle::Yes => Some(true),
            PathStyle::No => Some(false),
        }
    }

    fn keys(&self) -> Keys {
        match (self.access_key_id.clone(), self.secret_access_key.clone()) {
            (Some(id), Some(secret)) => {
                Keys::Given { id, secret, token: self.session_token.clone() }
            }
            _ => Keys::Found { profile: self.profile.clone() },
        }
    }

    fn target(&self) -> Target {
        Target {
            bucket: self.bucket_name.clone(),
            endpoint: self.service(),
            region: self.region(),
            path_style: self.path_style(),
            keys: self.keys(),
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
        }
    }

    fn encryption(&self) -> Vec<(&'static str, String)> {
        const HEADER: &str = "x-amz-server-side-encryption";
        const KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
        match self.sse {
            None => Vec::new(),
            Some(Encryption::S3) => vec![(HEADER, "AES256".to_owned())],
            Some(Encryption::Kms) => {
                let key = self.kms_key_id.clone().map(|key| (KEY, key));
                [(HEADER, "aws:kms".to_owned())].into_iter().chain(key).collect()
            }
        }
    }

    fn wrong_place(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut say = |key: &str, message: &str| wrong.push(Wrong::new(key, message));
        if self.bucket_name != PENDING && !is_bucket(&self.bucket_name) {
            say(
                "bucket_name",
                "`bucket_name` must be 3 to 255 letters, digits, dots, hyphens or underscores; a \
                 folder in the bucket goes into `backup_dir`",
            );
        }
        if !self.folder().is_empty() && Key::new(self.folder()).is_err() {
            say("backup_dir", "`backup_dir` must have no empty, `.` or `..` parts");
        }
        match &self.endpoint {
            Some(endpoint) if endpoint != PENDING && !is_endpoint(endpoint) => {
                say("endpoint", NO_ENDPOINT);
            }
            _ => (),
        }
        wrong
    }

    fn wrong_keys(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut say = |key: &str, message: &str| wrong.push(Wrong::new(key, message));
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => say("access_key_id", "`secret_access_key` is missing"),
            (None, Some(_)) => say("secret_access_key", "`access_key_id` is missing"),
            (Some(_), Some(_)) if self.profile.is_some() => {
                say("profile", "`profile` and `access_key_id` exclude each other: keep one");
            }
            (None, None) if self.session_token.is_some() => {
                say("session_token", "`session_token` needs `access_key_id`");
            }
            _ => (),
        }
        let is_word = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        for (key, value) in [("region", &self.region), ("storage_class", &self.storage_class)] {
            if value.as_deref().is_some_and(|value| value != PENDING && !is_word(value)) {
                say(key, &format!("`{key}` must be one word of letters, digits, `-` and `_`"));
            }
        }
        if self.kms_key_id.is_some() && self.sse != Some(Encryption::Kms) {
            say("kms_key_id", "`kms_key_id` needs `sse: kms`");
        }
        wrong
    }

    fn wrong_options(&self) -> Vec<Wrong> {
        let options = self.options();
        let mut wrong = Vec::new();
        let mut say = |message: String| wrong.push(Wrong::new("s3fs_opts", message));
        if self.s3fs_opts.as_deref() == Some(PENDING) {
            return wrong;
        }
        for (name, instead) in &options.refused {
            say(format!("the option `{name}` has no meaning without a mount: {instead}"));
        }
        match (&options.url, &self.endpoint) {
            (Some(_), Some(_)) => say("`url` says again what `endpoint` says: keep one".to_owned()),
            (Some(url), None) if !is_endpoint(url) => say(NO_ENDPOINT.replace("endpoint", "url")),
            _ => (),
        }
        if options.region.is_some() && self.region.is_some() {
            say("`endpoint` says again what `region` says: keep one".to_owned());
        }
        if options.path_style && self.path_style == PathStyle::No {
            say("`use_path_request_style` contradicts `path_style: no`".to_owned());
        }
        wrong
    }
}

impl Section for Config {
    fn problems(&self) -> Vec<Wrong> {
        let mut wrong = self.wrong_place();
        wrong.extend(self.wrong_keys());
        wrong.extend(self.wrong_options());
        let proxy = self.proxy.as_ref().map(Secret::reveal);
        wrong.extend(checks::ca_file(self.ca_file.as_deref()));
        wrong.extend(checks::proxy(proxy));
        wrong
    }

    fn location(&self) -> String {
        let folder = self.folder();
        let place = format!("{}/{folder}", self.bucket_name);
        let place = place.trim_end_matches('/');
        match self.service() {
            Some(service) => format!("{service}/{place}"),
            None => format!("s3://{place}"),
        }
    }

    fn address(&self) -> Vec<String> {
        let service = self.service().unwrap_or_else(|| "aws".to_owned());
        vec![service, self.bucket_name.clone(), self.folder().to_owned()]
    }

    fn largest_object(&self, setting: &Setting<'_>) -> Option<u64> {
        Some(MOST_PARTS * part_bytes(setting.peers) as u64)
    }

    fn connect(&self, setting: &Setting<'_>) -> Arc<dyn Storage> {
        let prefix = match self.folder() {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let part_bytes = part_bytes(setting.peers);
        Arc::new(S3(Arc::new(Bucket {
            name: setting.name.to_owned(),
            target: self.target(),
            prefix,
            retries: setting.retries,
            part_bytes,
            parts: parts_in_memory(setting.peers, part_bytes),
            storage_class: self.storage_class.clone(),
            encryption: self.encryption(),
            client: OnceCell::new(),
        })))
    }
}

/// The size of all parts but the last, for so many `s3` storages that are served together.
fn part_bytes(peers: usize) -> usize {
    (MEMORY / (AT_ONCE * peers.max(1))).clamp(SMALLEST, LARGEST)
}

/// Parts of one put in memory, the one that is being filled included.
fn parts_in_memory(peers: usize, part_bytes: usize) -> usize {
    (MEMORY / (peers.max(1) * part_bytes)).clamp(1, AT_ONCE)
}

/// For the parts of all puts of a target together, with up to 8 storages: what the rest of the
/// road leaves of the 128 MiB that a run may take.
const MEMORY: usize = 40 * MIB;
const AT_ONCE: usize = 4;
const SMALLEST: usize = 5 * MIB;
const LARGEST: usize = 8 * MIB;
/// S3 takes 10,000.
const MOST_PARTS: u64 = 9_900;

fn is_bucket(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (3..=255).contains(&name.len()) && name.bytes().all(is_good) && !name.contains("..")
}

fn is_endpoint(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_open = url.username().is_empty() && url.password().is_none();
    matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && is_open
}

const NO_ENDPOINT: &str =
    "`endpoint` must be a URL of scheme, host and port, such as https://s3.example:9000";

#[cfg(test)]
mod tests;
