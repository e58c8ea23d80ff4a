//! What dead runs of this host left on the storages of the jobs that are about to run.

use std::path::Path;

use tracing::{error, info, warn};

use crate::plan::Place;
use crate::report::Report;
use crate::run::sweep::{SweepPlace, sweep_dead};

/// Clears away what the journals of dead runs name; what was done and what not goes into `report`.
pub async fn clear<'a>(
    state_dir: &Path,
    places: impl IntoIterator<Item = &'a Place>,
    report: &mut Report,
) {
    let places: Vec<SweepPlace<'_>> = places
        .into_iter()
        .map(|place| SweepPlace { fingerprint: &place.fingerprint, storage: &*place.storage })
        .collect();
    match sweep_dead(state_dir, &places).await {
        Ok(swept) => {
            for (place, key) in swept.removed {
                let note = format!("'{place}': removed {key}, which a run that died had left");
                info!("{note}");
                report.notes.push(note);
            }
            for waiting in swept.waiting {
                warn!("left over by a run that died, and not yet removed: {waiting}");
            }
            for problem in swept.errors {
                error!("{problem}");
                report.errors.push(problem);
            }
        }
        Err(problem) => {
            let problem = format!("{}: cannot read the journals: {problem}", state_dir.display());
            error!("{problem}");
            report.errors.push(problem);
        }
    }
}
