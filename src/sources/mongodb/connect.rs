//! How a server of MongoDB is reached by the stock tools.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{PENDING, Secret, Wrong};

/// How the server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The server; by default localhost.
    #[serde(default)]
    pub db_host: Option<String>,
    /// Its port, 27017 by default.
    #[serde(default)]
    pub db_port: Option<u16>,
    /// The user; without one nobody logs in.
    #[serde(default, alias = "user")]
    pub db_user: Option<String>,
    /// The user's password.
    #[serde(default, alias = "password")]
    pub db_password: Option<Secret>,
    /// The database that knows the user, `admin` by default.
    #[serde(default, alias = "mongo_auth_db", alias = "auth_database")]
    pub auth_db: Option<String>,
    /// The name of the replica set, whose primary is then looked for.
    #[serde(default, alias = "mongo_replica_set_name")]
    pub replica_set: Option<String>,
    /// Members of the replica set, `host:port,host:port`, instead of `db_host`.
    #[serde(default, alias = "mongo_replica_set_address")]
    pub replica_set_address: Option<String>,
    /// Speak TLS; by default where any file of it is named.
    #[serde(default)]
    pub tls: Option<bool>,
    /// A file with the certificates to trust, in PEM form.
    #[serde(default, alias = "mongo_tls_CA_file", alias = "mongo_tls_ca_file", alias = "ssl_ca")]
    pub ca_file: Option<PathBuf>,
    /// A certificate of our own and its key, in one PEM file.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
}

impl Connect {
    /// Its name for people and for the tools: `host:port`, or the replica set and its members.
    pub(super) fn address(&self) -> String {
        let host = self.db_host.as_deref().unwrap_or("localhost");
        let is_bare = host.contains(':') && !host.starts_with('[');
        let host = if is_bare { format!("[{host}]") } else { host.to_owned() };
        let own = format!("{host}:{}", self.db_port.unwrap_or(PORT));
        let members = self.replica_set_address.as_deref().map(|text| text.replace(' ', ""));
        match &self.replica_set {
            Some(set) => format!("{set}/{}", members.unwrap_or(own)),
            None => own,
        }
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.unwrap_or_else(|| self.ca_file.is_some() || self.cert_file.is_some())
    }

    pub(super) fn problems(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut blame = |key: &str, is_wrong: bool, message: &str| {
            if is_wrong {
                wrong.push(Wrong::new(format!("connect.{key}"), message));
            }
        };
        let odd = |ch: char| ch.is_whitespace() || ch.is_control() || matches!(ch, '/' | ',' | '@');
        let host = self.db_host.as_deref().filter(|host| *host != PENDING);
        let odd_host = host.is_some_and(|host| host.contains(odd));
        blame("db_host", odd_host, "`db_host` must be a name or an address");
        let no_port = self.db_port == Some(0);
        blame("db_port", no_port, "`db_port` must lie between 1 and 65535");
        let (user, password) = (self.db_user.is_some(), self.db_password.is_some());
        blame("db_user", user && !password, "`db_user` needs a `db_password`");
        blame("db_password", password && !user, "`db_password` needs a `db_user`");
        blame("auth_db", self.auth_db.is_some() && !user, "`auth_db` needs a `db_user`");
        let addresses = self.replica_set_address.as_deref().filter(|text| *text != PENDING);
        let is_member = |one: &str| !one.trim().is_empty() && !one.trim().contains(odd);
        let is_list = |text: &str| text.split(',').all(is_member);
        let no_list = addresses.is_some_and(|text| !is_list(text));
        blame(
            "replica_set_address",
            no_list,
            "`replica_set_address` must be `host:port,host:port`",
        );
        let no_name = self.replica_set_address.is_some() && self.replica_set.is_none();
        blame("replica_set_address", no_name, "`replica_set_address` needs a `replica_set`");
        for (key, path) in [("ca_file", &self.ca_file), ("cert_file", &self.cert_file)] {
            let relative = path.as_ref().is_some_and(|path| !path.is_absolute());
            blame(key, relative, &format!("`{key}` must be an absolute path"));
        }
        wrong
    }

    /// The options of mongodump and mongorestore; the password is none of them.
    pub(super) fn args(&self) -> Vec<String> {
        let mut args = vec![format!("--host={}", self.address())];
        if let Some(user) = &self.db_user {
            args.push(format!("--username={user}"));
            args.push(format!("--authenticationDatabase={}", self.auth_db()));
        }
        if self.is_tls() {
            args.push("--ssl".to_owned());
        }
        for (option, file) in [("--sslCAFile", &self.ca_file), ("--sslPEMKeyFile", &self.cert_file)]
        {
            if let Some(file) = file {
                args.push(format!("{option}={}", file.display()));
            }
        }
        args
    }

    fn auth_db(&self) -> &str {
        self.auth_db.as_deref().unwrap_or("admin")
    }
}

const PORT: u16 = 27017;
