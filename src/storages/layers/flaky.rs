//! A storage that fails when it is told to: for tests, and for `--dry-run`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use crate::base::Key;
use crate::storages::{Error, Kind, Object, ObjectStream, Result, Storage};
use crate::stream::{self as bytes, ByteStream};

/// A faulty storage around `inner`. Clones share their faults and their record.
#[derive(Clone, Debug)]
pub struct Flaky<S> {
    inner: S,
    state: Arc<Mutex<State>>,
}

/// A call that the storage saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `put`, `get`, `stat`, `list` or `delete`.
    pub verb: &'static str,
    /// The key or prefix.
    pub subject: String,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused at once.
    Before(Kind),
    /// A put fails when it has taken this many bytes, or its whole body; a get gives this many
    /// and breaks; other calls are refused.
    After(u64, Kind),
    /// It is carried out, but the answer is lost.
    Answer(Kind),
    /// It never answers.
    Hang,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    asked_bytes: u64,
    faults: BTreeMap<usize, Fault>,
    always: Option<Fault>,
    verbs: BTreeMap<&'static str, Fault>,
    pause: Duration,
    read_only: bool,
}

impl<S: Storage> Flaky<S> {
    /// Wraps `inner`; without faults it only records.
    pub fn new(inner: S) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Wraps `inner` and refuses every put and delete.
    pub fn read_only(inner: S) -> Self {
        let flaky = Self::new(inner);
        flaky.lock().read_only = true;
        flaky
    }

    /// Lets the `number`-th call fail; calls count from 1, of every kind together.
    pub fn fail(&self, number: usize, fault: Fault) {
        self.lock().faults.insert(number, fault);
    }

    /// Lets every call fail from now on; `None` heals.
    pub fn fail_always(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    /// Lets every call of `verb`, such as `delete`, fail from now on; `None` heals.
    pub fn fail_each(&self, verb: &'static str, fault: Option<Fault>) {
        let mut state = self.lock();
        match fault {
            Some(fault) => state.verbs.insert(verb, fault),
            None => state.verbs.remove(verb),
        };
    }

    /// Lets every call wait before it begins.
    pub fn slow(&self, pause: Duration) {
        self.lock().pause = pause;
    }

    /// Returns the calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Returns how many bytes all reads so far asked for.
    pub fn asked_bytes(&self) -> u64 {
        self.lock().asked_bytes
    }

    /// Forgets the calls and the faults; the next call is number 1.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.calls.clear();
        state.asked_bytes = 0;
        state.faults.clear();
        state.always = None;
        state.verbs.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call and tells what is to go wrong with it.
    async fn begin(&self, verb: &'static str, subject: &str) -> Result<Option<Fault>> {
        let (fault, pause, refused) = {
            let mut state = self.lock();
            state.calls.push(Call { verb, subject: subject.to_owned() });
            let number = state.calls.len();
            let fault = state.faults.get(&number).or(state.verbs.get(verb)).copied();
            let fault = fault.or(state.always);
            (fault, state.pause, state.read_only && matches!(verb, "put" | "delete"))
        };
        if !pause.is_zero() {
            sleep(pause).await;
        }
        if refused {
            let problem = "the storage takes no writes";
            return Err(Error::new(Kind::Denied, "flaky", verb, subject, problem));
        }
        match fault {
            Some(Fault::Before(kind)) => Err(injected(kind, verb, subject)),
            Some(Fault::Hang) => std::future::pending().await,
            other => Ok(other),
        }
    }

    /// Runs a call that has no body.
    async fn plain<T>(
        &self,
        verb: &'static str,
        key: &Key,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match self.begin(verb, key.as_str()).await? {
            Some(Fault::After(_, kind)) => Err(injected(kind, verb, key.as_str())),
            Some(Fault::Answer(kind)) => {
                call.await?;
                Err(injected(kind, verb, key.as_str()))
            }
            _ => call.await,
        }
    }
}

#[async_trait]
impl<S: Storage> Storage for Flaky<S> {
    async fn put(&self, key: &Key, body: ByteStream) -> Result<Object> {
        match self.begin("put", key.as_str()).await? {
            Some(Fault::After(bytes, kind)) => {
                let error = injected(kind, "put", key.as_str());
                // The inner storage sees a body that breaks: it must leave nothing behind.
                let broken = break_after(body, bytes, bytes::Error::Cut);
                self.inner.put(key, broken).await.ok();
                Err(error)
            }
            Some(Fault::Answer(kind)) => {
                self.inner.put(key, body).await?;
                Err(injected(kind, "put", key.as_str()))
            }
            _ => self.inner.put(key, body).await,
        }
    }

    async fn get(&self, key: &Key, part: Range<u64>) -> Result<ByteStream> {
        self.lock().asked_bytes += part.end.saturating_sub(part.start);
        match self.begin("get", key.as_str()).await? {
            Some(Fault::After(bytes, kind)) => {
                let error = bytes::Error::new(injected(kind, "get", key.as_str()));
                Ok(break_after(self.inner.get(key, part).await?, bytes, error))
            }
            Some(Fault::Answer(kind)) => Err(injected(kind, "get", key.as_str())),
            _ => self.inner.get(key, part).await,
        }
    }

    async fn stat(&self, key: &Key) -> Result<Option<Object>> {
        self.plain("stat", key, self.inner.stat(key)).await
    }

    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        let objects = async move {
            match self.begin("list", prefix).await {
                Ok(None) => self.inner.list(prefix),
                Ok(Some(fault)) => {
                    let kept = if let Fault::After(count, _) = fault { count } else { u64::MAX };
                    let kept = self.inner.list(prefix).take(kept as usize);
                    let kind = fault.kind();
                    kept.chain(stream::iter([Err(injected(kind, "list", prefix))])).boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(objects).flatten().boxed()
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.plain("delete", key, self.inner.delete(key)).await
    }

    async fn ask_largest_object(&self) -> Result<Option<u64>> {
        self.inner.ask_largest_object().await
    }
}

impl Fault {
    fn kind(self) -> Kind {
        match self {
            Self::Before(kind) | Self::After(_, kind) | Self::Answer(kind) => kind,
            Self::Hang => Kind::Unavailable,
        }
    }
}

fn injected(kind: Kind, verb: &'static str, subject: &str) -> Error {
    Error::new(kind, "flaky", verb, subject, "a fault for a test")
}

/// Passes `limit` bytes on, then fails; a shorter body fails at its end.
fn break_after(body: ByteStream, limit: u64, error: bytes::Error) -> ByteStream {
    ByteStream::from_stream(stream::try_unfold((body, limit), move |(mut body, left)| {
        let error = error.clone();
        async move {
            if left == 0 {
                return Err(error);
            }
            let Some(mut chunk) = body.next().await? else { return Err(error) };
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - chunk.len() as u64;
            Ok(Some((chunk, (body, left))))
        }
    }))
}
