//! What an artefact builds on, and where that lies.

use std::collections::BTreeMap;

use crate::base::ArtefactId;
use crate::catalogue::Manifest;
use crate::restore::holdings::{Held, Holdings};

/// Every copy of the server that is meant, by its artefact.
pub struct Ancestry<'a>(BTreeMap<&'a ArtefactId, Vec<Held<'a>>>);

impl<'a> Ancestry<'a> {
    /// Sorts what the storages hold.
    pub fn of(holdings: &'a Holdings<'a>) -> Self {
        let mut copies: BTreeMap<&ArtefactId, Vec<Held<'a>>> = BTreeMap::new();
        for held in holdings.copies() {
            copies.entry(&held.stored.manifest.id).or_default().push(held);
        }
        Self(copies)
    }

    /// Returns a copy of each artefact that `manifest` builds on, the full one first; of those on
    /// `place`, named by its fingerprint, where they are whole, else of the next that has one.
    ///
    /// Errors: the artefact of which no whole copy is left.
    pub fn above(&self, manifest: &Manifest, place: &str) -> Result<Vec<Held<'a>>, ArtefactId> {
        let mut above = Vec::new();
        let mut parent = manifest.parent.as_ref().map(|parent| parent.id.clone());
        while let Some(id) = parent {
            let copies = self.0.get(&id).map_or([].as_slice(), Vec::as_slice);
            let whole = || copies.iter().filter(|held| held.stored.intact);
            let here = whole().find(|held| held.place.fingerprint == place);
            let held = here.or_else(|| whole().next()).copied();
            let held = held.filter(|_| above.len() <= self.0.len()).ok_or_else(|| id.clone())?;
            parent = held.stored.manifest.parent.as_ref().map(|parent| parent.id.clone());
            above.push(held);
        }
        above.reverse();
        Ok(above)
    }

    /// Returns every copy of the target of `manifest`, on all storages.
    pub fn kin(&self, manifest: &Manifest) -> impl Iterator<Item = &Held<'a>> {
        let is_kin = |other: &Manifest| {
            (&other.job, &other.source, &other.target)
                == (&manifest.job, &manifest.source, &manifest.target)
        };
        self.0.values().flatten().filter(move |held| is_kin(&held.stored.manifest))
    }

    /// Counts what an artefact builds on, as far as that is known.
    pub fn depth(&self, manifest: &Manifest) -> usize {
        let mut depth = 0;
        let mut parent = manifest.parent.as_ref();
        while let Some(held) = parent.and_then(|parent| self.0.get(&parent.id)?.first())
            && depth <= self.0.len()
        {
            depth += 1;
            parent = held.stored.manifest.parent.as_ref();
        }
        depth
    }

    /// Says why a copy cannot be brought back, as far as listings tell.
    pub fn problem(&self, held: &Held<'_>) -> Option<String> {
        if !held.stored.intact {
            let known = held.stored.problem.clone();
            return Some(known.unwrap_or_else(|| "it is not whole".to_owned()));
        }
        let above = self.above(&held.stored.manifest, &held.place.fingerprint);
        above.err().map(|id| format!("it builds on {id}, of which no whole copy is left"))
    }
}
