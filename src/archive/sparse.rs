//! Files with holes: which parts hold data, and the map of them that GNU tar reads (version 1.0).

use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::{Errno, Result};

/// A part of a file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

impl Extent {
    /// Returns where the part ends; `None` when that is no number any more.
    pub(crate) fn end(self) -> Option<u64> {
        self.start.checked_add(self.bytes)
    }
}

/// Finds the parts of a file of `size` bytes that hold data; `None` when it has no holes.
pub(crate) fn extents(fd: impl AsFd, size: u64) -> Result<Option<Vec<Extent>>> {
    let mut found: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(&fd, SeekFrom::Data(at)) {
            Ok(start) => start.min(size),
            // A hole up to the end.
            Err(Errno::NXIO) => size,
            // The file system knows nothing about holes.
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error),
        };
        if start == size {
            break;
        }
        let end =
            if found.len() < MOST { seek(&fd, SeekFrom::Hole(start))?.min(size) } else { size };
        found.push(Extent { start, bytes: end.saturating_sub(start) });
        at = end.max(start + 1);
    }
    let whole = found == [Extent { start: 0, bytes: size }];
    Ok((!whole).then_some(found))
}

/// Spells the map that stands before the data: decimal lines, filled up to a block of 512.
pub(crate) fn map(extents: &[Extent], size: u64) -> Vec<u8> {
    // The end of the file is told by an empty part where the last one ends before it.
    let ends = extents.last().is_some_and(|last| last.start + last.bytes == size);
    let end = (!ends).then_some(Extent { start: size, bytes: 0 });
    let mut map = format!("{}\n", extents.len() + usize::from(end.is_some())).into_bytes();
    for Extent { start, bytes } in extents.iter().copied().chain(end) {
        map.extend_from_slice(format!("{start}\n{bytes}\n").as_bytes());
    }
    map.resize(map.len().next_multiple_of(512), 0);
    map
}

/// Parts that are told apart; the last one of a file with more takes in the rest.
const MOST: usize = 65_536;
