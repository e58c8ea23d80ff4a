//! Tools that do what stock ones seldom do. Needs no server.

use crate::cli::{config, local};
use crate::support::bed::Bed;
use crate::support::world::{Disk, fails};

/// A job whose mongodump is a script. It lists a collection `shop.a` as the stock tool would, and
/// then does what `dumps` says.
fn bed(more: &str, dumps: &str) -> Bed {
    let storage = local("store", "days: 1");
    let source = "{connect: {user: u, password: hush}, target_dbs: [shop]}";
    let text = format!(
        "- {{job: docs, type: mongodb, compress: zstd, tmp_dir: $DIR/tmp, {more} \
         sources: [{source}], storages: [{storage}]}}\n"
    );
    let script =
        format!("case \"$*\" in *--collection=*) {dumps};; *) cat $DIR/whole; sleep 60;; esac");
    let bed = Bed::new().config(&config(&[text]));
    let script = script.replace("$DIR", bed.path("").to_str().unwrap().trim_end_matches('/'));
    let bed = bed.stub("mongodump", &script);
    std::fs::write(bed.path("whole"), archive()).unwrap();
    bed
}

/// An archive of one collection with one document.
fn archive() -> Vec<u8> {
    use bson::{doc, serialize_to_vec};
    let raw = |document: bson::Document| serialize_to_vec(&document).unwrap();
    let row = raw(doc! {"_id": 1, "text": "x".repeat(1000)});
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Xz);
    digest.update(&row);
    let end = vec![0xff; 4];
    let block =
        |eof: bool, crc: i64| raw(doc! {"db": "shop", "collection": "a", "EOF": eof, "CRC": crc});
    [
        vec![0x6d, 0xe2, 0x99, 0x81],
        raw(doc! {"concurrent_collections": 4, "version": "0.1", "server_version": "7.0", "tool_version": "100.9"}),
        raw(doc! {"db": "shop", "collection": "a", "metadata": "{}", "size": 0, "type": "collection"}),
        end.clone(),
        block(false, 0),
        row,
        end.clone(),
        block(true, digest.finalize().cast_signed()),
        end,
    ]
    .concat()
}

#[test]
fn a_tool_that_writes_a_whole_archive_makes_a_copy() {
    let bed = bed("", "cat $DIR/whole");
    bed.run(["start"]).noisy();
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"][0]["target"], "shop.a");
}

#[test]
fn a_tool_that_writes_half_nothing_or_nonsense_and_exits_0_makes_none() {
    let bed_of = |dumps: &str| bed("", dumps);
    fails(&bed_of("head -c 600 $DIR/whole"), "the dump is cut");
    fails(&bed_of("head -c -4 $DIR/whole"), "the dump is cut");
    fails(&bed_of("true"), "the dump is cut: it ends after 0 bytes");
    fails(&bed_of("echo hello world"), "is no archive of mongodump");
    fails(&bed_of("sed s/xxxxxx/xxxyxx/ $DIR/whole"), "its CRC differs");
}

#[test]
fn a_tool_that_fails_or_is_killed_is_quoted() {
    let bed_of = |dumps: &str| bed("", dumps);
    fails(&bed_of("cat $DIR/whole; echo 'Failed: lost it' >&2; exit 1"), "Failed: lost it");
    fails(&bed_of("head -c 600 $DIR/whole; kill -9 $$"), "signal: 9");
}

#[test]
fn a_tool_that_is_missing_is_named_with_its_package() {
    let bed = bed("", "true").env("PATH", "/nowhere");
    bed.run(["check"]).noisy().code();
    fails(&bed, "the program mongodump is missing: install the package mongodb-database-tools");
}

#[test]
fn the_password_lies_in_a_file_that_is_gone_afterwards() {
    let look = "for word; do case $word in --config=*) cp -a ${word#--config=} $DIR/seen; \
                ls -ld $(dirname ${word#--config=}) >$DIR/folder;; esac; done; cat $DIR/whole";
    let bed = bed("", look);
    bed.run(["start"]).noisy();
    assert_eq!(std::fs::read_to_string(bed.path("seen")).unwrap(), "password: \"hush\"\n");
    let mode = std::fs::metadata(bed.path("seen")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    assert!(std::fs::read_to_string(bed.path("folder")).unwrap().starts_with("drwx------"));
    assert_eq!(bed.files("tmp"), [""; 0]);
}

#[test]
fn a_full_disk_for_the_spool_is_told() {
    let bed = bed("spool: yes,", "head -c 3000000 /dev/urandom");
    let Some(_disk) = Disk::mount(&bed, "tmp", "1m") else { return };
    // Noise is no archive, which is found first; a disk that is full before it is told as such.
    bed.run(["start"]).exit(1).noisy();
    assert!(!bed.files("store").iter().any(|name| name.contains(".mongodump")));
}
