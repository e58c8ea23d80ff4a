//! One storage of a job as a place with its layers and its rotation.

use std::path::Path;
use std::time::Duration;

use crate::base::PENDING;
use crate::config::{self, Node, Problem, Problems, Storage, raw};
use crate::plan::layers::layered;
use crate::plan::{Place, limits};
use crate::retention::{Policy, Rotation};
use crate::storages::Setting;

/// What a storage takes from its job where it says nothing.
pub(crate) struct Above<'a> {
    /// The keys of the job.
    pub(crate) keys: &'a raw::Job,
    /// The job as written, for the places of its keys.
    pub(crate) node: &'a Node,
    /// Where the job is in the tree.
    pub(crate) path: &'a str,
    /// The limits that `main` sets for all.
    pub(crate) limits: limits::Common,
    /// Storages of its kind that are on in the job, itself included.
    pub(crate) peers: usize,
    /// Where temporary files of the job go.
    pub(crate) tmp_dir: &'a Path,
    /// Its copies build on one another: `store` means nothing to them.
    pub(crate) in_chains: bool,
}

/// Resolves a storage that is on; `before` are the places that the job has already.
///
/// Returns `None` for one that is off, and for one with problems.
pub(crate) fn resolve(
    storage: &Storage,
    above: &Above<'_>,
    before: &[Place],
    problems: &mut Problems,
) -> Option<Place> {
    if storage.common.enable == Some(false) {
        return None;
    }
    let (node, path, job) = (&storage.node, &storage.path, above.keys);
    let section = storage.config.section();
    let wrong = section.problems();
    let mut found = Problems::default();
    found.extend(wrong.iter().filter_map(|wrong| config::blame(node, path, wrong)));
    let mut say = |key: &str, message: &str| {
        found.push(Problem::error(node.mark_of(key), path, message));
    };
    let (kind, address) = (storage.kind.name, section.address());
    let fingerprint = fingerprint(kind, &address);
    let twin = before.iter().any(|place| place.fingerprint == fingerprint);
    if twin && !address.iter().any(|part| part.contains(PENDING)) {
        say("backup_dir", "another storage of this job stores in the same folder");
    }
    let name = storage.common.name.clone().unwrap_or_else(|| free_name(kind, before));
    if before.iter().any(|place| place.name == name) {
        say("name", "another storage of this job has the same name");
    }
    if storage.common.limits.is_some_and(|limits| limits != only_net(limits)) {
        let message = "`limits` of a storage has `net` alone: the others belong to the job";
        found.push(Problem::error(node.mark_of("limits"), path, message));
    }
    let policy = policy(storage, above, &mut found);
    let failed = found.has_errors();
    problems.extend(found);
    let policy = policy.filter(|_| !failed)?;
    let limits = [storage.common.limits, job.limits];
    let net = limits.into_iter().flatten().find_map(|limits| limits.net).map(|net| net.0);
    let of_main = [above.limits.local.filter(|_| kind == "local"), above.limits.net];
    let net = net.or(of_main.into_iter().flatten().min());
    let timeout = storage.common.timeout.or(job.timeout).map_or(TIMEOUT, |span| span.0);
    let setting = Setting {
        name: &name,
        retries: storage.common.retries.or(job.retries).unwrap_or(RETRIES),
        timeout: Some(timeout).filter(|timeout| !timeout.is_zero()),
        peers: above.peers,
        tmp_dir: above.tmp_dir,
    };
    let bytes_per_sec = net.filter(|net| *net > 0);
    Some(Place {
        storage: layered(section.connect(&setting), &setting, bytes_per_sec),
        largest_object: section.largest_object(&setting),
        name,
        kind,
        location: section.location(),
        policy,
        shared: storage.common.shared.unwrap_or(false),
        fingerprint,
    })
}

fn only_net(limits: raw::Limits) -> raw::Limits {
    raw::Limits { net: limits.net, ..raw::Limits::default() }
}

/// What a storage keeps; `None` when it cannot be told.
fn policy(storage: &Storage, above: &Above<'_>, problems: &mut Problems) -> Option<Policy> {
    let (node, path, store) = (&storage.node, &storage.path, storage.store);
    let store_node = node.get("store").unwrap_or(node);
    if let (Some(months), Some(month)) = (store.months, store.month)
        && months != month
    {
        let message = "`months` and `month` are the same setting";
        problems.push(Problem::error(store_node.mark_of("month"), path, message));
        return None;
    }
    let months = store.months.or(store.month).unwrap_or(0);
    let (days, weeks) = (store.days.unwrap_or(0), store.weeks.unwrap_or(0));
    let last = store.last.unwrap_or(0);
    let keeps_nothing = [days, weeks, months, last] == [0; 4];
    if above.in_chains && !keeps_nothing {
        let message = "`store` has no effect on increments: see `inc_months_to_store`";
        problems.push(Problem::note(node.mark_of("store"), path, message));
    }
    if keeps_nothing && !above.in_chains && above.keys.enable != Some(false) {
        let message =
            "the job would store nothing here: `store` sets no days, weeks, months or last";
        let hint = "set how many copies to keep; if nothing is to be stored, say `enable: no`";
        let problem = Problem::error(node.mark_of("store"), path, message);
        problems.push(problem.with_hint(hint));
        return None;
    }
    let min_copies = storage.common.min_copies.or(above.keys.min_copies).unwrap_or(MIN_COPIES);
    if min_copies == 0 {
        let message = "`min_copies: 0` lets rotation remove the last good copy of a storage";
        let own = storage.common.min_copies.is_some();
        let (node, path) = if own { (node, path.as_str()) } else { (above.node, above.path) };
        problems.push(Problem::note(node.mark_of("min_copies"), path, message));
    }
    let own = rotation(storage.common.rotation, storage.common.safety_backup);
    let of_job = rotation(above.keys.rotation, above.keys.safety_backup);
    let (rotation, node, path) = match own {
        Ok(None) => (of_job, above.node, above.path),
        own => (own, node, path.as_str()),
    };
    let rotation = match rotation {
        Ok(rotation) => rotation.unwrap_or_default(),
        Err(message) => {
            problems.push(Problem::error(node.mark_of("safety_backup"), path, message));
            return None;
        }
    };
    Some(Policy { days, weeks, months, last, min_copies, rotation })
}

/// Joins `rotation` and its old spelling, as far as they are set.
fn rotation(
    rotation: Option<raw::Rotation>,
    safety: Option<bool>,
) -> Result<Option<Rotation>, &'static str> {
    let new = rotation.map(|rotation| match rotation {
        raw::Rotation::Before => Rotation::Before,
        raw::Rotation::After => Rotation::After,
        raw::Rotation::None => Rotation::None,
    });
    match (new, safety) {
        (Some(Rotation::Before | Rotation::None), Some(true)) => {
            Err("`safety_backup: yes` means `rotation: after`, but `rotation` says otherwise")
        }
        (Some(new), _) => Ok(Some(new)),
        (None, Some(true)) => Ok(Some(Rotation::After)),
        (None, Some(false)) => Ok(Some(Rotation::Before)),
        (None, None) => Ok(None),
    }
}

fn free_name(kind: &str, before: &[Place]) -> String {
    let taken = |name: &str| before.iter().any(|place| place.name == name);
    let numbered = (2..).map(|number| format!("{kind}-{number}"));
    let mut names = std::iter::once(kind.to_owned()).chain(numbered);
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// Tells a folder from every other one: 16 hex digits of a hash over kind and address.
fn fingerprint(kind: &str, address: &[String]) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(kind.as_bytes());
    for part in address {
        hash.update(&[0]).update(part.as_bytes());
    }
    hash.finalize().to_hex()[..16].to_owned()
}

const TIMEOUT: Duration = Duration::from_secs(300);
const RETRIES: u32 = 3;
const MIN_COPIES: u32 = 1;
