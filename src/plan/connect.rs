//! From settings to living sources and storages: the one place that constructs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::sources::{self, Source, files::Files};
use crate::storages::layers::{Retry, Throttle, Timeout};
use crate::storages::{self, Storage, local};

/// What is put around a storage.
pub(crate) struct Layers<'a> {
    /// The storage's name, for messages.
    pub(crate) name: &'a str,
    /// How often a call is tried again.
    pub(crate) retries: u32,
    /// How long it may stay silent.
    pub(crate) timeout: Option<Duration>,
    /// How fast it may be.
    pub(crate) bytes_per_sec: Option<u64>,
}

/// Makes a storage of the kind `local`.
pub(crate) fn local(name: &str, backup_dir: &Path, must_be_mounted: bool) -> Arc<dyn Storage> {
    let config = local::Config { backup_dir: PathBuf::from(backup_dir), must_be_mounted };
    storages::connect(name, &storages::Config::Local(config))
}

/// Puts layers around a storage: a retry counts whole calls, a timeout each of them.
pub(crate) fn layered(inner: Arc<dyn Storage>, layers: &Layers<'_>) -> Arc<dyn Storage> {
    let slow: Arc<dyn Storage> = match layers.bytes_per_sec {
        Some(rate) => Arc::new(Throttle::new(inner, rate)),
        None => inner,
    };
    let patient: Arc<dyn Storage> = match layers.timeout {
        Some(timeout) => Arc::new(Timeout::new(slow, layers.name, timeout)),
        None => slow,
    };
    match layers.retries {
        0 => patient,
        retries => Arc::new(Retry::new(patient, retries)),
    }
}

/// Makes a source of files.
///
/// Errors: what is wrong with a pattern.
pub(crate) fn files(
    name: Option<&str>,
    globs: Vec<String>,
    excludes: Vec<String>,
) -> sources::Result<Box<dyn Source>> {
    Ok(Box::new(Files::new(name, globs, excludes)?))
}
