//! What is asked for, what the keys forbid, and archives that are cut anywhere.

use bson::{Document, doc, serialize_to_vec};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use super::archive::Archive;
use super::list::{is_internal, is_wanted};
use super::*;
use crate::sources::form::Form;

fn raw(document: &Document) -> Vec<u8> {
    serialize_to_vec(document).unwrap()
}

const END: [u8; 4] = [0xff; 4];

/// Two collections, whose documents come in turn, and a view.
fn archive() -> Vec<u8> {
    let docs: Vec<_> = (0..3).map(|n| raw(&doc! {"_id": n, "text": "x".repeat(20)})).collect();
    let mut out = vec![0x6d, 0xe2, 0x99, 0x81];
    let head = doc! {"concurrent_collections": 4, "version": "0.1", "server_version": "6.0.0", "tool_version": "100.7.0"};
    out.extend(raw(&head));
    for (name, kind) in [("a", "collection"), ("b", "collection"), ("v", "view")] {
        out.extend(raw(
            &doc! {"db": "shop", "collection": name, "metadata": "{}", "size": 0, "type": kind},
        ));
    }
    out.extend(END);
    let mut block = |name: &str, docs: &[Vec<u8>], crc: Option<i64>| {
        out.extend(raw(
            &doc! {"db": "shop", "collection": name, "EOF": crc.is_some(), "CRC": crc.unwrap_or(0)},
        ));
        out.extend(docs.concat());
        out.extend(END);
    };
    let sum = |docs: &[Vec<u8>]| {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Xz);
        digest.update(&docs.concat());
        digest.finalize().cast_signed()
    };
    block("a", &docs[..1], None);
    block("b", &docs[..2], None);
    block("a", &docs[1..], None);
    block("b", &[], Some(sum(&docs[..2])));
    block("a", &[], Some(sum(&docs)));
    out
}

fn judged(bytes: &[u8], step: usize) -> std::result::Result<DumpFacts, String> {
    let (mut form, mut facts) = (Archive::new(), DumpFacts::default());
    for chunk in bytes.chunks(step) {
        assert_eq!(form.pass(Bytes::copy_from_slice(chunk))?, chunk);
    }
    form.end(&mut facts)?;
    assert_eq!(form.databases().into_iter().collect::<Vec<_>>(), ["shop"]);
    Ok(facts)
}

#[test]
fn a_whole_archive_is_good_in_chunks_of_any_size() {
    let whole = archive();
    for step in [1, 2, 3, 4, 5, 7, 64, whole.len()] {
        let facts = judged(&whole, step).unwrap();
        assert_eq!(facts.server_version.as_deref(), Some("MongoDB 6.0.0"));
        assert_eq!(facts.tools["mongodump"], "100.7.0");
    }
}

#[test]
fn an_archive_that_ends_anywhere_else_is_refused() {
    let whole = archive();
    for length in 0..whole.len() {
        assert!(judged(&whole[..length], 16).is_err(), "{length}");
    }
}

#[test]
fn a_changed_document_is_found_by_its_checksum() {
    let mut bad = archive();
    let at = bad.windows(5).position(|window| window == b"xxxxx").unwrap();
    bad[at] = b'y';
    assert_eq!(judged(&bad, 16).unwrap_err(), "the dump of shop.a is damaged: its CRC differs");
}

#[test]
fn collections_are_named_alone_or_with_their_database() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let config = |targets: &[&str], excludes: &[&str]| Config {
        target_collections: names(targets),
        exclude_collections: names(excludes),
        ..Config::default()
    };
    assert!(is_wanted(&config(&[], &[]), "shop", "a"));
    assert!(is_wanted(&config(&["all"], &["b"]), "shop", "a"));
    assert!(!is_wanted(&config(&["all"], &["a"]), "shop", "a"));
    assert!(!is_wanted(&config(&["all"], &["shop.a"]), "shop", "a"));
    assert!(is_wanted(&config(&["all"], &["shop.a"]), "blog", "a"));
    assert!(is_wanted(&config(&["shop.a.b"], &[]), "shop", "a.b"));
    assert!(!is_wanted(&config(&["shop.a"], &[]), "blog", "a"));
}

#[test]
fn what_a_server_makes_anew_is_no_target() {
    assert!(is_internal("shop", "system.views") && is_internal("shop", "system.buckets.t"));
    assert!(!is_internal("shop", "system.js") && !is_internal("admin", "system.users"));
}

#[test]
fn a_whole_server_takes_no_lists() {
    let config = |by| Config { by, exclude_dbs: vec!["test".to_owned()], ..Config::default() };
    assert_eq!(config(By::Database).problems(), []);
    assert_eq!(config(By::Server).problems()[0].key, "exclude_dbs");
}
