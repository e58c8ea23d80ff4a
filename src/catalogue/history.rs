//! What a storage holds, read from one listing and the manifests in it.
//!
//! Nothing is believed that the listing does not bear out: a manifest whose objects are absent or
//! of another size is no copy, and one that cannot be read still protects what lies beside it.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use jiff::civil;
use tokio::time::sleep;
use tracing::info;

use crate::base::{Key, Level, MIB, chain};
use crate::catalogue::layout::{self, MARKER, Names};
use crate::catalogue::manifest::Manifest;
use crate::storages::layers::pause;
use crate::storages::{Error, Kind, Object, Storage};

/// Everything below one prefix of a storage.
#[derive(Debug, Default)]
pub struct Survey {
    /// The copies, whole ones and broken ones, the oldest first.
    pub copies: Vec<Stored>,
    /// Manifests that cannot be read, and why; they protect the objects that carry their name.
    pub damaged: Vec<(Key, String)>,
    /// Manifests that the storage did not give, and why; they protect likewise.
    pub unread: Vec<(Key, String)>,
    /// Objects that are none of ours: copies of 2.x, files of others.
    pub foreign: Vec<Object>,
    /// What unfinished puts have left, or are just writing.
    pub partials: Vec<Object>,
    /// Objects with a name of our full pattern that have no manifest object.
    pub orphans: Vec<Object>,
    /// Every object by its name.
    listed: BTreeMap<Key, u64>,
}

/// A copy as a storage has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Where it says so.
    pub manifest_key: Key,
    /// Whether all its objects are listed with the sizes that it says.
    pub intact: bool,
    /// What is wrong, in words, where it is not intact.
    pub problem: Option<String>,
}

/// Lists everything below `prefix` and reads all manifests in it.
///
/// Shape: `prefix` is empty or a folder with a slash at its end.
/// Errors: a listing that fails, and a storage that is unavailable while manifests are read; a
/// single bad manifest is in [`Survey::damaged`].
pub async fn survey(storage: &dyn Storage, prefix: &str) -> Result<Survey, Error> {
    let objects: Vec<Object> = storage.list(prefix).try_collect().await?;
    let mut survey = Survey {
        listed: objects.iter().map(|object| (object.key.clone(), object.bytes)).collect(),
        ..Survey::default()
    };
    let whole =
        |object: &&Object| layout::is_manifest(&object.key) && object.key.partial_of().is_none();
    let manifests: Vec<&Object> = objects.iter().filter(whole).collect();
    let mut read = futures_util::stream::iter(manifests)
        .map(|object| async move { (&object.key, read(storage, object).await) })
        .buffer_unordered(AT_ONCE);
    while let Some((key, read)) = read.next().await {
        match read {
            Ok(manifest) => survey.copies.push(survey.check(key.clone(), manifest)),
            Err(Unread::Gone) => {}
            Err(Unread::Bad(problem)) => survey.damaged.push((key.clone(), problem)),
            Err(Unread::Refused(problem)) => survey.unread.push((key.clone(), problem)),
            Err(Unread::Stop(error)) => return Err(error),
        }
    }
    drop(read);
    let order = |stored: &Stored| (stored.manifest.started, stored.manifest_key.clone());
    survey.copies.sort_by_cached_key(order);
    survey.damaged.sort();
    survey.unread.sort();
    survey.sort_out(objects);
    Ok(survey)
}

/// Tells whether a manifest is of this identity.
///
/// `server_names` and `job_names` are the present name and the former ones.
pub fn identity_matches(
    manifest: &Manifest,
    server_names: &[impl AsRef<str>],
    job_names: &[impl AsRef<str>],
    source: Option<&str>,
    target: &str,
) -> bool {
    server_names.iter().any(|name| name.as_ref() == manifest.server_name)
        && job_names.iter().any(|name| name.as_ref() == manifest.job)
        && manifest.source.as_deref() == source
        && manifest.target == target
}

impl Survey {
    /// Returns the name for a new copy that overwrites nothing that was listed.
    pub fn free_key(&self, names: &Names, level: Level, stamp: civil::DateTime) -> Key {
        self.first_free(|again| names.artefact_key(level, stamp, again))
    }

    /// Returns the first of the names that `name` makes of a number, from 1, that is not taken.
    pub fn first_free(&self, name: impl Fn(u32) -> Key) -> Key {
        (1..).map(name).find(|key| !self.is_taken(key)).expect("a listing ends")
    }

    /// Takes in a copy that was made since the listing: its names are taken from now on.
    pub fn add(&mut self, stored: Stored) {
        let bytes_of = |key: &Key| {
            let segments = &stored.manifest.segments;
            segments.iter().find(|segment| segment.key == *key).map_or(0, |segment| segment.bytes)
        };
        let objects = stored.objects().map(|key| (key.clone(), bytes_of(key)));
        self.listed.extend(objects.collect::<Vec<_>>());
        self.copies.push(stored);
    }

    /// Tells whether the artefact `first` has any object, its manifest, or an unfinished put.
    pub fn is_taken(&self, first: &Key) -> bool {
        let below = |key: &&Key| key.as_str().starts_with(first.as_str());
        let family = self.listed.range(first..).map(|(key, _)| key).take_while(below);
        let unfinished = || self.partials.iter().filter_map(|object| object.key.partial_of());
        family.into_iter().any(|key| belongs(key, first))
            || unfinished().any(|key| belongs(&key, first))
    }

    /// Tells whether the artefact `first` has a manifest object, readable or not.
    pub fn has_manifest(&self, first: &Key) -> bool {
        self.listed.contains_key(&layout::manifest_key(first))
    }

    fn check(&self, manifest_key: Key, manifest: Manifest) -> Stored {
        let problem = misnamed(&manifest, &manifest_key).or_else(|| self.missing(&manifest));
        Stored { intact: problem.is_none(), manifest, manifest_key, problem }
    }

    /// Says which object of a manifest the listing does not bear out.
    fn missing(&self, manifest: &Manifest) -> Option<String> {
        let segments = manifest.segments.iter().map(|segment| (&segment.key, segment.bytes));
        let index = manifest.index.iter().map(|index| (&index.key, index.bytes));
        segments.chain(index).find_map(|(key, said)| match self.listed.get(key) {
            None => Some(format!("{key} is missing")),
            Some(bytes) if *bytes != said => {
                Some(format!("{key} has {bytes} bytes where its manifest says {said}"))
            }
            Some(_) => None,
        })
    }

    /// Puts every object that no manifest names where it belongs.
    fn sort_out(&mut self, objects: Vec<Object>) {
        let named: HashSet<&Key> = self.copies.iter().flat_map(Stored::objects).collect();
        let mut left: Vec<Object> =
            objects.into_iter().filter(|object| !named.contains(&object.key)).collect();
        drop(named);
        left.sort_by(|a, b| a.key.cmp(&b.key));
        for object in left {
            let first = layout::parse(&object.key).map(|parsed| parsed.artefact);
            match first {
                _ if object.key.partial_of().is_some() => self.partials.push(object),
                _ if object.key.name() == MARKER => {}
                _ if self.is_protected(&object.key) => {}
                Some(first) if !self.has_manifest(&first) => self.orphans.push(object),
                _ => self.foreign.push(object),
            }
        }
    }

    /// Tells whether a damaged manifest may be about this object, or is it.
    fn is_protected(&self, key: &Key) -> bool {
        self.damaged.iter().any(|(manifest, _)| {
            manifest.as_str().strip_suffix(".manifest.json").is_some_and(|first| {
                key.as_str().strip_prefix(first).is_some_and(|rest| rest.starts_with('.'))
                    || key.as_str() == first
            })
        })
    }
}

impl Stored {
    /// Names all its objects, the manifest first: the order in which they are deleted.
    pub fn objects(&self) -> impl Iterator<Item = &Key> {
        let index = self.manifest.index.iter().map(|index| &index.key);
        let segments = self.manifest.segments.iter().map(|segment| &segment.key);
        std::iter::once(&self.manifest_key).chain(index).chain(segments)
    }

    /// Tells whether all objects that it names carry its own name: what may be deleted with it.
    pub fn is_well_named(&self) -> bool {
        misnamed(&self.manifest, &self.manifest_key).is_none()
    }
}

/// Tells whether `key` is a segment, the index or the manifest of the artefact `first`.
pub fn belongs(key: &Key, first: &Key) -> bool {
    let Some(rest) = key.as_str().strip_prefix(first.as_str()) else { return false };
    let digits = |text: &str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let named = ["", ".manifest.json", ".index.zst", ".index.zst.age"].contains(&rest);
    named || rest.strip_prefix('.').is_some_and(digits)
}

/// Says which of the names in a manifest are not its own: a copied or planted one must not make
/// us delete what belongs to another.
fn misnamed(manifest: &Manifest, manifest_key: &Key) -> Option<String> {
    let Some(first) = manifest.segments.first().map(|segment| &segment.key) else {
        return Some("it names no segment".to_owned());
    };
    if layout::manifest_key(first) != *manifest_key {
        return Some(format!("it lies at {manifest_key} and is about {first}"));
    }
    let misplaced =
        |(number, key): (u32, &Key)| layout::segment_key(first, number).as_ref() != Ok(key);
    let segments = (1..).zip(manifest.segments.iter().map(|segment| &segment.key));
    let index = manifest.index.iter().map(|index| &index.key);
    let plain = layout::index_key(first);
    let sealed = plain.with_suffix(".age");
    let bad = segments.filter(|named| misplaced(*named)).map(|(_, key)| key);
    bad.chain(index.filter(|key| **key != plain && **key != sealed))
        .next()
        .map(|key| format!("it names {key}, which is not its own"))
}

enum Unread {
    /// Deleted since the listing.
    Gone,
    /// Of no use.
    Bad(String),
    /// The storage does not give it.
    Refused(String),
    /// Nothing can be read now.
    Stop(Error),
}

async fn read(storage: &dyn Storage, object: &Object) -> Result<Manifest, Unread> {
    if object.bytes > LARGEST as u64 {
        return Err(Unread::Bad(format!("has {} bytes, too many for a manifest", object.bytes)));
    }
    let json = bytes(storage, object).await?;
    Manifest::from_json(&json).map_err(|error| Unread::Bad(chain(&error)))
}

/// Reads an object whole; one that breaks off in the middle, which no layer repeats, again.
async fn bytes(storage: &dyn Storage, object: &Object) -> Result<Bytes, Unread> {
    let mut broken = 0;
    loop {
        let body =
            storage.get(&object.key, 0..object.bytes).await.map_err(|error| match error.kind {
                Kind::NotFound => Unread::Gone,
                Kind::Unavailable => Unread::Stop(error),
                _ => Unread::Refused(chain(&error)),
            })?;
        match body.collect(LARGEST).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) if broken < AGAIN => {
                info!(key = %object.key, error = %chain(&error), "a manifest broke off, reading it again");
                sleep(pause(broken)).await;
                broken += 1;
            }
            Err(error) => return Err(Unread::Refused(chain(&error))),
        }
    }
}

const AT_ONCE: usize = 16;
/// How often a manifest that breaks off is read once more.
const AGAIN: u32 = 3;
const LARGEST: usize = 4 * MIB;

#[cfg(test)]
mod tests;
