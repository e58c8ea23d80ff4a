//! The index of the copy that an increment builds on, whole and checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::archive::index::{Entry, Head, Map};
use crate::archive::index_read::{IndexError, check_map, damaged, head, inflate, inflate_map};
use crate::base::ArtefactId;

/// The index of another artefact, whole, in a file of this machine.
#[derive(Debug)]
pub struct Base {
    file: File,
    artefact: ArtefactId,
    /// Where each frame begins, and the last one.
    begins: Vec<u64>,
}

impl Base {
    /// Opens the index of `artefact` in `file`, of which the manifest tells `bytes` and
    /// `last_frame`.
    ///
    /// Errors: [`IndexError`] when it is cut, damaged, newer or of another artefact.
    pub fn open(
        file: File,
        bytes: u64,
        last_frame: u64,
        artefact: &ArtefactId,
    ) -> Result<Self, IndexError> {
        if last_frame == 0 || last_frame >= bytes {
            return Err(IndexError::Cut);
        }
        let mut base = Self { file, artefact: artefact.clone(), begins: vec![last_frame, bytes] };
        let map: Map = serde_json::from_slice(&inflate_map(&base.stored(0)?)?).map_err(damaged)?;
        check_map(&map, last_frame)?;
        base.begins = map.frames.iter().map(|(begin, _)| *begin).chain([last_frame]).collect();
        let Head { artefact: found, .. } = head(&base.stored(0)?)?;
        if found != *artefact {
            return Err(IndexError::Other { found, wanted: artefact.clone() });
        }
        Ok(base)
    }

    /// Returns the artefact whose index this is.
    pub fn artefact(&self) -> &ArtefactId {
        &self.artefact
    }

    /// Returns the first entry: the root of the tree; none for an empty index.
    ///
    /// Errors: when its frame is damaged.
    pub fn root(&self) -> Result<Option<Entry>, IndexError> {
        let frame = inflate(&self.stored(0)?)?;
        let mut lines = frame.split(|byte| *byte == b'\n');
        let first = lines.find(|line| !line.is_empty() && !line.starts_with(HEAD));
        first.map(|line| Entry::read(line).map_err(damaged)).transpose()
    }

    /// Returns how many frames hold lines.
    pub(crate) fn frames(&self) -> usize {
        self.begins.len() - 1
    }

    /// Returns a frame as it is stored.
    pub(crate) fn stored(&self, frame: usize) -> Result<Vec<u8>, IndexError> {
        let (begin, end) = (self.begins[frame], self.begins[frame + 1]);
        let mut bytes = vec![0; usize::try_from(end - begin).map_err(damaged)?];
        let read = self.file.read_exact_at(&mut bytes, begin);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => IndexError::Cut,
            _ => IndexError::Unreadable(error.into()),
        })?;
        Ok(bytes)
    }
}

/// How the line begins that is no member.
pub(crate) const HEAD: &[u8] = b"{\"format\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_a_newer_program_is_told() {
        let frame = |text: &str| zstd::bulk::compress(text.as_bytes(), 1).unwrap();
        let head = frame("{\"format\":2,\"artefact\":\"a\",\"parent\":null}\n");
        let map = "{\"frames\":[[0,\"\"]],\"raw_bytes\":0,\"stored_bytes\":0,\"frame_bytes\":1,\
                   \"starts\":[]}\n";
        let bytes = [head.as_slice(), &frame(map)].concat();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        let (whole, last) = (bytes.len() as u64, head.len() as u64);
        let opened = Base::open(file, whole, last, &ArtefactId::from_text("a"));
        assert!(matches!(opened, Err(IndexError::Newer(2))));
    }
}
