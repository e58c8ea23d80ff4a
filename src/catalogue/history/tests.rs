//! What a survey believes, and what it does not.

use std::time::Instant;

use super::*;
use crate::base::{ArtefactId, Digest};
use crate::catalogue::manifest::tests::sample;
use crate::catalogue::{IndexRef, Segment};
use crate::storages::Memory;
use crate::storages::layers::{Fault, Flaky};

/// A manifest whose artefact has two segments and an index.
fn manifest(first: &str) -> Manifest {
    let first = Key::new(first).unwrap();
    let segment = |key: Key, bytes| Segment { key, bytes, sha256: Digest::new([7; 32]) };
    Manifest {
        id: ArtefactId::from_text(first.as_str()),
        segments: vec![segment(first.clone(), 5), segment(first.with_suffix(".002"), 3)],
        index: Some(IndexRef {
            key: first.with_suffix(".index.zst"),
            bytes: 4,
            sha256: Digest::new([7; 32]),
            last_frame: 0,
        }),
        ..sample()
    }
}

fn stored(shelf: Memory, first: &str) -> Memory {
    shelf
        .with(first, "12345")
        .with(&format!("{first}.002"), "123")
        .with(&format!("{first}.index.zst"), "1234")
        .with(&format!("{first}.manifest.json"), manifest(first).to_json())
}

fn names(objects: &[Object]) -> Vec<&str> {
    objects.iter().map(|object| object.key.as_str()).collect()
}

const FIRST: &str = "site/daily/site_2025-11-21_05-40-00.tar.zst";

#[tokio::test]
async fn everything_is_put_where_it_belongs() {
    let shelf = stored(stored(Memory::default(), FIRST), "db1/daily/db1_2025-11-20_05-40-00.sql")
        .with("site/daily/site_2025-11-21_05-40.tar.gz", "2.x")
        .with("site/daily/notes.txt", "")
        .with(&format!("{FIRST}.003"), "beyond")
        .with("site/daily/site_2025-11-19_05-40-00.tar.zst", "no manifest")
        .with("site/daily/.nxs-partial.x.1", "")
        .with("site/daily/.nxs-partial.x.manifest.json", "")
        .with(MARKER, "{}");
    let survey = survey(&shelf, "").await.unwrap();
    assert_eq!(survey.copies.len(), 2);
    assert!(survey.copies.iter().all(|copy| copy.intact && copy.problem.is_none()));
    let foreign = ["site/daily/notes.txt", "site/daily/site_2025-11-21_05-40.tar.gz"];
    assert_eq!(names(&survey.foreign), [foreign[0], &format!("{FIRST}.003"), foreign[1]]);
    assert_eq!(names(&survey.orphans), ["site/daily/site_2025-11-19_05-40-00.tar.zst"]);
    assert_eq!(survey.partials.len(), 2);
    assert_eq!(survey.damaged, []);
}

#[tokio::test]
async fn a_copy_is_whole_only_as_far_as_the_listing_bears_it_out() {
    for (key, body, problem) in [
        (FIRST.to_owned(), Some("1234"), "has 4 bytes where its manifest says 5"),
        (format!("{FIRST}.002"), None, "is missing"),
        (format!("{FIRST}.index.zst"), Some(""), "has 0 bytes"),
    ] {
        let mut shelf = stored(Memory::default(), FIRST);
        match body {
            Some(body) => shelf = shelf.with(&key, body),
            None => shelf.delete(&Key::new(key.as_str()).unwrap()).await.unwrap(),
        }
        let survey = survey(&shelf, "site/").await.unwrap();
        let copy = &survey.copies[0];
        assert!(!copy.intact && copy.is_well_named());
        let said = copy.problem.as_ref().unwrap();
        assert!(said.contains(problem) && said.contains(&key), "{said}");
        assert_eq!((survey.orphans.len(), survey.foreign.len()), (0, 0));
    }
}

#[tokio::test]
async fn a_copied_or_planted_manifest_owns_nothing() {
    let victim = "db/daily/db_2025-11-20_05-40-00.sql";
    let mut planted = manifest(FIRST);
    planted.segments[1].key = Key::new(victim).unwrap();
    planted.segments[1].bytes = 5;
    let shelf = stored(stored(Memory::default(), victim), FIRST)
        .with(&format!("{FIRST}.manifest.json"), planted.to_json())
        .with("copy/daily/a_2025-11-21_05-40-00.tar.manifest.json", manifest(FIRST).to_json());
    let survey = survey(&shelf, "").await.unwrap();
    let bad: Vec<&Stored> = survey.copies.iter().filter(|copy| !copy.intact).collect();
    assert_eq!(bad.len(), 2);
    assert!(bad.iter().all(|copy| !copy.is_well_named()));
    let said: Vec<&str> = bad.iter().filter_map(|copy| copy.problem.as_deref()).collect();
    assert!(said.iter().any(|said| said.contains("not its own")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("it lies at copy/daily/")), "{said:?}");
}

#[tokio::test]
async fn a_damaged_manifest_is_named_and_protects() {
    for damaged in [&b"{}"[..], b"", b"\xff", &vec![b' '; LARGEST + 1]] {
        let shelf = stored(Memory::default(), FIRST);
        let shelf = shelf.with(&format!("{FIRST}.manifest.json"), damaged.to_vec());
        let survey = survey(&shelf, "").await.unwrap();
        assert_eq!(survey.copies, []);
        assert_eq!(survey.damaged[0].0.as_str(), format!("{FIRST}.manifest.json"));
        assert_eq!((survey.orphans.len(), survey.foreign.len()), (0, 0));
    }
}

#[tokio::test]
async fn a_storage_that_goes_away_is_not_an_empty_storage() {
    for verb in ["list", "get"] {
        let shelf = Flaky::new(stored(Memory::default(), FIRST));
        shelf.fail_each(verb, Some(Fault::Before(Kind::Unavailable)));
        assert!(survey(&shelf, "").await.is_err(), "{verb}");
    }
    let shelf = Flaky::new(stored(Memory::default(), FIRST));
    shelf.fail_each("get", Some(Fault::Before(Kind::Denied)));
    assert_eq!(survey(&shelf, "").await.unwrap().unread.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_breaks_off_is_read_again_before_it_is_reported() {
    let broken = Fault::After(10, Kind::Unavailable);
    let shelf = Flaky::new(stored(Memory::default(), FIRST));
    // The first call is the listing.
    (2..=4).for_each(|number| shelf.fail(number, broken));
    let found = survey(&shelf, "").await.unwrap();
    assert!(found.copies.len() == 1 && found.unread.is_empty(), "{:?}", found.unread);
    assert_eq!(shelf.calls().len(), 5);
    shelf.fail_each("get", Some(broken));
    let found = survey(&shelf, "").await.unwrap();
    assert!(found.copies.is_empty() && found.unread.len() == 1, "{:?}", found.unread);
}

#[tokio::test]
async fn a_name_that_has_anything_is_never_used_again() {
    let names = Names {
        part: vec![b"site".to_vec()],
        base: b"site".to_vec(),
        ext: "tar".into(),
        suffix: ".zst".into(),
        ..Names::default()
    };
    let stamp = civil::datetime(2025, 11, 21, 5, 40, 0, 0);
    let free = |survey: &Survey| survey.free_key(&names, Level::Daily, stamp).name().to_owned();
    assert_eq!(free(&Survey::default()), "site_2025-11-21_05-40-00.tar.zst");
    for left in [
        FIRST.to_owned(),
        format!("{FIRST}.002"),
        format!("{FIRST}.manifest.json"),
        Key::new(format!("{FIRST}.index.zst")).unwrap().partial("7").to_string(),
    ] {
        let survey = survey(&Memory::default().with(&left, ""), "").await.unwrap();
        assert_eq!(free(&survey), "site_2025-11-21_05-40-00-2.tar.zst", "{left}");
    }
    let other = Memory::default().with(&format!("{FIRST}.notes"), "");
    assert_eq!(free(&survey(&other, "").await.unwrap()), "site_2025-11-21_05-40-00.tar.zst");
}

#[test]
fn an_identity_is_server_job_source_and_target_with_their_former_names() {
    let manifest = Manifest { target: "db1".into(), ..sample() };
    let (server, job) = (manifest.server_name.as_str(), manifest.job.as_str());
    let is = |servers: &[&str], jobs: &[&str], source, target| {
        identity_matches(&manifest, servers, jobs, source, target)
    };
    assert!(is(&["new", server], &["renamed", job], None, "db1"));
    assert!(!is(&[server], &[job], None, "db10"));
    assert!(!is(&[server], &[job], Some("main"), "db1"));
    assert!(!is(&["other"], &[job], None, "db1"));
    assert!(!is(&[server], &["other"], None, "db1"));
}

#[tokio::test]
async fn a_thousand_manifests_are_read_at_once() {
    let mut shelf = Memory::default();
    for number in 0..1000 {
        let (day, month) = (number % 28 + 1, number / 28 % 12 + 1);
        let first = format!("site{number}/daily/site_2025-{month:02}-{day:02}_05-40-00.tar.zst");
        shelf = stored(shelf, &first);
    }
    let begun = Instant::now();
    let survey = survey(&shelf, "").await.unwrap();
    assert_eq!(survey.copies.iter().filter(|copy| copy.intact).count(), 1000);
    let took = begun.elapsed();
    assert!(took.as_secs() < 5, "{took:?}");
    println!("1000 manifests: {took:?}");
}
