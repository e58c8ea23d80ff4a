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
    let patient: Arc<dyn Storage> = match layers.timeout {
        Some(timeout) => Arc::new(Timeout::new(inner, layers.name, timeout)),
        None => inner,
    };
    let slow: Arc<dyn Storage> = match layers.bytes_per_sec {
        Some(rate) => Arc::new(Throttle::new(patient, rate)),
        None => patient,
    };
    match layers.retries {
        0 => slow,
        retries => Arc::new(Retry::new(slow, retries)),
    }
}
