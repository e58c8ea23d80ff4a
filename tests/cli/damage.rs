//! Artefacts, manifests and indexes that are not what they were: no false success, a clear word,
//! and the other storage where there is one.

use std::fs;
use std::path::PathBuf;

use crate::cli::{config, job, local};
use crate::support::bed::Bed;
use crate::support::world::{sh, skipped};

/// One site of half a megabyte, backed up to these storages.
fn stored_on(names: &[&str]) -> Bed {
    let storages: Vec<_> = names.iter().map(|name| local(name, "days: 3")).collect();
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &storages)]));
    let bed = bed.tree("www", &[("index.php", "<?php")]);
    sh(&bed, "head -c 500000 /dev/urandom > www/noise");
    bed.run(["start"]);
    bed
}

fn object(bed: &Bed, end: &str) -> PathBuf {
    bed.path(&format!("store/www/daily/www_2026-11-21_03-00-00.tar.zst{end}"))
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[track_caller]
fn nothing_trusted_comes_back(bed: &Bed, to: &str) {
    let ran = bed.run(["restore", "--to", to]).exit(1).noisy();
    let said = ran.out().to_owned() + ran.err();
    assert!(said.contains("error") && !said.contains("restored from"), "{said}");
    let ran = bed.run(["verify", "--full"]).exit(1).noisy();
    drop(ran.stdout_has("1 copy looked at, 0 whole, 1 not"));
}

#[test]
fn one_flipped_bit_anywhere_is_found() {
    let bed = stored_on(&["store"]);
    let path = object(&bed, "");
    let whole = fs::read(&path).unwrap();
    let places = [0, 5, 100, whole.len() / 3, whole.len() / 2, whole.len() - 5, whole.len() - 1];
    for at in places {
        flip(&path, at);
        nothing_trusted_comes_back(&bed, &format!("out{at}"));
        bed.run(["restore", "--to", "-"]).exit(1).stderr_has("Do not trust").noisy();
        fs::write(&path, &whole).unwrap();
    }
    bed.run(["verify", "--full"]).stdout("1 copy looked at, 1 whole, 0 not\n");
}

/// Without compression no checksum stands between a flipped bit and a part that is read alone.
#[test]
fn a_flipped_bit_in_a_header_is_found_when_one_file_comes_back() {
    let storages = [local("store", "days: 3"), local("zweit", "days: 3")];
    let plain = job("site", "$DIR/www", &storages).replace("zstd", "none");
    let bed = Bed::new().config(&config(&[plain])).tree("www", &[("page", "<?php"), ("zz", "")]);
    let (name, value) = ("user.origin", b"https://example.org/one".as_slice());
    let set =
        rustix::fs::setxattr(bed.path("www/page"), name, value, rustix::fs::XattrFlags::empty());
    if set.is_err() {
        return skipped("this file system keeps no attributes");
    }
    sh(&bed, "ln www/page www/twin; touch -d '2001-02-03 04:05:06.789Z' www/page");
    bed.run(["start"]);
    let path = bed.path("store/www/daily/www_2026-11-21_03-00-00.tar");
    let whole = fs::read(&path).unwrap();
    let at = |word: &[u8]| whole.windows(word.len()).position(|part| part == word).unwrap();
    let (origin, time) = (at(value), at(b"981173106.789"));
    for (spot, said) in [
        (origin + 20, "one of its attributes is not what the index says"),
        (origin - 8, "one of its attributes is not what the index says"),
        (time + 12, "its time is not what the index says"),
    ] {
        let mut bytes = whole.clone();
        bytes[spot] ^= 1;
        fs::write(&path, bytes).unwrap();
        for name in ["page", "twin"] {
            let part = ["restore", "--strip", "--path", &format!("**/{name}"), "--overwrite"];
            let one = [&part[..], &["--to", "one", "--storage", "store"]].concat();
            drop(bed.run(one).exit(1).stdout_has(said).noisy());
            drop(bed.run([&part[..], &["--to", "two"]].concat()).stderr_has("now from 'zweit'"));
        }
    }
    fs::write(&path, whole).unwrap();
    bed.run(["restore", "--strip", "--path", "**/page", "--to", "out"]);
    let mut kept = [0; 64];
    let length = rustix::fs::getxattr(bed.path("out/page"), name, &mut kept).unwrap();
    assert_eq!(&kept[..length], value);
}

#[test]
fn an_artefact_that_is_cut_short_is_found_without_reading_it() {
    let mut bed = stored_on(&["store"]);
    let path = object(&bed, "");
    let whole = fs::read(&path).unwrap();
    for bytes in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..bytes]).unwrap();
        let ran = bed.run(["verify", "--quick"]).exit(1).noisy();
        drop(ran.stdout_has("1 copy looked at, 0 whole by their sizes"));
        bed.run(["list"]).stdout_has("DAMAGED");
        nothing_trusted_comes_back(&bed, &format!("out{bytes}"));
    }
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]).noisy();
    bed.run(["restore", "--to", "out"]).stdout_has("restored from").noisy();
}

#[test]
fn an_artefact_in_the_place_of_another_of_the_same_size_is_found() {
    let bed = stored_on(&["store"]);
    let path = object(&bed, "");
    let bytes = fs::read(&path).unwrap().len();
    sh(
        &bed,
        &format!(
            "head -c 499000 /dev/zero > z; tar -cf - z | zstd -q > x; head -c {bytes} /dev/urandom > y; \
        (cat x y | head -c {bytes}) > {}",
            path.display()
        ),
    );
    bed.run(["verify", "--quick"]);
    nothing_trusted_comes_back(&bed, "out");
}

#[test]
fn two_artefacts_of_the_same_size_that_changed_places_are_found() {
    let jobs = job("sites", "$DIR/www/*", &[local("store", "days: 3")]).replace("zstd", "none");
    let bed = Bed::new().config(&config(&[jobs]));
    let bed = bed.tree("www", &[("aaaa/page", "first"), ("bbbb/page", "other")]);
    bed.run(["start"]);
    let object =
        |site: &str| bed.path(&format!("store/{site}/daily/{site}_2026-11-21_03-00-00.tar"));
    let (a, b) = (fs::read(object("aaaa")).unwrap(), fs::read(object("bbbb")).unwrap());
    assert_eq!(a.len(), b.len());
    fs::write(object("aaaa"), b).unwrap();
    fs::write(object("bbbb"), a).unwrap();
    bed.run(["verify", "--quick"])
        .stdout("2 copies looked at, 2 whole by their sizes (--full reads every byte), 0 not\n");
    bed.run(["verify", "--full"]).exit(1).stdout_has("2 copies looked at, 0 whole, 2 not").noisy();
    let ran = bed.run(["restore", "--to", "out"]).exit(1).noisy();
    drop(ran.stdout_has("sha256 of the stored bytes does not fit the manifest"));
    let part = ["restore", "--to", "part", "--target", "**/aaaa", "--path", "**/page"];
    let ran = bed.run(part).exit(1).noisy();
    assert!(!ran.out().contains("restored from"), "{}", ran.out());
}

#[test]
fn a_damaged_storage_does_not_hinder_a_restore_from_the_other() {
    let bed = stored_on(&["store", "zweit"]);
    let path = object(&bed, "");
    let whole = fs::read(&path).unwrap();
    flip(&path, whole.len() / 2);
    let ran = bed.run(["restore", "--to", "a"]).noisy();
    let ran =
        ran.stdout_has("restored from 'zweit'").stdout_has("another storage was needed: 'store'");
    drop(ran);
    assert_eq!(sh(&bed, "cmp a/$DIR/www/noise www/noise; diff -r a/$DIR/www www"), "");
    fs::write(&path, &whole[..100]).unwrap();
    bed.run(["restore", "--to", "b"]).stdout_has("restored from 'zweit'").noisy();
    fs::remove_file(&path).unwrap();
    bed.run(["restore", "--to", "c"]).stdout_has("restored from 'zweit'").noisy();
    fs::remove_dir_all(bed.path("store")).unwrap();
    bed.run(["restore", "--to", "d"]).stdout_has("restored from 'zweit'").noisy();
    fs::write(bed.path("store"), "").unwrap();
    bed.run(["restore", "--to", "e"]).exit(3).stdout_has("restored from 'zweit'").noisy();
    let ran = bed.run(["verify", "--full"]).exit(3).noisy();
    drop(ran.stdout_has("1 copy looked at, 1 whole, 0 not"));
}

#[test]
fn a_part_comes_from_the_other_storage_where_one_is_damaged() {
    let bed = stored_on(&["store", "zweit"]);
    let path = object(&bed, "");
    flip(&path, 250_000);
    let part = |to: &str| {
        let ran = bed.run(["restore", "--to", to, "--strip", "--path", "**/noise"]).noisy();
        drop(ran.stdout_has("restored from 'zweit'"));
        assert_eq!(sh(&bed, &format!("cmp {to}/noise www/noise")), "");
    };
    part("a");
    fs::remove_file(object(&bed, ".index.zst")).unwrap();
    part("b");
}

#[test]
fn a_manifest_that_is_damaged_hides_no_other_and_removes_nothing() {
    let mut bed = stored_on(&["store"]);
    let path = object(&bed, ".manifest.json");
    let whole = fs::read(&path).unwrap();
    for bad in [&b""[..], b"{", &whole[..whole.len() / 2], b"null", b"{\"format\": 99}"] {
        fs::write(&path, bad).unwrap();
        let ran = bed.run(["list"]).noisy();
        drop(
            ran.stdout_has("no backups yet")
                .stdout_has("www_2026-11-21_03-00-00.tar.zst.manifest.json"),
        );
        bed.run(["verify"]).exit(1).stdout_has("the manifest").noisy();
        bed.run(["restore", "--to", "out"]).exit(1).noisy();
        bed.run(["prune", "--orphans"]).noisy();
        bed.run(["sweep", "--yes"]).noisy();
    }
    assert!(object(&bed, "").exists() && object(&bed, ".index.zst").exists());
    let ran = bed.now("2026-12-22T03:00:00+00:00[UTC]").run(["start"]).noisy();
    assert!(ran.out().contains("the manifest") || ran.err().contains("the manifest"));
    drop(ran);
    fs::write(&path, whole).unwrap();
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
}

#[test]
fn without_its_manifest_there_is_no_backup() {
    let mut bed = stored_on(&["store"]);
    fs::remove_file(object(&bed, ".manifest.json")).unwrap();
    bed.run(["list"]).stdout_has("no backups yet");
    bed.run(["restore", "--to", "out"]).exit(1).stderr_has("no backup of any job was found");
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
    assert!(object(&bed, "").exists(), "what no journal names is not removed by a run");
}

#[test]
fn a_tree_comes_back_whole_without_its_index() {
    type Harm = fn(&PathBuf);
    let harms: [(&str, Harm); 3] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("cut", |path| fs::write(path, &fs::read(path).unwrap()[..40]).unwrap()),
        ("flipped", |path| {
            let bytes = fs::read(path).unwrap().len();
            for at in [6, bytes / 2, bytes - 6] {
                flip(path, at);
            }
        }),
    ];
    for (word, harm) in harms {
        let bed = stored_on(&["store"]);
        harm(&object(&bed, ".index.zst"));
        let ran = bed.run(["restore", "--to", "out", "--strip"]).noisy();
        drop(ran.stdout_has("restored from 'store'"));
        assert_eq!(sh(&bed, "diff -r out www"), "", "{word}");
        let ran = bed.run(["restore", "--to", "part", "--path", "**/index.php"]).exit(1).noisy();
        assert!((ran.out().to_owned() + ran.err()).contains("index"), "{word}: {}", ran.out());
        drop(ran);
        let ran = bed.run(["verify", "--full"]).exit(1).noisy();
        drop(ran.stdout_has("0 whole, 1 not"));
        bed.run(["find", "*.php"]).exit(1).stdout_has("error: ").noisy();
    }
}

#[test]
fn a_sample_is_a_share() {
    let bed = stored_on(&["store"]);
    let none = "0 copies looked at, 0 whole by their sizes (--full reads every byte), 0 not\n";
    bed.run(["verify", "--sample", "0%"]).stdout(none);
    bed.run(["verify", "--full", "--sample", "100%"]).stdout("1 copy looked at, 1 whole, 0 not\n");
    bed.run(["verify", "--full", "-q"]).stdout("");
    let checked = bed.run(["verify", "--json"]).json();
    assert_eq!(checked["copies"][0]["problem"], serde_json::Value::Null);
}

#[test]
fn nothing_to_verify_is_no_success() {
    let bed = stored_on(&["store"]);
    bed.run(["verify", "databases"]).exit(1).stderr_has("there is no backup to verify").noisy();
    fs::remove_dir_all(bed.path("store")).unwrap();
    bed.run(["verify"]).exit(1).stderr_has("there is no backup to verify").noisy();
}

#[test]
fn a_younger_copy_that_cannot_be_read_is_said_and_the_restore_is_no_full_success() {
    let mut bed = stored_on(&["store"]);
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
    let newest = bed
        .files("store")
        .into_iter()
        .rfind(|name| name.contains("2026-11-22") && name.ends_with(".manifest.json"));
    fs::write(bed.path("store").join(newest.unwrap()), "{}").unwrap();
    let ran = bed.run(["restore", "--to", "out"]).exit(3);
    drop(ran.stderr_has("there may be younger copies").stdout_has("2026-11-21 03:00:00"));
    drop(bed.run(["verify", "--full"]).exit(3).stdout_has("is damaged").noisy());
}
