//! Connections that wait for the next call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections that are kept, the last one first. One that waited long is not trusted: a server or
/// a firewall may have forgotten it without a word.
pub(super) struct Idle<C> {
    kept: Mutex<Vec<(C, Instant)>>,
    most: usize,
    longest: Duration,
}

impl<C> Idle<C> {
    /// Keeps `most` connections, each for `longest`.
    pub(super) const fn new(most: usize, longest: Duration) -> Self {
        Self { kept: Mutex::new(Vec::new()), most, longest }
    }

    /// Gives the connection that was used last.
    pub(super) fn take(&self) -> Option<C> {
        let mut kept = self.lock();
        kept.retain(|(_, since)| since.elapsed() < self.longest);
        kept.pop().map(|(connection, _)| connection)
    }

    /// Keeps a connection on which no answer is due, unless there are enough.
    pub(super) fn keep(&self, connection: C) {
        let mut kept = self.lock();
        if kept.len() < self.most {
            kept.push((connection, Instant::now()));
        }
    }

    /// Ends all that wait.
    pub(super) fn hang_up(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(C, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_comes_first_and_there_are_never_more_than_enough() {
        let idle = Idle::new(2, Duration::MAX);
        for connection in 1..=3 {
            idle.keep(connection);
        }
        assert_eq!([idle.take(), idle.take(), idle.take()], [Some(2), Some(1), None]);
    }

    #[test]
    fn what_waited_long_or_was_hung_up_is_not_given() {
        let idle = Idle::new(2, Duration::ZERO);
        idle.keep(1);
        assert_eq!(idle.take(), None);
        let idle = Idle::new(2, Duration::MAX);
        idle.keep(1);
        idle.hang_up();
        assert_eq!(idle.take(), None);
    }
}
