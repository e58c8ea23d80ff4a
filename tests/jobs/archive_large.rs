//! Files over 8 GiB: their sizes and offsets fit no field of an old header.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::cli::{config, job, local};
use crate::support::archive::{Bed, Plain, restore, stock_extract};
use crate::support::bed::Bed as Command;
use crate::support::world::sh;

const GIB: u64 = 1 << 30;
/// So large that its zeros are not hashed, which would take a while.
const SIZE: u64 = 17 * GIB + 77;
const ISLANDS: [u64; 4] = [0, 5 * GIB, 8 * GIB + 12_345, SIZE - 7];

fn check(path: &Path) {
    let (file, meta) = (File::open(path).unwrap(), path.metadata().unwrap());
    assert_eq!(meta.len(), SIZE);
    assert!(meta.blocks() < 4096, "{} blocks: its holes were filled", meta.blocks());
    for island in ISLANDS {
        let mut data = [0; 7];
        file.read_exact_at(&mut data, island).unwrap();
        assert_eq!(&data, b"island\n", "at {island}");
    }
}

#[test]
fn a_sparse_file_over_eight_gib_comes_back_with_its_holes() {
    let bed = Bed::new();
    std::fs::create_dir(bed.path("in")).unwrap();
    let file = File::create(bed.path("in/large")).unwrap();
    file.set_len(SIZE).unwrap();
    ISLANDS.iter().for_each(|island| file.write_all_at(b"island\n", *island).unwrap());
    let done = Plain::new(&bed.path("in")).stored_as("/in").pack();
    assert!(done.warnings.is_empty() && done.tar.len() < 1 << 20, "{:?}", done.warnings);
    restore(&done.tar, &bed.path("ours")).unwrap();
    check(&bed.path("ours/in/large"));
    let output = stock_extract(&done.tar, &bed.path("stock"), "C");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&bed.path("stock/in/large"));
}

#[test]
#[ignore = "takes minutes and 9 GiB of the disk for temporary files"]
fn a_dense_file_over_eight_gib_comes_back_and_so_does_what_lies_behind_it() {
    let jobs = [job("large", "$DIR/www", &[local("store", "days: 3")])];
    let bed = Command::new().config(&config(&jobs));
    // No bed is as patient as this takes.
    let run = |args: &[&str]| assert!(bed.command(args).status().unwrap().success(), "{args:?}");
    // Allocated and never written: it has no holes and reads as zeros.
    sh(&bed, "mkdir www; fallocate -l 9G www/large; printf end >> www/large; echo last > www/zz");
    run(&["start"]);
    sh(&bed, "zstd -dc store/www/daily/*.tar.zst | tar -tv | grep -q ' 9663676419 .*large'");
    run(&["restore", "--to", "part", "--strip", "--path", "**/zz"]);
    assert_eq!(sh(&bed, "cat part/zz"), "last\n");
    run(&["restore", "--to", "out", "--strip", "--path", "**/large"]);
    sh(&bed, "cmp www/large out/large");
}
