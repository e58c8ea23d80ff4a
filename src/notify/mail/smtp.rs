//! SMTP, one connection a message, in steps: what fails before the message was given may be tried
//! again, what fails after that may have arrived.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;

use crate::base::chain;
use crate::notify::mail::{Server, Tls, host_name};
use crate::notify::{Error, Kind, Result};

/// Gives a message to the server.
pub(super) async fn send(
    server: &Server,
    host: &str,
    envelope: &Envelope,
    message: &[u8],
) -> Result<()> {
    let mut connection = connect(server, host).await?;
    if let Some((user, password)) = &server.login {
        let login = Credentials::new(user.clone(), password.reveal().to_owned());
        connection.auth(DEFAULT_MECHANISMS, &login).await.map_err(before)?;
    }
    connection.send(envelope, message).await.map_err(|error| match kind(&error) {
        Some(kind) => Error::new(kind, chain(&error)),
        None => Error::new(Kind::Unknown, chain(&error)),
    })?;
    connection.quit().await.ok();
    Ok(())
}

async fn connect(server: &Server, host: &str) -> Result<AsyncSmtpConnection> {
    let implicit = server.tls == Tls::Implicit;
    let port = server.port.unwrap_or(if implicit { 465 } else { 25 });
    let hello = ClientId::Domain(host_name());
    let tls = if implicit { Some(parameters(server, host)?) } else { None };
    let at = |error: Error| Error { message: format!("{host}:{port}: {}", error.message), ..error };
    let mut connection =
        AsyncSmtpConnection::connect_tokio1((host, port), Some(CONNECT), &hello, tls, None)
            .await
            .map_err(|error| at(before(error)))?;
    if server.tls == Tls::Start {
        if !connection.can_starttls() {
            let why = "it offers no STARTTLS, so nothing was sent (see `smtp_tls`)";
            return Err(at(Error::new(Kind::Refused, why)));
        }
        let tls = parameters(server, host)?;
        connection.starttls(tls, &hello).await.map_err(|error| at(before(error)))?;
    }
    Ok(connection)
}

fn parameters(server: &Server, host: &str) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = &server.ca_file {
        let wrong = |why: String| {
            Error::new(Kind::Refused, format!("`smtp_ca_file` {}: {why}", path.display()))
        };
        let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        builder = builder.add_root_certificate(
            Certificate::from_pem(&text).map_err(|error| wrong(chain(&error)))?,
        );
    }
    builder.build().map_err(|error| Error::new(Kind::Refused, chain(&error)))
}

/// An error before the message was given.
fn before(error: lettre::transport::smtp::Error) -> Error {
    let message = chain(&error);
    let refused = message.contains("invalid peer certificate") || error.is_tls();
    let kind = if refused { Kind::Refused } else { kind(&error).unwrap_or(Kind::Unavailable) };
    Error::new(kind, message)
}

/// What the server itself says of it.
fn kind(error: &lettre::transport::smtp::Error) -> Option<Kind> {
    match () {
        () if error.is_permanent() => Some(Kind::Refused),
        () if error.is_transient() => Some(Kind::Unavailable),
        () if error.is_client() => Some(Kind::Refused),
        () => None,
    }
}

const CONNECT: Duration = Duration::from_secs(8);
