//! A tree out of a chain: its index lists all of it with the artefact that holds each thing, so
//! only what is wanted is made, each thing once, and nothing has to be removed again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use tokio::runtime::Handle;

use crate::archive::{
    Entry, EntryKind, Expected, IndexReader, Selection, UnpackOptions, unpack_picked,
};
use crate::base::{self, ArtefactId, BoxError, MIB, text};
use crate::catalogue::Outcome;
use crate::restore::apply::{self, Checked, Error, How, Restored, other, strip};
use crate::restore::holdings::Held;
use crate::restore::ranged::{check, is_lone_link, open_index, unpack_part};
use crate::stream::StreamReader;

/// An artefact with all that it builds on, itself last.
pub(crate) struct Chain<'a> {
    links: Vec<Held<'a>>,
}

impl<'a> Chain<'a> {
    /// Takes what `held` builds on, the full copy first.
    pub(crate) fn new(held: &Held<'a>, above: Vec<Held<'a>>) -> Self {
        Self { links: above.into_iter().chain([*held]).collect() }
    }

    fn top(&self) -> &Held<'a> {
        self.links.last().expect("a chain has its own artefact")
    }

    /// Brings everything back: each artefact that holds something is read once, and checked.
    ///
    /// Errors: [`Error`]; also when the index names an artefact that is none of the chain.
    pub(crate) async fn whole(&self, into: &Path, how: &How) -> Result<Restored, Error> {
        let counts = self.holders().await?;
        let strays = self.strays().await?;
        let mut restored = Restored::default();
        for held in &self.links {
            if counts.get(&held.stored.manifest.id).is_some_and(|count| *count > 0) {
                let again = How { overwrite: how.overwrite || restored.files > 0, ..how.clone() };
                self.read_link(held, into, &again, &strays, &mut restored).await?;
            }
        }
        let mut work = Ranged::new(self, into, how);
        for stray in strays.values() {
            work.bring_link(stray, &mut restored).await?;
        }
        Ok(restored)
    }

    /// Names the hard links whose first name is gone, or another file by now, by their paths.
    ///
    /// Such a name was kept by a run that could not look at it, and its data is that of the time
    /// when it was stored. No other run leaves any.
    async fn strays(&self) -> Result<BTreeMap<Vec<u8>, Entry>, Error> {
        let is_whole = |held: &Held<'_>| held.stored.manifest.result == Outcome::Ok;
        if self.links.iter().skip(1).all(is_whole) {
            return Ok(BTreeMap::new());
        }
        let index = open_index(self.top()).await?;
        let (mut links, mut entries) = (Vec::new(), index.all());
        while let Some(entry) = entries.next().await.map_err(other)? {
            if entry.kind == EntryKind::HardLink {
                links.push(entry);
            }
        }
        // From the full copy on: a name is never stored before its data.
        let place = |entry: &Entry| {
            self.links.iter().position(|held| held.stored.manifest.id == *self.holder(entry))
        };
        let mut firsts: HashMap<Vec<u8>, Option<usize>> =
            links.iter().filter_map(|link| Some((link.link.clone()?, None))).collect();
        let mut entries = index.all();
        while let Some(entry) = entries.next().await.map_err(other)? {
            if let Some(first) = firsts.get_mut(&entry.path)
                && entry.kind != EntryKind::HardLink
                && entry.kind != EntryKind::Folder
            {
                *first = place(&entry);
            }
        }
        links.retain(|link| {
            let first = link.link.as_ref().and_then(|path| firsts[path]);
            first.is_none_or(|first| place(link).is_none_or(|own| first > own))
        });
        Ok(links.into_iter().map(|link| (link.path.clone(), link)).collect())
    }

    /// Counts what each artefact holds of the tree.
    async fn holders(&self) -> Result<BTreeMap<ArtefactId, u64>, Error> {
        let index = open_index(self.top()).await?;
        let mut counts: BTreeMap<ArtefactId, u64> = BTreeMap::new();
        let mut entries = index.all();
        while let Some(entry) = entries.next().await.map_err(other)? {
            match counts.get_mut(self.holder(&entry)) {
                Some(count) => *count += 1,
                None => drop(counts.insert(self.holder(&entry).clone(), 1)),
            }
        }
        let known: BTreeSet<_> = self.links.iter().map(|held| &held.stored.manifest.id).collect();
        match counts.keys().find(|id| !known.contains(id)) {
            None => Ok(counts),
            Some(id) => Err(other(format!("the index names {id}, on which it does not build"))),
        }
    }

    fn holder<'e>(&'e self, entry: &'e Entry) -> &'e ArtefactId {
        entry.artefact.as_ref().unwrap_or(&self.top().stored.manifest.id)
    }

    async fn read_link(
        &self,
        held: &Held<'a>,
        into: &Path,
        how: &How,
        strays: &BTreeMap<Vec<u8>, Entry>,
        restored: &mut Restored,
    ) -> Result<(), Error> {
        let index = open_index(self.top()).await?;
        let strays: BTreeSet<Vec<u8>> = strays.keys().cloned().collect();
        let mut checked = Checked::open(held);
        let raw = checked.take();
        let options = apply::options(held, how);
        let (into, id) = (into.to_owned(), held.stored.manifest.id.clone());
        let (runtime, own) = (Handle::current(), self.top().stored.manifest.id == id);
        let work = tokio::task::spawn_blocking(move || {
            let mut entries = index.all();
            let mut next = || -> Result<Option<Entry>, BoxError> {
                while let Some(entry) = runtime.block_on(entries.next())? {
                    let is_here = entry.artefact.as_ref().map_or(own, |holder| *holder == id);
                    if is_here && !strays.contains(&entry.path) {
                        return Ok(Some(entry));
                    }
                }
                Ok(None)
            };
            let mut reader = StreamReader::new(raw);
            let unpacked = unpack_picked(&mut reader, &into, &options, &mut next)?;
            std::io::copy(&mut reader, &mut std::io::sink())?;
            Ok::<_, BoxError>(unpacked)
        });
        let unpacked = work.await.map_err(other)?.map_err(Error::Other)?;
        checked.compare(&held.stored.manifest).await?;
        restored.add(unpacked);
        Ok(())
    }

    /// Brings back what `how.paths` means, by ranged reads from the artefacts that hold it.
    ///
    /// Errors: [`Error`]; also when a member is not what the index says of it, or a file that
    /// came back does not have its digest.
    pub(crate) async fn members(&self, into: &Path, how: &How) -> Result<Restored, Error> {
        let selection = Selection::new(&how.paths).map_err(other)?;
        let index = open_index(self.top()).await?;
        let strays = self.strays().await?;
        let mut work = Ranged::new(self, into, how);
        let mut spans: BTreeMap<ArtefactId, Vec<Entry>> = BTreeMap::new();
        let (mut restored, mut lone_links) = (Restored::default(), Vec::new());
        let mut entries = index.matching(&selection);
        while let Some(entry) = entries.next().await.map_err(other)? {
            if restored.matched.len() < how.paths.len() {
                restored.matched.extend(selection.which(&entry.path));
            }
            if is_lone_link(&entry, &selection) || strays.contains_key(&entry.path) {
                lone_links.push(entry);
                continue;
            }
            spans.entry(self.holder(&entry).clone()).or_default().push(entry);
            work.waiting += 1;
            if work.waiting >= SPAN {
                work.bring_all(&mut spans, &mut restored).await?;
            }
        }
        work.bring_all(&mut spans, &mut restored).await?;
        for link in lone_links {
            work.bring_link(&link, &mut restored).await?;
        }
        match restored.matched.len() {
            0 => Err(Error::NoMatch(how.paths.join(", "))),
            _ => Ok(restored),
        }
    }
}

/// Ranged reads from the artefacts of a chain.
struct Ranged<'c, 'a> {
    chain: &'c Chain<'a>,
    into: &'c Path,
    how: &'c How,
    /// The indexes that tell where the frames of each artefact lie.
    open: BTreeMap<ArtefactId, IndexReader>,
    /// Entries that were not brought yet.
    waiting: usize,
}

impl<'c, 'a> Ranged<'c, 'a> {
    fn new(chain: &'c Chain<'a>, into: &'c Path, how: &'c How) -> Self {
        Self { chain, into, how, open: BTreeMap::new(), waiting: 0 }
    }

    /// Brings what waits, from the full copy on: a hard link needs its first name.
    async fn bring_all(
        &mut self,
        spans: &mut BTreeMap<ArtefactId, Vec<Entry>>,
        restored: &mut Restored,
    ) -> Result<(), Error> {
        self.waiting = 0;
        for held in self.chain.links.clone() {
            let Some(mut entries) = spans.remove(&held.stored.manifest.id) else { continue };
            while !entries.is_empty() {
                let rest = entries.split_off(near(&entries));
                self.bring(&held, entries, restored).await?;
                entries = rest;
            }
        }
        match spans.pop_first() {
            None => Ok(()),
            Some((id, _)) => {
                Err(other(format!("the index names {id}, on which it does not build")))
            }
        }
    }

    /// Brings entries that lie near one another.
    async fn bring(
        &mut self,
        held: &Held<'a>,
        entries: Vec<Entry>,
        restored: &mut Restored,
    ) -> Result<(), Error> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (start, end) = (first.offset, end_of(last));
        let count = entries.len() as u64;
        let digests = entries.iter().map(|entry| (entry.path.clone(), entry.digest)).collect();
        let entries = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        let expected = Some(Expected { entries, start, stops: true });
        let options = UnpackOptions { expected, overwrite: true, ..apply::options(held, self.how) };
        let done = self.unpack(held, start..end, options).await?;
        if done.files + done.stripped + done.failed.count < count {
            let (found, members) = (done.files, base::count(count, "member", "members"));
            return Err(other(format!("only {found} of {members} found where the index says")));
        }
        restored.add(done);
        check(digests, self.into, strip(held, self.how)).await
    }

    /// Brings the data of a hard link under the link's own name: what its first name held when
    /// the link was stored.
    async fn bring_link(&mut self, link: &Entry, restored: &mut Restored) -> Result<(), Error> {
        let stored_in = self.held(self.chain.holder(link))?;
        let index = self.index(&stored_in).await?;
        let first = match &link.link {
            Some(path) => index.find(path).await.map_err(other)?,
            None => None,
        };
        let name = text(&link.path);
        let missing = || other(format!("the index does not name the data of {name}"));
        let first = first.ok_or_else(missing)?;
        let held = match &first.artefact {
            Some(id) => self.held(id)?,
            None => stored_in,
        };
        let (start, end, digest) = (first.offset, end_of(&first), first.digest);
        let entries = HashMap::from([(first.path.clone(), first)]);
        let options = UnpackOptions {
            expected: Some(Expected { entries, start, stops: true }),
            rename: Some(link.path.clone()),
            members: Some(1),
            overwrite: true,
            ..apply::options(&held, self.how)
        };
        let done = self.unpack(&held, start..end, options).await?;
        if done.files + done.failed.count == 0 {
            return Err(other(format!("{name} does not lie where the index says")));
        }
        restored.add(done);
        let digests = HashMap::from([(link.path.clone(), digest)]);
        check(digests, self.into, strip(&held, self.how)).await
    }

    async fn unpack(
        &mut self,
        held: &Held<'a>,
        raw: std::ops::Range<u64>,
        options: UnpackOptions,
    ) -> Result<crate::archive::Unpacked, Error> {
        let into = self.into;
        let index = self.index(held).await?;
        let raw = raw.start..raw.end.min(index.raw_bytes());
        unpack_part(held, index, raw, into, options).await
    }

    fn held(&self, id: &ArtefactId) -> Result<Held<'a>, Error> {
        let held = self.chain.links.iter().find(|held| held.stored.manifest.id == *id).copied();
        held.ok_or_else(|| other(format!("{id} is not at hand")))
    }

    /// Opens the index of an artefact once.
    async fn index(&mut self, held: &Held<'a>) -> Result<&IndexReader, Error> {
        let id = &held.stored.manifest.id;
        if !self.open.contains_key(id) {
            self.open.insert(id.clone(), open_index(held).await?);
        }
        Ok(&self.open[id])
    }
}

/// How many of the first entries lie near enough to be read in one go.
fn near(entries: &[Entry]) -> usize {
    let far = |pair: &[Entry]| pair[1].offset > pair[0].offset + pair[0].size + GAP;
    entries.windows(2).position(far).map_or(entries.len(), |at| at + 1)
}

/// A raw byte behind the member of `entry`: its headers are never larger than this.
fn end_of(entry: &Entry) -> u64 {
    let headers = if entry.kind == EntryKind::Folder { LONGEST_LIST } else { HEADERS };
    entry.offset + entry.size + headers
}

/// How many members are read in one go: bounds the memory.
const SPAN: usize = 10_000;
/// Bytes that are rather read than left out by another request.
const GAP: u64 = 4 * MIB as u64;
/// More than the headers of one member can take, its attributes and its map of holes included.
const HEADERS: u64 = 4 * MIB as u64;
/// The same for a folder, whose names are in its header.
const LONGEST_LIST: u64 = 80 * MIB as u64;
