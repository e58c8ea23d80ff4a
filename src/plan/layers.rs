//! What is put around every storage.

use std::sync::Arc;
use std::time::Duration;

use crate::storages::Storage;
use crate::storages::layers::{Retry, Throttle, Timeout};

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
