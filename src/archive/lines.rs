//! The lines of the index that an increment builds on, in step with a walk.
//!
//! Most lines go into the new index as they are, so they are looked at and not taken apart: only
//! what tells whether a thing changed is read. A thread of its own does that a few frames ahead.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::archive::ahead::{Ahead, Pool};
use crate::archive::base::{Base, HEAD};
use crate::archive::index::{Entry, EntryKind};
use crate::archive::index_read::{IndexError, damaged, inflate};
use crate::archive::meta::{Kind, Meta};
use crate::archive::select::{lies_below, order};

/// One frame of a base.
#[derive(Debug)]
pub(crate) struct Frame {
    /// As it is stored.
    pub(crate) stored: Vec<u8>,
    text: Vec<u8>,
    lines: Vec<Facts>,
}

/// What a line says of a thing, as far as it tells whether that changed.
#[derive(Debug)]
struct Facts {
    /// Where the line lies in the frame, without its end.
    line: Range<usize>,
    path: Name,
    kind: EntryKind,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    ino: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    fresh: bool,
}

/// The path of a line.
#[derive(Debug)]
enum Name {
    /// As it stands in the frame.
    Plain(Range<usize>),
    /// What was written with escapes.
    Escaped(Vec<u8>),
}

/// One line of a base.
#[derive(Clone, Debug)]
pub(crate) struct Old {
    frame: Arc<Frame>,
    number: usize,
}

/// Reads a base from its first line to its last.
pub(crate) struct Lines {
    base: Arc<Base>,
    begun: usize,
    frames: VecDeque<Ahead<Result<Frame, IndexError>>>,
    pool: Pool,
    /// The present frame; none before it is asked for.
    frame: Option<Arc<Frame>>,
    /// The next line in it.
    next: usize,
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
    /// This frame ends here.
    FrameEnd(Arc<Frame>),
    /// Nothing.
    Over,
}

impl Lines {
    pub(crate) fn new(base: Base) -> Self {
        Self {
            base: Arc::new(base),
            begun: 0,
            frames: VecDeque::new(),
            pool: Pool::new(1),
            frame: None,
            next: 0,
        }
    }

    /// Gives the next line if it lies within `scope`.
    pub(crate) fn next_within(&mut self, scope: Scope<'_>) -> Result<Next, IndexError> {
        if self.frame.is_none() {
            let Some(frame) = self.next_frame() else { return Ok(Next::Over) };
            (self.frame, self.next) = (Some(Arc::new(frame?)), 0);
        }
        let frame = self.frame.as_ref().expect("set just before");
        if self.next == frame.lines.len() {
            let frame = self.frame.take().expect("seen just before");
            return Ok(Next::FrameEnd(frame));
        }
        if !scope.holds(frame.path(self.next)) {
            return Ok(Next::Later);
        }
        let old = Old { frame: Arc::clone(frame), number: self.next };
        self.next += 1;
        Ok(Next::Line(old))
    }

    fn next_frame(&mut self) -> Option<Result<Frame, IndexError>> {
        while self.frames.len() < FRAMES && self.begun < self.base.frames() {
            let (base, number) = (Arc::clone(&self.base), self.begun);
            self.frames.push_back(self.pool.begin(move || Frame::read(&base, number)));
            self.begun += 1;
        }
        self.frames.pop_front().map(Ahead::take)
    }
}

impl Frame {
    fn read(base: &Base, number: usize) -> Result<Self, IndexError> {
        let stored = base.stored(number)?;
        let text = inflate(&stored)?;
        let mut lines = Vec::with_capacity(text.len() / SHORT_LINE);
        let mut at = 0;
        while at < text.len() {
            let end = memchr::memchr(b'\n', &text[at..]);
            let end = at + end.ok_or_else(|| damaged("a line has no end"))?;
            if !text[at..end].starts_with(HEAD) {
                lines.push(Facts::read(&text, at..end)?);
            }
            at = end + 1;
        }
        Ok(Self { stored, text, lines })
    }

    fn path(&self, number: usize) -> &[u8] {
        match &self.lines[number].path {
            Name::Plain(range) => &self.text[range.clone()],
            Name::Escaped(path) => path,
        }
    }

    /// Returns the path of its first line.
    pub(crate) fn first_path(&self) -> Option<&[u8]> {
        (!self.lines.is_empty()).then(|| self.path(0))
    }
}

impl Facts {
    /// Reads one line of `text`.
    fn read(text: &[u8], line: Range<usize>) -> Result<Self, IndexError> {
        if let Some(facts) = Self::read_quickly(text, line.clone()) {
            return Ok(facts);
        }
        let entry = Entry::read(&text[line.clone()]).map_err(damaged)?;
        let Entry { kind, size, mtime_ns, ctime_ns, ino, mode, uid, gid, fresh, .. } = entry;
        let path = Name::Escaped(entry.path);
        Ok(Self { line, path, kind, size, mtime_ns, ctime_ns, ino, mode, uid, gid, fresh })
    }

    /// Reads a line as this program writes it; any other is left to a real reader.
    fn read_quickly(text: &[u8], line: Range<usize>) -> Option<Self> {
        let rest = text[line.clone()].strip_prefix(NAME)?;
        let end = memchr::memchr3(b'"', b'\\', b'%', rest)?;
        let begin = line.start + NAME.len();
        let path = Name::Plain(begin..begin + end);
        let rest = rest[end..].strip_prefix(b"\",\"type\":\"")?;
        let (kind, rest) = rest.split_first()?;
        let kind = EntryKind::of_letter(*kind)?;
        let mut rest = rest.strip_prefix(b"\"")?;
        let mut next = |key: &[u8]| -> Option<i64> {
            let (value, left) = number(rest.strip_prefix(key)?)?;
            rest = left;
            Some(value)
        };
        let size = u64::try_from(next(b",\"size\":")?).ok()?;
        let mtime_ns = next(b",\"mtime_ns\":")?;
        let ctime_ns = next(b",\"ctime_ns\":")?;
        next(b",\"dev\":")?;
        let ino = next(b",\"ino\":")?.cast_unsigned();
        let mode = u32::try_from(next(b",\"mode\":")?).ok()?;
        let uid = u32::try_from(next(b",\"uid\":")?).ok()?;
        let gid = u32::try_from(next(b",\"gid\":")?).ok()?;
        let fresh = rest.ends_with(b",\"fresh\":true}");
        Some(Self { line, path, kind, size, mtime_ns, ctime_ns, ino, mode, uid, gid, fresh })
    }
}

impl Old {
    fn facts(&self) -> &Facts {
        &self.frame.lines[self.number]
    }

    /// Returns the path as stored.
    pub(crate) fn path(&self) -> &[u8] {
        self.frame.path(self.number)
    }

    /// Returns the line without its end.
    pub(crate) fn line(&self) -> &[u8] {
        &self.frame.text[self.facts().line.clone()]
    }

    /// Returns all lines of its frame up to this one, with their ends.
    pub(crate) fn up_to_here(&self) -> &[u8] {
        let first = &self.frame.lines[0];
        &self.frame.text[first.line.start..=self.facts().line.end]
    }

    /// Returns the path of the first line of its frame.
    pub(crate) fn first_path(&self) -> &[u8] {
        self.frame.path(0)
    }

    /// Returns bytes of a file.
    pub(crate) fn size(&self) -> u64 {
        self.facts().size
    }

    /// Tells whether it was a folder.
    pub(crate) fn is_folder(&self) -> bool {
        self.facts().kind == EntryKind::Folder
    }

    /// Tells whether it was a file under its first name.
    pub(crate) fn is_file(&self) -> bool {
        self.facts().kind == EntryKind::File
    }

    /// Tells whether the name was another one of an earlier thing.
    pub(crate) fn is_hard_link(&self) -> bool {
        self.facts().kind == EntryKind::HardLink
    }

    /// Tells whether a thing is what it was, as far as the file system says.
    pub(crate) fn is_unchanged(&self, meta: &Meta) -> bool {
        self.facts().kind == EntryKind::of(meta.kind) && self.has_facts_of(meta)
    }

    /// Tells whether another name of a thing is what it was.
    pub(crate) fn is_unchanged_link(&self, meta: &Meta) -> bool {
        self.is_hard_link() && self.has_facts_of(meta)
    }

    fn has_facts_of(&self, meta: &Meta) -> bool {
        let facts = self.facts();
        self.has_surface_of(meta)
            && (facts.ctime_ns, facts.ino) == (meta.ctime.as_nanos(), meta.ino)
            && !facts.fresh
    }

    /// Tells whether only a look into the thing can tell that it changed.
    pub(crate) fn looks_unchanged(&self, meta: &Meta) -> bool {
        self.facts().kind == EntryKind::of(meta.kind) && self.has_surface_of(meta)
    }

    /// Tells whether the line says of size, time, mode and owner what the file system says.
    pub(crate) fn has_surface_of(&self, meta: &Meta) -> bool {
        let facts = self.facts();
        let size = if meta.kind == Kind::File { meta.size } else { 0 };
        (facts.size, facts.mtime_ns) == (size, meta.mtime.as_nanos())
            && (facts.mode, facts.uid, facts.gid) == (meta.mode, meta.uid, meta.gid)
    }

    /// Reads all of the line.
    pub(crate) fn entry(&self) -> Result<Entry, IndexError> {
        Entry::read(self.line()).map_err(damaged)
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

const NAME: &[u8] = b"{\"name\":\"";
/// Frames that are read ahead of their turn.
const FRAMES: usize = 4;
/// Hardly any line is shorter.
const SHORT_LINE: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::index::IndexWriter;
    use crate::base::ArtefactId;
    use crate::stream::Frames;

    fn entry(path: &[u8]) -> Entry {
        let meta = Meta::of(rustix::fs::CWD, c"/proc/self/exe").unwrap();
        Entry { mtime_ns: -5, fresh: true, ..Entry::new(path, &meta, 7) }
    }

    #[test]
    fn a_quick_look_reads_what_a_real_reader_reads() {
        for path in [b"srv/a".as_slice(), b"", b"srv/q\"\\", b"srv/\xff%41", b"srv/\n"] {
            for kind in "fdlhpcbs".bytes() {
                let kind = EntryKind::of_letter(kind).unwrap();
                let mut text = Vec::new();
                let wanted = Entry { kind, ..entry(path) };
                wanted.write(&mut text).unwrap();
                let lines = vec![Facts::read(&text, 0..text.len() - 1).unwrap()];
                let frame = Arc::new(Frame { stored: Vec::new(), text, lines });
                let old = Old { frame, number: 0 };
                assert_eq!(old.entry().unwrap(), wanted);
                let facts = old.facts();
                let seen = (old.path(), facts.kind, facts.size, facts.mtime_ns, facts.ctime_ns);
                let Entry { size, mtime_ns, ctime_ns, .. } = wanted;
                assert_eq!(seen, (path, kind, size, mtime_ns, ctime_ns));
                let rest = (facts.ino, facts.mode, facts.uid, facts.gid, facts.fresh);
                let Entry { ino, mode, uid, gid, .. } = wanted;
                assert_eq!(rest, (ino, mode, uid, gid, true));
            }
        }
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
                Next::Line(old) => got.push(old.path().to_vec()),
                Next::FrameEnd(_) => ends += 1,
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
