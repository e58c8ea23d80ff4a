//! A storage that missed an artefact gets it from one that has it, in the same run.

use tracing::info;

use crate::base::chain;
use crate::catalogue::joined;
use crate::run::Run;
use crate::run::deliver::{Failure, put_segments, take_back};
use crate::run::store::{Artefact, Sealed, seal_pieces};
use crate::stream::{sha256, stoppable};

/// Tries once for every storage that failed while another holds the artefact.
pub(crate) async fn fill(run: &Run<'_>, artefact: &Artefact, sealed: &mut [Sealed<'_>]) {
    let good =
        sealed.iter().find_map(|(due, outcome)| Some((due.place, outcome.as_ref().ok()?.clone())));
    let Some((from, manifest)) = good else { return };
    for (due, outcome) in sealed.iter_mut() {
        let Err(failure) = outcome else { continue };
        if run.scene.env.cancel.is_cancelled() {
            return;
        }
        info!("'{}' missed it ({}); copying from '{}'", due.place.name, chain(failure), from.name);
        let copied = async {
            let stream = joined(&from.storage, &manifest.segments);
            let stream = stoppable(stream, &run.scene.env.cancel);
            let (stream, sha256) = sha256(stream);
            let pieces = put_segments(due, stream, run).await?;
            let (found, wanted) = (sha256.get().await?, &artefact.manifest.sha256);
            if found != *wanted {
                take_back(due, pieces.keys(), run).await;
                let found = format!("other bytes on '{}': sha256 {found}, not {wanted}", from.name);
                return Err(Failure::Check { key: due.key.clone(), found });
            }
            seal_pieces(run, due, pieces, artefact).await
        };
        match copied.await {
            Ok(manifest) => {
                let first = format!(
                    "the first try failed: {}; copied from '{}'",
                    chain(failure),
                    from.name
                );
                due.report.warnings.push(first);
                *outcome = Ok(manifest);
            }
            Err(again) => {
                let second = format!("copying from '{}' failed too: {}", from.name, chain(&again));
                due.report.warnings.push(second);
            }
        }
    }
}
