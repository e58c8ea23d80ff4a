//! Chains over months and over trouble: what a storage missed, what rotation may take, what a
//! restore has to read.

use std::collections::BTreeMap;
use std::fs;

use nxs_backup::base::ArtefactId;
use nxs_backup::catalogue::{IndexRef, Stored, survey};
use nxs_backup::plan::{Increments, Verify as Check};
use nxs_backup::report::Verdict;
use nxs_backup::run::preview;
use nxs_backup::storages::Kind;
use nxs_backup::storages::layers::{Call, Fault};

use crate::jobs::chains::{CALENDAR, Site, levels, warnings};
use crate::support::rehearsal::failures;
use crate::support::tree::{self, Tree};

/// What a storage has lost: its words, and the keys.
type Harm = (&'static str, fn(&str) -> bool);

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_was_away_on_the_day_of_the_full_copy_is_filled_with_it() {
    let site = Site::new(&["near", "far"], CALENDAR);
    site.good_day("2026-12-30").await;
    site.stage.store("far").fail_always(Some(Fault::Before(Kind::Unavailable)));
    assert_eq!(site.day("2027-01-01").await.verdict(), Verdict::Partly);
    site.stage.store("far").reset();
    site.stage.on("2027-01-02");
    let foreseen = preview(site.stage.plan().jobs[0].as_job().unwrap(), &site.stage.env()).await;
    for place in &foreseen.targets[0].places {
        assert!(place.new.as_ref().unwrap().builds_on.is_some(), "{place:?}");
        let said = place.warnings.join("\n");
        assert_eq!(said.contains("would be copied from 'near'"), place.place == "far", "{said}");
    }
    let report = site.good_day("2027-01-02").await;
    assert!(warnings(&report).contains("copied from 'near'"), "{}", warnings(&report));
    for store in ["near", "far"] {
        assert_eq!(site.said(store).await, ["12-30 year", "01-01 year", "01-02 day<year"]);
        site.comes_back(store).await;
        assert!(site.stage.litter(store).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_lost_a_link_gets_it_back_from_another() {
    let harms: [Harm; 5] = [
        ("the archive", |key| key.contains("/L1_") && key.ends_with(".tar.zst")),
        ("the index", |key| key.contains("/L1_") && key.ends_with(".index.zst")),
        ("the manifest", |key| key.contains("/L1_") && key.ends_with(".json")),
        ("all of it", |key| key.contains("/L1_")),
        ("the full copy", |key| key.contains("/L0_")),
    ];
    for (what, harm) in harms {
        let site = Site::new(&["near", "far"], levels(7, false));
        for date in ["2026-11-01", "2026-11-02", "2026-11-03"] {
            site.good_day(date).await;
        }
        site.delete("far", harm).await;
        let report = site.good_day("2026-11-04").await;
        let said = warnings(&report);
        assert!(said.contains("copied from 'near'"), "{what}: {said}");
        for store in ["near", "far"] {
            let wanted = ["11-01 0", "11-02 1<0", "11-03 2<1", "11-04 3<2"];
            assert_eq!(site.said(store).await, wanted, "{what}");
            site.comes_back(store).await;
        }
        // What has no manifest is nobody's for certain, and is only named.
        if what != "the manifest" {
            assert!(site.stage.litter("far").await.is_empty(), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_same_second_does_not_replace_the_link_that_was_just_filled_in() {
    let site = Site::new(&["near", "far"], CALENDAR);
    site.good_day("2026-11-01").await;
    site.stage.store("far").fail_always(Some(Fault::Before(Kind::Unavailable)));
    // The decade's, and right after it a day's: one folder, one stamp.
    site.day("2026-11-11").await;
    site.stage.store("far").reset();
    site.good_day("2026-11-11").await;
    for store in ["near", "far"] {
        assert_eq!(site.said(store).await.len(), 3, "{store}: {:?}", site.said(store).await);
        site.comes_back(store).await;
        assert!(site.stage.litter(store).await.is_empty(), "{store}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_fits_its_manifest_and_is_no_good_is_told_and_not_built_on() {
    let site = Site::new(&["near"], levels(7, false));
    for date in ["2026-11-01", "2026-11-02"] {
        site.good_day(date).await;
    }
    let memory = site.stage.memory("near");
    let whole: BTreeMap<String, _> =
        memory.keys().into_iter().map(|key| (key.clone(), memory.peek(&key).unwrap())).collect();
    let copies = survey(memory, "").await.unwrap().copies;
    let of = |level: &str| copies.iter().find(|stored| stored.manifest.level == level).unwrap();
    let (full, last) = (of("0"), of("1"));
    let index = full.manifest.index.clone().unwrap();
    let others = memory.peek(index.key.as_str()).unwrap().to_vec();
    let (newer, at) = newer_index(&last.manifest.id);
    let cases = [("another artefact", others, index.last_frame), ("newer", newer, at)];
    for (what, bytes, last_frame) in cases {
        poke_index(&site, last, bytes, last_frame);
        let report = site.good_day("2026-11-03").await;
        let (said, told) = (site.said("near").await, warnings(&report));
        assert_eq!(said.last().unwrap(), "11-03 1<0", "{what}: {said:?}");
        assert!(told.contains("no copy builds on it"), "{what}: {told}");
        site.comes_back("near").await;
        site.delete("near", |key| key.contains("_2026-11-03_")).await;
        whole.iter().for_each(|(key, bytes)| memory.poke(key, bytes.clone()));
    }
}

/// An index of a format that is not known yet, and where its last frame begins.
fn newer_index(id: &ArtefactId) -> (Vec<u8>, u64) {
    let frame = |text: &str| zstd::bulk::compress(text.as_bytes(), 1).unwrap();
    let head = frame(&format!("{{\"format\":2,\"artefact\":\"{id}\",\"parent\":null}}\n"));
    let map = "{\"frames\":[[0,\"\"]],\"raw_bytes\":0,\"stored_bytes\":0,\"frame_bytes\":1,\
               \"starts\":[]}\n";
    let last_frame = head.len() as u64;
    ([head, frame(map)].concat(), last_frame)
}

/// Puts other bytes in the place of an index, and a manifest that says so.
fn poke_index(site: &Site, stored: &Stored, bytes: Vec<u8>, last_frame: u64) {
    use sha2::Digest as _;
    let memory = site.stage.memory("near");
    let mut manifest = stored.manifest.clone();
    let key = manifest.index.unwrap().key;
    memory.poke(key.as_str(), bytes.clone());
    let sha256 = nxs_backup::base::Digest::new(sha2::Sha256::digest(&bytes).to_vec());
    manifest.index = Some(IndexRef { key, bytes: bytes.len() as u64, sha256, last_frame });
    memory.poke(stored.manifest_key.as_str(), manifest.to_json());
}

/// Expects that every copy on the storage gives the tree of its day.
async fn all_come_back(site: &Site, days: &BTreeMap<String, Tree>) {
    for copy in site.stage.copies("near").await {
        let (at, day) = (copy.started.to_string(), copy.local_start().date().to_string());
        let out = site.bed.path("out");
        site.restore(Some("near"), Some(&at), &[], &out).await.unwrap();
        let stored = out.join(site.root().strip_prefix("/").unwrap());
        tree::assert_same(&days[&day], &tree::read(&stored));
        fs::remove_dir_all(out).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn months_go_across_the_new_year_and_every_copy_that_stays_comes_back() {
    // As `inc_months_to_store: 3`.
    let site = Site::new(&["near"], Increments { months: 3, ..CALENDAR });
    let mut days = BTreeMap::new();
    let kept = [
        ("2025-09-28", 1),
        ("2025-11-30", 2),
        ("2025-12-02", 3),
        ("2025-12-12", 4),
        ("2025-12-31", 5),
        ("2026-01-01", 6),
        ("2026-01-12", 7),
        ("2026-02-01", 8),
        // November went when March came; September's is the full one of December's.
        ("2026-03-01", 8),
        ("2026-03-31", 9),
        ("2026-04-01", 6),
    ];
    for (date, copies) in kept {
        site.good_day(date).await;
        days.insert(date.to_owned(), tree::read(&site.root()));
        all_come_back(&site, &days).await;
        let said = site.said("near").await;
        assert_eq!(said.len(), copies, "{date}: {said:?}");
    }
    let wanted = [
        "01-01 year",
        "01-12 decade<year",
        "02-01 month<year",
        "03-01 month<year",
        "03-31 decade<month",
        "04-01 month<year",
    ];
    assert_eq!(site.said("near").await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_chain_stays_when_the_new_full_copy_fails_its_check() {
    let how = Increments { keep_chains: Some(1), keep_chain_days: None, ..levels(0, false) };
    for check in [Check::List, Check::Full] {
        let mut site = Site::new(&["near"], how);
        site.stage.verify = check;
        site.good_day("2026-11-01").await;
        site.stage.store("near").reset();
        site.good_day("2026-11-02").await;
        // Every day is alike: the call that looked at the stored archive is known.
        let verb = if check == Check::List { "stat" } else { "get" };
        let calls = site.stage.store("near").calls();
        let is_check = |call: &Call| call.verb == verb && call.subject.ends_with(".tar.zst");
        let number = calls.iter().position(is_check).unwrap() + 1;
        site.stage.store("near").reset();
        site.stage.store("near").fail(number, Fault::After(5, Kind::Other));
        let report = site.day("2026-11-03").await;
        assert_eq!(report.verdict(), Verdict::Nothing, "{}", failures(&report));
        assert_eq!(site.said("near").await, ["11-02 0"], "{check:?}");
        assert!(site.stage.litter("near").await.is_empty(), "{check:?}");
        site.stage.store("near").reset();
        site.good_day("2026-11-03").await;
        assert_eq!(site.said("near").await, ["11-03 0"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_file_costs_the_frames_that_hold_it_and_no_more() {
    let site = Site::new(&["near"], levels(7, false));
    fs::write(site.root().join("big"), tree::noise(24 << 20)).unwrap();
    fs::write(site.root().join("zz"), "behind the big one").unwrap();
    for date in ["2026-11-01", "2026-11-02", "2026-11-03"] {
        site.good_day(date).await;
    }
    let www = site.root().to_str().unwrap().to_owned();
    // What holds the file, and how much may be asked for: a frame is 4 MiB, and headers may go
    // on in the next.
    let cases: [(&str, &str, u64); 4] = [
        ("daily", "L2_", 100_000),
        ("a/2026-11-02", "L1_", 100_000),
        ("a/old", "L0_", 9 << 20),
        ("zz", "L0_", 9 << 20),
    ];
    for (path, holder, limit) in cases {
        let out = site.bed.path("out");
        let store = site.stage.store("near");
        store.reset();
        let whole = format!("{www}/{path}");
        site.restore(None, None, &[&whole], &out).await.unwrap();
        let wanted = fs::read(site.root().join(path)).unwrap();
        assert_eq!(fs::read(out.join(whole.trim_start_matches('/'))).unwrap(), wanted);
        let calls = store.calls();
        let read = calls.iter().filter(|call| call.verb == "get");
        let archives: Vec<_> = read
            .map(|call| call.subject.as_str())
            .filter(|key| key.ends_with(".tar.zst"))
            .collect();
        assert!(!archives.is_empty(), "{path}");
        assert!(archives.iter().all(|key| key.contains(holder)), "{path}: {archives:?}");
        assert!(store.asked_bytes() < limit, "{path}: {} bytes", store.asked_bytes());
        fs::remove_dir_all(out).unwrap();
    }
}
