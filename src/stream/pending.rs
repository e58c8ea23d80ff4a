//! A value that a stage knows once its stream has gone through.

use tokio::sync::oneshot;

use crate::stream::Error;

/// What a stage will tell: a digest, a map of frames.
pub struct Pending<T>(oneshot::Receiver<T>);

/// The stage's side of a [`Pending`].
pub struct Promise<T>(oneshot::Sender<T>);

impl<T> Pending<T> {
    /// Makes both sides.
    pub fn new() -> (Promise<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (Promise(sender), Self(receiver))
    }

    /// Waits for the value.
    ///
    /// Errors: [`Error::Cut`] when the stage ended without it.
    pub async fn get(self) -> Result<T, Error> {
        self.0.await.map_err(|_| Error::Cut)
    }
}

impl<T> Promise<T> {
    /// Gives the value; nobody may be waiting.
    pub fn keep(self, value: T) {
        self.0.send(value).ok();
    }
}
