//! Things with several names: where the first of them lies in the archive.

use std::collections::HashMap;

use crate::archive::index::Entry;
use crate::archive::meta::Meta;

/// What was stored and has names that were not met yet.
#[derive(Default)]
pub(crate) struct Links(HashMap<(u64, u64), First>);

struct First {
    path: Box<[u8]>,
    /// Where it lies in this archive; none when it lies in an earlier one.
    offset: Option<u64>,
    left: u64,
}

impl Links {
    /// Remembers the first name of a thing.
    pub(crate) fn remember(&mut self, meta: &Meta, entry: &Entry) {
        self.note(meta, &entry.path, Some(entry.offset));
    }

    /// Remembers the first name of a thing that an earlier archive holds.
    pub(crate) fn remember_earlier(&mut self, meta: &Meta, path: &[u8]) {
        self.note(meta, path, None);
    }

    fn note(&mut self, meta: &Meta, path: &[u8], offset: Option<u64>) {
        self.0.insert(
            (meta.dev, meta.ino),
            First { path: path.into(), offset, left: meta.links - 1 },
        );
    }

    /// Finds path and, in this archive, offset of the first name; forgets a thing with its last.
    pub(crate) fn find(&mut self, meta: &Meta) -> Option<(Vec<u8>, Option<u64>)> {
        let key = (meta.dev, meta.ino);
        let first = self.0.get_mut(&key)?;
        first.left -= 1;
        let found = (first.path.to_vec(), first.offset);
        if first.left == 0 {
            self.0.remove(&key);
        }
        Some(found)
    }
}
