//! Replacing an object on servers that remove the old one first.
//!
//! Many servers carry out a MOVE over an existing object as a removal and a rename. Between the
//! two there is nothing: a reader of this process that found nothing meanwhile looks again. What
//! other processes see in that moment is beyond our reach.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// Counts replacements that have begun and ended.
#[derive(Default)]
pub(super) struct Swaps {
    begun: AtomicU64,
    ended: AtomicU64,
    one: Mutex<()>,
}

/// A replacement that goes on.
pub(super) struct Swap<'a> {
    swaps: &'a Swaps,
    _one: MutexGuard<'a, ()>,
}

/// A moment, for [`Swaps::quiet_since`].
#[derive(Clone, Copy)]
pub(super) struct Moment {
    begun: u64,
    ended: u64,
}

impl Swaps {
    /// Begins to replace an object, one at a time: two that remove the same old object would make
    /// the second fail.
    pub(super) async fn begin(&self) -> Swap<'_> {
        let one = self.one.lock().await;
        self.begun.fetch_add(1, Ordering::SeqCst);
        Swap { swaps: self, _one: one }
    }

    pub(super) fn now(&self) -> Moment {
        let ended = self.ended.load(Ordering::SeqCst);
        Moment { begun: self.begun.load(Ordering::SeqCst), ended }
    }

    /// Tells whether nothing was replaced at or after `moment`.
    pub(super) fn quiet_since(&self, moment: Moment) -> bool {
        moment.begun == moment.ended && self.begun.load(Ordering::SeqCst) == moment.begun
    }
}

impl Drop for Swap<'_> {
    fn drop(&mut self) {
        self.swaps.ended.fetch_add(1, Ordering::SeqCst);
    }
}
