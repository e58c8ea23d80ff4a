//! What every verb needs first: the plan, the clock, the wish to stop, the runtime.

use std::sync::Arc;

use jiff::Zoned;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::base::{Cancel, Clock, FixedClock, SystemClock, Watcher};
use crate::cli::args::Globals;
use crate::cli::failure::{Failure, INTERRUPTED, NOTHING};
use crate::config::Config;
use crate::plan::{Fetch, Main, Plan};
use crate::run::{Env, HOST_LOCK, Lock, Selection};
use crate::{config, plan};

/// Loads the config and resolves it; secrets are fetched for the selected jobs only.
pub(crate) fn plan_for(globals: &Globals, words: &[String]) -> Result<(Plan, Selection), Failure> {
    plan_with(globals, words, None)
}

/// Like [`plan_for`]; the secrets of the job `also` are fetched too.
pub(crate) fn plan_with(
    globals: &Globals,
    words: &[String],
    also: Option<&str>,
) -> Result<(Plan, Selection), Failure> {
    plan_of(&config::load(&globals.config)?, words, also)
}

/// Resolves a config; secrets are fetched for the selected jobs only, and for the job `also`.
pub(crate) fn plan_of(
    config: &Config,
    words: &[String],
    also: Option<&str>,
) -> Result<(Plan, Selection), Failure> {
    let outline = plan::resolve(config, Fetch::Never)?;
    let selection = Selection::parse(words, &outline)?;
    let wanted = |name: &str, group| selection.means(name, group) || also == Some(name);
    let plan = plan::resolve(config, Fetch::Jobs(&wanted))?;
    Ok((plan, selection))
}

/// Refuses a run of nothing: an include that matches nothing must not look like a good night.
pub(crate) fn refuse_nothing(plan: &Plan, selection: &Selection) -> Result<(), Failure> {
    if !selection.entries(plan).is_empty() {
        return Ok(());
    }
    let error = Failure::usage("there is no such job in the config, so nothing would be backed up");
    let jobs = plan.jobs.len();
    Err(match jobs {
        0 => error.hint("It has no jobs at all: do the patterns of `jobs: !include [...]` match?"),
        _ => error.hint("`nxs-backup plan` shows the jobs that there are."),
    })
}

/// Makes what a run needs from outside.
pub(crate) fn env(plan: &Plan, watcher: Arc<dyn Watcher>) -> Result<Env, Failure> {
    Ok(Env {
        server_name: plan.main.server_name.clone(),
        formerly: plan.main.formerly.clone(),
        clock: clock()?,
        watcher,
        cancel: Cancel::default(),
        state_dir: plan.main.state_dir.clone(),
        trigger: "command",
    })
}

/// The machine's clock, or the moment in `NXS_BACKUP_NOW`, which rehearsals and tests set.
pub(crate) fn clock() -> Result<Arc<dyn Clock>, Failure> {
    let Ok(text) = std::env::var("NXS_BACKUP_NOW") else { return Ok(Arc::new(SystemClock)) };
    let now: Zoned = text.parse().map_err(|error| {
        Failure::usage(format!("NXS_BACKUP_NOW={text:?} is no moment with a zone: {error}"))
            .hint("Write it like 2026-11-21T03:00:00+01:00[Europe/Berlin].")
    })?;
    Ok(Arc::new(FixedClock::at(now)))
}

/// Takes the lock that a backup takes, so that neither works under the other's hands.
pub(crate) async fn lock(main: &Main, env: &Env) -> Result<Lock, Failure> {
    let waits = |holder: &str| tracing::info!("waiting for another run: {holder}");
    let taken = Lock::take(&env.state_dir, HOST_LOCK, main.lock_wait, &env.cancel, waits);
    taken.await.map_err(|error| crate::run::Error::from(error).into())
}

/// Runs async work to its end; a signal sets `cancel`, a second one ends the program at once.
pub(crate) fn block_on<T>(cancel: &Cancel, work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(NOTHING, error))?;
    let cancel = cancel.clone();
    let done = runtime.block_on(async {
        // Made before the work begins: a signal right after the start must find its hearer.
        let listener = signals().map(|signals| tokio::spawn(listen(signals, cancel)));
        let done = work.await;
        if let Ok(listener) = listener {
            listener.abort();
        }
        done
    });
    // A thread that is stuck in a dead mount must not keep the program from ending.
    runtime.shutdown_timeout(LAST_WORDS);
    Ok(done)
}

/// How long threads may take to clean up after themselves at the end.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(10);

/// Hears of a wish to stop; heard from the moment on that this was made.
fn signals() -> std::io::Result<(Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
}

async fn listen((mut int, mut term): (Signal, Signal), cancel: Cancel) {
    for again in [false, true] {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        if again {
            crate::sources::tool::kill_all();
            std::process::exit(i32::from(INTERRUPTED));
        }
        tracing::warn!(
            "stopping; a second signal stops at once and leaves the clean-up to the next run"
        );
        cancel.cancel();
    }
}
