//! Connections that are kept for the next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::storages::ftp::dial::Way;
use crate::storages::ftp::errors::Trouble;
use crate::storages::ftp::session::Session;
use crate::storages::idle::Idle;

/// Connections to one server, made when they are needed.
///
/// A call beyond [`CONNECTIONS`] waits a while for one to come free and then makes its own: a put
/// whose body is slow must not hold up others for ever. Where the server takes no more, it waits
/// for one of ours.
pub(super) struct Pool {
    way: Arc<Way>,
    idle: Idle<Session>,
    open: Arc<Open>,
}

#[derive(Default)]
struct Open {
    count: AtomicUsize,
    freed: Notify,
}

/// Counts one connection as long as it lives.
pub(super) struct Counted(Arc<Open>);

impl Counted {
    fn new(open: &Arc<Open>) -> Self {
        open.count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

impl Pool {
    pub(super) fn new(way: Way) -> Self {
        Self {
            way: Arc::new(way),
            idle: Idle::new(usize::MAX, Duration::MAX),
            open: Arc::default(),
        }
    }

    /// Gives a connection that works, an idle one or a new one.
    pub(super) async fn take(&self) -> Result<Session, Trouble> {
        let begun = Instant::now();
        loop {
            while let Some(mut session) = self.idle.take() {
                if session.is_alive().await {
                    return Ok(session);
                }
            }
            if self.others() >= CONNECTIONS && begun.elapsed() < POLITE {
                self.freed(POLITE.saturating_sub(begun.elapsed())).await;
                continue;
            }
            let counted = Counted::new(&self.open);
            match Session::dial(&self.way, counted).await {
                // The server has enough of us: one of ours will come free.
                Err(trouble)
                    if trouble.mark.crowded && self.others() > 0 && begun.elapsed() < PATIENT =>
                {
                    sleep(STEP).await;
                }
                done => return done,
            }
        }
    }

    /// Takes back a connection on which nothing is due.
    pub(super) fn give(&self, mut session: Session) {
        session.touch();
        self.idle.keep(session);
        self.open.freed.notify_one();
    }

    fn others(&self) -> usize {
        self.open.count.load(Ordering::Acquire)
    }

    async fn freed(&self, patience: Duration) {
        timeout(patience, self.open.freed.notified()).await.ok();
    }
}

/// Connections that are opened without hesitation; hosts often allow ten.
const CONNECTIONS: usize = 8;
const POLITE: Duration = Duration::from_secs(10);
const PATIENT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(250);
