//! Whether somebody still waits for what a thread does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Lets either the thread commit or the dropped future forbid it, whichever comes first.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU8);

const OPEN: u8 = 0;
const COMMITTED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Gate {
    /// Tells whether nobody waits any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    /// Passes the point of no return, unless nobody waits any more.
    pub(super) fn commit(&self) -> bool {
        self.turn(COMMITTED)
    }

    fn turn(&self, to: u8) -> bool {
        self.0.compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Stands for the one who waits: dropped, it gives up.
#[derive(Debug, Default)]
pub(super) struct Waiting(pub(super) Arc<Gate>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.turn(GIVEN_UP);
    }
}
