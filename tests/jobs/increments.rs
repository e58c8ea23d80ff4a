//! One archive of a chain: what becomes a member and what its index says.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nxs_backup::archive::{Base, ChainOptions, Entry, IndexFile, IndexReader, Ranges};
use nxs_backup::base::{ArtefactId, BoxError};

use crate::support::archive::{Bed, Done, Plain};

struct InFile(fs::File);

#[async_trait]
impl Ranges for InFile {
    async fn read(&self, part: Range<u64>) -> Result<Bytes, BoxError> {
        let mut bytes = vec![0; (part.end - part.start) as usize];
        self.0.read_exact_at(&mut bytes, part.start)?;
        Ok(bytes.into())
    }
}

/// Reads every line of an index.
pub(super) fn entries(index: &IndexFile) -> Vec<Entry> {
    let file = index.file.try_clone().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let id = head(&file);
        let opened = IndexReader::open(Box::new(InFile(file)), index.bytes, index.last_frame, &id);
        let reader = opened.await.unwrap();
        let (mut all, mut entries) = (Vec::new(), reader.all());
        while let Some(entry) = entries.next().await.unwrap() {
            all.push(entry);
        }
        all
    })
}

/// The artefact that an index names.
fn head(file: &fs::File) -> ArtefactId {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let lines = zstd_lines(&bytes);
    let head: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    ArtefactId::from_text(head["artefact"].as_str().unwrap())
}

fn zstd_lines(bytes: &[u8]) -> Vec<String> {
    let output =
        crate::support::archive::feed(std::process::Command::new("zstd").arg("-dc"), bytes);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn grow(root: &Path, number: usize, before: Option<&Done>, slack: Duration) -> Done {
    let id = |number| ArtefactId::from_text(format!("artefact-{number}"));
    let base = before.map(|done| {
        let (file, index) = (done.index.file.try_clone().unwrap(), &done.index);
        Base::open(file, index.bytes, index.last_frame, &id(number - 1)).unwrap()
    });
    let options = ChainOptions { artefact: id(number), base, force_read: false, slack };
    Plain::new(root).stored_as("/tree").pack_in_chain(options)
}

fn names(done: &Done) -> Vec<String> {
    let mut tar = std::process::Command::new("tar");
    let output = crate::support::archive::feed(tar.arg("-t"), &done.tar);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn tree(bed: &Bed) -> std::path::PathBuf {
    let root = bed.path("in");
    for folder in ["a", "b/deep"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["a/one", "a/two", "b/deep/three", "top"] {
        fs::write(root.join(file), file).unwrap();
    }
    tick();
    root
}

fn tick() {
    std::thread::sleep(Duration::from_millis(12));
}

#[test]
fn only_what_changed_is_a_member_and_the_index_lists_all() {
    let bed = Bed::new();
    let root = tree(&bed);
    let full = grow(&root, 0, None, Duration::ZERO);
    assert_eq!(names(&full).len(), 8);
    let nothing = grow(&root, 1, Some(&full), Duration::ZERO);
    assert_eq!((names(&nothing), nothing.tar.len()), (Vec::new(), 1024));
    assert_eq!(entries(&nothing.index), entries(&full.index));
    fs::write(root.join("a/one"), "changed").unwrap();
    fs::write(root.join("b/new"), "new").unwrap();
    fs::remove_file(root.join("top")).unwrap();
    tick();
    let some = grow(&root, 2, Some(&nothing), Duration::ZERO);
    // What was written in its folder's absence of change comes before that folder.
    assert_eq!(names(&some), ["tree/", "tree/a/one", "tree/a/", "tree/b/", "tree/b/new"]);
    let holders: Vec<_> = entries(&some.index)
        .into_iter()
        .map(|entry| {
            let holder = entry.artefact.unwrap().to_string();
            (String::from_utf8(entry.path).unwrap(), holder.chars().last().unwrap())
        })
        .collect();
    let wanted = [
        ("tree", '2'),
        ("tree/a", '0'),
        ("tree/a/one", '2'),
        ("tree/a/two", '0'),
        ("tree/b", '2'),
        ("tree/b/deep", '0'),
        ("tree/b/deep/three", '0'),
        ("tree/b/new", '2'),
    ];
    assert_eq!(holders, wanted.map(|(path, holder)| (path.to_owned(), holder)));
}

#[test]
fn a_write_in_the_tick_of_the_last_reading_is_not_lost() {
    let bed = Bed::new();
    let root = tree(&bed);
    let full = grow(&root, 0, None, ChainOptions::SLACK);
    // The same size, and the time set back: only reading can tell.
    let path = root.join("a/one");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "a/ONE").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(before).unwrap();
    let next = grow(&root, 1, Some(&full), ChainOptions::SLACK);
    assert_eq!(names(&next).iter().filter(|name| name.starts_with("tree/a/one")).count(), 1);
    assert!(entries(&full.index).iter().all(|entry| entry.fresh));
}

#[test]
fn a_tree_on_a_new_disk_costs_a_reading_and_not_a_full_copy() {
    let bed = Bed::new();
    let root = tree(&bed);
    fs::write(root.join("large"), vec![7; 3 << 20]).unwrap();
    tick();
    let full = grow(&root, 0, None, Duration::ZERO);
    let moved = bed.path("moved");
    let copied = std::process::Command::new("cp").arg("-a").args([&root, &moved]).status().unwrap();
    assert!(copied.success());
    tick();
    let next = grow(&moved, 1, Some(&full), Duration::ZERO);
    let names = names(&next);
    assert!(names.iter().all(|name| name.ends_with('/')), "only folders: {names:?}");
    let again = grow(&moved, 2, Some(&next), Duration::ZERO);
    assert_eq!(again.tar.len(), 1024);
}

#[test]
fn force_read_finds_what_no_time_tells() {
    let bed = Bed::new();
    let root = tree(&bed);
    let full = grow(&root, 0, None, Duration::ZERO);
    let index = &full.index;
    let open = || {
        let id = ArtefactId::from_text("artefact-0");
        Base::open(index.file.try_clone().unwrap(), index.bytes, index.last_frame, &id).unwrap()
    };
    for (force_read, members) in [(false, 0), (true, 0)] {
        let (artefact, slack) = (ArtefactId::from_text("artefact-1"), Duration::ZERO);
        let options = ChainOptions { artefact, base: Some(open()), force_read, slack };
        let done = Plain::new(&root).stored_as("/tree").pack_in_chain(options);
        assert_eq!(done.files, members);
    }
}

#[test]
fn attributes_alone_are_a_change() {
    let bed = Bed::new();
    let root = tree(&bed);
    let full = grow(&root, 0, None, Duration::ZERO);
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(root.join("a/one"), "user.x", b"1", flags).is_err() {
        return crate::support::world::skipped("the file system keeps no attributes");
    }
    fs::set_permissions(root.join("top"), fs::Permissions::from_mode(0o600)).unwrap();
    tick();
    let next = grow(&root, 1, Some(&full), Duration::ZERO);
    assert_eq!(names(&next), ["tree/a/one", "tree/a/", "tree/top", "tree/"]);
}

#[test]
fn links_to_folders_are_no_folders() {
    let bed = Bed::new();
    let root = tree(&bed);
    symlink("a", root.join("link")).unwrap();
    tick();
    let full = grow(&root, 0, None, Duration::ZERO);
    fs::write(root.join("more"), "more").unwrap();
    tick();
    let next = grow(&root, 1, Some(&full), Duration::ZERO);
    let text = String::from_utf8_lossy(&next.tar).into_owned();
    assert!(text.contains("GNU.dumpdir=Da\0Db\0Ylink\0Ymore\0Ytop\0\0"), "{text}");
}

#[test]
fn the_index_of_a_large_tree_goes_over_frame_by_frame() {
    let bed = Bed::new();
    let root = bed.path("in");
    for folder in 0..60 {
        let folder = root.join(format!("folder-{folder:02}"));
        fs::create_dir_all(&folder).unwrap();
        (0..300).for_each(|file| fs::write(folder.join(format!("file-{file:03}")), "x").unwrap());
    }
    tick();
    let mut last = grow(&root, 0, None, Duration::ZERO);
    assert!(frames(&last) > 3, "the tree is too small for this test");
    for number in 1..6 {
        let changed = root.join(format!("folder-{:02}/file-{:03}", number * 9, number * 50));
        fs::write(changed, "other").unwrap();
        fs::write(root.join(format!("folder-{:02}/new", 59 - number)), "new").unwrap();
        fs::remove_file(root.join(format!("folder-00/file-{number:03}"))).unwrap();
        tick();
        let next = grow(&root, number, Some(&last), Duration::ZERO);
        let (full, lines) = (grow(&root, 0, None, Duration::ZERO), entries(&next.index));
        let plain = |entry: &Entry| (entry.path.clone(), entry.size, entry.mtime_ns, entry.digest);
        let wanted: Vec<_> = entries(&full.index).iter().map(plain).collect();
        assert_eq!(lines.iter().map(plain).collect::<Vec<_>>(), wanted);
        assert!(frames(&next) <= frames(&full) + 2, "frames must not crumble");
        last = next;
    }
}

fn frames(done: &Done) -> usize {
    let mut bytes = vec![0; done.index.bytes as usize];
    done.index.file.read_exact_at(&mut bytes, 0).unwrap();
    bytes.windows(4).filter(|four| *four == [0x28, 0xb5, 0x2f, 0xfd]).count()
}
