//! What is put around every storage.

use std::sync::Arc;

use crate::storages::layers::{Retry, Throttle, Timeout};
use crate::storages::{Setting, Storage};

/// Puts layers around a storage: a retry counts whole calls, a timeout each of them.
pub(crate) fn layered(
    inner: Arc<dyn Storage>,
    setting: &Setting<'_>,
    bytes_per_sec: Option<u64>,
) -> Arc<dyn Storage> {
    let patient: Arc<dyn Storage> = match setting.timeout {
        Some(timeout) => Arc::new(Timeout::new(inner, setting.name, timeout)),
        None => inner,
    };
    let slow: Arc<dyn Storage> = match bytes_per_sec {
        Some(rate) => Arc::new(Throttle::new(patient, rate)),
        None => patient,
    };
    match setting.retries {
        0 => slow,
        retries => Arc::new(Retry::new(slow, retries)),
    }
}
