//! One archive of a chain: what the last index says goes along with the walk, and only what
//! changed since becomes a member.
//!
//! A folder that changed comes before what it holds, with the list of its names: `tar -x -G`
//! removes what is not listed. A folder that did not change and in which a file was stored comes
//! once more, so that its time is right again: behind what it holds, or before the first symbolic
//! link in it that is stored. Its line stays the old one.

use std::time::SystemTime;

use rustix::io::Errno;

use crate::archive::index::{Entry, EntryKind, IndexWriter};
use crate::archive::lines::{Frame, Lines, Next, Old, Scope};
use crate::archive::meta::{Kind, Meta};
use crate::archive::pack::{ChainOptions, PackError, Packer, TreeSize, stored};
use crate::archive::walk::{Step, Walk};
use crate::base::ArtefactId;

/// What packing one of a chain remembers.
pub(crate) struct Chain {
    artefact: ArtefactId,
    force_read: bool,
    base: Option<Lines>,
    /// The present frame of the base goes over whole so far: every line, and nothing beside.
    is_same_frame: bool,
    /// The last line of that frame that goes over; the new index has none of them yet.
    kept: Option<Old>,
    /// The folders that the walk is in.
    folders: Vec<Folder>,
    slack_ns: i64,
    /// A change later than this may go on unseen.
    fresh_from_ns: i64,
    pub(crate) tree: TreeSize,
}

/// A folder that the walk is in.
struct Folder {
    /// Bytes of its stored path.
    path: usize,
    /// Its header was written before what it holds.
    is_written: bool,
    /// Something in it was stored, or is gone.
    is_touched: bool,
    /// Not all of its names are known: what the base has of it stays.
    is_short: bool,
}

impl Chain {
    pub(crate) fn new(options: ChainOptions, index: &mut IndexWriter) -> Self {
        let ChainOptions { artefact, base, force_read, slack } = options;
        if base.is_some() {
            index.follow();
        }
        Self {
            artefact,
            force_read,
            base: base.map(Lines::new),
            is_same_frame: false,
            kept: None,
            folders: Vec::new(),
            slack_ns: i64::try_from(slack.as_nanos()).unwrap_or(i64::MAX),
            fresh_from_ns: 0,
            tree: TreeSize::default(),
        }
    }

    /// Completes the line of a member.
    pub(crate) fn sign(&mut self, entry: &mut Entry) {
        entry.fresh |= entry.ctime_ns >= self.fresh_from_ns;
        entry.artefact.get_or_insert_with(|| self.artefact.clone());
        self.count(if entry.kind == EntryKind::File { entry.size } else { 0 });
    }

    fn count(&mut self, bytes: u64) {
        self.tree.files += 1;
        self.tree.bytes = self.tree.bytes.saturating_add(bytes);
    }

    /// Notes the time at which the next thing is read.
    fn look_at_the_clock(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.fresh_from_ns = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX) - self.slack_ns;
    }

    fn touch(&mut self) {
        if let Some(folder) = self.folders.last_mut() {
            folder.is_touched = true;
        }
    }
}

impl Packer {
    /// The chain, where there is one.
    fn of_chain(&mut self) -> &mut Chain {
        self.chain.as_mut().expect("asked only while packing one of a chain")
    }

    /// Takes a step of the walk.
    pub(crate) fn take_of_chain(&mut self, walk: &Walk, step: Step) -> Result<(), PackError> {
        let path = stored(walk.path());
        match step {
            Step::Thing(meta) => {
                self.of_chain().look_at_the_clock();
                let old = self.catch_up(path)?;
                self.compare(walk, meta, old)
            }
            Step::Closed(meta, error) => {
                let old = self.catch_up(path)?;
                self.folder(walk, &meta, old)?;
                self.warnings.unreadable.add(walk.path(), error);
                if let Some(folder) = self.of_chain().folders.last_mut() {
                    (folder.is_short, folder.is_touched) = (true, false);
                }
                self.end_folder(path)?;
                Ok(())
            }
            Step::Lost(error) => {
                let old = self.catch_up(path)?;
                self.lost(walk.path(), error);
                match old {
                    Some(old) if error == Errno::NOENT => self.drop_all(path, old),
                    Some(old) => self.keep_all(path, old),
                    None => Ok(()),
                }
            }
            Step::Short(error) => {
                self.lost(walk.path(), error);
                if let Some(folder) = self.of_chain().folders.last_mut() {
                    folder.is_short = true;
                }
                Ok(())
            }
            Step::Left(meta) => {
                if let Some(folder) = self.end_folder(path)?
                    && folder.is_touched
                    && !folder.is_written
                    && !folder.is_short
                {
                    self.folder_again(walk, walk.path(), &meta);
                }
                Ok(())
            }
        }
    }

    /// Goes over what the base still has when the walk is done.
    pub(crate) fn end_of_chain(&mut self) -> Result<(), PackError> {
        self.go_over(Scope::All).map(drop)
    }

    /// Goes over what the base has of the innermost folder, which is left.
    fn end_folder(&mut self, path: &[u8]) -> Result<Option<Folder>, PackError> {
        self.go_over(Scope::Below(path))?;
        Ok(self.of_chain().folders.pop())
    }

    /// Goes over what the base has before `path`, and gives its line for that.
    fn catch_up(&mut self, path: &[u8]) -> Result<Option<Old>, PackError> {
        self.go_over(Scope::To(path))
    }

    /// Goes over lines of the base; the one of the very path that is asked for is given back.
    fn go_over(&mut self, scope: Scope<'_>) -> Result<Option<Old>, PackError> {
        loop {
            let Some(base) = &mut self.of_chain().base else { return Ok(None) };
            match base.next_within(scope)? {
                Next::Line(old) if matches!(scope, Scope::To(path) if *path == *old.path()) => {
                    return Ok(Some(old));
                }
                Next::Line(old) => self.missed(old)?,
                Next::FrameEnd(frame) => self.end_frame(&frame)?,
                Next::Later | Next::Over => return Ok(None),
            }
        }
    }

    /// The base ends a frame: one that goes over whole is not even compressed again.
    fn end_frame(&mut self, frame: &Frame) -> Result<(), PackError> {
        let chain = self.of_chain();
        chain.kept = None;
        let ended = match (chain.is_same_frame, frame.first_path()) {
            (true, Some(first)) => self.index.add_frame(first, &frame.stored),
            _ => self.index.end_like_other(),
        };
        let is_at_frame = self.index.is_at_frame();
        self.of_chain().is_same_frame = is_at_frame;
        ended.map_err(PackError::Index)
    }

    /// From here on the new index has something of its own in the present frame.
    pub(crate) fn part_from_base(&mut self) -> Result<(), PackError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        chain.is_same_frame = false;
        let Some(old) = chain.kept.take() else { return Ok(()) };
        self.index.add_lines(old.first_path(), old.up_to_here()).map_err(PackError::Index)
    }

    /// A line of the base for which the walk found nothing.
    fn missed(&mut self, old: Old) -> Result<(), PackError> {
        match self.of_chain().folders.last_mut() {
            Some(folder) if folder.is_short => return self.keep(old),
            Some(folder) => {
                let parent = old.path().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                folder.is_touched |= parent == folder.path;
            }
            None => {}
        }
        self.forget(old)
    }

    /// Leaves a line of the base out.
    fn forget(&mut self, old: Old) -> Result<(), PackError> {
        drop(old);
        self.part_from_base()
    }

    /// Takes a line of the base over as it is.
    fn keep(&mut self, old: Old) -> Result<(), PackError> {
        let chain = self.of_chain();
        chain.count(if old.is_file() { old.size() } else { 0 });
        if chain.is_same_frame {
            chain.kept = Some(old);
            return Ok(());
        }
        self.index.add_line(old.path(), old.line()).map_err(PackError::Index)
    }

    /// Takes over what the base has at `path` and below: nothing is known of it now.
    fn keep_all(&mut self, path: &[u8], old: Old) -> Result<(), PackError> {
        self.keep(old)?;
        self.all_below(path, true)
    }

    /// Leaves out what the base has at `path` and below.
    fn drop_all(&mut self, path: &[u8], old: Old) -> Result<(), PackError> {
        self.forget(old)?;
        self.all_below(path, false)
    }

    fn all_below(&mut self, path: &[u8], is_short: bool) -> Result<(), PackError> {
        let folder = Folder { path: path.len(), is_written: true, is_touched: false, is_short };
        self.of_chain().folders.push(folder);
        self.end_folder(path).map(drop)
    }

    /// Stores a thing if it is not what it was.
    fn compare(&mut self, walk: &Walk, meta: Meta, old: Option<Old>) -> Result<(), PackError> {
        let was_folder = old.as_ref().is_some_and(Old::is_folder);
        match meta.kind {
            Kind::Folder => return self.folder(walk, &meta, old),
            Kind::Socket => {
                old.map_or(Ok(()), |old| self.forget(old))?;
                self.thing(walk, meta)
            }
            _ => match self.same_name(&meta, old)? {
                Named::First(old) => self.first_name(walk, meta, old),
                Named::Other(path, offset) => {
                    self.of_chain().touch();
                    self.folder_before(walk, &meta);
                    self.link(walk, &meta, path, offset)
                }
                Named::Kept => Ok(()),
            },
        }?;
        // What lay below it is gone, even where not all of the folder above is known.
        if was_folder { self.all_below(stored(walk.path()), false) } else { Ok(()) }
    }

    fn folder(&mut self, walk: &Walk, meta: &Meta, old: Option<Old>) -> Result<(), PackError> {
        let path = stored(walk.path()).len();
        let old = match old {
            Some(old) if old.is_unchanged(meta) => {
                self.keep(old)?;
                None
            }
            old => Some(old),
        };
        let is_written = old.is_some();
        if let Some(old) = old {
            // Made by hand or by a file system that keeps no time of its own.
            match old {
                Some(old) => self.forget(old)?,
                None => self.of_chain().touch(),
            }
            self.plain(walk, meta)?;
        }
        let folder = Folder { path, is_written, is_touched: false, is_short: false };
        self.of_chain().folders.push(folder);
        Ok(())
    }

    /// Stores a thing of which this is the only name, or the first one.
    fn first_name(&mut self, walk: &Walk, meta: Meta, old: Option<Old>) -> Result<(), PackError> {
        let Some(old) = old else { return self.anew(walk, meta, None) };
        let forced = self.of_chain().force_read && meta.kind == Kind::File;
        if !forced && old.is_unchanged(&meta) {
            self.remember(&meta, old.path());
            return self.keep(old);
        }
        if meta.kind == Kind::File && old.looks_unchanged(&meta) {
            let entry = old.entry()?;
            let is_same = self.holds_the_same(walk, &meta, &entry)?;
            if is_same == Some(true) {
                self.remember(&meta, old.path());
                return match old.is_unchanged(&meta) {
                    true => self.keep(old),
                    false => self.keep_as(&meta, entry),
                };
            }
            if is_same == Some(false) && old.is_unchanged(&meta) {
                self.note(walk.path(), "has other content, and no time tells of it");
            }
        }
        self.anew(walk, meta, Some(old))
    }

    fn remember(&mut self, meta: &Meta, path: &[u8]) {
        if meta.links > 1 {
            self.links.remember_earlier(meta, path);
        }
    }

    /// Takes a line over with what the file system says now.
    fn keep_as(&mut self, meta: &Meta, entry: Entry) -> Result<(), PackError> {
        let now = Entry::new(&entry.path, meta, entry.offset);
        let (mtime_ns, ctime_ns) = (now.mtime_ns, now.ctime_ns);
        let mut entry = Entry { mtime_ns, ctime_ns, dev: meta.dev, ino: meta.ino, ..entry };
        entry.fresh = false;
        self.part_from_base()?;
        self.of_chain().sign(&mut entry);
        self.index.add(&entry).map_err(PackError::Index)
    }

    /// Stores a thing; one that cannot be read stays what it was.
    fn anew(&mut self, walk: &Walk, meta: Meta, old: Option<Old>) -> Result<(), PackError> {
        let unreadable = self.warnings.unreadable.count;
        self.replaced = 0;
        self.folder_before(walk, &meta);
        let members = self.members();
        match meta.kind {
            Kind::File => self.file(walk, meta)?,
            _ => self.plain(walk, &meta)?,
        }
        let is_stored = self.members() > members;
        if is_stored {
            self.of_chain().touch();
        }
        match old {
            Some(old) if !is_stored && self.warnings.unreadable.count > unreadable => {
                self.keep_all(stored(walk.path()), old)
            }
            Some(old) => self.forget(old),
            None => Ok(()),
        }
    }

    /// Writes the folder that holds a symbolic link before that, unless it was written already.
    ///
    /// Tar makes links that may lead elsewhere at its very end, and sets the times of their folders
    /// after that: of those that it knew before the link.
    fn folder_before(&mut self, walk: &Walk, meta: &Meta) {
        if meta.kind != Kind::Symlink {
            return;
        }
        let (Some(folder), Some(above)) = (self.of_chain().folders.last_mut(), walk.above()) else {
            return;
        };
        if folder.is_written || folder.is_short {
            return;
        }
        folder.is_written = true;
        let end = walk.path().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.folder_again(walk, &walk.path()[..end], above);
    }

    /// Finds out whether a thing was met under another name, and whether that is as it was.
    fn same_name(&mut self, meta: &Meta, old: Option<Old>) -> Result<Named, PackError> {
        let found = if meta.links > 1 { self.links.find(meta) } else { None };
        let Some((first, offset)) = found else { return Ok(Named::First(old)) };
        match old {
            Some(old) if offset.is_none() && old.is_hard_link() => {
                let entry = old.entry()?;
                if entry.link.as_deref() != Some(&first) {
                    self.forget(old)?;
                    return Ok(Named::Other(first, offset));
                }
                if old.is_unchanged_link(meta) {
                    self.keep(old)?;
                    return Ok(Named::Kept);
                }
                // Its member says what its line says; a file that was written to between two of
                // its names has another time at each.
                if !old.has_surface_of(meta) {
                    self.forget(old)?;
                    return Ok(Named::Other(first, offset));
                }
                self.forget(old)?;
                self.keep_as(meta, entry)?;
                Ok(Named::Kept)
            }
            old => {
                old.map_or(Ok(()), |old| self.forget(old))?;
                Ok(Named::Other(first, offset))
            }
        }
    }
}

/// What a thing that is no folder is by its names.
enum Named {
    /// The first name that the walk meets; with its line of the base.
    First(Option<Old>),
    /// Another name of what lies at this path, and where that is in this archive.
    Other(Vec<u8>, Option<u64>),
    /// Another name, as before.
    Kept,
}
