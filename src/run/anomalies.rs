//! What is far from the last runs of a target: a warning, never more. What shrank also holds
//! rotation: that is [`crate::retention::is_shrunken`].
//!
//! The history is what the manifests say; nothing else is remembered.

use std::time::Duration;

use bytesize::ByteSize;

use crate::catalogue::Manifest;
use crate::report::Before;
use crate::run::shelf::Due;

/// How large one copy of a target is, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    raw_bytes: u64,
    files: Option<u64>,
    took_ms: Option<u64>,
}

impl Size {
    /// Reads it from a manifest.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let Manifest { raw_bytes, files, took_ms, .. } = manifest;
        match &manifest.tree {
            // One of a chain is measured by its tree; how long it takes depends on its step.
            Some(tree) => Self { raw_bytes: tree.bytes, files: Some(tree.files), took_ms: None },
            None => Self { raw_bytes: *raw_bytes, files: *files, took_ms: *took_ms },
        }
    }

    /// Says the same in the words of a report.
    pub(crate) fn before(&self) -> Before {
        let took = self.took_ms.map(Duration::from_millis);
        Before { raw_bytes: self.raw_bytes, files: self.files, took }
    }
}

/// Returns the copies of the storage that holds most of them, oldest first.
pub(crate) fn past(due: &[Due<'_>]) -> Vec<Size> {
    let Some(due) = due.iter().max_by_key(|due| due.stored.len()) else { return Vec::new() };
    let mut known: Vec<&Manifest> =
        due.stored.iter().filter(|stored| stored.intact).map(|stored| &stored.manifest).collect();
    known.retain(|manifest| manifest.parent.is_none() || manifest.tree.is_some());
    known.sort_by_key(|manifest| manifest.started);
    known.into_iter().map(Size::of).collect()
}

/// Says what of `new` is far from the median of the last five of `past`, oldest first.
///
/// Nothing is said before there are three, nor of differences too small to matter.
pub(crate) fn found(past: &[Size], new: &Size) -> Vec<String> {
    let last = &past[past.len().saturating_sub(COMPARED)..];
    if last.len() < FEWEST {
        return Vec::new();
    }
    let mut odd = Vec::new();
    let sizes: Vec<u64> = last.iter().map(|one| one.raw_bytes).collect();
    let usual = median(sizes);
    if new.raw_bytes / 2 > usual && new.raw_bytes - usual >= BYTES_THAT_MATTER {
        let spelled = |bytes| ByteSize::b(bytes).display().iec().to_string();
        odd.push(grown("raw size", &spelled(new.raw_bytes), &spelled(usual), last.len()));
    }
    let files: Vec<u64> = last.iter().filter_map(|one| one.files).collect();
    if let (Some(files), Some(usual)) = (new.files, enough(files)) {
        let matters = files.abs_diff(usual) >= FILES_THAT_MATTER;
        if matters && files / 2 > usual {
            let (files, usual) = (files.to_string(), usual.to_string());
            odd.push(grown("number of files", &files, &usual, last.len()));
        }
        if matters && files < usual / 2 {
            let n = last.len();
            odd.push(format!(
                "number of files: {files}, less than half the median of the last {n} runs ({usual})"
            ));
        }
    }
    let times: Vec<u64> = last.iter().filter_map(|one| one.took_ms).collect();
    if let (Some(took), Some(usual)) = (new.took_ms, enough(times)) {
        let (took, usual) = (took / 1000, usual / 1000);
        if took / 3 > usual && took - usual >= SECONDS_THAT_MATTER {
            let (took, usual) = (format!("{took} s"), format!("{usual} s"));
            odd.push(grown("duration", &took, &usual, last.len()));
        }
    }
    odd
}

fn grown(what: &str, new: &str, usual: &str, runs: usize) -> String {
    format!("{what}: {new}, far above the median of the last {runs} runs ({usual})")
}

fn enough(values: Vec<u64>) -> Option<u64> {
    (values.len() >= FEWEST).then(|| median(values))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

const COMPARED: usize = 5;
const FEWEST: usize = 3;
const BYTES_THAT_MATTER: u64 = 16 << 20;
const FILES_THAT_MATTER: u64 = 100;
const SECONDS_THAT_MATTER: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn size(mib: u64, files: u64, secs: u64) -> Size {
        Size { raw_bytes: mib * MIB, files: Some(files), took_ms: Some(secs * 1000) }
    }

    #[test]
    fn only_what_is_far_from_the_last_runs_and_large_enough_is_said() {
        let usual = [size(100, 1000, 60); 5];
        let said = |past: &[Size], new: Size| {
            let said = found(past, &new);
            said.iter().map(|odd| odd.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        for (past, new, words) in [
            (&usual[..], size(100, 1000, 60), &none[..]),
            (&usual, size(199, 1999, 180), &none),
            (&usual, size(210, 1000, 60), &["raw size"]),
            (&usual, size(100, 2100, 60), &["number of files"]),
            (&usual, size(100, 400, 60), &["number of files"]),
            (&usual, size(100, 1000, 300), &["duration"]),
            (&usual, size(900, 9000, 900), &["raw size", "number of files", "duration"]),
            // Two runs are no habit, and small things may double.
            (&usual[..2], size(900, 9000, 900), &none),
            (&[size(1, 10, 1); 5], size(10, 90, 50), &none),
            // Where files or times are not known there is nothing to say of them.
            (&[Size { raw_bytes: MIB, files: None, took_ms: None }; 5], size(1, 9000, 900), &none),
        ] {
            assert_eq!(said(past, new), words, "{new:?} after {past:?}");
        }
    }

    #[test]
    fn one_odd_run_among_the_last_five_moves_nothing() {
        let past =
            [size(100, 0, 0), size(5, 0, 0), size(100, 0, 0), size(900, 0, 0), size(100, 0, 0)];
        assert_eq!(found(&past, &size(120, 0, 0)), Vec::<String>::new());
        let said = found(&past, &size(300, 0, 0)).concat();
        let wanted = "raw size: 300.0 MiB, far above the median of the last 5 runs (100.0 MiB)";
        assert_eq!(said, wanted);
    }
}
