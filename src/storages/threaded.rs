//! Work on a thread that may block: a body that one stores, a listing that one walks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::storages::gate::{Gate, Waiting};
use crate::storages::trouble::Trouble;
use crate::storages::{Kind, Object};
use crate::stream::{ByteStream, Error, Feeder};

/// What the thread of a put is given.
pub(super) struct Handed {
    begin: oneshot::Sender<()>,
    chunks: ByteStream,
    /// Where it asks whether anybody still waits, and before it makes the object visible.
    pub(super) gate: Arc<Gate>,
}

impl Handed {
    /// Says that the body is wanted now, and gives it; until then it is not touched.
    pub(super) fn begin(self) -> ByteStream {
        self.begin.send(()).ok();
        self.chunks
    }
}

/// Lets `work` store `body` on a thread of its own, and waits for it.
///
/// Dropped before the end, it cuts the thread's stream, whereupon the thread must remove what it
/// made; a commit that has not begun by then does not begin any more.
/// Shape: with a `beat` an empty chunk goes now and then while the body is silent.
pub(super) async fn put<M: Default + Send + 'static>(
    mut body: ByteStream,
    beat: Option<Duration>,
    work: impl FnOnce(Handed) -> Result<Object, Trouble<M>> + Send + 'static,
) -> Result<Object, Trouble<M>> {
    let (feeder, chunks) = ByteStream::channel(1);
    let (begin, ready) = oneshot::channel();
    let waiting = Waiting::default();
    let handed = Handed { begin, chunks, gate: waiting.0.clone() };
    let thread = spawn_blocking(move || work(handed));
    let feeding = async move {
        match ready.await {
            Ok(()) => feed(&mut body, feeder, beat).await,
            Err(_) => Ok(()),
        }
    };
    tokio::pin!(feeding);
    // Behind the feeding, so that it is dropped before that: the thread must not find its stream
    // cut while it may still commit.
    let waiting = waiting;
    let fed = feeding.as_mut().await;
    let done = thread.await;
    drop(waiting);
    match (fed, done) {
        // The thread knows only that its stream broke; the reason is here.
        (Err(error), _) => Err(Trouble::body(error)),
        (Ok(()), Ok(done)) => done,
        (Ok(()), Err(panic)) => Err(Trouble::new(Kind::Other, panic.to_string())),
    }
}

/// Passes the body on; a thread that has given up tells why itself.
async fn feed(body: &mut ByteStream, feeder: Feeder, beat: Option<Duration>) -> Result<(), Error> {
    loop {
        let got = tokio::select! {
            biased;
            got = next(body, &feeder, beat) => got,
            () = feeder.closed() => return Ok(()),
        };
        match got {
            Ok(Some(chunk)) if chunk.is_empty() => (),
            Ok(Some(chunk)) => {
                if feeder.send(chunk).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {
                feeder.finish().await.ok();
                return Ok(());
            }
            Err(error) => {
                feeder.fail(error.clone()).await;
                return Err(error);
            }
        }
    }
}

/// Waits for a chunk, and sends empty ones meanwhile.
async fn next(
    body: &mut ByteStream,
    feeder: &Feeder,
    beat: Option<Duration>,
) -> Result<Option<Bytes>, Error> {
    let Some(beat) = beat else { return body.next().await };
    let next = body.next();
    tokio::pin!(next);
    loop {
        tokio::select! {
            biased;
            chunk = &mut next => return chunk,
            () = sleep(beat) => drop(feeder.send(Bytes::new()).await),
        }
    }
}

/// What a listing finds.
pub(super) type Found<M> = Result<Object, Trouble<M>>;

/// Where a thread puts what it finds; closed once nobody listens any more.
pub(super) type Finds = mpsc::Sender<Object>;

/// Lets `walk` find objects on a thread of its own. Must be called inside a tokio runtime.
pub(super) fn list<M: Default + Send + 'static>(
    walk: impl FnOnce(&Finds, &Arc<Gate>) -> Result<(), Trouble<M>> + Send + 'static,
) -> BoxStream<'static, Found<M>> {
    let (sender, objects) = mpsc::channel(AHEAD);
    let waiting = Waiting::default();
    let gate = waiting.0.clone();
    let thread = spawn_blocking(move || walk(&sender, &gate));
    stream::unfold(Some(Walking { objects, thread, _waiting: waiting }), step).boxed()
}

struct Walking<M> {
    objects: mpsc::Receiver<Object>,
    thread: JoinHandle<Result<(), Trouble<M>>>,
    _waiting: Waiting,
}

/// A listing ends when the thread says that it is done, not when it just falls silent.
async fn step<M: Default>(walking: Option<Walking<M>>) -> Option<(Found<M>, Option<Walking<M>>)> {
    let mut walking = walking?;
    if let Some(object) = walking.objects.recv().await {
        return Some((Ok(object), Some(walking)));
    }
    match walking.thread.await {
        Ok(Ok(())) => None,
        Ok(Err(trouble)) => Some((Err(trouble), None)),
        Err(panic) => Some((Err(Trouble::new(Kind::Other, panic.to_string())), None)),
    }
}

/// Objects that a thread may be ahead of its reader.
const AHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Key;

    fn object() -> Object {
        Object { key: Key::new("a").unwrap(), bytes: 0, modified: None }
    }

    #[tokio::test]
    async fn a_thread_that_dies_is_no_end_of_a_listing() {
        let mut found = list::<()>(|finds, _| {
            finds.blocking_send(object()).unwrap();
            panic!("for a test");
        });
        assert!(found.next().await.unwrap().is_ok());
        assert!(found.next().await.unwrap().is_err());
        assert!(found.next().await.is_none());
    }

    #[tokio::test]
    async fn a_put_that_is_given_up_cannot_commit_any_more() {
        let (tell, told) = std::sync::mpsc::channel();
        let (_feeder, body) = ByteStream::channel(1);
        let putting = put::<()>(body, None, move |handed| {
            let gate = handed.gate.clone();
            let broke = handed.begin().blocking_next().is_err();
            tell.send((broke, gate.commit())).unwrap();
            Ok(object())
        });
        let soon = tokio::time::timeout(Duration::from_millis(20), putting).await;
        assert!(soon.is_err(), "the body has no end");
        let said = tokio::task::spawn_blocking(move || told.recv().unwrap()).await.unwrap();
        assert_eq!(said, (true, false), "it was cut, and may not commit");
    }

    #[tokio::test]
    async fn a_silent_body_is_covered_by_empty_chunks() {
        let (feeder, body) = ByteStream::channel(1);
        let (enough, seen) = oneshot::channel();
        let putting = put::<()>(body, Some(Duration::from_millis(5)), |handed| {
            let mut chunks = handed.begin();
            assert_eq!(chunks.blocking_next().unwrap().unwrap(), "");
            assert_eq!(chunks.blocking_next().unwrap().unwrap(), "");
            enough.send(()).unwrap();
            while chunks.blocking_next().unwrap().is_some_and(|chunk| chunk.is_empty()) {}
            Ok(object())
        });
        let feeding = async {
            seen.await.unwrap();
            feeder.send("late".into()).await.unwrap();
            feeder.finish().await.ok();
        };
        let (put, ()) = tokio::join!(putting, feeding);
        put.unwrap();
    }

    #[tokio::test]
    async fn a_thread_that_gives_up_is_heard_while_the_body_is_silent() {
        let (_feeder, body) = ByteStream::channel(1);
        let failed = put::<()>(body, None, |handed| {
            drop(handed.begin());
            Err(Trouble::new(Kind::Full, "no room"))
        });
        assert_eq!(failed.await.unwrap_err().kind, Kind::Full);
    }
}
