//! Work done ahead of time: a few threads take what the consumer will soon ask for.
//!
//! The consumer never waits for work that nobody has begun: it does it itself. So the threads
//! only ever help, and one core loses nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// A value that somebody works out before it is asked for.
pub(crate) struct Ahead<T>(Arc<Cell<T>>);

struct Cell<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

enum State<T> {
    Waiting(Box<dyn FnOnce() -> T + Send>),
    Running,
    Done(T),
    Taken,
    /// The work panicked.
    Lost,
}

trait Work: Send + Sync {
    fn run(&self);
}

impl<T: Send + 'static> Ahead<T> {
    fn new(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let state = Mutex::new(State::Waiting(Box::new(work)));
        Self(Arc::new(Cell { state, done: Condvar::new() }))
    }

    /// Gives the value; works it out here when nobody has begun.
    pub(crate) fn take(self) -> T {
        let mut state = lock(&self.0.state);
        loop {
            match std::mem::replace(&mut *state, State::Taken) {
                State::Done(value) => return value,
                State::Waiting(work) => {
                    drop(state);
                    return work();
                }
                State::Running => {
                    *state = State::Running;
                    state = self.0.done.wait(state).unwrap_or_else(|broken| broken.into_inner());
                }
                State::Taken | State::Lost => panic!("work done ahead panicked"),
            }
        }
    }
}

impl<T: Send> Work for Cell<T> {
    fn run(&self) {
        let mut state = lock(&self.state);
        if !matches!(*state, State::Waiting(_)) {
            return;
        }
        let State::Waiting(work) = std::mem::replace(&mut *state, State::Running) else { return };
        drop(state);
        let value = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        *lock(&self.state) = value.map_or(State::Lost, State::Done);
        self.done.notify_one();
    }
}

/// The threads and what they are to do, most urgent first.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Arc<dyn Work>>,
    idle: usize,
    over: bool,
}

impl Pool {
    /// Starts `threads` threads; a machine that has none to give leaves all to the consumer.
    pub(crate) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared { queue: Mutex::default(), bell: Condvar::new() });
        let start = |number| {
            let shared = Arc::clone(&shared);
            let name = format!("walk-{number}");
            std::thread::Builder::new().name(name).spawn(move || shared.serve()).ok()
        };
        Self { threads: (0..threads).filter_map(start).collect(), shared }
    }

    /// Asks for `work` behind everything that is waiting.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Ahead<T> {
        let ahead = Ahead::new(work);
        let mut queue = lock(&self.shared.queue);
        queue.work.push_back(ahead.0.clone());
        // The consumer does the very next thing itself: a lone piece is not worth a wake-up.
        if queue.idle > 0 && queue.work.len() > 1 {
            self.shared.bell.notify_one();
        }
        ahead
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = lock(&self.shared.queue);
        queue.over = true;
        queue.work.clear();
        drop(queue);
        self.shared.bell.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Shared {
    fn serve(&self) {
        let mut queue = lock(&self.queue);
        while !queue.over {
            if let Some(work) = queue.work.pop_front() {
                drop(queue);
                work.run();
                queue = lock(&self.queue);
            } else {
                queue.idle += 1;
                queue = self.bell.wait(queue).unwrap_or_else(|broken| broken.into_inner());
                queue.idle -= 1;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_with_and_without_threads() {
        for threads in [0, 1, 3] {
            let pool = Pool::new(threads);
            let all: Vec<_> = (0..1000).map(|number| pool.begin(move || number * 2)).collect();
            for (number, ahead) in all.into_iter().enumerate() {
                assert_eq!(ahead.take(), number * 2);
            }
        }
    }

    #[test]
    fn what_nobody_asks_for_does_not_hold_up_the_end() {
        let pool = Pool::new(2);
        let _forgotten: Vec<_> = (0..100).map(|number| pool.begin(move || number)).collect();
        drop(pool);
    }
}
