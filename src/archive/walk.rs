//! A walk over a tree in the order of its path components, compared as bytes: a folder before
//! what it holds, `a/x` before `a-b`.
//!
//! Every step goes from an open folder to a name in it and never follows a link, so nothing
//! outside the tree is read whatever others do to it meanwhile. Memory and open folders are
//! bounded by the longest folder and by [`OPEN`] plus [`AHEAD`], not by the size of the tree.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::archive::ahead::{Ahead, Pool};
use crate::archive::folder::{self, BATCH, Filter, Listing, Opened, Stated, is_folder};
use crate::archive::meta::Meta;
use crate::stream::Tree;

/// What the walk came to; [`Walk::path`] and the others tell where it is.
pub(crate) enum Step {
    /// A thing that is no folder, or a folder that was opened and comes next.
    Thing(Meta),
    /// A folder that cannot be opened.
    Closed(Meta, Errno),
    /// A name about which the system says nothing any more, or will not say it.
    Lost(Errno),
    /// The folder [`Walk::path`] could not be read to its end.
    Short(Errno),
    /// All that the folder [`Walk::path`] holds was handed out.
    Left(Meta),
}

/// A walk that has begun.
pub(crate) struct Walk {
    tree: Arc<dyn Tree>,
    pool: Pool,
    frames: Vec<Frame>,
    path: Vec<u8>,
    /// The folder that was handed out last; its turn is next.
    entering: Option<Opened>,
    root: Option<Arc<OwnedFd>>,
    followed: bool,
}

/// A folder that the walk is in.
struct Frame {
    /// Closed while the walk is far below.
    fd: Option<Arc<OwnedFd>>,
    /// Device and inode: what it must be when it is opened again.
    identity: (u64, u64),
    /// The folder itself, until its end is handed out; none above the root.
    meta: Option<Meta>,
    /// Length of its stored path, with the slash at the end.
    stem: usize,
    listing: Arc<Listing>,
    trouble: Option<Errno>,
    next: usize,
    batch: std::vec::IntoIter<Stated>,
    stats: VecDeque<Ahead<Vec<Stated>>>,
    stats_begun: usize,
    opens: VecDeque<(usize, Ahead<Result<Opened>>)>,
    opens_begun: usize,
}

impl Walk {
    /// Opens the root of `tree`; a root that is a link to a folder is followed.
    pub(crate) fn start(tree: Arc<dyn Tree>, threads: usize) -> Result<Self> {
        let root = tree.root();
        let followed = root.is_symlink() && root.is_dir();
        let (fd, name) = open_root(root)?;
        let meta = Meta::of(&fd, &name)?;
        let path = trimmed(tree.stored_as()).to_vec();
        let mut frame = Frame::new(Arc::new(fd), (0, 0), Arc::new(Listing::of_one(&name)));
        frame.batch = vec![Stated::Other(Ok(meta))].into_iter();
        let (pool, frames) = (Pool::new(threads), vec![frame]);
        Ok(Self { tree, pool, frames, path, entering: None, root: None, followed })
    }

    /// Tells whether the root was a link that was followed.
    pub(crate) fn has_followed(&self) -> bool {
        self.followed
    }

    /// Tells whether the root folder was deleted since the walk began.
    pub(crate) fn root_is_gone(&self) -> bool {
        let meta = self.root.as_ref().map(|fd| Meta::of_open(fd.as_ref()));
        meta.is_some_and(|meta| meta.is_ok_and(|meta| meta.links == 0))
    }

    /// Tells whether the present thing is the root.
    pub(crate) fn is_at_root(&self) -> bool {
        self.path == trimmed(self.tree.stored_as())
    }

    /// Returns the absolute path as stored, without a slash at its end.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Returns the folder that holds the present thing.
    pub(crate) fn parent(&self) -> &OwnedFd {
        let frame = self.frames.last().expect("asked only after a step");
        frame.fd.as_ref().expect("the folder of a step is open")
    }

    /// Returns the name of the present thing in [`Walk::parent`].
    pub(crate) fn name(&self) -> &CStr {
        let frame = self.frames.last().expect("asked only after a step");
        frame.listing.name(frame.next - 1)
    }

    /// Returns the present thing itself when it is an open folder.
    pub(crate) fn folder(&self) -> Option<&OwnedFd> {
        self.entering.as_ref().map(|opened| opened.fd.as_ref())
    }

    /// Returns the folder that was handed out as left, and its names; `None` when it could not be
    /// opened again.
    pub(crate) fn left(&self) -> Option<(&OwnedFd, &Listing)> {
        let frame = self.frames.last()?;
        Some((frame.fd.as_ref()?, &frame.listing))
    }

    /// Returns the state of the folder that holds the present thing; nothing above the root.
    pub(crate) fn above(&self) -> Option<&Meta> {
        self.frames.last()?.meta.as_ref()
    }

    /// Returns the names in the present thing when it is an open folder of which all are known.
    pub(crate) fn names(&self) -> Option<&Listing> {
        let opened = self.entering.as_ref().filter(|opened| opened.trouble.is_none());
        opened.map(|opened| &*opened.listing)
    }

    /// Goes on to the next thing; `None` after the last.
    pub(crate) fn step(&mut self) -> Option<Step> {
        if let Some(opened) = self.entering.take() {
            self.enter(opened);
        }
        loop {
            let depth = self.frames.len();
            let frame = self.frames.last_mut()?;
            self.path.truncate(frame.stem.saturating_sub(1));
            if let Some(error) = frame.trouble.take() {
                return Some(Step::Short(error));
            }
            if frame.next == frame.listing.len() {
                if let Some(meta) = frame.meta.take() {
                    return Some(Step::Left(meta));
                }
                self.leave();
                continue;
            }
            frame.look_ahead(&self.pool);
            let stated = frame.stated();
            frame.next += 1;
            if depth > 1 {
                self.path.push(b'/');
                let frame = self.frames.last()?;
                self.path.extend_from_slice(frame.listing.name(frame.next - 1).to_bytes());
                self.open_ahead();
            } else {
                self.path = trimmed(self.tree.stored_as()).to_vec();
            }
            return Some(match stated {
                Stated::Other(Err(error)) => Step::Lost(error),
                Stated::Other(Ok(meta)) if !is_folder(&meta) => Step::Thing(meta),
                _ => self.open(),
            });
        }
    }

    /// Opens the present thing, which was a folder a moment ago.
    fn open(&mut self) -> Step {
        let filter = self.filter();
        let frame = self.frames.last_mut().expect("asked only within a step");
        let number = frame.next - 1;
        while frame.opens.front().is_some_and(|(ahead, _)| *ahead < number) {
            frame.opens.pop_front();
        }
        let ahead = match frame.opens.front() {
            Some((ahead, _)) if *ahead == number => frame.opens.pop_front(),
            _ => None,
        };
        let mut opened = ahead.map(|(_, ahead)| ahead.take());
        if matches!(opened, None | Some(Err(Errno::MFILE | Errno::NFILE))) {
            if opened.is_some() {
                self.frames.iter_mut().for_each(|frame| frame.opens.clear());
            }
            opened = Some(folder::open(self.parent(), self.name(), &filter, true));
        }
        let mut opened = opened.expect("opened just now or ahead");
        for _ in 0..PATIENCE {
            let error = match opened {
                Ok(opened) => return self.hand_out(opened, &filter),
                Err(error) => error,
            };
            match Meta::of(self.parent(), self.name()) {
                Ok(meta) if !is_folder(&meta) => return Step::Thing(meta),
                // There again after it was gone: somebody replaces it just now.
                Ok(_) if matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Ok(meta) => return Step::Closed(meta, error),
                Err(error) => return Step::Lost(error),
            }
            opened = folder::open(self.parent(), self.name(), &filter, true);
        }
        Step::Lost(Errno::STALE)
    }

    fn hand_out(&mut self, mut opened: Opened, filter: &Filter) -> Step {
        opened.complete(filter);
        let meta = opened.meta.clone();
        self.root.get_or_insert_with(|| Arc::clone(&opened.fd));
        self.entering = Some(opened);
        Step::Thing(meta)
    }

    fn enter(&mut self, opened: Opened) {
        let identity = (opened.meta.dev, opened.meta.ino);
        let mut frame = Frame::new(opened.fd, identity, opened.listing);
        frame.meta = Some(opened.meta);
        frame.stem = self.path.len() + 1;
        frame.trouble = opened.trouble;
        frame.stats_begun = opened.first.len();
        frame.batch = opened.first.into_iter();
        self.frames.push(frame);
        if let Some(far) = self.frames.len().checked_sub(OPEN).filter(|far| *far > 1) {
            self.frames[far].close();
        }
    }

    /// Goes back to the folder above, which may have been closed meanwhile.
    fn leave(&mut self) {
        let left = self.frames.pop().and_then(|frame| frame.fd);
        let at = self.frames.len().saturating_sub(1);
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.fd.is_none()) else { return };
        let above = left.ok_or(Errno::BADF).and_then(|fd| reopen(&fd, c"..", frame.identity));
        match above.or_else(|_| self.descend(at)) {
            Ok(fd) => self.frames[at].fd = Some(Arc::new(fd)),
            Err(error) => {
                let frame = &mut self.frames[at];
                frame.next = frame.listing.len();
                frame.trouble = Some(error);
            }
        }
    }

    /// Opens the folder of frame `to` again, by its names from the root.
    fn descend(&self, to: usize) -> Result<OwnedFd> {
        let top = self.frames[0].fd.as_ref().ok_or(Errno::BADF)?;
        let mut fd = top.try_clone().map_err(|_| Errno::MFILE)?;
        for pair in self.frames[..=to].windows(2) {
            let name = pair[0].listing.name(pair[0].next - 1);
            fd = reopen(&fd, name, pair[1].identity)?;
        }
        Ok(fd)
    }

    /// Begins to open the next folders of the present one.
    fn open_ahead(&mut self) {
        while let Some(number) = self.frames.last_mut().and_then(Frame::next_folder) {
            let near = self.frames.iter().rev().take(OPEN);
            if near.map(|frame| frame.opens.len()).sum::<usize>() >= AHEAD {
                return;
            }
            let Some(frame) = self.frames.last_mut() else { return };
            let Some(fd) = frame.fd.clone() else { return };
            let listing = Arc::clone(&frame.listing);
            let prefix = [&self.path[..frame.stem], listing.name(number).to_bytes(), b"/"].concat();
            let filter = Filter { tree: Arc::clone(&self.tree), prefix };
            let work = move || folder::open(fd, listing.name(number), &filter, false);
            frame.opens.push_back((number, self.pool.begin(work)));
            frame.opens_begun = number + 1;
        }
    }

    /// The filter for what lies in the present thing.
    fn filter(&self) -> Filter {
        let mut prefix = self.path.clone();
        prefix.push(b'/');
        Filter { tree: Arc::clone(&self.tree), prefix }
    }
}

impl Frame {
    fn new(fd: Arc<OwnedFd>, identity: (u64, u64), listing: Arc<Listing>) -> Self {
        Self {
            fd: Some(fd),
            identity,
            meta: None,
            stem: 0,
            listing,
            trouble: None,
            next: 0,
            batch: Vec::new().into_iter(),
            stats: VecDeque::new(),
            stats_begun: 0,
            opens: VecDeque::new(),
            opens_begun: 0,
        }
    }

    /// Begins to ask about the names that come after the present batch.
    fn look_ahead(&mut self, pool: &Pool) {
        let Some(fd) = &self.fd else { return };
        self.stats_begun = self.stats_begun.max(self.next + self.batch.len());
        while self.stats.len() < BATCHES && self.stats_begun < self.listing.len() {
            let end = self.listing.len().min(self.stats_begun + BATCH);
            let (fd, listing, which) =
                (Arc::clone(fd), Arc::clone(&self.listing), self.stats_begun..end);
            self.stats.push_back(pool.begin(move || listing.state(fd, which)));
            self.stats_begun = end;
        }
    }

    /// Finds the next folder that is worth opening ahead of its turn.
    fn next_folder(&mut self) -> Option<usize> {
        if self.opens.len() >= AHEAD_EACH {
            return None;
        }
        let end = self.listing.len().min(self.next + 2 * BATCH);
        self.opens_begun = self.opens_begun.max(self.next);
        while self.opens_begun < end && !self.listing.is_folder(self.opens_begun) {
            self.opens_begun += 1;
        }
        (self.opens_begun < end).then_some(self.opens_begun)
    }

    /// Gives the answer about the next name.
    fn stated(&mut self) -> Stated {
        if self.batch.len() == 0 {
            let ahead = self.stats.pop_front().expect("the next batch was begun just before");
            self.batch = ahead.take().into_iter();
        }
        self.batch.next().expect("no batch is empty")
    }

    /// Lets go of what keeps the folder open.
    fn close(&mut self) {
        self.stats.clear();
        self.stats_begun = 0;
        self.opens.clear();
        self.opens_begun = 0;
        self.fd = None;
    }
}

/// Opens the folder that holds the root, and names the root in it.
fn open_root(root: &Path) -> Result<(OwnedFd, CString)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if root.is_dir() {
        return Ok((rustix::fs::openat(CWD, root, flags, Mode::empty())?, c".".to_owned()));
    }
    let name = root.file_name().ok_or(Errno::NOENT)?;
    let above = root.parent().filter(|above| !above.as_os_str().is_empty());
    let fd = rustix::fs::openat(CWD, above.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    Ok((fd, CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?))
}

/// Opens a folder that was open before; it must still be the same.
fn reopen(at: &OwnedFd, name: &CStr, identity: (u64, u64)) -> Result<OwnedFd> {
    let fd = folder::open_folder(at, name)?;
    let meta = Meta::of_open(&fd)?;
    if (meta.dev, meta.ino) == identity { Ok(fd) } else { Err(Errno::STALE) }
}

fn trimmed(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Levels of folders that stay open above the present one.
const OPEN: usize = 32;
/// How often a folder may be replaced while it is opened before it is given up.
const PATIENCE: usize = 16;
/// Folders that are opened ahead of their turn, in all and for each level.
const AHEAD: usize = 64;
const AHEAD_EACH: usize = 16;
/// Batches of names that are asked about ahead of their turn.
const BATCHES: usize = 3;
