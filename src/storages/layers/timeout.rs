//! Gives up on a storage that holds bytes and says nothing.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::base::Key;
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Storage};
use crate::stream::{self as bytes, ByteStream};

/// Ends calls of `inner` that make no progress for a while, as [`Kind::Unavailable`].
///
/// The clock runs only while it is the storage's turn: in a `put` not while it waits for the next
/// chunk, in a `get` not while its reader is busy elsewhere.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    name: String,
    patience: Duration,
}

impl<S: Storage> Timeout<S> {
    /// Wraps `inner`, which errors call `name`.
    pub fn new(inner: S, name: impl Into<String>, patience: Duration) -> Self {
        Self { inner, name: name.into(), patience }
    }

    async fn within<T>(
        &self,
        verb: &'static str,
        subject: &str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match timeout(self.patience, call).await {
            Ok(done) => done,
            Err(_) => Err(gave_up(&self.name, verb, subject, self.patience)),
        }
    }
}

#[async_trait]
impl<S: Storage> Storage for Timeout<S> {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let turn = Turn::default();
        tokio::select! {
            biased;
            done = self.inner.put(key, turn.watch(body)) => done,
            () = turn.overdue(self.patience) => {
                Err(gave_up(&self.name, "put", key.as_str(), self.patience))
            }
        }
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        let body = self.within("get", key.as_str(), self.inner.get(key, part)).await?;
        let (name, key, patience) = (self.name.clone(), key.clone(), self.patience);
        let late = move || {
            let error = gave_up(&name, "get", key.as_str(), patience);
            bytes::Error::new(error)
        };
        Ok(ByteStream::from_stream(stream::try_unfold(
            (body, late),
            move |(mut body, late)| async move {
                let next = timeout(patience, body.next()).await;
                let chunk = next.map_err(|_| late())??;
                Ok(chunk.map(|chunk| (chunk, (body, late))))
            },
        )))
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.within("stat", key.as_str(), self.inner.stat(key)).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let objects = Some(self.inner.list(prefix));
        stream::unfold(objects, move |objects| async move {
            let mut objects = objects?;
            match timeout(self.patience, objects.next()).await {
                Ok(object) => object.map(|object| (object, Some(objects))),
                Err(_) => Some((Err(gave_up(&self.name, "list", prefix, self.patience)), None)),
            }
        })
        .boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.within("delete", key.as_str(), self.inner.delete(key)).await
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        self.within("ask", "its limits", self.inner.ask_largest_object()).await
    }
}

fn gave_up(name: &str, verb: &'static str, subject: &str, patience: Duration) -> Error {
    let problem = format!("no answer for {} s", patience.as_secs_f64());
    Error::new(Kind::Unavailable, name, verb, subject, problem)
}

/// Whose turn it is: the storage's since some instant, or the body's.
#[derive(Clone)]
struct Turn(Arc<(Mutex<Option<Instant>>, Notify)>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new((Mutex::new(Some(Instant::now())), Notify::new())))
    }
}

impl Turn {
    fn storage_since(&self) -> Option<Instant> {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, to_storage: bool) {
        let since = to_storage.then(Instant::now);
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
        if to_storage {
            self.0.1.notify_one();
        }
    }

    /// Passes `body` on and notes when the storage asks and when it is given.
    fn watch(&self, body: ByteStream) -> ByteStream {
        let state = (body, self.clone());
        ByteStream::from_stream(stream::try_unfold(state, |(mut body, turn)| async move {
            turn.pass(false);
            let waiting = Waiting(&turn);
            let next = body.next().await;
            drop(waiting);
            Ok(next?.map(|chunk| (chunk, (body, turn))))
        }))
    }

    /// Returns once it has been the storage's turn for `patience` without a break.
    async fn overdue(&self, patience: Duration) {
        loop {
            match self.storage_since() {
                None => self.0.1.notified().await,
                Some(since) if since.elapsed() >= patience => return,
                Some(since) => sleep_until(since + patience).await,
            }
        }
    }
}

/// A wait for the body; it is the storage's turn again when it ends, or is given up.
struct Waiting<'a>(&'a Turn);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pass(true);
    }
}
