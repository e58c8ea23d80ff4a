//! Listings: one folder after the other, page by page.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use nfs3_client::nfs3_types::nfs3::{
    Nfs3Option, READDIR3args, READDIRPLUS3args, cookieverf3, fattr3, nfs_fh3, nfsstat3,
};
use tracing::debug;

use crate::base::Key;
use crate::storages::nfs::call::{Answer, Call, Found};
use crate::storages::nfs::errors::Trouble;
use crate::storages::nfs::read::describe;
use crate::storages::{Object, ObjectStream, Result, names};

/// Gives every object whose key begins with `prefix`.
pub(super) fn list<'a>(call: Call, prefix: &'a str) -> ObjectStream<'a> {
    let start = async move {
        match Walk::start(call, prefix).await {
            Ok(walk) => stream::try_unfold(walk, Walk::next).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    };
    stream::once(start).flatten().boxed()
}

/// Memory: one page of entries, and the names of folders that are still to be read.
struct Walk {
    call: Call,
    ready: VecDeque<Object>,
    reading: Option<Reading>,
    /// Folders that are still to be read, with their handles.
    folders: Vec<(String, nfs_fh3)>,
    /// Whether READDIRPLUS works here.
    plus: bool,
}

/// A folder that is being read.
struct Reading {
    folder: String,
    handle: nfs_fh3,
    /// Only names that begin with this count.
    prefix: String,
    cookie: u64,
    verifier: cookieverf3,
}

/// An entry of a folder as the server gives it.
struct Entry {
    name: Vec<u8>,
    cookie: u64,
    found: Option<Found>,
}

struct Page {
    entries: Vec<Entry>,
    verifier: cookieverf3,
    is_last: bool,
}

impl Walk {
    async fn start(call: Call, prefix: &str) -> Result<Self> {
        let reading = match names::first_folder(prefix) {
            Some((folder, name)) => {
                let handle = call.steady(|| call.folder(folder)).await?;
                handle.map(|handle| Reading::of(folder.to_owned(), handle, name))
            }
            None => None,
        };
        Ok(Self { call, ready: VecDeque::new(), reading, folders: Vec::new(), plus: true })
    }

    async fn next(mut self) -> Result<Option<(Object, Self)>> {
        loop {
            if let Some(object) = self.ready.pop_front() {
                return Ok(Some((object, self)));
            }
            let Some(mut reading) = self.reading.take() else {
                let Some((folder, handle)) = self.folders.pop() else { return Ok(None) };
                self.reading = Some(Reading::of(folder, handle, ""));
                continue;
            };
            let page = match self.page(&reading).await? {
                Ok(page) => page,
                Err(status) => {
                    self.reading = self.find_again(reading, status).await?;
                    continue;
                }
            };
            reading.verifier = page.verifier;
            // A server that repeats itself would hold us for ever, and what it does not tell would
            // look missing.
            let goes_on = page.entries.last().is_some_and(|last| last.cookie != reading.cookie);
            reading.cookie = page.entries.last().map_or(reading.cookie, |last| last.cookie);
            for entry in page.entries {
                self.entry(&reading, entry).await?;
            }
            if !page.is_last && !goes_on {
                let trouble = self.call.judge(nfsstat3::NFS3ERR_BAD_COOKIE);
                return Err(self.call.plainly(trouble));
            }
            if !page.is_last {
                self.reading = Some(reading);
            }
        }
    }

    /// Notes what an entry is.
    async fn entry(&mut self, reading: &Reading, entry: Entry) -> Result<()> {
        let Ok(name) = std::str::from_utf8(&entry.name) else {
            let (storage, folder) = (&self.call.server.name, &reading.folder);
            let name = entry.name.escape_ascii().to_string();
            debug!(%storage, folder, ?name, "foreign name");
            return Ok(());
        };
        if matches!(name, "." | "..") || !name.starts_with(&reading.prefix) {
            return Ok(());
        }
        let path = names::join(&reading.folder, name);
        let found = match entry.found {
            Some(found) => Some(found),
            // Nothing when it was removed since we read its name.
            None => {
                let found = self.call.lookup(&reading.handle, name).await;
                found.map_err(|trouble| self.call.plainly(trouble))?
            }
        };
        let Some(found) = found else { return Ok(()) };
        if found.is_folder() && !OF_THE_SERVER.contains(&path.as_str()) {
            self.folders.push((path, found.handle));
        } else if found.is_file()
            && let Ok(key) = Key::new(path)
        {
            self.ready.push_back(describe(&key, &found.facts));
        }
        Ok(())
    }

    /// Looks once more for a folder that went away while it was to be read.
    ///
    /// Returns `None` when it is really gone, so that nothing is left out by mistake.
    async fn find_again(&self, reading: Reading, status: nfsstat3) -> Result<Option<Reading>> {
        let Reading { folder, cookie, prefix, .. } = reading;
        if (status, cookie) == (nfsstat3::NFS3ERR_NOENT, 0) {
            // The server remembered a folder that was removed behind its back.
            debug!(storage = %self.call.server.name, folder, "the folder is gone");
            return Ok(None);
        }
        match (self.call.judge(status), cookie) {
            (Trouble::Stale, 0) => (),
            (trouble, _) => return Err(self.call.plainly(trouble)),
        }
        let handle = self.call.steady(|| self.call.folder(&folder)).await?;
        Ok(handle.map(|handle| Reading::of(folder, handle, &prefix)))
    }

    /// Reads the next page, the plain way where the server has no other.
    async fn page(&mut self, reading: &Reading) -> Result<Answer<Page>> {
        if self.plus {
            match page_plus(&self.call, reading).await? {
                Err(nfsstat3::NFS3ERR_NOTSUPP) => self.plus = false,
                done => return Ok(done),
            }
        }
        page_plain(&self.call, reading).await
    }
}

impl Reading {
    fn of(folder: String, handle: nfs_fh3, prefix: &str) -> Self {
        let verifier = cookieverf3::default();
        Self { folder, handle, prefix: prefix.to_owned(), cookie: 0, verifier }
    }
}

async fn page_plus(call: &Call, reading: &Reading) -> Result<Answer<Page>> {
    let request = READDIRPLUS3args {
        dir: reading.handle.clone(),
        cookie: reading.cookie,
        cookieverf: reading.verifier,
        dircount: NAMES_BYTES,
        maxcount: PAGE_BYTES,
    };
    let answer = call.ask(&request).await?;
    Ok(answer.map(|page| {
        let entries = page.reply.entries.into_inner().into_iter().map(|entry| Entry {
            cookie: entry.cookie,
            found: found(entry.name_handle, entry.name_attributes),
            name: entry.name.0.into_owned(),
        });
        Page { entries: entries.collect(), verifier: page.cookieverf, is_last: page.reply.eof }
    }))
}

async fn page_plain(call: &Call, reading: &Reading) -> Result<Answer<Page>> {
    let request = READDIR3args {
        dir: reading.handle.clone(),
        cookie: reading.cookie,
        cookieverf: reading.verifier,
        count: NAMES_BYTES,
    };
    let answer = call.ask(&request).await?;
    Ok(answer.map(|page| {
        let entries = page.reply.entries.into_inner().into_iter().map(|entry| Entry {
            cookie: entry.cookie,
            found: None,
            name: entry.name.0.into_owned(),
        });
        Page { entries: entries.collect(), verifier: page.cookieverf, is_last: page.reply.eof }
    }))
}

fn found(handle: Nfs3Option<nfs_fh3>, facts: Nfs3Option<fattr3>) -> Option<Found> {
    match (handle, facts) {
        (Nfs3Option::Some(handle), Nfs3Option::Some(facts)) => Some(Found { handle, facts }),
        _ => None,
    }
}

/// Folders that a server keeps for itself at the top of an export.
const OF_THE_SERVER: &[&str] = &[names::LOST_AND_FOUND, ".snapshot"];

/// What names alone, and names with all they stand for, may take in one answer.
const NAMES_BYTES: u32 = 16 << 10;
const PAGE_BYTES: u32 = 64 << 10;
