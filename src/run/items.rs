//! The targets of a job with the names that they will have on a storage.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use tracing::{error, info};

use crate::base::chain;
use crate::catalogue::Names;
use crate::plan::{Job, JobSource};
use crate::report::{HookReport, JobReport, TargetReport};
use crate::run::Env;
use crate::sources::Target;

/// One target, its source and its place in the run.
pub(crate) struct Item<'a> {
    /// Counts from 1 within the run.
    pub(crate) number: usize,
    pub(crate) source: &'a JobSource,
    pub(crate) target: Target,
    /// The hooks that ran before it.
    pub(crate) before: OnceLock<Vec<HookReport>>,
}

impl Item<'_> {
    /// Returns the names that this target has on a storage; below `server` where that is shared.
    pub(crate) fn names(&self, server: Option<&str>) -> Names {
        Names {
            server: server.map(str::to_owned),
            source: self.source.folder.clone(),
            part: self.target.part.clone(),
            base: self.target.base.clone(),
            ext: self.target.ext.clone(),
            suffix: self.source.compression.codec.suffix().to_owned(),
        }
    }
}

/// Asks every source of `job` what there is; what fails goes into `report`.
pub(crate) async fn of<'a>(job: &'a Job, env: &Env, report: &mut JobReport) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for source in &job.sources {
        if env.cancel.is_cancelled() {
            break;
        }
        let asked = tokio::select! {
            biased;
            () = env.cancel.cancelled() => break,
            asked = source.source.targets() => asked,
        };
        match asked {
            Ok(found) => {
                report.errors.extend(found.failed.iter().map(|error| chain(error)));
                report.notes.extend(found.notes);
                for target in found.targets {
                    let (number, before) = (items.len() + 1, OnceLock::new());
                    items.push(Item { number, source, target, before });
                }
            }
            Err(error) => report.errors.push(chain(&error)),
        }
    }
    if items.is_empty() && report.errors.is_empty() && !env.cancel.is_cancelled() {
        report.errors.push("its sources name nothing that there is to back up".into());
    }
    report.errors.iter().for_each(|problem| error!("{problem}"));
    report.notes.iter().for_each(|note| info!("{note}"));
    without_clashes(items, report)
}

/// Takes out targets that would share a folder: they would rotate each other away.
fn without_clashes<'a>(items: Vec<Item<'a>>, report: &mut JobReport) -> Vec<Item<'a>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in &items {
        owners.entry(item.names(None).folder()).or_default().push(item.target.name.clone());
    }
    let clash = |item: &Item| {
        let owners = &owners[&item.names(None).folder()];
        let other = owners.iter().find(|owner| **owner != item.target.name);
        (owners.len() > 1).then(|| other.unwrap_or(&item.target.name).clone())
    };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for item in items {
        match clash(&item) {
            None => good.push(item),
            Some(other) => bad.push((item, other)),
        }
    }
    for (item, other) in bad {
        let problem = format!(
            "would be stored in the same folder {:?} as {other}: put them in sources of their own, \
             each with a `name:`",
            item.names(None).folder()
        );
        error!("{}: {problem}", item.target.name);
        report.targets.push(TargetReport {
            source: item.source.name.clone(),
            target: item.target.name,
            errors: vec![problem],
            ..TargetReport::default()
        });
    }
    good
}
