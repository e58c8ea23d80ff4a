//! Who we are to the store: keys of the config, or what the machine, the environment, a profile
//! or a container tells.

use std::time::Duration;

use bytes::Bytes;
use reqsign_aws_v4::{
    Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider,
};
use reqsign_core::{Context, Error, HttpSend, OsEnv, Result, Signer};
use reqsign_file_read_tokio::TokioFileRead;
use reqwest::Client;

use crate::base::Secret;

/// Where the keys come from.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// The config has them.
    Given { id: String, secret: Secret, token: Option<Secret> },
    /// The environment, the profile (of this name, where it is given), web identity, the
    /// container, the machine: whoever answers first.
    Found { profile: Option<String> },
}

/// Makes what signs requests; nobody is asked before the first one. `http` goes the store's way,
/// `near` goes without a proxy to the services of this machine.
pub(super) fn signer(keys: &Keys, region: &str, http: Client, near: Client) -> Signer<Credential> {
    let ask = Ask { http, near };
    let context = Context::new().with_file_read(TokioFileRead).with_http_send(ask).with_env(OsEnv);
    let service = RequestSigner::new("s3", region);
    match keys {
        Keys::Given { id, secret, token: None } => {
            Signer::new(context, StaticCredentialProvider::new(id, secret.reveal()), service)
        }
        Keys::Given { id, secret, token: Some(token) } => {
            let keys = StaticCredentialProvider::new(id, secret.reveal());
            Signer::new(context, keys.with_session_token(token.reveal()), service)
        }
        Keys::Found { profile: None } => {
            Signer::new(context, DefaultCredentialProvider::new(), service)
        }
        // Who names a profile means it, whatever the environment says.
        Keys::Found { profile: Some(profile) } => {
            let found = DefaultCredentialProvider::builder().no_env().with_profile(profile);
            Signer::new(context, found.build(), service)
        }
    }
}

/// Asks the services that hand out keys.
#[derive(Debug)]
struct Ask {
    http: Client,
    near: Client,
}

impl HttpSend for Ask {
    async fn http_send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let wrap = |error: reqwest::Error| Error::unexpected("no answer").with_source(error);
        let host = request.uri().host().unwrap_or_default();
        let is_near = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let client = if is_near { &self.near } else { &self.http };
        let mut request = reqwest::Request::try_from(request).map_err(wrap)?;
        *request.timeout_mut() = Some(if is_near { NEAR } else { FAR });
        let answer = client.execute(request).await.map_err(wrap)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(wrap)?;
        let mut response = http::Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// The machine's own service answers at once, or there is none.
const NEAR: Duration = Duration::from_secs(3);
const FAR: Duration = Duration::from_secs(30);
