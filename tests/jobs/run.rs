//! Whole runs: what is isolated from what, what is left behind, what rotation dares.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use nxs_backup::base::Key;
use nxs_backup::plan::{Entry, Require, Verify};
use nxs_backup::report::Verdict;
use nxs_backup::retention::Rotation;
use nxs_backup::run::{Selection, preview, start};
use nxs_backup::storages::layers::Fault;
use nxs_backup::storages::{self, Kind, Memory, Object, ObjectStream, Storage};
use nxs_backup::stream::{ByteStream, Codec, decompress};

use crate::support::rehearsal::{Rehearsal, Says, failures};
use crate::support::world::reached;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_run_leaves_one_whole_copy_on_every_storage() {
    let stage = Rehearsal::new(&["near", "far"]);
    assert_eq!(stage.run().await.verdict(), Verdict::Done);
    for store in ["near", "far"] {
        let copies = stage.copies(store).await;
        assert_eq!(copies.len(), 1);
        let key = copies[0].segments[0].key.to_string();
        assert_eq!(key, "db/daily/db_2026-11-18_03-00-00.sql.zst");
        let stored = stage.memory(store).peek(&key).unwrap();
        let raw = decompress(ByteStream::from_bytes(stored), Codec::Zstd).collect(1 << 20).await;
        assert_eq!(raw.unwrap(), b"dump".repeat(1000));
        assert!(stage.litter(store).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_dies_after_half_its_output_is_no_backup() {
    let half = vec![7; 9 << 20];
    for (says, word) in [
        (Says::Breaks(half.clone(), "pg_dump: lost the server"), "lost the server"),
        (Says::Vanishes(half.clone()), "without its end mark"),
        (Says::Refuses("pg_dump is not installed"), "not installed"),
        (Says::Breaks(Vec::new(), "no such database"), "no such database"),
    ] {
        let stage = Rehearsal::new(&["near", "far"]);
        stage.says(&[("bad", says), ("good", Says::Bytes(vec![1; 100]))]);
        let report = stage.run().await;
        assert_eq!(report.verdict(), Verdict::Partly);
        assert!(failures(&report).contains(word), "{}", failures(&report));
        for store in ["near", "far"] {
            let copies = stage.copies(store).await;
            assert_eq!(copies.iter().map(|copy| &*copy.target).collect::<Vec<_>>(), ["good"]);
            assert_eq!(stage.litter(store).await, Vec::<String>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_dumps_cost_one_old_copy_at_most_and_only_once() {
    let stage = Rehearsal::new(&["near"]);
    for date in ["2026-11-14", "2026-11-15", "2026-11-16"] {
        stage.on(date).run().await;
    }
    stage.says(&[("db", Says::Breaks(vec![7; 9 << 20], "died"))]);
    for date in ["2026-11-17", "2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"]
    {
        assert_eq!(stage.on(date).run().await.verdict(), Verdict::Nothing);
    }
    assert_eq!(stage.days("near").await, ["2026-11-15", "2026-11-16"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_rotation_after_a_failing_dump_costs_nothing() {
    let mut stage = Rehearsal::new(&["near"]);
    stage.policy.rotation = Rotation::After;
    for date in ["2026-11-14", "2026-11-15", "2026-11-16"] {
        stage.on(date).run().await;
    }
    stage.says(&[("db", Says::Breaks(vec![7; 9 << 20], "died"))]);
    stage.on("2026-11-17").run().await;
    assert_eq!(stage.days("near").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_runs_leaves_what_the_store_says() {
    let mut stage = Rehearsal::new(&["near"]);
    (stage.policy.weeks, stage.policy.months) = (2, 2);
    for date in 1..=30 {
        let report = stage.on(&format!("2026-11-{date:02}")).run().await;
        assert_eq!(report.verdict(), Verdict::Done, "{}", failures(&report));
    }
    let copies = stage.copies("near").await;
    let of = |level: &str| -> Vec<String> {
        let of_level = copies.iter().filter(|copy| copy.level == level);
        of_level.map(|copy| copy.local_start().date().to_string()).collect()
    };
    assert_eq!(of("daily"), ["2026-11-27", "2026-11-28", "2026-11-30"]);
    assert_eq!(of("weekly"), ["2026-11-22", "2026-11-29"]);
    assert_eq!(of("monthly"), ["2026-11-01"]);
    assert!(stage.litter("near").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fails_stops_no_other_and_is_filled_when_it_comes_back() {
    let stage = Rehearsal::new(&["near", "far"]);
    stage.store("far").fail_always(Some(Fault::Before(Kind::Denied)));
    let report = stage.run().await;
    assert_eq!(report.verdict(), Verdict::Partly);
    assert!(failures(&report).contains("'far'"), "{}", failures(&report));
    assert_eq!(stage.days("near").await.len(), 1);
    stage.store("far").reset();
    assert_eq!(stage.on("2026-11-19").run().await.verdict(), Verdict::Done);
    assert_eq!(stage.days("far").await, ["2026-11-19"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_breaks_is_made_good_from_the_other_storage_and_said() {
    let stage = Rehearsal::new(&["near", "far"]);
    stage.says(&[("db", Says::Bytes(noise(20 << 20)))]);
    let put = calls_of_a_run(&stage, "far").await.iter().position(|verb| *verb == "put").unwrap();
    let stage = Rehearsal::new(&["near", "far"]);
    stage.says(&[("db", Says::Bytes(noise(20 << 20)))]);
    let first_artefact_put = put + 1 + after_marker(&stage).await;
    stage.store("far").fail(first_artefact_put, Fault::After(6 << 20, Kind::Unavailable));
    let report = stage.run().await;
    assert_eq!(report.verdict(), Verdict::Done, "{}", failures(&report));
    let far = &report.jobs[0].targets[0].places.iter().find(|place| place.place == "far").unwrap();
    assert!(far.warnings.iter().any(|warning| warning.contains("copied from 'near'")), "{far:?}");
    assert_eq!(stage.copies("far").await.len(), 1);
    assert!(stage.litter("far").await.is_empty());
}

/// How many calls lie between the marker's put and the artefact's: list only.
async fn after_marker(stage: &Rehearsal) -> usize {
    let calls = calls_of_a_run(&Rehearsal::new(&["near", "far"]), "far").await;
    let puts: Vec<_> = calls.iter().enumerate().filter(|(_, verb)| **verb == "put").collect();
    stage.store("far").reset();
    puts[1].0 - puts[0].0
}

async fn calls_of_a_run(stage: &Rehearsal, store: &str) -> Vec<&'static str> {
    stage.run().await;
    stage.store(store).calls().iter().map(|call| call.verb).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn require_any_makes_a_lost_storage_a_warning() {
    let mut stage = Rehearsal::new(&["near", "far"]);
    stage.require = Require::Any;
    stage.store("far").fail_always(Some(Fault::Before(Kind::Denied)));
    let report = stage.run().await;
    assert_eq!(report.verdict(), Verdict::Done);
    let places = &report.jobs[0].targets[0].places;
    assert!(places.iter().any(|place| !place.warnings.is_empty()));
    stage.store("near").fail_always(Some(Fault::Before(Kind::Denied)));
    assert_eq!(stage.on("2026-11-19").run().await.verdict(), Verdict::Nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_single_fault_is_loud_and_the_next_run_is_clean() {
    let calls = {
        let stage = two_days_old().await;
        stage.on("2026-11-18").run().await;
        stage.store("near").calls().len()
    };
    assert!(calls > 8, "only {calls} calls are swept");
    for number in 1..=calls {
        for fault in [
            Fault::Before(Kind::Other),
            Fault::After(40, Kind::Unavailable),
            Fault::Answer(Kind::Unavailable),
        ] {
            let stage = two_days_old().await;
            stage.store("near").fail(number, fault);
            let report = stage.on("2026-11-18").run().await;
            let said = failures(&report);
            let call = stage.store("near").calls()[number - 1].clone();
            // A manifest that breaks off is read again, and then there is nothing to say.
            let is_manifest = call.verb == "get" && call.subject.ends_with(".manifest.json");
            let is_read_again = is_manifest && matches!(fault, Fault::After(..));
            assert_eq!(
                report.verdict() == Verdict::Done,
                is_read_again,
                "{call:?} {fault:?}: {said}"
            );
            assert_eq!(said.is_empty(), is_read_again, "{call:?} {fault:?}: {said}");
            assert!(stage.days("near").await.len() >= 2, "{call:?} {fault:?} cost a good copy");
            stage.store("near").reset();
            let next = stage.on("2026-11-19").run().await;
            assert_eq!(next.verdict(), Verdict::Done, "{call:?} {fault:?}: {}", failures(&next));
            assert_eq!(stage.litter("near").await, Vec::<String>::new(), "{call:?} {fault:?}");
            let days = stage.days("near").await;
            assert_eq!(days.len(), 3, "{call:?} {fault:?}: {days:?}");
            assert_eq!(days.last().unwrap(), "2026-11-19");
        }
    }
}

/// A storage with three daily copies, so that the next run also rotates.
async fn two_days_old() -> Rehearsal {
    let mut stage = Rehearsal::new(&["near"]);
    stage.verify = Verify::Full;
    stage.split = Some(64);
    for date in ["2026-11-15", "2026-11-16", "2026-11-17"] {
        stage.on(date).run().await;
    }
    stage.store("near").reset();
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_what_the_next_run_clears_away() {
    let stage = Rehearsal::new(&["near"]);
    stage.says(&[("db", Says::Bytes(noise(30 << 20)))]);
    stage.run().await;
    let calls = stage.store("near").calls().len();
    for number in 1..=calls {
        let stage = Rehearsal::new(&["near"]);
        stage.says(&[("db", Says::Bytes(noise(30 << 20)))]);
        stage.store("near").fail(number, Fault::Hang);
        let killed = tokio::time::timeout(std::time::Duration::from_millis(400), stage.run()).await;
        assert!(killed.is_err(), "call {number} did not hang");
        stage.store("near").reset();
        let next = stage.on("2026-11-19").run().await;
        assert_eq!(next.verdict(), Verdict::Done, "call {number}: {}", failures(&next));
        assert_eq!(stage.litter("near").await, Vec::<String>::new(), "call {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_shrank_is_kept_but_pushes_nothing_out() {
    let stage = Rehearsal::new(&["near"]);
    for date in ["2026-11-14", "2026-11-15", "2026-11-16"] {
        stage.on(date).run().await;
    }
    stage.says(&[("db", Says::Bytes(b"dump".repeat(100)))]);
    let report = stage.on("2026-11-17").run().await;
    let place = &report.jobs[0].targets[0].places[0];
    assert!(place.warnings.iter().any(|w| w.contains("less than half")), "{place:?}");
    let copies = stage.copies("near").await;
    assert!(copies.last().unwrap().shrunken);
    assert!(copies.iter().filter(|copy| !copy.shrunken).count() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_that_finds_the_folder_stops() {
    let mut stage = Rehearsal::new(&["near"]);
    stage.run().await;
    stage.server = "web2".into();
    let report = stage.on("2026-11-19").run().await;
    assert_eq!(report.verdict(), Verdict::Nothing);
    let said = failures(&report);
    assert!(
        said.contains("belongs to the server \"web1\"") && said.contains("shared: yes"),
        "{said}"
    );
    assert_eq!(stage.days("near").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_job_goes_on_where_formerly_says_so_and_leaves_old_copies_alone_else() {
    for (formerly, left) in [(vec!["dump".to_owned()], 3), (Vec::new(), 5)] {
        let mut stage = Rehearsal::new(&["near"]);
        for date in ["2026-11-14", "2026-11-15", "2026-11-16"] {
            stage.on(date).run().await;
        }
        stage.job = ("nightly dump".into(), formerly);
        for date in ["2026-11-17", "2026-11-18"] {
            assert_eq!(stage.on(date).run().await.verdict(), Verdict::Done);
        }
        assert_eq!(stage.days("near").await.len(), left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_is_cut_into_segments_that_cat_joins() {
    let mut stage = Rehearsal::new(&["near"]);
    stage.split = Some(5 << 20);
    stage.codec = Codec::None;
    let content = noise(21 << 20);
    stage.says(&[("db", Says::Bytes(content.clone()))]);
    assert_eq!(stage.run().await.verdict(), Verdict::Done);
    let copy = &stage.copies("near").await[0];
    let names: Vec<_> = copy.segments.iter().map(|segment| segment.key.name().to_owned()).collect();
    assert_eq!(names[1], format!("{}.002", names[0]));
    let bytes: Vec<_> = copy.segments.iter().map(|segment| segment.bytes).collect();
    assert_eq!(bytes, [5 << 20, 5 << 20, 5 << 20, 5 << 20, 1 << 20]);
    let objects =
        copy.segments.iter().map(|segment| stage.memory("near").peek(segment.key.as_str()));
    let joined: Vec<u8> = objects.flat_map(|object| object.unwrap().to_vec()).collect();
    assert_eq!(joined, content);
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_ahead_writes_nothing_and_foretells_the_run() {
    let stage = Rehearsal::new(&["near"]);
    for date in ["2026-11-14", "2026-11-15", "2026-11-16"] {
        stage.on(date).run().await;
    }
    stage.on("2026-11-17").store("near").reset();
    let (before, plan) = (stage.memory("near").keys(), stage.plan());
    let seen = preview(plan.jobs[0].as_job().unwrap(), &stage.env()).await;
    assert_eq!(stage.memory("near").keys(), before);
    assert!(stage.store("near").calls().iter().all(|call| !matches!(call.verb, "put" | "delete")));
    let place = &seen.targets[0].places[0];
    let report = stage.run().await;
    let done = &report.jobs[0].targets[0].places[0];
    assert_eq!(place.removes.len(), done.removed.len());
    assert!(done.removed[0].starts_with(&place.removes[0].0), "{done:?}");
    assert_eq!(place.copies, stage.days("near").await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_spool_a_storage_that_hangs_keeps_no_other_from_its_copy() {
    let mut stage = Rehearsal::new(&["fast", "hung"]);
    (stage.spool, stage.codec) = (true, Codec::None);
    stage.run().await;
    stage.on("2026-11-19").says(&[("db", Says::Bytes(noise(64 << 20)))]);
    stage.store("hung").fail_each("put", Some(Fault::Hang));
    let watch = async {
        reached("a copy on the fast one", async || stage.copies("fast").await.len() >= 2).await;
        stage.cancel.cancel();
    };
    let (report, ()) = tokio::join!(stage.run(), watch);
    assert_eq!(report.verdict(), Verdict::Interrupted);
    assert_eq!(stage.copies("fast").await.len(), 2);
    assert_eq!(stage.litter("fast").await, Vec::<String>::new());
    assert_eq!(stage.copies("hung").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_cannot_be_made_is_no_backup() {
    let mut stage = Rehearsal::new(&["near"]);
    stage.spool = true;
    stage.tmp_dir = Some("/dev/null/tmp".into());
    let report = stage.run().await;
    let said = failures(&report);
    assert!(said.contains("/dev/null/tmp: no spool file can be made there"), "{said}");
    assert_eq!(stage.litter("near").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_stop_ends_the_run_without_leftovers() {
    let stage = Rehearsal::new(&["near"]);
    stage.says(&[("db", Says::Bytes(noise(64 << 20))), ("next", Says::Bytes(vec![1]))]);
    let cancel = stage.cancel.clone();
    stage.store("near").slow(std::time::Duration::from_millis(30));
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        cancel.cancel();
    });
    let report = stage.run().await;
    assert_eq!(report.verdict(), Verdict::Interrupted);
    assert_eq!(stage.litter("near").await, Vec::<String>::new());
}

/// A storage that gives back other bytes than it got.
struct Flipping(Memory);

#[async_trait]
impl Storage for Flipping {
    async fn put(&self, key: &Key, body: ByteStream) -> storages::Result<Object> {
        let object = self.0.put(key, body).await?;
        if key.as_str().ends_with(".sql") {
            self.0.corrupt(key.as_str(), 7);
        }
        Ok(object)
    }
    async fn get(&self, key: &Key, part: Range<u64>) -> storages::Result<ByteStream> {
        self.0.get(key, part).await
    }
    async fn stat(&self, key: &Key) -> storages::Result<Option<Object>> {
        self.0.stat(key).await
    }
    fn list<'a>(&'a self, prefix: &'a str) -> ObjectStream<'a> {
        self.0.list(prefix)
    }
    async fn delete(&self, key: &Key) -> storages::Result<()> {
        self.0.delete(key).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_filled_from_a_storage_that_lies_is_no_backup() {
    let mut stage = Rehearsal::new(&["near", "far"]);
    stage.codec = Codec::None;
    stage.run().await;
    let put = stage.store("far").calls().iter().position(|call| call.subject.ends_with(".sql"));
    let mut stage = Rehearsal::new(&["near", "far"]);
    stage.codec = Codec::None;
    stage.store("far").fail(put.unwrap() + 1, Fault::After(100, Kind::Unavailable));
    let mut plan = stage.plan();
    let Entry::Job(job) = &mut plan.jobs[0] else { unreachable!() };
    job.places[0].storage = Arc::new(Flipping(stage.memory("near").clone()));
    let report = start(&plan, &Selection::All, &stage.env()).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Partly);
    assert!(stage.copies("far").await.is_empty());
    assert_eq!(stage.litter("far").await, Vec::<String>::new());
}

/// Bytes that do not compress, the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        out.extend_from_slice(&seed.to_le_bytes());
    }
    out.truncate(bytes);
    out
}
