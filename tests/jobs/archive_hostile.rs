//! Archives that somebody forged, cut or damaged, and targets that somebody prepared.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use nxs_backup::archive::{TarError, UnpackError, unpack};

use crate::support::archive::{Bed, Plain, options, restore, stock_extract};
use crate::support::tree;

/// A member with whatever path and link, as no honest writer makes them.
fn member(path: &[u8], kind: u8, link: &[u8], data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let block = header.as_ustar_mut().unwrap();
    block.name[..path.len()].copy_from_slice(path);
    block.linkname[..link.len()].copy_from_slice(link);
    block.typeflag = [kind];
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn ended(members: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = members.concat();
    tar.extend_from_slice(&[0; 1024]);
    tar
}

/// A record of a PAX header.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
    format!("{length} {key}={value}\n")
}

/// Everything outside of the target must be as it was.
fn attack(members: &[Vec<u8>]) -> (Bed, nxs_backup::archive::Unpacked) {
    let bed = Bed::new();
    fs::create_dir(bed.path("outside")).unwrap();
    fs::write(bed.path("outside/secret"), b"secret").unwrap();
    let outside = tree::read(&bed.path("outside"));
    let unpacked = restore(&ended(members), &bed.path("out")).unwrap();
    tree::assert_same(&outside, &tree::read(&bed.path("outside")));
    let names: Vec<_> =
        fs::read_dir(bed.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "something was made beside the target: {names:?}");
    (bed, unpacked)
}

#[test]
fn paths_with_dots_are_refused_and_slashes_before_them_mean_nothing() {
    let (bed, unpacked) = attack(&[
        member(b"../evil", b'0', b"", b"x"),
        member(b"a/../../evil", b'0', b"", b"x"),
        member(b"..", b'5', b"", b""),
        member(b"/absolute/file", b'0', b"", b"fine"),
    ]);
    assert_eq!(unpacked.failed.count, 3);
    assert!(unpacked.failed.first[0].contains("could lead out"), "{:?}", unpacked.failed);
    assert_eq!(fs::read(bed.path("out/absolute/file")).unwrap(), b"fine");
}

#[test]
fn nothing_is_written_through_a_link_of_the_archive() {
    let (bed, unpacked) = attack(&[
        member(b"way", b'2', b"../outside", b""),
        member(b"way/evil", b'0', b"", b"x"),
        member(b"way/deep/evil", b'0', b"", b"x"),
        member(b"file", b'2', b"../outside/secret", b""),
        member(b"file", b'0', b"", b"a file of its own"),
        member(b"folder", b'2', b"../outside", b""),
        member(b"folder/", b'5', b"", b""),
        member(b"folder/inside", b'0', b"", b"x"),
    ]);
    assert_eq!(unpacked.failed.count, 2, "{:?}", unpacked.failed);
    assert!(unpacked.failed.first[0].contains("stands where a folder must be"));
    assert_eq!(fs::read(bed.path("out/file")).unwrap(), b"a file of its own");
    assert!(bed.path("out/folder").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read_link(bed.path("out/way")).unwrap(), Path::new("../outside"));
}

#[test]
fn hard_links_lead_nowhere_but_into_the_target() {
    let (bed, unpacked) = attack(&[
        member(b"h1", b'1', b"../outside/secret", b""),
        member(b"h2", b'1', b"/etc/hostname", b""),
        member(b"way", b'2', b"../outside", b""),
        member(b"h3", b'1', b"way/secret", b""),
        member(b"real", b'0', b"", b"x"),
        member(b"h4", b'1', b"/real", b""),
        member(b"l", b'2', b"../outside/secret", b""),
        member(b"h5", b'1', b"l", b""),
    ]);
    assert_eq!(unpacked.failed.count, 3, "{:?}", unpacked.failed);
    assert_eq!(fs::read(bed.path("out/h4")).unwrap(), b"x");
    assert!(bed.path("out/h5").is_symlink());
}

#[test]
fn a_link_that_was_planted_in_the_target_is_not_followed() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("out")).unwrap();
    fs::create_dir_all(bed.path("outside")).unwrap();
    symlink("../outside", bed.path("out/etc")).unwrap();
    let tar = ended(&[member(b"etc/passwd", b'0', b"", b"x")]);
    let mut options = options();
    options.overwrite = true;
    let unpacked = unpack(tar.as_slice(), &bed.path("out"), &options).unwrap();
    assert_eq!(unpacked.failed.count, 1);
    assert_eq!(fs::read_dir(bed.path("outside")).unwrap().count(), 0);
}

#[test]
fn what_is_there_stays_unless_it_may_be_replaced() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("out")).unwrap();
    fs::write(bed.path("out/file"), b"mine").unwrap();
    let tar = ended(&[member(b"file", b'0', b"", b"new"), member(b"more", b'0', b"", b"x")]);
    let unpacked = restore(&tar, &bed.path("out")).unwrap();
    assert_eq!((unpacked.failed.count, unpacked.files), (1, 1));
    assert_eq!(fs::read(bed.path("out/file")).unwrap(), b"mine");
    let mut options = options();
    options.overwrite = true;
    assert!(unpack(tar.as_slice(), &bed.path("out"), &options).unwrap().failed.is_empty());
    assert_eq!(fs::read(bed.path("out/file")).unwrap(), b"new");
}

#[test]
fn a_later_member_of_the_same_name_wins_as_with_tar() {
    let bed = Bed::new();
    let tar = ended(&[
        member(b"f", b'0', b"", b"first"),
        member(b"g", b'0', b"", b"between"),
        member(b"f", b'0', b"", b"second"),
    ]);
    restore(&tar, &bed.path("out")).unwrap();
    stock_extract(&tar, &bed.path("stock"), "C");
    assert_eq!(fs::read(bed.path("out/f")).unwrap(), b"second");
    assert_eq!(fs::read(bed.path("stock/f")).unwrap(), b"second");
}

#[test]
fn an_archive_cut_at_any_block_is_an_error() {
    let bed = Bed::new();
    fs::create_dir_all(bed.path("in/folder")).unwrap();
    fs::write(bed.path("in/folder/file"), tree::noise(1500)).unwrap();
    fs::write(bed.path("in/folder").join("n".repeat(200)), b"long").unwrap();
    fs::File::create(bed.path("in/sparse")).unwrap().set_len(1 << 20).unwrap();
    let tar = Plain::new(&bed.path("in")).stored_as("/in").pack().tar;
    let blocks = tar.len() / 512;
    assert!(blocks > 12);
    for block in 0..blocks {
        for extra in [0, 100] {
            let cut = &tar[..block * 512 + extra];
            match restore(cut, &bed.path(&format!("out{block}-{extra}"))) {
                Err(UnpackError::Tar(TarError::Cut(_))) => {}
                other => panic!("cut at block {block} of {blocks} + {extra}: {other:?}"),
            }
        }
    }
    assert!(restore(&tar, &bed.path("whole")).is_ok());
    // Whatever fills the last record of a tape, or follows, is nothing to us.
    let padded = [tar.as_slice(), &[0; 9 * 1024], b"anything"].concat();
    assert!(restore(&padded, &bed.path("padded")).is_ok());
}

#[test]
fn a_flipped_bit_in_a_header_is_an_error() {
    let bed = Bed::new();
    let tar = ended(&[member(b"file", b'0', b"", b"data")]);
    for at in 0..512 {
        let mut bad = tar.clone();
        bad[at] ^= 1;
        match restore(&bad, &bed.path(&format!("out{at}"))) {
            Err(UnpackError::Tar(TarError::Damaged { at: 0, .. })) => {}
            // Spaces and NULs around a number are alike.
            Ok(_) if (148..156).contains(&at) => {}
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn maps_and_sizes_that_lie_are_refused_without_harm() {
    let sparse = |records: &[(&str, &str)], data: &[u8]| {
        let records: String = records.iter().map(|(key, value)| record(key, value)).collect();
        let before = member(b"x", b'x', b"", records.as_bytes());
        ended(&[before, member(b"file", b'0', b"", data)])
    };
    let block = |text: &str| {
        let mut block = text.as_bytes().to_vec();
        block.resize(512, 0);
        block
    };
    let new = ("GNU.sparse.major", "1");
    let size = ("GNU.sparse.realsize", "1000");
    let cases = [
        sparse(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,600")], &[1; 600]),
        sparse(&[("GNU.sparse.size", "1000"), ("GNU.sparse.map", "0,300,200,300")], &[1; 600]),
        sparse(&[("GNU.sparse.size", "1000"), ("GNU.sparse.map", "0,500")], &[1; 600]),
        sparse(&[("GNU.sparse.numbytes", "5")], b"12345"),
        sparse(&[new, size], &block("99999999999999999999\n")),
        sparse(&[new, size], &block("100000000000\n0\n1\n")),
        sparse(&[new, size], &block("1\n18446744073709551615\n5\n")),
        sparse(&[new, size], &block("1\n0\n")),
        sparse(&[new, size], &block("one\n")),
        sparse(&[("size", "-5")], b"12345"),
        sparse(&[("mtime", "yesterday")], b"12345"),
        ended(&[member(b"x", b'x', b"", b"99 path=x\n")]),
        ended(&[member(b"disk 2", b'M', b"", b"")]),
        b"this is no archive at all, but longer than a block".repeat(20),
    ];
    for (number, tar) in cases.iter().enumerate() {
        let bed = Bed::new();
        match restore(tar, &bed.path("out")) {
            Err(UnpackError::Tar(TarError::Damaged { .. })) => {}
            other => panic!("case {number}: {other:?}"),
        }
    }
    // A header that promises a terabyte of names costs no memory.
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    let error = restore(header.as_bytes(), &Bed::new().path("out")).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn the_path_above_is_stripped() {
    let bed = Bed::new();
    for file in ["in/a/x", "in/a/y", "in/b/x"] {
        fs::create_dir_all(bed.path(file).parent().unwrap()).unwrap();
        fs::write(bed.path(file), file).unwrap();
    }
    let tar = Plain::new(&bed.path("in")).stored_as("/srv/in").pack().tar;
    let mut options = options();
    options.strip = Some(b"srv/in".to_vec());
    unpack(tar.as_slice(), &bed.path("out"), &options).unwrap();
    let names: Vec<_> = tree::read(&bed.path("out")).into_keys().collect();
    assert_eq!(names, ["", "a", "a/x", "a/y", "b", "b/x"].map(std::path::PathBuf::from));
}
