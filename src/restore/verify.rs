//! Whether a copy is what its manifest says: by size, or byte by byte.

use std::collections::BTreeMap;

use jiff::Zoned;
use serde::Serialize;

use crate::base::{ArtefactId, Cancel, chain};
use crate::catalogue::Segment;
use crate::plan::Verify;
use crate::restore::ancestry::Ancestry;
use crate::restore::apply::Checked;
use crate::restore::holdings::Held;
use crate::retention::{self, Link};
use crate::run::as_link;
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
    now: &Zoned,
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
        Depth::Quick => lacks(held, ancestry, now),
        Depth::Full => match lacks(held, ancestry, now) {
            None => full(held).await.err(),
            lacks => lacks,
        },
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
fn lacks(held: &Held<'_>, ancestry: &Ancestry<'_>, now: &Zoned) -> Option<String> {
    let place = &held.place.fingerprint;
    match ancestry.above(&held.stored.manifest, place) {
        Err(id) => Some(format!("it builds on {id}, of which no storage has a whole copy")),
        Ok(above) => {
            let away = above.iter().find(|held| held.place.fingerprint != *place)?;
            let id = &away.stored.manifest.id;
            let other = &away.place.name;
            Some(match is_built_on(id, held, ancestry, now) {
                true => {
                    format!("it builds on {id}, which only '{other}' has: the next run copies it")
                }
                false => format!(
                    "it builds on {id}, which only '{other}' has, and no run copies it any more: a \
                     restore needs both, so keep '{other}' while this copy is wanted"
                ),
            })
        }
    }
}

/// Tells whether the next copy of the target builds on `id`: a run copies nothing else to where
/// it is missing.
fn is_built_on(id: &ArtefactId, held: &Held<'_>, ancestry: &Ancestry<'_>, now: &Zoned) -> bool {
    let manifest = &held.stored.manifest;
    let job = held.job.filter(|job| job.enabled);
    let Some(how) = job.and_then(|job| job.increments) else { return false };
    let Some(scope) = manifest.scope() else { return false };
    let kin = ancestry.kin(manifest).filter(|kin| kin.stored.intact);
    let links = kin.filter_map(|kin| as_link(kin.stored)).map(|link| (link.id.clone(), link));
    let links: BTreeMap<ArtefactId, Link> = links.collect();
    let all: Vec<Link> = links.values().cloned().collect();
    let mut next = retention::parent(&all, how.scheme, scope, now).parent;
    for _ in 0..links.len() {
        let Some(link) = next.and_then(|next| links.get(&next)) else { return false };
        if link.id == *id {
            return true;
        }
        next = link.parent.clone();
    }
    false
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
