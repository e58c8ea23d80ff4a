//! Clears away what dead runs of this host have left on storages, and names what is only old.
//!
//! Only what a journal in `state_dir` names is removed by a run, and only when the run that wrote
//! it is dead. Everything else is removed by the explicit `sweep` command alone.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, ToSpan, Zoned};

use crate::base::{Key, chain, count};
use crate::catalogue::{Survey, belongs, index_key, manifest_key, parse, segment_key};
use crate::run::journal::{DeadJournal, Open, dead, peek};
use crate::storages::{Error, Kind, Object, Storage};

/// A storage of the config, as a journal knows it.
#[derive(Clone, Copy)]
pub struct SweepPlace<'a> {
    /// Tells its folder from every other one.
    pub fingerprint: &'a str,
    /// The storage itself.
    pub storage: &'a dyn Storage,
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// What was removed: the place's name and the object.
    pub removed: Vec<(String, Key)>,
    /// What has to wait, in words: a storage that is down, or not in the config.
    pub waiting: Vec<String>,
    /// What went wrong, in words.
    pub errors: Vec<String>,
}

/// An artefact or an unfinished put that is old and has no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The artefact's first segment, whether it is there or not.
    pub artefact: Key,
    /// The objects that are there.
    pub objects: Vec<Object>,
}

/// Clears away what the journals of dead runs say was begun and not ended.
///
/// A put whose manifest stands has become a backup and stays; of any other all objects and
/// temporary names go. A deletion is completed once its manifest is gone; while the manifest
/// stands it is a whole copy, which rotation will judge anew.
/// Errors: when `state_dir` cannot be read; troubles of storages are in the report.
pub async fn sweep_dead(state_dir: &Path, places: &[SweepPlace<'_>]) -> io::Result<SweepReport> {
    let mut report = SweepReport::default();
    for mut journal in dead(state_dir)? {
        report.tell_unreadable(&journal);
        for open in journal.open.clone() {
            let Some(place) = report.place_of(&open, places) else { continue };
            if is_empty(place.storage).await {
                continue;
            }
            match clear(place.storage, &open, &mut report).await {
                Ok(()) => journal.settle(&open)?,
                Err(error) => report.waiting.push(chain(&error)),
            }
        }
        journal.finish()?;
    }
    Ok(report.sorted())
}

/// Tells what [`sweep_dead`] would do now, and changes nothing.
///
/// Errors: when `state_dir` cannot be read; troubles of storages are in the report.
pub async fn foretell_dead(state_dir: &Path, places: &[SweepPlace<'_>]) -> io::Result<SweepReport> {
    let mut report = SweepReport::default();
    for journal in peek(state_dir)? {
        report.tell_unreadable(&journal);
        for open in &journal.open {
            let Some(place) = report.place_of(open, places) else { continue };
            if is_empty(place.storage).await {
                continue;
            }
            let named = |key| (open.place_name().to_owned(), key);
            match doomed(place.storage, open).await {
                Ok(keys) => report.removed.extend(keys.into_iter().map(named)),
                Err(error) => report.waiting.push(chain(&error)),
            }
        }
    }
    Ok(report.sorted())
}

impl SweepReport {
    fn tell_unreadable(&mut self, journal: &DeadJournal) {
        if journal.unreadable > 0 {
            let (path, lines) =
                (journal.path.display(), count(journal.unreadable, "line", "lines"));
            self.errors.push(format!(
                "{path}: {lines} cannot be read; remove the file once 'sweep' shows nothing"
            ));
        }
    }

    /// Finds the storage of an entry; what is not in the config has to wait.
    fn place_of<'a>(
        &mut self,
        open: &Open,
        places: &'a [SweepPlace<'a>],
    ) -> Option<&'a SweepPlace<'a>> {
        let place = places.iter().find(|place| place.fingerprint == open.place());
        if place.is_none() {
            self.waiting.push(format!("{}: not in the config", open.place_name()));
        }
        place
    }

    fn sorted(mut self) -> Self {
        self.waiting.sort();
        self.waiting.dedup();
        self
    }
}

/// Finds what is only old: temporary names and names of our full pattern, without a manifest
/// object, over seven days old by the stamp in the name and by the storage's time.
///
/// Where a storage tells no time nothing is stale. On a shared storage `survey` must be of our
/// own server's folder.
pub fn stale(survey: &Survey, now: &Zoned) -> Vec<Stale> {
    let mut found: BTreeMap<Key, Vec<Object>> = BTreeMap::new();
    for object in survey.partials.iter().chain(&survey.orphans) {
        let meant = object.key.partial_of().unwrap_or_else(|| object.key.clone());
        let Some(parsed) = parse(&meant) else { continue };
        let old = now.datetime().saturating_sub(OLD_DAYS.days()) > parsed.stamp
            && object.modified.is_some_and(|modified| {
                now.timestamp().duration_since(modified) > SignedDuration::from_hours(24 * OLD_DAYS)
            });
        // An artefact of which anything is young may still be growing.
        let objects = found.entry(parsed.artefact).or_default();
        objects.push(Object { modified: object.modified.filter(|_| old), ..object.clone() });
    }
    found.retain(|artefact, objects| {
        !survey.has_manifest(artefact) && objects.iter().all(|object| object.modified.is_some())
    });
    found.into_iter().map(|(artefact, objects)| Stale { artefact, objects }).collect()
}

/// Deletes what [`stale`] has found, unless a manifest has appeared since; names what went.
///
/// Errors: what the storage says; what was deleted before stays deleted.
pub async fn remove_stale(storage: &dyn Storage, stale: &[Stale]) -> Result<Vec<Key>, Error> {
    let mut removed = Vec::new();
    for stale in stale {
        if storage.stat(&manifest_key(&stale.artefact)).await?.is_some() {
            continue;
        }
        for object in &stale.objects {
            storage.delete(&object.key).await?;
            removed.push(object.key.clone());
        }
    }
    Ok(removed)
}

/// An empty folder may be the mount point of a disk that is away: what lies on that can wait.
async fn is_empty(storage: &dyn Storage) -> bool {
    storage.list("").next().await.is_none()
}

/// Settles one entry of a journal on its storage.
async fn clear(storage: &dyn Storage, open: &Open, report: &mut SweepReport) -> Result<(), Error> {
    for key in doomed(storage, open).await? {
        storage.delete(&key).await?;
        report.removed.push((open.place_name().to_owned(), key));
    }
    Ok(())
}

/// Finds what is to be removed for one entry of a journal.
async fn doomed(storage: &dyn Storage, open: &Open) -> Result<Vec<Key>, Error> {
    match open {
        Open::Putting { key, manifest, .. } => match storage.stat(manifest).await? {
            Some(_) => Ok(Vec::new()),
            None => remains(storage, key).await,
        },
        Open::Deleting { keys, .. } => match keys.split_first() {
            Some((manifest, rest)) if storage.stat(manifest).await?.is_none() => {
                left_of(storage, rest).await
            }
            _ => Ok(Vec::new()),
        },
    }
}

/// Leaves out the objects that are gone already.
async fn left_of(storage: &dyn Storage, keys: &[Key]) -> Result<Vec<Key>, Error> {
    let mut left = Vec::new();
    for key in keys {
        if storage.stat(key).await?.is_some() {
            left.push(key.clone());
        }
    }
    Ok(left)
}

/// Finds every object of the put that begins with `first`: whole ones and temporary ones.
async fn remains(storage: &dyn Storage, first: &Key) -> Result<Vec<Key>, Error> {
    let temporary = first.partial("");
    let temporary = temporary.as_str().trim_end_matches('.');
    let mut keys = Vec::new();
    for prefix in [first.as_str(), temporary] {
        let listed: Result<Vec<Object>, Error> = storage.list(prefix).try_collect().await;
        match listed {
            Ok(objects) => keys.extend(objects.into_iter().map(|object| object.key)),
            Err(error) if matches!(error.kind, Kind::Denied | Kind::Unsupported) => {
                return probe(storage, first).await;
            }
            Err(error) => return Err(error),
        }
    }
    let meant = |key: &Key| key.partial_of().unwrap_or_else(|| key.clone());
    keys.retain(|key| belongs(&meant(key), first));
    Ok(keys)
}

/// Finds the objects of a put where listing is refused, by asking for each.
async fn probe(storage: &dyn Storage, first: &Key) -> Result<Vec<Key>, Error> {
    let mut keys = Vec::new();
    let index = index_key(first);
    for key in [index.with_suffix(".age"), index] {
        if storage.stat(&key).await?.is_some() {
            keys.push(key);
        }
    }
    for number in 1.. {
        let Ok(key) = segment_key(first, number) else { break };
        if storage.stat(&key).await?.is_none() && number > 1 {
            break;
        }
        keys.push(key);
    }
    Ok(keys)
}

const OLD_DAYS: i64 = 7;

#[cfg(test)]
mod tests;
