//! Calls once more what may succeed later.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;
use tracing::info;

use crate::base::{Key, chain};
use crate::storages::unique::random;
use crate::storages::{Kind, Object, ObjectStream, Result, Storage};
use crate::stream::ByteStream;

/// Repeats calls that failed as [`Kind::Unavailable`], with growing pauses.
///
/// A `put` is repeated only while nothing of its body was read: a body is read once. A list is
/// gathered whole before its first object is given. A stream from `get` that breaks is not
/// resumed.
#[derive(Clone, Debug)]
pub struct Retry<S> {
    inner: S,
    retries: u32,
}

impl<S: Storage> Retry<S> {
    /// Wraps `inner`; `retries` counts the calls after the first.
    pub fn new(inner: S, retries: u32) -> Self {
        Self { inner, retries }
    }
}

/// Runs `call` until it succeeds, fails for good, or has failed `retries + 1` times.
///
/// Units: the pauses in between are those of [`pause`].
pub async fn step<T, F: Future<Output = Result<T>>>(
    retries: u32,
    mut call: impl FnMut() -> F,
) -> Result<T> {
    let mut failed = 0;
    loop {
        match call().await {
            Err(error) if error.kind == Kind::Unavailable && failed < retries => {
                let pause = pause(failed);
                failed += 1;
                let (error, millis) = (chain(&error), pause.as_millis());
                info!(%error, millis, attempt = failed, "trying again");
                sleep(pause).await;
            }
            done => return done,
        }
    }
}

#[async_trait]
impl<S: Storage> Storage for Retry<S> {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        let body = Untouched(Arc::new(Mutex::new(Some(body))));
        let mut retries = self.retries;
        let mut failed = 0;
        loop {
            let done = self.inner.put(key, body.lend()).await;
            let Err(error) = &done else { return done };
            if error.kind != Kind::Unavailable || retries == 0 || !body.is_whole() {
                return done;
            }
            info!(error = %chain(error), attempt = failed + 1, "trying again");
            sleep(pause(failed)).await;
            retries -= 1;
            failed += 1;
        }
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        step(self.retries, || self.inner.get(key, part.clone())).await
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        step(self.retries, || self.inner.stat(key)).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let gather = || self.inner.list(prefix).try_collect::<Vec<_>>();
        stream::once(async move { step(self.retries, gather).await })
            .map_ok(|objects| stream::iter(objects.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        step(self.retries, || self.inner.delete(key)).await
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        step(self.retries, || self.inner.ask_largest_object()).await
    }
}

/// A body that can be lent again as long as nobody has begun to read it.
struct Untouched(Arc<Mutex<Option<ByteStream>>>);

impl Untouched {
    fn is_whole(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Gives a stream that takes the body at its first read.
    fn lend(&self) -> ByteStream {
        let slot = self.0.clone();
        ByteStream::from_stream(stream::try_unfold(None, move |begun: Option<ByteStream>| {
            let taken = || slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            let body = begun.or_else(taken);
            async move {
                let Some(mut body) = body else { return Err(crate::stream::Error::Cut) };
                Ok(body.next().await?.map(|chunk| (chunk, Some(body))))
            }
        }))
    }
}

/// Says how long to wait before the next try, when so many have failed before the last one.
///
/// Units: 0.5 s, 1 s, 2 s … 30 s, each shortened by up to a half so that many clients do not come
/// back at once.
pub fn pause(failed: u32) -> Duration {
    let longest = FIRST.saturating_mul(1 << failed.min(16)).min(LONGEST);
    let random = random() as f64 / u64::MAX as f64;
    longest.mul_f64(0.5 + random / 2.0)
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
