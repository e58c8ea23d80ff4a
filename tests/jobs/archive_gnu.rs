//! Archives that GNU tar made, in all its forms: ours must give what its own restore gives.

use std::fs;

use crate::support::archive::{Bed, restore, stock_create, stock_extract};
use crate::support::tree;

#[test]
fn archives_of_gnu_tar_come_back_as_by_gnu_tar() {
    let bed = Bed::new();
    tree::plant(&bed.path("in/tree"));
    let forms: [&[&str]; 7] = [
        &["--format=posix"],
        &["--format=posix", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=gnu", "--no-xattrs", "--no-acls"],
        &["--format=gnu", "--no-xattrs", "--no-acls", "--sparse"],
        &["--format=posix", "--sort=name", "--hard-dereference"],
    ];
    for (number, form) in forms.into_iter().enumerate() {
        let tar = stock_create(&bed.path("in"), "tree", form);
        let (ours, stock) =
            (bed.path(&format!("ours{number}")), bed.path(&format!("stock{number}")));
        let unpacked = restore(&tar, &ours).unwrap();
        assert!(unpacked.failed.is_empty(), "{form:?}: {:?}", unpacked.failed);
        assert!(unpacked.warnings.is_empty(), "{form:?}: {:?}", unpacked.warnings);
        let output = stock_extract(&tar, &stock, "C");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let wanted = tree::read(&stock.join("tree"));
        tree::assert_same(&wanted, &tree::read(&ours.join("tree")));
    }
}

#[test]
fn old_archives_come_back_too() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("in/tree/folder")).unwrap();
    fs::write(bed.path("in/tree/folder/file"), b"data").unwrap();
    std::os::unix::fs::symlink("folder/file", bed.path("in/tree/link")).unwrap();
    for form in ["v7", "ustar", "oldgnu"] {
        let format = format!("--format={form}");
        let options = [format.as_str(), "--no-xattrs", "--no-acls"];
        let tar = stock_create(&bed.path("in"), "tree", &options);
        let (ours, stock) = (bed.path(&format!("{form}-ours")), bed.path(&format!("{form}-stock")));
        assert!(restore(&tar, &ours).unwrap().failed.is_empty());
        assert!(stock_extract(&tar, &stock, "C").status.success());
        tree::assert_same(&tree::read(&stock.join("tree")), &tree::read(&ours.join("tree")));
    }
}
