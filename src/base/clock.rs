//! Where 'now' comes from.

use std::sync::Mutex;

use jiff::Zoned;

/// Tells the time in the local zone.
pub trait Clock: Send + Sync {
    /// Returns the present moment with its zone.
    fn now(&self) -> Zoned;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Zoned {
        Zoned::now()
    }
}

/// A clock that stands still until it is set: for tests and for `--now`.
#[derive(Debug)]
pub struct FixedClock(Mutex<Zoned>);

impl FixedClock {
    /// Makes a clock that shows `now`.
    pub fn at(now: Zoned) -> Self {
        Self(Mutex::new(now))
    }

    /// Sets the hands.
    pub fn set(&self, now: Zoned) {
        *self.0.lock().expect("no holder of this lock can panic") = now;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Zoned {
        self.0.lock().expect("no holder of this lock can panic").clone()
    }
}
