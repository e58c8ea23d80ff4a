//! Trees that change, vanish or close themselves while they are read.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nxs_backup::archive::{TarError, UnpackError};

use crate::support::archive::{Bed, Done, Plain, restore, stock_extract};
use crate::support::tree;

/// Packs a tree whose first file is large enough that `change` is called while it is read, with
/// every other name listed and asked about.
fn pack_while(bed: &Bed, change: impl FnOnce()) -> Done {
    fs::write(bed.path("in/0-large"), tree::noise(LARGE)).unwrap();
    let mut change = Some(change);
    let done = Plain::new(&bed.path("in")).stored_as("/in").try_pack(&mut |_| {
        if let Some(change) = change.take() {
            change();
        }
    });
    let done = done.unwrap();
    let unpacked = restore(&done.tar, &bed.path("ours")).unwrap();
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    assert!(stock_extract(&done.tar, &bed.path("stock"), "C").status.success());
    tree::assert_same(&tree::read(&bed.path("stock/in")), &tree::read(&bed.path("ours/in")));
    done
}

fn bed(names: &[impl AsRef<str>]) -> Bed {
    let bed = Bed::new();
    for name in names {
        let name = name.as_ref();
        fs::create_dir_all(bed.path(name).parent().unwrap()).unwrap();
        fs::write(bed.path(name), b"as it was").unwrap();
    }
    bed
}

const LARGE: usize = 40 << 20;

#[test]
fn what_changes_between_the_look_and_the_reading_is_stored_as_it_is_then() {
    let names = ["grow", "shrink", "same-size", "to-link", "to-fifo", "to-folder", "gone"];
    let bed = bed(&names.map(|name| format!("in/{name}")));
    let done = pack_while(&bed, || {
        fs::write(bed.path("in/grow"), tree::noise(100_000)).unwrap();
        fs::write(bed.path("in/shrink"), b"").unwrap();
        fs::write(bed.path("in/same-size"), b"AS IT WAS").unwrap();
        for name in ["to-link", "to-fifo", "to-folder", "gone"] {
            fs::remove_file(bed.path("in").join(name)).unwrap();
        }
        fs::create_dir(bed.path("in/to-folder")).unwrap();
        symlink("/etc/passwd", bed.path("in/to-link")).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, bed.path("in/to-fifo"), kind, mode, 0).unwrap();
    });
    assert_eq!(fs::read(bed.path("ours/in/grow")).unwrap(), tree::noise(100_000));
    assert_eq!(fs::read(bed.path("ours/in/shrink")).unwrap(), b"");
    assert_eq!(fs::read(bed.path("ours/in/same-size")).unwrap(), b"AS IT WAS");
    assert!(bed.path("ours/in/to-link").is_symlink());
    assert!(!bed.path("ours/in/gone").exists());
    assert_eq!(done.warnings.vanished.first, ["/in/gone: is gone"]);
    assert!(!bed.path("ours/in/to-folder").exists());
    assert_eq!(done.warnings.changed.count, 3, "{:?}", done.warnings.changed);
    assert!(!done.warnings.is_partial());
}

#[test]
fn a_folder_that_becomes_a_link_is_not_followed() {
    let bed = bed(&["in/folder/x", "secret/key"]);
    let done = pack_while(&bed, || {
        fs::rename(bed.path("in/folder"), bed.path("elsewhere")).unwrap();
        symlink(bed.path("secret"), bed.path("in/folder")).unwrap();
    });
    let text = String::from_utf8_lossy(&done.tar[LARGE..]).into_owned();
    assert!(!text.contains("folder/key"));
}

#[test]
fn a_large_file_that_changes_while_it_is_read_is_stored_again() {
    for (name, length) in [("grown", LARGE + 5000), ("shrunken", LARGE - (1 << 20)), ("tiny", 3)] {
        let bed = bed(&["in/other"]);
        let done = pack_while(&bed, || {
            let file = OpenOptions::new().write(true).open(bed.path("in/0-large")).unwrap();
            file.set_len(length as u64).unwrap();
            file.write_all_at(b"new", 0).unwrap();
        });
        assert!(done.warnings.is_empty(), "{name}: {:?}", done.warnings);
        assert_eq!(done.files, 3);
        assert!(done.tar.len() > LARGE + length, "{name}: there is no second copy");
        let (now, ours) = (bed.path("in/0-large"), bed.path("ours/in/0-large"));
        assert!(fs::read(now).unwrap() == fs::read(ours).unwrap(), "{name} came back otherwise");
    }
}

#[test]
fn a_large_file_that_never_rests_is_stored_and_noted() {
    let bed = bed(&["in/other"]);
    let file = File::create(bed.path("in/0-large")).unwrap();
    file.set_len(0).unwrap();
    (&file).write_all(&tree::noise(LARGE)).unwrap();
    let done = Plain::new(&bed.path("in")).stored_as("/in");
    let done = done.try_pack(&mut |_| (&file).write_all(b"more").unwrap()).unwrap();
    assert_eq!(done.warnings.changed.first, ["/in/0-large: changed while it was read"]);
    assert!(restore(&done.tar, &bed.path("ours")).unwrap().failed.is_empty());
}

#[test]
fn a_root_that_is_deleted_while_it_is_read_breaks_the_stream() {
    let bed = bed(&["in/x"]);
    fs::write(bed.path("in/0-large"), tree::noise(LARGE)).unwrap();
    let error = Plain::new(&bed.path("in")).try_pack(&mut |_| {
        fs::remove_dir_all(bed.path("in")).ok();
    });
    let error = error.err().unwrap();
    assert!(error.contains("was deleted while it was read"), "{error}");
}

#[test]
fn a_tree_that_others_write_to_all_the_time_gives_a_good_archive() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("in")).unwrap();
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for thread in 0..2_usize {
            let (bed, busy) = (&bed, &busy);
            scope.spawn(move || {
                let mut step = thread;
                while busy.load(Ordering::Relaxed) {
                    step += 7;
                    disturb(&bed.path("in"), step);
                }
            });
        }
        let _rest = Rest(&busy);
        for round in 0..15 {
            let done = Plain::new(&bed.path("in")).stored_as("/in").pack();
            assert!(!done.warnings.is_partial(), "{:?}", done.warnings);
            match restore(&done.tar, &bed.path(&format!("out{round}"))) {
                Ok(unpacked) => assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed),
                Err(UnpackError::Tar(TarError::Damaged { at, what })) => panic!("{what} at {at}"),
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// Ends the disturbance, also when the test fails.
struct Rest<'a>(&'a AtomicBool);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Does one of many things to a tree that somebody else changes, too.
fn disturb(root: &Path, step: usize) {
    let folder = root.join(format!("f{}", step % 5));
    let file = folder.join(format!("x{}", step % 11));
    match step % 13 {
        0 => drop(fs::remove_dir_all(&folder)),
        1 => drop(fs::remove_file(&file)),
        2 => drop(fs::rename(&folder, root.join(format!("f{}", (step + 1) % 5)))),
        3 => drop(symlink("nowhere", &file)),
        4 => drop(fs::create_dir_all(&file)),
        5 => drop(fs::hard_link(&file, folder.join("link"))),
        _ => {
            fs::create_dir_all(&folder).ok();
            fs::write(&file, vec![b'x'; step * 97 % 20_000]).ok();
        }
    }
}

#[test]
fn what_may_not_be_read_makes_the_copy_partial() {
    if tree::is_root() && std::env::var_os(CHILD).is_none() {
        return as_nobody("what_may_not_be_read_makes_the_copy_partial");
    }
    let bed = bed(&["in/closed/x", "in/secret", "in/open", "in/blind/x"]);
    fs::set_permissions(bed.path("in/secret"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(bed.path("in/closed"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(bed.path("in/blind"), Permissions::from_mode(0o444)).unwrap();
    let done = Plain::new(&bed.path("in")).stored_as("/in").pack();
    let reason = "Permission denied (os error 13)";
    let names = ["blind/x", "closed", "secret"].map(|name| format!("/in/{name}: {reason}"));
    assert_eq!(done.warnings.unreadable.first, names);
    assert!(done.warnings.is_partial());
    restore(&done.tar, &bed.path("out")).unwrap();
    assert_eq!(fs::read(bed.path("out/in/open")).unwrap(), b"as it was");
    assert!(bed.path("out/in/closed").symlink_metadata().unwrap().is_dir());

    let error = Plain::new(&bed.path("in/closed")).try_pack(&mut |_| {}).err().unwrap();
    assert!(error.contains("in/closed: could not be read: Permission denied"), "{error}");
}

#[test]
fn who_is_not_root_keeps_what_is_restored() {
    if tree::is_root() && std::env::var_os(CHILD).is_none() {
        return as_nobody("who_is_not_root_keeps_what_is_restored");
    }
    let bed = Bed::new();
    let tar = stock_archive_of_root(&bed);
    let unpacked = restore(&tar, &bed.path("out")).unwrap();
    assert!(unpacked.failed.is_empty(), "{:?}", unpacked.failed);
    let meta = fs::metadata(bed.path("out/file")).unwrap();
    // Not root's any more: a set-id bit would hand out our own rights instead.
    assert_eq!(meta.permissions().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(bed.path("out/file")).unwrap(), b"data");
}

/// An archive with a set-uid file of root's, whoever we are.
fn stock_archive_of_root(bed: &Bed) -> Vec<u8> {
    fs::write(bed.path("file"), b"data").unwrap();
    fs::set_permissions(bed.path("file"), Permissions::from_mode(0o4755)).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-c", "--owner=0", "--group=0", "-C"]).arg(bed.path("")).arg("file");
    tar.output().unwrap().stdout
}

/// Runs a test of this file again as a user without rights.
fn as_nobody(test: &str) {
    let bed = Bed::new();
    let program = bed.path("tests");
    fs::set_permissions(bed.path(""), Permissions::from_mode(0o755)).unwrap();
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::create_dir(bed.path("tmp")).unwrap();
    fs::set_permissions(bed.path("tmp"), Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    command.arg("--exact").arg(format!("jobs::archive_changes::{test}"));
    command.current_dir("/").env(CHILD, "1").env("TMPDIR", bed.path("tmp"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

const CHILD: &str = "NXS_TEST_AS_NOBODY";
