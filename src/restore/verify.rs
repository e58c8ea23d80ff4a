//! Whether a copy is what its manifest says: by size, or byte by byte.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::{ArtefactId, Cancel, chain};
use crate::catalogue::Segment;
use crate::plan::Verify;
use crate::restore::ancestry::Ancestry;
use crate::restore::apply::Checked;
use crate::restore::holdings::Held;
use crate::run::deliver::check;

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Objects and sizes.
    Quick,
    /// Every byte against every digest, decompressed too.
    Full,
}

/// What was found of one copy.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The storage.
    pub storage: String,
    /// The artefact.
    pub id: String,
    /// Its job.
    pub job: String,
    /// Its target.
    pub target: String,
    /// Its first object.
    pub key: String,
    /// What is wrong; nothing when it is well.
    pub problem: Option<String>,
    /// Whether the copy itself was looked at.
    #[serde(skip)]
    pub looked_at: bool,
}

/// Looks at one copy.
///
/// Errors: none; what is wrong is in the finding.
pub async fn verify(
    held: &Held<'_>,
    ancestry: &Ancestry<'_>,
    depth: Depth,
    cancel: &Cancel,
) -> Finding {
    let manifest = &held.stored.manifest;
    let looked_at = !cancel.is_cancelled();
    let problem = match depth {
        _ if !looked_at => Some("not looked at: interrupted".to_owned()),
        _ if !held.stored.intact => {
            let known = held.stored.problem.clone();
            Some(known.unwrap_or_else(|| "its objects are not as the manifest says".into()))
        }
        _ if lacks(held, ancestry).is_some() => lacks(held, ancestry),
        Depth::Quick => None,
        Depth::Full => full(held).await.err(),
    };
    Finding {
        storage: held.place.name.clone(),
        id: manifest.id.to_string(),
        job: manifest.job.clone(),
        target: crate::base::display(&manifest.target),
        key: manifest.segments.first().map_or(String::new(), |segment| segment.key.to_string()),
        problem,
        looked_at,
    }
}

/// Adds what only all findings together tell, one for each of `held`: a copy that is well itself
/// cannot be restored when one that it builds on is damaged. Returns those that it was added to.
pub fn compare<'f>(
    held: &[Held<'_>],
    ancestry: &Ancestry<'_>,
    findings: &'f mut [Finding],
) -> Vec<&'f Finding> {
    let mut bad = BTreeMap::new();
    for (held, finding) in held.iter().zip(findings.iter()) {
        if finding.looked_at && finding.problem.is_some() {
            bad.insert(copy(held), finding.key.clone());
        }
    }
    let mut changed = Vec::new();
    for (held, finding) in held.iter().zip(findings) {
        let above = ancestry.above(&held.stored.manifest, &held.place.fingerprint);
        let broken = above.iter().flatten().find_map(|above| bad.get(&copy(above)));
        if let (Some(key), None) = (broken, &finding.problem) {
            let problem =
                format!("it builds on {key}, which is not whole: it cannot be restored from here");
            finding.problem = Some(problem);
            changed.push(&*finding);
        }
    }
    changed
}

/// One copy on one storage.
type Copy<'a> = (&'a ArtefactId, &'a str);

fn copy<'a>(held: &Held<'a>) -> Copy<'a> {
    (&held.stored.manifest.id, &held.place.fingerprint)
}

/// Says what of the chain below an increment is missing on its own storage: with that one alone
/// it could not be brought back.
fn lacks(held: &Held<'_>, ancestry: &Ancestry<'_>) -> Option<String> {
    let place = &held.place.fingerprint;
    match ancestry.above(&held.stored.manifest, place) {
        Err(id) => Some(format!("it builds on {id}, of which no storage has a whole copy")),
        Ok(above) => {
            let away = above.iter().find(|held| held.place.fingerprint != *place)?;
            let id = &away.stored.manifest.id;
            let other = &away.place.name;
            Some(format!("it builds on {id}, which only '{other}' has: the next run copies it"))
        }
    }
}

async fn full(held: &Held<'_>) -> Result<(), String> {
    let manifest = &held.stored.manifest;
    let mut checked = Checked::open(held);
    let mut raw = checked.take();
    let mut raw_bytes = 0;
    while let Some(chunk) = raw.next().await.map_err(|error| chain(&error))? {
        raw_bytes += chunk.len() as u64;
    }
    if raw_bytes != manifest.raw_bytes {
        return Err(format!("{raw_bytes} raw bytes instead of {}", manifest.raw_bytes));
    }
    checked.compare(manifest).await.map_err(|error| chain(&error))?;
    let index = manifest.index.iter().map(|index| Segment {
        key: index.key.clone(),
        bytes: index.bytes,
        sha256: index.sha256.clone(),
    });
    let objects: Vec<Segment> = match manifest.segments.as_slice() {
        [_one] => index.collect(),
        several => several.iter().cloned().chain(index).collect(),
    };
    check(&*held.place.storage, &objects, Verify::Full).await.map_err(|error| chain(&error))
}
