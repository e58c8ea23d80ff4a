//! The index of the copy that an increment builds on, read line by line in step with a walk.
//!
//! Most lines go into the new index as they are, so they are looked at and not taken apart: only
//! what tells whether a thing changed is read, and a frame of which every line goes on is not
//! even compressed again.

use std::cmp::Ordering;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::archive::index::{Entry, EntryKind, Head, Map};
use crate::archive::index_read::{IndexError, check_map, damaged, head, inflate};
use crate::archive::meta::{Kind, Meta};
use crate::archive::select::{lies_below, order};
use crate::base::ArtefactId;

/// The index of another artefact, whole, in a file of this machine.
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
        let map: Map = serde_json::from_slice(&inflate(&base.stored(0)?)?).map_err(damaged)?;
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

    fn stored(&self, frame: usize) -> Result<Vec<u8>, IndexError> {
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

/// What a line says of a thing, as far as it tells whether that changed.
#[derive(Debug, Default)]
pub(crate) struct Old {
    pub(crate) path: Vec<u8>,
    pub(crate) line: Vec<u8>,
    kind: Option<EntryKind>,
    pub(crate) size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    ino: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    fresh: bool,
}

/// Reads a base from its first line to its last.
pub(crate) struct Lines {
    base: Base,
    next_frame: usize,
    /// The present frame, as it is stored and as lines; none before it is asked for.
    stored: Vec<u8>,
    lines: Option<Vec<u8>>,
    at: usize,
    /// The next line, once it was looked at.
    ahead: Option<Old>,
    spare: Old,
}

/// Lines that are asked for.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// Up to the line of this path.
    To(&'a [u8]),
    /// Those of what lies below this path.
    Below(&'a [u8]),
    /// All that are left.
    All,
}

impl Scope<'_> {
    fn holds(self, path: &[u8]) -> bool {
        match self {
            Self::To(end) => order(path, end) != Ordering::Greater,
            Self::Below(folder) => path != folder && lies_below(path, folder),
            Self::All => true,
        }
    }
}

/// What comes next in a base.
pub(crate) enum Next {
    /// This line.
    Line(Old),
    /// Lines, but none that was asked for.
    Later,
    /// A frame ends here.
    FrameEnd,
    /// Nothing.
    Over,
}

impl Lines {
    pub(crate) fn new(base: Base) -> Self {
        let (stored, spare) = (Vec::new(), Old::default());
        Self { base, next_frame: 0, stored, lines: None, at: 0, ahead: None, spare }
    }

    /// Returns the present frame as it is stored.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// Gives the next line if it lies within `scope`.
    pub(crate) fn next_within(&mut self, scope: Scope<'_>) -> Result<Next, IndexError> {
        loop {
            if let Some(ahead) = self.ahead.take() {
                if scope.holds(&ahead.path) {
                    return Ok(Next::Line(ahead));
                }
                self.ahead = Some(ahead);
                return Ok(Next::Later);
            }
            match &self.lines {
                Some(_) => {
                    if !self.look()? {
                        self.lines = None;
                        return Ok(Next::FrameEnd);
                    }
                }
                None if self.next_frame + 1 >= self.base.begins.len() => return Ok(Next::Over),
                None => {
                    self.stored = self.base.stored(self.next_frame)?;
                    self.lines = Some(inflate(&self.stored)?);
                    (self.at, self.next_frame) = (0, self.next_frame + 1);
                }
            }
        }
    }

    /// Gives the memory of a line back.
    pub(crate) fn give_back(&mut self, old: Old) {
        self.spare = old;
    }

    /// Looks at the next line of the present frame; answers `false` at its end.
    fn look(&mut self) -> Result<bool, IndexError> {
        let Some(lines) = &self.lines else { return Ok(false) };
        while self.at < lines.len() {
            let rest = &lines[self.at..];
            let end = memchr::memchr(b'\n', rest).ok_or_else(|| damaged("a line has no end"))?;
            let line = &rest[..end];
            self.at += end + 1;
            if line.starts_with(HEAD) {
                continue;
            }
            let mut old = std::mem::take(&mut self.spare);
            old.set(line)?;
            self.ahead = Some(old);
            return Ok(true);
        }
        Ok(false)
    }
}

impl Old {
    /// Takes in a line.
    fn set(&mut self, line: &[u8]) -> Result<(), IndexError> {
        self.line.clear();
        self.line.extend_from_slice(line);
        if self.read_quickly(line).is_some() {
            return Ok(());
        }
        let entry = Entry::read(line).map_err(damaged)?;
        self.kind = Some(entry.kind);
        (self.size, self.ino, self.mode) = (entry.size, entry.ino, entry.mode);
        (self.mtime_ns, self.ctime_ns) = (entry.mtime_ns, entry.ctime_ns);
        (self.uid, self.gid, self.fresh) = (entry.uid, entry.gid, entry.fresh);
        self.path = entry.path;
        Ok(())
    }

    /// Reads a line as this program writes it; any other is left to a real reader.
    fn read_quickly(&mut self, line: &[u8]) -> Option<()> {
        let rest = line.strip_prefix(b"{\"name\":\"")?;
        let end = memchr::memchr3(b'"', b'\\', b'%', rest)?;
        let (name, rest) = rest.split_at(end);
        let rest = rest.strip_prefix(b"\",\"type\":\"")?;
        let (kind, rest) = rest.split_first()?;
        self.kind = Some(EntryKind::of_letter(*kind)?);
        let mut rest = rest.strip_prefix(b"\"")?;
        let mut next = |key: &[u8]| -> Option<i64> {
            let (value, left) = number(rest.strip_prefix(key)?)?;
            rest = left;
            Some(value)
        };
        self.size = next(b",\"size\":")?.cast_unsigned();
        self.mtime_ns = next(b",\"mtime_ns\":")?;
        self.ctime_ns = next(b",\"ctime_ns\":")?;
        next(b",\"dev\":")?;
        self.ino = next(b",\"ino\":")?.cast_unsigned();
        self.mode = u32::try_from(next(b",\"mode\":")?).ok()?;
        self.uid = u32::try_from(next(b",\"uid\":")?).ok()?;
        self.gid = u32::try_from(next(b",\"gid\":")?).ok()?;
        self.fresh = rest.ends_with(b",\"fresh\":true}");
        self.path.clear();
        self.path.extend_from_slice(name);
        Some(())
    }

    /// Tells whether it was a folder.
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == Some(EntryKind::Folder)
    }

    /// Tells whether it was a file under its first name.
    pub(crate) fn is_file(&self) -> bool {
        self.kind == Some(EntryKind::File)
    }

    /// Tells whether the name was another one of an earlier thing.
    pub(crate) fn is_hard_link(&self) -> bool {
        self.kind == Some(EntryKind::HardLink)
    }

    /// Tells whether a thing is what it was, as far as the file system says.
    pub(crate) fn is_unchanged(&self, meta: &Meta) -> bool {
        self.kind == Some(EntryKind::of(meta.kind)) && self.has_facts_of(meta)
    }

    /// Tells whether another name of a thing is what it was.
    pub(crate) fn is_unchanged_link(&self, meta: &Meta) -> bool {
        self.is_hard_link() && self.has_facts_of(meta)
    }

    fn has_facts_of(&self, meta: &Meta) -> bool {
        self.has_surface_of(meta)
            && (self.ctime_ns, self.ino) == (meta.ctime.as_nanos(), meta.ino)
            && !self.fresh
    }

    /// Tells whether only a look into the thing can tell that it changed.
    pub(crate) fn looks_unchanged(&self, meta: &Meta) -> bool {
        self.kind == Some(EntryKind::of(meta.kind)) && self.has_surface_of(meta)
    }

    fn has_surface_of(&self, meta: &Meta) -> bool {
        let size = if meta.kind == Kind::File { meta.size } else { 0 };
        (self.size, self.mtime_ns) == (size, meta.mtime.as_nanos())
            && (self.mode, self.uid, self.gid) == (meta.mode, meta.uid, meta.gid)
    }

    /// Reads all of the line.
    pub(crate) fn entry(&self) -> Result<Entry, IndexError> {
        Entry::read(&self.line).map_err(damaged)
    }
}

/// Reads a number off the beginning of `text`; `None` where there is none or a huge one.
fn number(text: &[u8]) -> Option<(i64, &[u8])> {
    let digits = text.strip_prefix(b"-");
    let (is_negative, digits) = (digits.is_some(), digits.unwrap_or(text));
    let mut value: i64 = 0;
    let mut count = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.checked_mul(10)?.checked_add(i64::from(digit))?;
        count += 1;
    }
    (count > 0).then_some((if is_negative { -value } else { value }, &digits[count..]))
}

const HEAD: &[u8] = b"{\"format\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::index::IndexWriter;
    use crate::stream::Frames;

    fn entry(path: &[u8]) -> Entry {
        let meta = Meta::of(rustix::fs::CWD, c"/proc/self/exe").unwrap();
        Entry { mtime_ns: -5, fresh: true, ..Entry::new(path, &meta, 7) }
    }

    fn read(old: &Old) -> Entry {
        old.entry().unwrap()
    }

    #[test]
    fn a_quick_look_reads_what_a_real_reader_reads() {
        for path in [b"srv/a".as_slice(), b"", b"srv/q\"\\", b"srv/\xff%41", b"srv/\n"] {
            for kind in "fdlhpcbs".bytes() {
                let kind = EntryKind::of_letter(kind).unwrap();
                let mut line = Vec::new();
                let wanted = Entry { kind, ..entry(path) };
                wanted.write(&mut line).unwrap();
                line.pop();
                let mut old = Old::default();
                old.set(&line).unwrap();
                assert_eq!(read(&old), wanted);
                let seen = (old.path.clone(), old.kind, old.size, old.mtime_ns, old.ctime_ns);
                let Entry { size, mtime_ns, ctime_ns, .. } = wanted;
                assert_eq!(seen, (path.to_vec(), Some(kind), size, mtime_ns, ctime_ns));
                let rest = (old.ino, old.mode, old.uid, old.gid, old.fresh);
                let Entry { ino, mode, uid, gid, .. } = wanted;
                assert_eq!(rest, (ino, mode, uid, gid, true));
            }
        }
    }

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

    #[test]
    fn every_line_comes_in_order_and_every_frame_ends_once() {
        let id = ArtefactId::from_text("a");
        let mut writer = IndexWriter::create(&std::env::temp_dir(), &id).unwrap();
        let paths: Vec<Vec<u8>> = (0..20_000).map(|n| format!("srv/{n:05}").into_bytes()).collect();
        paths.iter().for_each(|path| writer.add(&entry(path)).unwrap());
        let index = writer.finish(&Frames::default()).unwrap();
        let open = |id| {
            let file = index.file.try_clone().unwrap();
            Base::open(file, index.bytes, index.last_frame, &id)
        };
        assert!(matches!(open(ArtefactId::from_text("b")), Err(IndexError::Other { .. })));
        let base = open(id).unwrap();
        assert_eq!(base.root().unwrap().unwrap().path, paths[0]);
        let mut lines = Lines::new(base);
        assert!(matches!(lines.next_within(Scope::To(b"a")).unwrap(), Next::Later));
        let (mut got, mut ends) = (Vec::new(), 0);
        loop {
            match lines.next_within(Scope::All).unwrap() {
                Next::Line(old) => got.push(old.path),
                Next::FrameEnd => ends += 1,
                Next::Later => panic!("any line was asked for"),
                Next::Over => break,
            }
        }
        assert_eq!(got, paths);
        assert!(ends > 2, "{ends}");
        let cut =
            Base::open(index.file, index.bytes + 9, index.last_frame, &ArtefactId::from_text("a"));
        assert!(matches!(cut, Err(IndexError::Cut)), "its end is missing");
    }
}
