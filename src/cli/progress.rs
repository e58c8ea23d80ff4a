//! A bar with rate and time left on a terminal; a line in the log now and then elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::base::{Progress, Silent, Watcher};
use crate::cli::args::Globals;
use crate::cli::output::size;

/// Chooses who looks on; the bars are shared with the log, so that lines do not tear them.
pub(crate) fn watcher(globals: &Globals, bars: &MultiProgress) -> Arc<dyn Watcher> {
    match (globals.quiet || globals.json, std::io::stderr().is_terminal()) {
        (true, _) => Arc::new(Silent),
        (false, true) => Arc::new(Bars { bars: bars.clone(), open: Mutex::default() }),
        (false, false) => Arc::new(Lines::default()),
    }
}

struct Bars {
    bars: MultiProgress,
    open: Mutex<HashMap<String, ProgressBar>>,
}

impl Watcher for Bars {
    fn advanced(&self, progress: &Progress) {
        let mut open = self.open.lock().expect("no holder of this lock can panic");
        if !open.contains_key(&progress.what) {
            open.insert(progress.what.clone(), self.bars.add(bar(progress)));
        }
        let bar = &open[&progress.what];
        if bar.length().is_some_and(|length| length < progress.done_bytes) {
            bar.set_length(progress.done_bytes);
        }
        bar.set_position(progress.done_bytes);
    }

    fn ended(&self, what: &str) {
        let mut open = self.open.lock().expect("no holder of this lock can panic");
        if let Some(bar) = open.remove(what) {
            bar.finish_and_clear();
        }
    }
}

fn bar(progress: &Progress) -> ProgressBar {
    let (bar, shape) = match progress.expected_bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {msg} {binary_bytes} {binary_bytes_per_sec} {elapsed}",
        ),
    };
    let style = ProgressStyle::with_template(shape).expect("a constant good template");
    bar.set_style(style);
    bar.set_message(progress.what.clone());
    bar
}

/// Writes a log line for work that takes longer than half a minute.
#[derive(Default)]
struct Lines {
    said: Mutex<HashMap<String, (Instant, Instant)>>,
}

const EVERY: Duration = Duration::from_secs(30);

impl Watcher for Lines {
    fn advanced(&self, progress: &Progress) {
        let mut said = self.said.lock().expect("no holder of this lock can panic");
        let now = Instant::now();
        let (begun, last) = said.entry(progress.what.clone()).or_insert((now, now));
        if now.duration_since(*last) < EVERY {
            return;
        }
        *last = now;
        let rate = progress.done_bytes as f64 / now.duration_since(*begun).as_secs_f64();
        let left = progress.expected_bytes.filter(|all| *all > progress.done_bytes).map(|all| {
            let secs = ((all - progress.done_bytes) as f64 / rate) as u64;
            format!(" of about {}, {secs} s left", size(all))
        });
        tracing::info!(
            "{}: {}{} at {}/s",
            progress.what,
            size(progress.done_bytes),
            left.unwrap_or_default(),
            size(rate as u64)
        );
    }

    fn ended(&self, what: &str) {
        self.said.lock().expect("no holder of this lock can panic").remove(what);
    }
}
