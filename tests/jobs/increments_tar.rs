//! Sequences of changes: after each, the archives of the chain applied in order by GNU tar, and
//! our own unpacking of what the last index names, give the tree of that moment.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nxs_backup::archive::{Base, ChainOptions, Entry, IndexWriter, unpack_picked};
use nxs_backup::base::ArtefactId;
use nxs_backup::stream::Frames;
use proptest::prelude::*;
use proptest::sample::Index;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::support::archive::{Bed, Done, Plain, feed, options};
use crate::support::tree;

/// One change of a tree; paths are chosen among those that there are.
#[derive(Clone, Debug)]
enum Change {
    Write(Index, usize, u8),
    Overwrite(Index, u8),
    Replace(Index, u8),
    Folder(Index, usize),
    Remove(Index),
    Rename(Index, Index, usize),
    FileByFolder(Index),
    FolderByFile(Index),
    FolderByLink(Index, Index),
    Swap(Index, Index),
    Symlink(Index, usize, Index),
    LinkByFolder(Index),
    HardLink(Index, Index, usize),
    BreakLink(Index),
    Mode(Index, u32),
    Owner(Index, u32),
    Attribute(Index, u8),
    NoAttribute(Index),
    Sparse(Index, usize),
    Fifo(Index, usize),
    Back(Index, i64),
}

const NAMES: [&[u8]; 9] =
    [b"a", b"b", b"a-b", b"a.b", b"ab", b"\xff\xfe", b"with space", b"a\x01", b"zz"];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (at(), name(), any::<u8>()).prop_map(|(a, n, b)| Change::Write(a, n, b)),
        3 => (at(), any::<u8>()).prop_map(|(a, b)| Change::Overwrite(a, b)),
        2 => (at(), any::<u8>()).prop_map(|(a, b)| Change::Replace(a, b)),
        3 => (at(), name()).prop_map(|(a, n)| Change::Folder(a, n)),
        3 => at().prop_map(Change::Remove),
        3 => (at(), at(), name()).prop_map(|(a, b, n)| Change::Rename(a, b, n)),
        2 => at().prop_map(Change::FileByFolder),
        2 => at().prop_map(Change::FolderByFile),
        1 => (at(), at()).prop_map(|(a, b)| Change::FolderByLink(a, b)),
        2 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        2 => (at(), name(), at()).prop_map(|(a, n, b)| Change::Symlink(a, n, b)),
        2 => at().prop_map(Change::LinkByFolder),
        3 => (at(), at(), name()).prop_map(|(a, b, n)| Change::HardLink(a, b, n)),
        2 => at().prop_map(Change::BreakLink),
        2 => (at(), 0_u32..0o1000).prop_map(|(a, m)| Change::Mode(a, m)),
        1 => (at(), 0_u32..5).prop_map(|(a, o)| Change::Owner(a, o)),
        1 => (at(), any::<u8>()).prop_map(|(a, b)| Change::Attribute(a, b)),
        1 => at().prop_map(Change::NoAttribute),
        1 => (at(), name()).prop_map(|(a, n)| Change::Sparse(a, n)),
        1 => (at(), name()).prop_map(|(a, n)| Change::Fifo(a, n)),
        2 => (at(), 0_i64..2_000_000_000).prop_map(|(a, t)| Change::Back(a, t)),
    ]
}

/// Everything below `root`, folders before what they hold; `root` itself too.
fn paths(root: &Path, fits: fn(&fs::Metadata) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<_> = tree::read(root).into_keys().map(|path| root.join(path)).collect();
    found.retain(|path| path.symlink_metadata().is_ok_and(|meta| fits(&meta)));
    found
}

fn folder(root: &Path, at: &Index) -> PathBuf {
    at.get(&paths(root, fs::Metadata::is_dir)).clone()
}

fn one(root: &Path, at: &Index, fits: fn(&fs::Metadata) -> bool) -> Option<PathBuf> {
    let found: Vec<_> = paths(root, fits).into_iter().filter(|path| path != root).collect();
    (!found.is_empty()).then(|| at.get(&found).clone())
}

fn free(root: &Path, at: &Index, name: usize) -> Option<PathBuf> {
    let path = folder(root, at).join(OsStr::from_bytes(NAMES[name]));
    (path.symlink_metadata().is_err() && path.components().count() < 40).then_some(path)
}

fn remove(path: &Path) {
    match path.symlink_metadata().unwrap().is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

impl Change {
    /// Changes the tree, as far as there is something that fits.
    fn apply(&self, root: &Path) -> Option<()> {
        let is_file = fs::Metadata::is_file;
        let any = |_: &fs::Metadata| true;
        match self {
            Self::Write(at, name, byte) => {
                let path = folder(root, at).join(OsStr::from_bytes(NAMES[*name]));
                let meta = path.symlink_metadata().ok();
                if meta.is_none_or(|meta| meta.is_file()) {
                    fs::write(path, vec![*byte; usize::from(*byte)]).unwrap();
                }
            }
            Self::Overwrite(at, byte) => {
                let file = File::options().write(true).open(one(root, at, is_file)?).unwrap();
                file.write_all_at(&[*byte], 0).unwrap();
            }
            Self::Replace(at, byte) => {
                let path = one(root, at, is_file)?;
                let new = path.with_extension("new");
                fs::write(&new, [*byte; 3]).unwrap();
                fs::rename(new, path).unwrap();
            }
            Self::Folder(at, name) => fs::create_dir(free(root, at, *name)?).unwrap(),
            Self::Remove(at) => remove(&one(root, at, any)?),
            Self::Rename(at, to, name) => {
                let from = one(root, at, any)?;
                let to = free(root, to, *name).filter(|to| !to.starts_with(&from))?;
                fs::rename(from, to).unwrap();
            }
            Self::FileByFolder(at) => {
                let path = one(root, at, |meta| !meta.is_dir())?;
                remove(&path);
                fs::create_dir(&path).unwrap();
                fs::write(path.join("inside"), "inside").unwrap();
            }
            Self::FolderByFile(at) => {
                let path = one(root, at, fs::Metadata::is_dir)?;
                remove(&path);
                fs::write(path, "was a folder").unwrap();
            }
            Self::Swap(a, b) => swap(root, one(root, a, any)?, one(root, b, any)?)?,
            Self::FolderByLink(..)
            | Self::Symlink(..)
            | Self::LinkByFolder(_)
            | Self::HardLink(..)
            | Self::BreakLink(_) => {
                self.apply_to_links(root)?;
            }
            Self::Mode(at, mode) => {
                let path = one(root, at, |meta| !meta.is_symlink())?;
                let mode = if path.is_dir() { mode | 0o700 } else { *mode };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
            Self::Owner(at, owner) if tree::is_root() => {
                std::os::unix::fs::lchown(one(root, at, any)?, Some(*owner), None).unwrap();
            }
            Self::Owner(..) => {}
            Self::Attribute(at, byte) => {
                let path = one(root, at, |meta| meta.is_file() || meta.is_dir())?;
                rustix::fs::setxattr(path, "user.x", &[*byte], XattrFlags::empty()).ok();
            }
            // Of a folder, plain tar leaves it: that limit is named.
            Self::NoAttribute(at) => {
                rustix::fs::removexattr(one(root, at, is_file)?, "user.x").ok();
            }
            Self::Sparse(at, name) => {
                let file = File::create_new(free(root, at, *name)?).unwrap();
                file.write_all_at(b"in the middle", 300_000).unwrap();
                file.set_len(900_000).unwrap();
            }
            Self::Fifo(at, name) => {
                let (path, mode) = (free(root, at, *name)?, Mode::from_raw_mode(0o600));
                rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
            }
            Self::Back(at, secs) => set_time(&one(root, at, any)?, *secs, 7),
        }
        Some(())
    }

    /// The changes that have to do with links.
    fn apply_to_links(&self, root: &Path) -> Option<()> {
        let any = |_: &fs::Metadata| true;
        match self {
            Self::Symlink(at, name, to) => {
                let path = free(root, at, *name)?;
                symlink(one(root, to, any)?, path).unwrap();
            }
            Self::FolderByLink(at, to) => {
                let path = one(root, at, fs::Metadata::is_dir)?;
                let to = one(root, to, any)?;
                remove(&path);
                symlink(to, path).unwrap();
            }
            Self::LinkByFolder(at) => {
                let path = one(root, at, fs::Metadata::is_symlink)?;
                remove(&path);
                fs::create_dir(path).unwrap();
            }
            Self::HardLink(at, to, name) => {
                let from = one(root, at, |meta| meta.is_file() || meta.is_symlink())?;
                fs::hard_link(from, free(root, to, *name)?).unwrap();
            }
            Self::BreakLink(at) => {
                let path = one(root, at, |meta| meta.is_file() && meta.nlink() > 1)?;
                let new = path.with_extension("new");
                // With its holes: what is the same byte for byte is not stored again for them.
                let copied = Command::new("cp").args(["-p", "--"]).args([&path, &new]).status();
                assert!(copied.unwrap().success());
                fs::rename(new, path).unwrap();
            }
            _ => {}
        }
        Some(())
    }
}

/// Two things change their names, unless one lies in the other.
fn swap(root: &Path, a: PathBuf, b: PathBuf) -> Option<()> {
    if a.starts_with(&b) || b.starts_with(&a) {
        return None;
    }
    let aside = root.with_extension("aside");
    fs::rename(&a, &aside).unwrap();
    fs::rename(&b, &a).unwrap();
    fs::rename(aside, b).unwrap();
    Some(())
}

fn set_time(path: &Path, secs: i64, nanos: i64) {
    let time = Timespec { tv_sec: secs, tv_nsec: nanos };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// The archives of a chain, the full one first.
struct Chain(Vec<(ArtefactId, Done)>);

impl Chain {
    fn grow(&mut self, root: &Path, slack: Duration, force_read: bool) {
        let artefact = ArtefactId::from_text(format!("artefact-{}", self.0.len()));
        let base = self.0.last().map(|(id, done)| {
            let (file, index) = (done.index.file.try_clone().unwrap(), &done.index);
            Base::open(file, index.bytes, index.last_frame, id).unwrap()
        });
        let options = ChainOptions { artefact: artefact.clone(), base, force_read, slack };
        let done = Plain::new(root).stored_as("/tree").pack_in_chain(options);
        assert!(!done.warnings.is_partial(), "{:?}", done.warnings);
        self.0.push((artefact, done));
    }

    /// Applies the last archive with the machine's tar.
    fn apply_last(&self, out: &Path) {
        fs::create_dir_all(out).unwrap();
        let keep = ["-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"];
        let mut tar = Command::new("tar");
        tar.env("LC_ALL", "C").arg("-C").arg(out).args(keep);
        tar.args(["--listed-incremental=/dev/null", "--warning=no-timestamp"]);
        let output = feed(&mut tar, &self.0.last().unwrap().1.tar);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }

    /// Makes what the last index names, each thing from the archive that holds it.
    fn restore(&self, out: &Path) {
        let entries = entries(&self.0.last().unwrap().1);
        let mut made = 0;
        for (id, done) in &self.0 {
            let mut mine = entries.iter().filter(|entry| entry.artefact.as_ref() == Some(id));
            let mut options = options();
            options.overwrite = made > 0;
            let mut next = || Ok(mine.next().cloned());
            let unpacked = unpack_picked(&*done.tar, out, &options, &mut next).unwrap();
            assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
            assert!(unpacked.warnings.is_empty(), "{:?}", unpacked.warnings);
            made += unpacked.files;
        }
        assert_eq!(made, entries.len() as u64);
    }
}

/// The lines of an index.
fn entries(done: &Done) -> Vec<Entry> {
    crate::jobs::increments::entries(&done.index)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn every_state_of_a_changing_tree_comes_back(
        first in proptest::collection::vec(change(), 0..20),
        steps in proptest::collection::vec(
            (proptest::collection::vec(change(), 0..6), any::<bool>(), any::<bool>()),
            1..6,
        ),
    ) {
        let bed = Bed::new();
        let (root, by_tar) = (bed.path("in/tree"), bed.path("by-tar"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/file"), "file").unwrap();
        for change in &first {
            change.apply(&root);
        }
        let mut chain = Chain(Vec::new());
        // What a test changes in a millisecond is seen by its times only once they have ticked.
        let slack = |short: bool| if short { Duration::ZERO } else { ChainOptions::SLACK };
        std::thread::sleep(TICK);
        chain.grow(&root, slack(steps[0].1), false);
        chain.apply_last(&by_tar);
        tree::assert_same(&tree::read(&root), &tree::read(&by_tar.join("tree")));
        for (number, (changes, short, force_read)) in steps.iter().enumerate() {
            std::thread::sleep(TICK);
            for change in changes {
                change.apply(&root);
            }
            std::thread::sleep(TICK);
            chain.grow(&root, slack(*short), *force_read);
            let now = tree::read(&root);
            chain.apply_last(&by_tar);
            tree::assert_same(&now, &tree::read(&by_tar.join("tree")));
            let ours = bed.path(&format!("ours-{number}"));
            chain.restore(&ours);
            tree::assert_same(&now, &tree::read(&ours.join("tree")));
        }
    }
}

#[test]
fn a_link_that_leads_up_and_changes_alone_costs_its_folder_no_time() {
    let bed = Bed::new();
    let (root, by_tar) = (bed.path("in/tree"), bed.path("by-tar"));
    fs::create_dir_all(root.join("ab")).unwrap();
    symlink("../elsewhere", root.join("ab/up")).unwrap();
    fs::hard_link(root.join("ab/up"), root.join("ab/up-too")).unwrap();
    let mut chain = Chain(Vec::new());
    for turn in 0..3 {
        std::thread::sleep(TICK);
        if turn > 0 {
            let time = Timespec { tv_sec: 1_000_000 * turn, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            let link = root.join("ab/up");
            rustix::fs::utimensat(CWD, &link, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
            std::thread::sleep(TICK);
        }
        chain.grow(&root, Duration::ZERO, false);
        chain.apply_last(&by_tar);
        tree::assert_same(&tree::read(&root), &tree::read(&by_tar.join("tree")));
    }
}

#[test]
fn a_name_whose_line_is_not_that_of_its_file_is_stored_again() {
    let bed = Bed::new();
    let root = bed.path("in/tree");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("a"), "a").unwrap();
    fs::hard_link(root.join("a"), root.join("b")).unwrap();
    let mut chain = Chain(Vec::new());
    std::thread::sleep(TICK);
    chain.grow(&root, Duration::ZERO, false);
    // As when the file is written to after the first name was looked at, and before the second.
    let (id, done) = chain.0.pop().unwrap();
    let mut index = IndexWriter::create(&bed.path(""), &id).unwrap();
    for mut entry in entries(&done) {
        entry.mtime_ns -= i64::from(entry.path == b"tree/b");
        index.add(&entry).unwrap();
    }
    chain.0.push((id, Done { index: index.finish(&Frames::default()).unwrap(), ..done }));
    chain.grow(&root, Duration::ZERO, false);
    let last = chain.0.last().unwrap();
    let again =
        entries(&last.1).into_iter().filter(|entry| entry.artefact.as_ref() == Some(&last.0));
    let again: Vec<_> = again.map(|entry| entry.path).collect();
    assert!(
        again.contains(&b"tree/b".to_vec()) && !again.contains(&b"tree/a".to_vec()),
        "{again:?}"
    );
    chain.restore(&bed.path("ours"));
    tree::assert_same(&tree::read(&root), &tree::read(&bed.path("ours/tree")));
}

#[test]
fn an_attribute_taken_away_from_a_folder_stays_for_tar_alone_and_goes_with_ours() {
    let bed = Bed::new();
    let (root, by_tar) = (bed.path("in/tree"), bed.path("by-tar"));
    fs::create_dir_all(root.join("a")).unwrap();
    if rustix::fs::setxattr(root.join("a"), "user.x", b"1", XattrFlags::empty()).is_err() {
        return crate::support::world::skipped("the file system keeps no attributes");
    }
    let mut chain = Chain(Vec::new());
    std::thread::sleep(TICK);
    chain.grow(&root, Duration::ZERO, false);
    chain.apply_last(&by_tar);
    rustix::fs::removexattr(root.join("a"), "user.x").unwrap();
    std::thread::sleep(TICK);
    chain.grow(&root, Duration::ZERO, false);
    chain.apply_last(&by_tar);
    let ours = bed.path("ours");
    chain.restore(&ours);
    tree::assert_same(&tree::read(&root), &tree::read(&ours.join("tree")));
    let mut room = [0; 8];
    let left = rustix::fs::getxattr(by_tar.join("tree/a"), "user.x", &mut room[..]);
    assert_eq!(left, Ok(1), "tar removes it by now: docs/increments.md names a limit that is none");
}

const TICK: Duration = Duration::from_millis(12);
