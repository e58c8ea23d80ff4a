//! From what a storage holds to what retention decides about, and the deleting itself.

use crate::base::Level;
use crate::catalogue::{Outcome, Stored};
use crate::retention::Copy;
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
