//! Whole runs of jobs whose copies build on one another: which storage gets what, what is filled,
//! what falls back, what rotation dares; and every copy comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nxs_backup::base::{Cancel, Key, Silent};
use nxs_backup::catalogue::Manifest;
use nxs_backup::plan::Increments;
use nxs_backup::report::{Report, Verdict};
use nxs_backup::restore::apply::{How, Restored, to_folder};
use nxs_backup::restore::holdings::{Scope, look};
use nxs_backup::restore::pick::{Want, pick};
use nxs_backup::retention::Scheme;
use nxs_backup::run::{Selection, preview};
use nxs_backup::storages::layers::Fault;
use nxs_backup::storages::{Kind, Storage};

use crate::support::archive::Bed;
use crate::support::rehearsal::{Rehearsal, failures};
use crate::support::tree;

pub(super) const CALENDAR: Increments = Increments {
    scheme: Scheme::Calendar,
    months: 11,
    keep_chains: None,
    keep_chain_days: None,
    force_read: false,
};

pub(super) fn levels(last: u16, stays: bool) -> Increments {
    let scheme = Scheme::Levels { last, stays, restart_days: None };
    Increments { scheme, keep_chain_days: Some(365), ..CALENDAR }
}

/// A stage and the tree that it backs up.
pub(super) struct Site {
    pub(super) bed: Bed,
    pub(super) stage: Rehearsal,
}

impl Site {
    pub(super) fn new(stores: &[&str], how: Increments) -> Self {
        let bed = Bed::new();
        fs::create_dir_all(bed.path("www/a")).unwrap();
        fs::write(bed.path("www/a/old"), "old").unwrap();
        fs::write(bed.path("www/same"), vec![b'x'; 20_000]).unwrap();
        let mut stage = Rehearsal::new(stores);
        (stage.increments, stage.tree) = (Some(how), Some((bed.path("www"), Vec::new())));
        Self { bed, stage }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.bed.path("www")
    }

    /// Changes the tree a little and runs at three in the night.
    pub(super) async fn day(&self, date: &str) -> Report {
        fs::write(self.root().join("daily"), date).unwrap();
        fs::write(self.root().join(format!("a/{date}")), date).unwrap();
        self.stage.on(date).run().await
    }

    pub(super) async fn good_day(&self, date: &str) -> Report {
        let report = self.day(date).await;
        assert_eq!(report.verdict(), Verdict::Done, "{}", failures(&report));
        report
    }

    /// What there is: level, the level that it builds on, the month and day.
    pub(super) async fn said(&self, store: &str) -> Vec<String> {
        let copies = self.stage.copies(store).await;
        let level = |id| copies.iter().find(|copy| copy.id == id).map(|copy| copy.level.clone());
        let say = |copy: &Manifest| {
            let parent = copy.parent.clone().map(|parent| level(parent.id).unwrap_or("?".into()));
            let parent = parent.map(|parent| format!("<{parent}")).unwrap_or_default();
            format!("{} {}{parent}", copy.local_start().strftime("%m-%d"), copy.level)
        };
        copies.iter().map(say).collect()
    }

    /// Restores the newest of a storage and compares it with the tree.
    pub(super) async fn comes_back(&self, store: &str) {
        let out = self.bed.path(&format!("out-{store}"));
        self.restore(Some(store), None, &[], &out).await.unwrap();
        let stored = out.join(self.root().strip_prefix("/").unwrap());
        tree::assert_same(&tree::read(&self.root()), &tree::read(&stored));
        fs::remove_dir_all(out).unwrap();
    }

    pub(super) async fn restore(
        &self,
        store: Option<&str>,
        at: Option<&str>,
        paths: &[&str],
        out: &Path,
    ) -> Result<Restored, String> {
        let plan = self.stage.plan();
        let scope = Scope { storage: store.map(str::to_owned), host: None };
        let holdings = look(&plan, &Selection::All, &scope).await;
        let at = at.map(|at| at.parse().unwrap());
        let now = self.stage.env().clock.now().timestamp();
        let want = Want { at, now, ..Want::default() };
        let choices = pick(&holdings, &Selection::All, &want, "all");
        let choices = choices.map_err(|error| error.to_string())?;
        let how = How {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            strip: false,
            overwrite: false,
            watcher: Arc::new(Silent),
            cancel: Cancel::default(),
        };
        fs::create_dir_all(out).unwrap();
        let done = to_folder(&choices[0], out, &how).await;
        done.map_err(|error| nxs_backup::base::chain(&error))
    }

    pub(super) async fn delete(&self, store: &str, fits: impl Fn(&str) -> bool) {
        let memory = self.stage.memory(store);
        for key in memory.keys().into_iter().filter(|key| fits(key)) {
            memory.delete(&Key::new(key).unwrap()).await.unwrap();
        }
    }
}

pub(super) fn warnings(report: &Report) -> String {
    let places = report.jobs.iter().flat_map(|job| &job.targets).flat_map(|target| &target.places);
    places.flat_map(|place| place.warnings.clone()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_by_the_calendar_comes_back_on_every_day() {
    let site = Site::new(&["near"], CALENDAR);
    let dates = [
        "2026-12-31",
        "2027-01-01",
        "2027-01-02",
        "2027-01-12",
        "2027-01-13",
        "2027-02-01",
        "2027-02-02",
        "2027-02-21",
        "2027-02-22",
    ];
    for date in dates {
        site.good_day(date).await;
        site.comes_back("near").await;
    }
    let said = [
        "12-31 year",
        "01-01 year",
        "01-02 day<year",
        "01-12 decade<year",
        "01-13 day<decade",
        "02-01 month<year",
        "02-02 day<month",
        "02-21 decade<month",
        "02-22 day<decade",
    ];
    assert_eq!(site.said("near").await, said);
    let keys = site.stage.memory("near").keys();
    for part in ["/2026/year/", "/2027/month_01/daily/day_11/", "/2027/month_02/monthly/"] {
        assert!(keys.iter().any(|key| key.contains(part)), "{part}: {keys:?}");
    }
    assert!(site.stage.litter("near").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_moment_comes_back_the_moment_itself_included() {
    let site = Site::new(&["near"], levels(7, false));
    for (date, content) in [("2026-11-01", "one"), ("2026-11-02", "two"), ("2026-11-03", "three")] {
        fs::write(site.root().join("content"), content).unwrap();
        site.good_day(date).await;
    }
    let cases = [
        ("2026-11-01T03:00:00Z", "one"),
        ("2026-11-02T02:59:59Z", "one"),
        ("2026-11-02T03:00:00Z", "two"),
        ("2026-11-02T03:00:01Z", "two"),
        ("2026-11-09T00:00:00Z", "three"),
    ];
    for (at, content) in cases {
        let out = site.bed.path(&format!("out {at}"));
        site.restore(None, Some(at), &[], &out).await.unwrap();
        let path = out.join(site.root().strip_prefix("/").unwrap()).join("content");
        assert_eq!(fs::read_to_string(path).unwrap(), content, "{at}");
    }
    let out = site.bed.path("none");
    let error = site.restore(None, Some("2026-11-01T02:59:59Z"), &[], &out).await.unwrap_err();
    assert!(error.contains("no backup is as old"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn single_paths_come_from_the_copies_that_hold_them() {
    let site = Site::new(&["near"], levels(7, false));
    fs::create_dir(site.root().join("b")).unwrap();
    fs::hard_link(site.root().join("same"), site.root().join("zwilling")).unwrap();
    for date in ["2026-11-01", "2026-11-02", "2026-11-03"] {
        site.good_day(date).await;
    }
    let www = site.root().to_str().unwrap().to_owned();
    let out = site.bed.path("some");
    let paths = [format!("{www}/a"), format!("{www}/daily")];
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    site.stage.store("near").reset();
    let done = site.restore(None, None, &paths, &out).await.unwrap();
    let stored = out.join(www.trim_start_matches('/'));
    tree::assert_same(&tree::read(&site.root().join("a")), &tree::read(&stored.join("a")));
    assert_eq!(fs::read_to_string(stored.join("daily")).unwrap(), "2026-11-03");
    assert!(!stored.join("same").exists());
    assert_eq!(done.matched.len(), 2);
    // The name alone, whose data is another's.
    let out = site.bed.path("link");
    site.restore(None, None, &[&format!("{www}/zwilling")], &out).await.unwrap();
    let link = out.join(www.trim_start_matches('/')).join("zwilling");
    assert_eq!(fs::read(link).unwrap(), vec![b'x'; 20_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_was_away_is_filled_and_goes_on_with_the_others() {
    let site = Site::new(&["near", "far"], levels(7, false));
    site.good_day("2026-11-01").await;
    site.stage.store("far").fail_always(Some(Fault::Before(Kind::Unavailable)));
    assert_eq!(site.day("2026-11-02").await.verdict(), Verdict::Partly);
    site.stage.store("far").reset();
    let report = site.good_day("2026-11-03").await;
    assert!(warnings(&report).contains("copied from 'near'"), "{}", warnings(&report));
    for store in ["near", "far"] {
        assert_eq!(site.said(store).await, ["11-01 0", "11-02 1<0", "11-03 2<1"]);
        site.comes_back(store).await;
        assert!(site.stage.litter(store).await.is_empty());
    }
    let ids = |copies: Vec<Manifest>| copies.into_iter().map(|copy| copy.id).collect::<Vec<_>>();
    assert_eq!(ids(site.stage.copies("near").await), ids(site.stage.copies("far").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_filling_fails_each_storage_goes_on_from_what_it_has() {
    let site = Site::new(&["near", "far"], levels(7, false));
    site.good_day("2026-11-01").await;
    site.stage.store("far").fail_always(Some(Fault::Before(Kind::Unavailable)));
    site.day("2026-11-02").await;
    site.stage.store("far").reset();
    // One bit of what would be copied has turned.
    let keys = site.stage.memory("near").keys();
    let bad = keys.iter().find(|key| key.contains("/L1_") && key.ends_with(".tar.zst")).unwrap();
    assert!(site.stage.memory("near").corrupt(bad, 20));
    let report = site.good_day("2026-11-03").await;
    assert!(warnings(&report).contains("copying it from 'near' failed"), "{}", warnings(&report));
    assert_eq!(site.said("near").await, ["11-01 0", "11-02 1<0", "11-03 2<1"]);
    assert_eq!(site.said("far").await, ["11-01 0", "11-03 1<0"]);
    assert!(site.stage.litter("far").await.is_empty());
    site.comes_back("far").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_added_later_gets_a_full_copy_and_so_do_others_whose_own_is_a_week_old() {
    // The next day the chains are one again: the new full copy is filled in.
    let young = ["11-01 year", "11-02 day<year", "11-03 day<year", "11-03 year", "11-04 day<year"];
    let old = ["11-01 year", "11-02 day<year", "11-08 year", "11-09 day<year"];
    let cases: [([&str; 2], &[&str]); 2] =
        [(["2026-11-03", "2026-11-04"], &young), (["2026-11-08", "2026-11-09"], &old)];
    for (dates, near) in cases {
        let mut site = Site::new(&["near"], CALENDAR);
        for date in ["2026-11-01", "2026-11-02"] {
            site.good_day(date).await;
        }
        let more = Rehearsal::new(&["far"]);
        site.stage.stores.extend(more.stores.iter().cloned());
        for date in dates {
            site.good_day(date).await;
        }
        let far = [format!("{} year", &dates[0][5..]), format!("{} day<year", &dates[1][5..])];
        assert_eq!(site.said("near").await, near);
        assert_eq!(site.said("far").await, far);
        for store in ["near", "far"] {
            site.comes_back(store).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_on_which_nothing_succeeds_costs_the_others_no_full_copies() {
    let site = Site::new(&["near", "far"], CALENDAR);
    site.stage.store("far").fail_always(Some(Fault::Before(Kind::Unavailable)));
    for date in ["2026-11-01", "2026-11-02", "2026-11-03"] {
        site.day(date).await;
    }
    assert_eq!(site.said("near").await, ["11-01 year", "11-02 day<year", "11-03 day<year"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_link_is_a_warning_and_never_no_backup() {
    type Harm = fn(&str) -> bool;
    let harms: [(&str, Harm); 4] = [
        ("the archive is gone", |key| key.contains("/L1_") && key.ends_with(".tar.zst")),
        ("the index is gone", |key| key.contains("/L1_") && key.ends_with(".index.zst")),
        ("the manifest is gone", |key| key.contains("/L1_") && key.ends_with(".json")),
        ("the full copy is gone", |key| key.contains("/L0_")),
    ];
    for (what, harm) in harms {
        let site = Site::new(&["near"], levels(7, false));
        for date in ["2026-11-01", "2026-11-02"] {
            site.good_day(date).await;
        }
        site.delete("near", harm).await;
        let report = site.good_day("2026-11-03").await;
        let said = site.said("near").await;
        let newest = said.last().unwrap();
        let wanted = if what.contains("full") { "11-03 0" } else { "11-03 1<0" };
        assert_eq!(newest, wanted, "{what}: {said:?}");
        if !what.contains("manifest") {
            assert!(warnings(&report).contains("missing"), "{what}: {}", warnings(&report));
        }
        site.comes_back("near").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_cut_newer_or_of_another_is_told_and_not_built_on() {
    let site = Site::new(&["near"], levels(7, false));
    for date in ["2026-11-01", "2026-11-02"] {
        site.good_day(date).await;
    }
    let keys = site.stage.memory("near").keys();
    let index = |level: &str| {
        let fits = |key: &&String| key.contains(level) && key.ends_with(".index.zst");
        keys.iter().find(fits).unwrap().clone()
    };
    let (good, other) = (index("/L1_"), index("/L0_"));
    let whole = site.stage.memory("near").peek(&good).unwrap().to_vec();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let cases: [(&str, Vec<u8>); 3] = [
        ("damaged", flipped),
        ("cut", whole[..whole.len() - 9].to_vec()),
        ("of another", site.stage.memory("near").peek(&other).unwrap().to_vec()),
    ];
    for (what, bytes) in cases {
        site.stage.memory("near").poke(&good, bytes);
        let report = site.day("2026-11-03").await;
        assert_eq!(report.verdict(), Verdict::Done, "{what}: {}", failures(&report));
        let said = site.said("near").await;
        assert_eq!(said.last().unwrap(), "11-03 1<0", "{what}: {said:?}");
        assert!(!warnings(&report).is_empty(), "{what}");
        site.comes_back("near").await;
        site.stage.memory("near").poke(&good, whole.clone());
        site.delete("near", |key| key.contains("_2026-11-03_")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_becomes_a_file_is_a_full_copy() {
    let site = Site::new(&["near"], levels(7, false));
    site.good_day("2026-11-01").await;
    fs::remove_dir_all(site.root()).unwrap();
    fs::write(site.root(), "a file now").unwrap();
    let report = site.stage.on("2026-11-02").run().await;
    assert_eq!(report.verdict(), Verdict::Done, "{}", failures(&report));
    assert!(warnings(&report).contains("was a folder"), "{}", warnings(&report));
    assert_eq!(site.said("near").await, ["11-01 0", "11-02 0"]);
    let out = site.bed.path("out");
    site.restore(None, None, &[], &out).await.unwrap();
    let stored = out.join(site.root().strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(stored).unwrap(), "a file now");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_excludes_are_a_full_copy_and_said() {
    let mut site = Site::new(&["near"], CALENDAR);
    site.good_day("2026-11-01").await;
    site.stage.tree = Some((site.root(), vec!["same".into()]));
    let report = site.good_day("2026-11-02").await;
    assert!(warnings(&report).contains("excludes"), "{}", warnings(&report));
    site.good_day("2026-11-03").await;
    assert_eq!(site.said("near").await, ["11-01 year", "11-02 year", "11-03 day<year"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fills_up_in_an_increment_keeps_what_it_has() {
    let site = Site::new(&["near"], levels(7, false));
    site.good_day("2026-11-01").await;
    site.stage.store("near").fail_each("put", Some(Fault::After(600, Kind::Full)));
    let report = site.day("2026-11-02").await;
    assert_eq!(report.verdict(), Verdict::Nothing);
    site.stage.store("near").reset();
    assert!(site.stage.litter("near").await.is_empty(), "{:?}", site.stage.litter("near").await);
    assert_eq!(site.said("near").await, ["11-01 0"]);
    site.good_day("2026-11-03").await;
    assert_eq!(site.said("near").await, ["11-01 0", "11-03 1<0"]);
    site.comes_back("near").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_in_one_second_have_two_names_and_one_chain() {
    for how in [CALENDAR, levels(7, false)] {
        let site = Site::new(&["near"], how);
        for (part, content) in ["one", "two", "three"].into_iter().enumerate() {
            fs::write(site.root().join("content"), content).unwrap();
            let now = format!("2026-11-18T03:00:00.{part}+00:00[UTC]");
            let report = site.stage.at(&now).run().await;
            assert_eq!(report.verdict(), Verdict::Done, "{}", failures(&report));
        }
        assert_eq!(site.stage.copies("near").await.len(), 3);
        site.comes_back("near").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_chain_goes_after_the_new_full_copy_and_never_for_a_run_that_fails() {
    let how = Increments { keep_chains: Some(1), keep_chain_days: None, ..levels(1, false) };
    let site = Site::new(&["near"], how);
    for date in ["2026-11-01", "2026-11-02"] {
        site.good_day(date).await;
    }
    site.stage.store("near").fail_each("put", Some(Fault::Before(Kind::Full)));
    site.day("2026-11-03").await;
    site.stage.store("near").reset();
    assert_eq!(site.said("near").await, ["11-01 0", "11-02 1<0"]);
    let foreseen = preview(site.stage.plan().jobs[0].as_job().unwrap(), &site.stage.env()).await;
    let place = &foreseen.targets[0].places[0];
    assert_eq!((place.removes.len(), place.copies), (2, 1), "{place:?}");
    site.good_day("2026-11-03").await;
    assert_eq!(site.said("near").await, ["11-03 0"]);
    assert!(site.stage.litter("near").await.is_empty());
    site.comes_back("near").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_shrank_costs_no_chain() {
    let how = Increments { keep_chains: Some(1), keep_chain_days: None, ..levels(0, false) };
    let site = Site::new(&["near"], how);
    for date in ["2026-11-01", "2026-11-02"] {
        site.good_day(date).await;
    }
    assert_eq!(site.said("near").await, ["11-02 0"]);
    fs::remove_file(site.root().join("same")).unwrap();
    let report = site.good_day("2026-11-03").await;
    assert!(warnings(&report).contains("less than half"), "{}", warnings(&report));
    assert_eq!(site.said("near").await, ["11-02 0", "11-03 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_2x_is_left_alone_and_said() {
    let site = Site::new(&["near"], CALENDAR);
    let old = ["www/2026/year/www_2026-01-01_03-00.tar.gz", "www/2026/year/year.inc"];
    let memory = site.stage.memory("near").clone().with(old[0], "tar").with(old[1], "{}");
    let report = site.good_day("2026-11-01").await;
    assert!(warnings(&report).contains("nxs-backup 2.x"), "{}", warnings(&report));
    let report = site.good_day("2026-11-02").await;
    assert!(!warnings(&report).contains("2.x"), "{}", warnings(&report));
    assert!(old.iter().all(|key| memory.peek(key).is_some()));
    assert_eq!(site.said("near").await, ["11-01 year", "11-02 day<year"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_levels_to_the_calendar_a_new_chain_begins() {
    let mut site = Site::new(&["near"], levels(7, false));
    for date in ["2026-11-01", "2026-11-02"] {
        site.good_day(date).await;
    }
    site.stage.increments = Some(CALENDAR);
    for date in ["2026-11-03", "2026-11-04"] {
        site.good_day(date).await;
        site.comes_back("near").await;
    }
    let said = ["11-01 0", "11-02 1<0", "11-03 year", "11-04 day<year"];
    assert_eq!(site.said("near").await, said);
}
