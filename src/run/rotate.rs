//! From what a storage holds to what retention decides about, and the deleting itself.

use crate::base::{Level, Step};
use crate::catalogue::{Outcome, Stored};
use crate::retention::{Copy, Link};
use crate::run::Journal;
use crate::storages::{Error, Kind, Storage};

/// Returns what retention knows of a stored copy; `None` for levels that are not discrete ones.
pub fn as_copy(stored: &Stored) -> Option<Copy> {
    let manifest = &stored.manifest;
    Some(Copy {
        id: manifest.id.clone(),
        level: Level::from_folder(&manifest.level)?,
        started: manifest.started,
        day: manifest.local_start().date(),
        raw_bytes: manifest.raw_bytes,
        complete: manifest.result == Outcome::Ok,
        shrunken: manifest.shrunken,
        pinned: manifest.pinned,
        intact: stored.intact,
    })
}

/// Returns what the rules of chains know of a stored copy; `None` for discrete ones.
pub fn as_link(stored: &Stored) -> Option<Link> {
    let manifest = &stored.manifest;
    Some(Link {
        id: manifest.id.clone(),
        parent: manifest.parent.as_ref().map(|parent| parent.id.clone()),
        step: Step::from_word(&manifest.level)?,
        started: manifest.started,
        day: manifest.local_start().date(),
        tree_bytes: manifest.tree.as_ref().map_or(manifest.raw_bytes, |tree| tree.bytes),
        scope: manifest.scope()?.to_owned(),
        complete: manifest.result == Outcome::Ok,
        shrunken: manifest.shrunken,
        pinned: manifest.pinned,
        intact: stored.intact,
    })
}

/// Deletes a copy, its manifest first, so that at no moment a backup is listed that is not whole.
///
/// Errors: `Corrupt` when the manifest names what is not its own, with nothing deleted; `Other`
/// when the journal cannot be written; else what the storage says. What is left then stays in
/// the journal and is cleared away by the next sweep.
pub async fn remove(
    storage: &dyn Storage,
    stored: &Stored,
    journal: &Journal,
    place: &str,
    place_name: &str,
) -> Result<(), Error> {
    let manifest = &stored.manifest_key;
    let error =
        |kind, why: crate::base::BoxError| Error::new(kind, place_name, "delete", manifest, why);
    if !stored.is_well_named() {
        let why = stored.problem.clone().unwrap_or_default();
        return Err(error(Kind::Corrupt, why.into()));
    }
    let keys: Vec<_> = stored.objects().cloned().collect();
    let noted = journal.deleting(place, place_name, keys.clone()).await;
    noted.map_err(|source| error(Kind::Other, source.into()))?;
    for key in &keys {
        storage.delete(key).await?;
    }
    journal.deleted(place, manifest).map_err(|source| error(Kind::Other, source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, Key, RunId};
    use crate::catalogue::{Manifest, Segment, survey};
    use crate::storages::Memory;
    use crate::storages::layers::{Fault, Flaky};

    const FIRST: &str = "site/daily/site_2025-11-21_05-40-00.tar.zst";

    fn shelf() -> (Memory, Manifest) {
        let segment = |key: &str| Segment {
            key: Key::new(key).unwrap(),
            bytes: 1,
            sha256: Digest::new([7; 32]),
        };
        let second = format!("{FIRST}.002");
        let segments = vec![segment(FIRST), segment(&second)];
        let manifest = Manifest { segments, ..crate::catalogue::sample() };
        let shelf = Memory::default().with(FIRST, "1").with(&second, "1");
        (shelf.with(&format!("{FIRST}.manifest.json"), manifest.to_json()), manifest)
    }

    fn journal(state: &tempfile::TempDir, run: &RunId) -> Journal {
        Journal::open(state.path(), run).unwrap()
    }

    #[tokio::test]
    async fn a_copy_goes_with_all_its_objects_and_no_others() {
        let state = tempfile::tempdir().unwrap();
        let (shelf, manifest) = shelf();
        let shelf = shelf.with(&format!("{FIRST}.notes"), "");
        let stored = survey(&shelf, "").await.unwrap().copies.remove(0);
        let journal = journal(&state, &manifest.run);
        remove(&shelf, &stored, &journal, "fp", "offsite").await.unwrap();
        assert_eq!(shelf.keys(), [format!("{FIRST}.notes")]);
        journal.finish().unwrap();
        assert!(crate::run::dead(state.path()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_manifest_that_names_what_is_not_its_own_takes_nothing_along() {
        let state = tempfile::tempdir().unwrap();
        let (shelf, mut manifest) = shelf();
        manifest.segments[1].key = Key::new("site/daily/precious").unwrap();
        let shelf = shelf
            .with("site/daily/precious", "1")
            .with(&format!("{FIRST}.manifest.json"), manifest.to_json());
        let before = shelf.keys();
        let stored = survey(&shelf, "").await.unwrap().copies.remove(0);
        let journal = journal(&state, &manifest.run);
        let error = remove(&shelf, &stored, &journal, "fp", "offsite").await.unwrap_err();
        assert_eq!((error.kind, shelf.keys()), (Kind::Corrupt, before));
    }

    #[tokio::test]
    async fn a_deletion_that_is_cut_off_is_completed_by_the_sweep() {
        let state = tempfile::tempdir().unwrap();
        let (shelf, manifest) = shelf();
        let stored = survey(&shelf, "").await.unwrap().copies.remove(0);
        let dying = journal(&state, &manifest.run);
        let flaky = Flaky::new(shelf.clone());
        flaky.fail_each("delete", Some(Fault::Before(Kind::Unavailable)));
        remove(&flaky, &stored, &dying, "fp", "offsite").await.unwrap_err();
        dying.finish().unwrap();
        shelf.delete(&stored.manifest_key).await.unwrap();
        let place = crate::run::SweepPlace { fingerprint: "fp", storage: &shelf };
        let report = crate::run::sweep_dead(state.path(), &[place]).await.unwrap();
        assert_eq!((report.removed.len(), shelf.keys().len()), (2, 0));
    }

    #[tokio::test]
    async fn retention_knows_the_day_by_the_clock_on_the_wall() {
        let (shelf, manifest) = shelf();
        let mut stored = survey(&shelf, "").await.unwrap().copies.remove(0);
        stored.manifest.started = "2026-10-31T23:30:00Z".parse().unwrap();
        stored.manifest.utc_offset_secs = 3600;
        let copy = as_copy(&stored).unwrap();
        assert_eq!(copy.day, jiff::civil::date(2026, 11, 1));
        assert_eq!((copy.id, copy.complete, copy.intact), (manifest.id, true, true));
        stored.manifest.level = "year".into();
        assert_eq!(as_copy(&stored), None);
    }
}
