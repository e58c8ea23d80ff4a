//! Trees of files: one with everything that a file system can hold, and what a tree is, so that
//! two can be compared by content and all metadata.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, SeekFrom, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
};

/// Every thing of a tree by its path below the root, as lines of text.
pub(crate) type Tree = BTreeMap<PathBuf, String>;

/// Tells whether the tests may make devices and give files away.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads a tree with all that an archive should keep of it.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut names = BTreeMap::new();
    add(root, Path::new(""), &mut tree, &mut names);
    tree
}

/// Fails with the differences of two trees.
pub(crate) fn assert_same(wanted: &Tree, got: &Tree) {
    let mut said = String::new();
    for (path, thing) in wanted {
        match got.get(path) {
            None => writeln!(said, "missing: {path:?} {thing}").unwrap(),
            Some(other) if other != thing => {
                writeln!(said, "{path:?}\n  wanted {thing}\n  got    {other}").unwrap();
            }
            Some(_) => {}
        }
    }
    for path in got.keys().filter(|path| !wanted.contains_key(*path)) {
        writeln!(said, "too much: {path:?}").unwrap();
    }
    assert!(said.is_empty(), "{said}");
}

fn add(root: &Path, path: &Path, tree: &mut Tree, names: &mut BTreeMap<(u64, u64), PathBuf>) {
    // A root that is a file has no name below itself.
    let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(path) };
    let meta = full.symlink_metadata().unwrap();
    let kind = FileType::from_raw_mode(meta.mode());
    let mut thing = format!(
        "{kind:?} {:o} {}:{} {}.{:09}",
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec()
    );
    if !meta.is_dir() && meta.nlink() > 1 {
        let first = names.entry((meta.dev(), meta.ino())).or_insert_with(|| path.to_owned());
        write!(thing, " same as {first:?}").unwrap();
    }
    match kind {
        FileType::RegularFile => {
            let bytes = fs::read(&full).unwrap();
            let holes = holes(&full, meta.len());
            write!(thing, " {} {} {holes:?}", meta.len(), blake3::hash(&bytes)).unwrap();
        }
        FileType::Symlink => write!(thing, " to {:?}", full.read_link().unwrap()).unwrap(),
        FileType::CharacterDevice | FileType::BlockDevice => {
            write!(thing, " device {}", meta.rdev()).unwrap();
        }
        _ => {}
    }
    for (name, value) in attributes(&full) {
        write!(thing, " {name}={value}").unwrap();
    }
    tree.insert(path.to_owned(), thing);
    if meta.is_dir() {
        for entry in fs::read_dir(&full).unwrap() {
            add(root, &path.join(entry.unwrap().file_name()), tree, names);
        }
    }
}

/// The parts of a file without data, as far as the file system knows them.
fn holes(path: &Path, size: u64) -> Vec<(u64, u64)> {
    let file = File::open(path).unwrap();
    let mut holes = Vec::new();
    let mut at = 0;
    while at < size {
        let hole = rustix::fs::seek(&file, SeekFrom::Hole(at)).unwrap();
        at = rustix::fs::seek(&file, SeekFrom::Data(hole)).unwrap_or(size).min(size);
        if hole < size {
            holes.push((hole, at));
        }
    }
    holes
}

fn attributes(path: &Path) -> BTreeMap<String, String> {
    let mut room = vec![0; 64 * 1024];
    let length = rustix::fs::llistxattr(path, &mut room[..]).unwrap_or(0);
    let names = room[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut room = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut room[..]).unwrap();
        String::from_utf8_lossy(&room[..length]).escape_debug().to_string()
    };
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), value(name))).collect()
}

/// Makes a tree with everything that a file system can hold and that we may make.
pub(crate) fn plant(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let put = |name: &[u8], data: &[u8]| {
        let path = root.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, data).unwrap();
        path
    };
    for name in NAMES {
        put(name, name);
    }
    put(&[b"long/".as_slice(), &[b'n'; 255]].concat(), b"a long name");
    put(&[[b'p'; 200].as_slice(), b"/", &[b'q'; 200], b"/", &[b'r'; 255]].concat(), b"a long path");
    put(format!("deep/{}file", "d/".repeat(300)).as_bytes(), b"far down");
    put(b"exactly-one-block", &[7; 512]);
    put(b"big", &noise(5 << 20));
    for (number, length) in [99, 100, 101, 154, 155, 156, 254, 255].into_iter().enumerate() {
        put(format!("edge/{number}{}", "e".repeat(length - 6)).as_bytes(), b"edge");
        let two = format!("edge/{number}{}/{}", "f".repeat(140), "g".repeat(length.min(120)));
        put(two.as_bytes(), b"edge");
    }
    fs::create_dir_all(root.join("empty/inner")).unwrap();
    links(root);
    sparse(root);
    special(root);
    attribute(root);
    modes_and_times(root);
}

const NAMES: [&[u8]; 16] = [
    b"empty-file-in/..data",
    b"-rf",
    b"--checkpoint=1",
    b" leading and trailing ",
    b"quote'\"`$x",
    b"new\nline",
    b"tab\tand\\backslash",
    b"not-utf8-\xff\xfe\xe9",
    b"caf\xc3\xa9",
    b"percent%41",
    b"star*?[x]",
    b"a/x",
    b"a-b",
    b"a.b",
    b"a/y/z",
    b"%",
];

fn links(root: &Path) {
    fs::write(root.join("linked-1"), b"one file, three names").unwrap();
    fs::hard_link(root.join("linked-1"), root.join("linked-2")).unwrap();
    fs::hard_link(root.join("linked-1"), root.join("a/linked-3")).unwrap();
    let far = format!("{}/file", "t".repeat(150));
    fs::create_dir_all(root.join("t".repeat(150))).unwrap();
    fs::write(root.join(&far), b"a link with a long way").unwrap();
    fs::hard_link(root.join(&far), root.join("z-linked-far")).unwrap();
    for (name, target) in [("to-file", "a/x"), ("dangling", "/nowhere/at all"), ("up", "../..")] {
        symlink(target, root.join(name)).unwrap();
    }
    symlink("l".repeat(300), root.join("long-link")).unwrap();
    symlink(OsStr::from_bytes(b"\xff\xfe"), root.join("bytes-link")).unwrap();
    fs::hard_link(root.join("to-file"), root.join("to-file-too")).unwrap();
}

fn sparse(root: &Path) {
    let file = File::create(root.join("sparse")).unwrap();
    file.set_len(3 << 20).unwrap();
    file.write_all_at(b"in the middle", 1 << 20).unwrap();
    file.write_all_at(b"later", 2 << 20).unwrap();
    File::create(root.join("all-hole")).unwrap().set_len(1 << 20).unwrap();
    let file = File::create(root.join("hole-then-end")).unwrap();
    file.write_all_at(b"end", 100_000).unwrap();
    let file = File::create(root.join("many-holes")).unwrap();
    (0..200).for_each(|n| file.write_all_at(b"part", n * 16_384).unwrap());
    let long = root.join(format!("{}/sparse", "s".repeat(120)));
    fs::create_dir_all(long.parent().unwrap()).unwrap();
    File::create(long).unwrap().set_len(10_000_000).unwrap();
}

fn special(root: &Path) {
    let make = |name: &str, kind, mode, device| {
        rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(mode), device).unwrap();
    };
    make("fifo", FileType::Fifo, 0o640, 0);
    if is_root() {
        make("char", FileType::CharacterDevice, 0o666, rustix::fs::makedev(1, 3));
        make("block", FileType::BlockDevice, 0o660, rustix::fs::makedev(259, 70_000));
    }
}

fn attribute(root: &Path) {
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(name), key, value, XattrFlags::empty()).is_ok()
    };
    if !set("a/x", "user.comment", b"with = and\nline \x00 and byte \xff") {
        return;
    }
    set("a/x", "user.equals=percent%", b"odd key");
    set("a", "user.folder", b"on a folder");
    set("big", "user.large", &noise(2000));
    set("empty", "user.empty", b"");
    let list = |entries: &[(u16, u16, u32)]| {
        let mut binary = 2_u32.to_le_bytes().to_vec();
        for (tag, bits, id) in entries {
            binary.extend(tag.to_le_bytes());
            binary.extend(bits.to_le_bytes());
            binary.extend(id.to_le_bytes());
        }
        binary
    };
    const NONE: u32 = u32::MAX;
    let access =
        [(1, 6, NONE), (2, 4, 1234), (4, 4, NONE), (8, 5, 99_999), (16, 7, NONE), (32, 0, NONE)];
    set("a-b", "system.posix_acl_access", &list(&access));
    set("fifo", "system.posix_acl_access", &list(&access));
    let default = [(1, 7, NONE), (2, 7, 4321), (4, 5, NONE), (16, 7, NONE), (32, 5, NONE)];
    set("a/y", "system.posix_acl_default", &list(&default));
    set("a/y", "system.posix_acl_access", &list(&default));
    if is_root() {
        set("a.b", "trusted.secret", b"for root");
        set("to-file", "trusted.on-a-link", b"for root");
        // cap_net_raw+ep, version 2.
        let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set("exactly-one-block", "security.capability", &capability);
    }
}

fn modes_and_times(root: &Path) {
    let owners: &[(&str, u32, u32)] = &[
        ("a/x", 1234, 5678),
        ("a", 33, 33),
        ("to-file", 65_534, 65_534),
        ("big", 4_000_000_000, 3_000_000),
        ("setuid", 1000, 1000),
        ("fifo", 7, 8),
    ];
    for (name, mode) in [("setuid", 0o6755), ("sticky", 0o1777), ("no-mode", 0), ("only-x", 0o111)]
    {
        fs::write(root.join(name), name).unwrap();
        if is_root() {
            give(root, name, owners);
        }
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    if is_root() {
        owners
            .iter()
            .filter(|(name, ..)| *name != "setuid")
            .for_each(|(name, ..)| give(root, name, owners));
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o2775)).unwrap();
    }
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o555)).unwrap();
    let times = [
        ("a/x", -1, 500_000_000),
        ("a-b", -2_000_000_000, 1),
        ("a.b", 0, 0),
        ("to-file", 1_000_000_000, 987_654_321),
        ("sparse", 5_000_000_000, 0),
        ("big", 1_600_000_000, 123_456_789),
        ("a/y", 42, 42),
        ("a", 1, 1),
        ("empty", 1_234_567_890, 999_999_999),
        ("", 1_111_111_111, 111_111_111),
    ];
    for (name, secs, nanos) in times {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: secs, tv_nsec: nanos },
        };
        let path = if name.is_empty() { root.to_owned() } else { root.join(name) };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

fn give(root: &Path, name: &str, owners: &[(&str, u32, u32)]) {
    for (_, uid, gid) in owners.iter().filter(|(owned, ..)| *owned == name) {
        let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
        rustix::fs::chownat(CWD, root.join(name), uid, gid, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// Bytes that do not compress, the same every time.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

/// A path of raw bytes.
pub(crate) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes.to_vec()))
}
