//! A value that a stage knows once its stream has gone through.

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::stream::{ByteStream, Error, Feeder};

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

/// Starts a stage: `work` feeds the stream and learns the value, and is let go with the reader.
///
/// Must be called inside a tokio runtime.
pub(crate) fn stage<T: Send + 'static>(
    work: impl for<'a> FnOnce(&'a Feeder) -> BoxFuture<'a, Result<T, Error>> + Send + 'static,
) -> (ByteStream, Pending<T>) {
    let (promise, pending) = Pending::new();
    let (feeder, out) = ByteStream::channel(1);
    tokio::spawn(async move {
        let done = tokio::select! {
            () = feeder.closed() => return,
            done = work(&feeder) => done,
        };
        match done {
            Err(error) => feeder.fail(error).await,
            Ok(value) => {
                promise.keep(value);
                feeder.finish().await.ok();
            }
        }
    });
    (out, pending)
}
