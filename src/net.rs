//! TLS as every storage and source speaks it: 1.2 and up, with the system's certificates and a CA
//! file, and with a certificate of our own where the server asks for one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;

/// Why no TLS can be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file cannot be read.
    #[error("`ca_file` {}: could not be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate in it.
    #[error("`ca_file` {}: holds no certificate in PEM form", path.display())]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What is wrong with its form.
        source: Option<pem::Error>,
    },
    /// The certificate of our own cannot be used.
    #[error("`{key}` {}: cannot be used: a PEM file of an X.509 v3 certificate and one of its key are needed", path.display())]
    Own {
        /// The key of the config that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: crate::base::BoxError,
    },
    /// The system's certificates, or the parts of rustls, do not fit.
    #[error("no TLS can be set up; is the package ca-certificates installed?")]
    Setup(#[from] rustls::Error),
}

/// Versions that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    All,
    /// TLS 1.2 alone, where a session must be taken up again.
    Only12,
}

/// Makes the TLS side of a client: certificates are checked against the system's own and those
/// of `ca_file`, a PEM file.
///
/// Errors: [`TlsError`], whose words name the file.
pub fn client_config(ca_file: Option<&Path>, versions: Versions) -> Result<ClientConfig, TlsError> {
    own(ca_file, None, versions)
}

/// Does so and shows a certificate of our own: `cert_file` with its chain and `key_file`.
///
/// Errors: [`TlsError`], whose words name the file.
pub fn client_config_as(
    ca_file: Option<&Path>,
    cert_file: &Path,
    key_file: &Path,
    versions: Versions,
) -> Result<ClientConfig, TlsError> {
    own(ca_file, Some((cert_file, key_file)), versions)
}

fn own(
    ca_file: Option<&Path>,
    pair: Option<(&Path, &Path)>,
    versions: Versions,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(default_provider());
    let extra = ca_file.map(certificates).transpose()?.unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider))?;
    let versions = match versions {
        Versions::All => rustls::ALL_VERSIONS,
        Versions::Only12 => &[&rustls::version::TLS12],
    };
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions)?.dangerous();
    let builder = builder.with_custom_certificate_verifier(Arc::new(verifier));
    let Some((cert_file, key_file)) = pair else { return Ok(builder.with_no_client_auth()) };
    let wrong = |key, path: &Path, source| TlsError::Own { key, path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(cert_file).and_then(Iterator::collect);
    let chain = chain.map_err(|error| wrong("cert_file", cert_file, error.into()))?;
    let key = PrivateKeyDer::from_pem_file(key_file);
    let key = key.map_err(|error| wrong("key_file", key_file, error.into()))?;
    let config = builder.with_client_auth_cert(chain, key);
    config.map_err(|error| wrong("cert_file", cert_file, error.into()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let text = std::fs::read(path).map_err(unreadable)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(TlsError::NoPem { path: path.to_owned(), source: None }),
        Err(error) => Err(TlsError::NoPem { path: path.to_owned(), source: Some(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let said = |path: &Path| {
            client_config(Some(path), Versions::All).map(drop).unwrap_err().to_string()
        };
        assert!(said(&path).ends_with("ca.pem: could not be read"), "{}", said(&path));
        std::fs::write(&path, "hello").unwrap();
        assert!(said(&path).ends_with("holds no certificate in PEM form"), "{}", said(&path));
    }
}
