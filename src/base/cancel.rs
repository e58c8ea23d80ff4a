//! A wish to stop, heard by async tasks and by threads.

use tokio_util::sync::CancellationToken;

/// Says that the run was interrupted.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// A shared flag that turns once, from 'go on' to 'stop'.
#[derive(Clone, Debug, Default)]
pub struct Cancel(CancellationToken);

impl Cancel {
    /// Asks everybody who holds a clone to stop.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Returns a flag that turns with this one, and also alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Tells whether a stop was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until a stop is asked for.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Answers `Err` once a stop was asked for; for loops in threads.
    ///
    /// Errors: [`Cancelled`].
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }
}
