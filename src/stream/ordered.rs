//! Blocking workers whose results come out in the order of their jobs.
//!
//! Bounded: at most `ahead + 2` jobs are between the two ends (one waits for its slot, `ahead`
//! are queued, in work or done, one is being handed out), at most `workers` of them in work.

use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::stream::{Closed, Error, Feeder};

/// What one worker does with one job; it may keep a context between jobs.
pub(super) type Step = Box<dyn FnMut(Bytes) -> Outcome>;
type Outcome = Result<Bytes, Error>;
type Job = (Bytes, oneshot::Sender<Outcome>);

/// The end where jobs go in. Dropped, it says that there are no more.
pub(super) struct Jobs {
    order: mpsc::Sender<oneshot::Receiver<Outcome>>,
    queue: std_mpsc::Sender<Job>,
}

/// The end where results come out. Dropped, it stops the workers.
pub(super) struct Results(mpsc::Receiver<oneshot::Receiver<Outcome>>);

/// Starts `workers` threads; each makes its step at its first job.
///
/// They are threads of their own: they wait for jobs as long as the stream lives, and would keep
/// the runtime's pool from those who work for them.
pub(super) fn pool(
    workers: usize,
    ahead: usize,
    make: impl Fn() -> Step + Send + Sync + 'static,
) -> (Jobs, Results) {
    let (order, results) = mpsc::channel(ahead);
    let (queue, jobs) = std_mpsc::channel();
    let (jobs, make) = (Arc::new(Mutex::new(jobs)), Arc::new(make));
    for _ in 0..workers {
        let (jobs, make) = (jobs.clone(), make.clone());
        let name = std::thread::Builder::new().name("frames".to_owned());
        // Without any thread the first job is refused, which breaks the stream.
        name.spawn(move || work(&jobs, &*make)).ok();
    }
    (Jobs { order, queue }, Results(results))
}

fn work(jobs: &Mutex<std_mpsc::Receiver<Job>>, make: &dyn Fn() -> Step) {
    let mut step = None;
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((bytes, reply)) = job else { return };
        if !reply.is_closed() {
            reply.send(step.get_or_insert_with(make)(bytes)).ok();
        }
    }
}

impl Jobs {
    /// Hands over a job; waits while too many are under way.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Closed> {
        let slot = self.order.reserve().await.map_err(|_| Closed)?;
        let (reply, outcome) = oneshot::channel();
        self.queue.send((bytes, reply)).map_err(|_| Closed)?;
        slot.send(outcome);
        Ok(())
    }
}

impl Results {
    /// Passes every result to `feeder`, and its length to `note`, until there are no more jobs.
    pub(super) async fn pass_to(
        mut self,
        feeder: &Feeder,
        mut note: impl FnMut(u64),
    ) -> Result<(), Error> {
        while let Some(outcome) = self.0.recv().await {
            let chunk = outcome.await.map_err(|_| Error::Cut)??;
            note(chunk.len() as u64);
            feeder.send(chunk).await?;
        }
        Ok(())
    }
}
