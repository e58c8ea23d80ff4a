//! What went in comes out: by our own restore and by stock tar.

use std::ffi::CString;
use std::fs;
use std::os::fd::OwnedFd;

use proptest::prelude::*;
use rustix::fs::{CWD, Mode, OFlags};

use crate::support::archive::{Bed, Plain, restore, stock_extract};
use crate::support::tree;

#[test]
fn a_hostile_tree_comes_back_by_our_restore() {
    let bed = Bed::new();
    tree::plant(&bed.path("in/tree"));
    let before = tree::read(&bed.path("in/tree"));
    let done = Plain::new(&bed.path("in/tree")).stored_as("/tree").pack();
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
    let unpacked = restore(&done.tar, &bed.path("out")).unwrap();
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    assert!(unpacked.warnings.is_empty(), "{:?}", unpacked.warnings);
    assert_eq!((unpacked.files, done.files), (before.len() as u64, before.len() as u64));
    tree::assert_same(&before, &tree::read(&bed.path("out/tree")));
}

#[test]
fn a_hostile_tree_comes_back_by_stock_tar() {
    let bed = Bed::new();
    tree::plant(&bed.path("in/tree"));
    let before = tree::read(&bed.path("in/tree"));
    let done = Plain::new(&bed.path("in/tree")).stored_as("/tree").pack();
    for locale in ["C", "C.UTF-8"] {
        let out = bed.path(locale);
        let output = stock_extract(&done.tar, &out, locale);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
        tree::assert_same(&before, &tree::read(&out.join("tree")));
    }
}

#[test]
fn what_is_excluded_and_sockets_are_not_there() {
    let bed = Bed::new();
    for folder in ["in/kept", "in/cache/deep"] {
        fs::create_dir_all(bed.path(folder)).unwrap();
    }
    fs::write(bed.path("in/kept/x"), b"x").unwrap();
    fs::write(bed.path("in/kept/y"), b"y").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bed.path("in/kept/socket")).unwrap();
    let tree = Plain::new(&bed.path("in")).stored_as("/in");
    let done = tree.without("/in/cache").without("/in/kept/y").pack();
    assert_eq!(done.warnings.notes, ["/in/kept/socket: is a socket and was left out"]);
    assert!(!done.warnings.is_partial());
    restore(&done.tar, &bed.path("out")).unwrap();
    let names: Vec<_> = tree::read(&bed.path("out/in")).into_keys().collect();
    assert_eq!(names, ["", "kept", "kept/x"].map(std::path::PathBuf::from));
}

#[test]
fn a_file_and_a_link_to_a_folder_are_targets_of_their_own() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("real")).unwrap();
    fs::write(bed.path("real/file"), b"data").unwrap();
    std::os::unix::fs::symlink("real", bed.path("link")).unwrap();
    let done = Plain::new(&bed.path("real/file")).stored_as("/srv/file").pack();
    restore(&done.tar, &bed.path("one")).unwrap();
    assert_eq!(fs::read(bed.path("one/srv/file")).unwrap(), b"data");

    let done = Plain::new(&bed.path("link")).stored_as("/srv/link").pack();
    assert!(done.warnings.notes[0].contains("link to a folder"), "{:?}", done.warnings);
    restore(&done.tar, &bed.path("two")).unwrap();
    assert!(bed.path("two/srv/link").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read(bed.path("two/srv/link/file")).unwrap(), b"data");
}

#[test]
fn a_root_that_is_not_there_breaks_the_stream() {
    let bed = Bed::new();
    let error = Plain::new(&bed.path("none")).try_pack(&mut |_| {}).err().unwrap();
    assert!(error.contains("none: could not be read: No such file"), "{error}");
}

#[test]
fn thousands_of_levels_come_back() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("in")).unwrap();
    let name = CString::new("level-of-many").unwrap();
    let mut at = open(&bed.path("in"));
    for level in 0..LEVELS {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        // Something after each folder: the way back up is walked, too.
        for beside in ["a", "z"] {
            let flags = OFlags::CREATE | OFlags::WRONLY;
            let file = rustix::fs::openat(&at, beside, flags, Mode::RWXU).unwrap();
            rustix::io::write(&file, level.to_string().as_bytes()).unwrap();
        }
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    let done = Plain::new(&bed.path("in")).stored_as("/in").pack();
    assert!(done.warnings.is_empty(), "{:?}", done.warnings);
    assert_eq!(done.files, 3 * LEVELS + 1);
    let unpacked = restore(&done.tar, &bed.path("out")).unwrap();
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    let mut at = open(&bed.path("out/in"));
    for level in 0..LEVELS {
        let file = rustix::fs::openat(&at, "z", OFlags::RDONLY, Mode::empty()).unwrap();
        let mut room = [0; 16];
        let length = rustix::io::read(&file, &mut room).unwrap();
        assert_eq!(&room[..length], level.to_string().as_bytes());
        at = rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
}

fn open(path: &std::path::Path) -> OwnedFd {
    rustix::fs::openat(CWD, path, OFlags::DIRECTORY, Mode::empty()).unwrap()
}

const LEVELS: u64 = 3000;

#[derive(Clone, Debug)]
enum Thing {
    Folder(Vec<(u8, Thing)>),
    File(u32, bool),
    Link(u8),
}

fn thing() -> impl Strategy<Value = Thing> {
    let leaf = prop_oneof![
        (0_u32..10_000, any::<bool>()).prop_map(|(size, last)| Thing::File(size, last)),
        any::<u8>().prop_map(Thing::Link),
    ];
    leaf.prop_recursive(5, 40, 8, |inner| {
        prop::collection::vec((any::<u8>(), inner), 0..8).prop_map(Thing::Folder)
    })
}

fn make(path: &std::path::Path, thing: &Thing) {
    match thing {
        Thing::Folder(things) => {
            fs::create_dir_all(path).unwrap();
            for (name, thing) in things {
                let name = [if matches!(name, 0 | b'/') { b'_' } else { *name }, b'-'];
                let path = path.join(tree::path(&name));
                if path.symlink_metadata().is_err() {
                    make(&path, thing);
                }
            }
        }
        Thing::File(size, false) => fs::write(path, tree::noise(*size as usize)).unwrap(),
        Thing::File(size, true) => {
            let file = fs::File::create(path).unwrap();
            file.set_len(u64::from(*size) * 10).unwrap();
        }
        Thing::Link(target) => std::os::unix::fs::symlink(format!("to-{target}"), path).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_tree_comes_back(things in prop::collection::vec((any::<u8>(), thing()), 0..8)) {
        let bed = Bed::new();
        make(&bed.path("in"), &Thing::Folder(things));
        let done = Plain::new(&bed.path("in")).stored_as("/x/in").pack();
        restore(&done.tar, &bed.path("out")).unwrap();
        tree::assert_same(&tree::read(&bed.path("in")), &tree::read(&bed.path("out/x/in")));
    }
}

#[test]
#[ignore = "makes a million files, and measures the whole process: run it alone"]
fn a_million_files_need_little_memory() {
    for folders in [1, 1000] {
        let bed = Bed::new();
        for number in 0..1_000_000_u32 {
            let folder = bed.path("in").join(format!("folder-{}", number % folders));
            if number < folders {
                fs::create_dir_all(&folder).unwrap();
            }
            fs::File::create(folder.join(format!("file-{number:07}"))).unwrap();
        }
        let (stream, packed) = Plain::new(&bed.path("in")).stored_as("/in").begin();
        let files = std::thread::spawn(move || crate::support::archive::drain(stream, packed));
        assert_eq!(files.join().unwrap(), u64::from(1_000_001 + folders));
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 80 * 1024, "{folders} folders took {peak} KiB");
    }
}
