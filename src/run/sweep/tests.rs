//! A sweep takes only what is certainly ours, and only from the dead.

use tempfile::TempDir;

use super::*;
use crate::base::RunId;
use crate::catalogue::survey;
use crate::run::Journal;
use crate::storages::layers::{Fault, Flaky};
use crate::storages::{Memory, Storage};

const NAME: &str = "site/daily/site_2026-11-20_02-00-00.tar.zst";
const OTHERS: [&str; 6] = [
    "site/daily/site_2026-11-20_02-00.tar.gz",
    "site/daily/site_2026-11-20_02-00-00-2.tar.zst",
    "site/daily/site_2026-11-20_02-00-00.tar.zst.notes",
    "site/daily/.nxs-partial.site_2026-11-20_02-00-00-2.tar.zst.9",
    "site/daily/.nxs-partial.site_2026-11-20_02-00-00.tar.zst.extra.9",
    "web2/site/daily/site_2026-11-20_02-00-00.tar.zst",
];

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn now() -> Zoned {
    "2026-11-21T02:00:00+01:00[+01:00]".parse().unwrap()
}

fn journal(state: &TempDir) -> Journal {
    Journal::open(state.path(), &RunId::new(now().timestamp(), "web1", "site")).unwrap()
}

async fn putting(journal: &Journal) {
    journal
        .putting("fp", "offsite", &key(NAME), &key(&format!("{NAME}.manifest.json")))
        .await
        .unwrap();
}

/// A storage on which a run died while it put its third object, beside what others have there.
fn littered() -> Memory {
    let ours = ["", ".002", ".index.zst"].map(|end| format!("{NAME}{end}"));
    let unfinished = key(&format!("{NAME}.manifest.json")).partial("7-1").to_string();
    let all = OTHERS.map(str::to_owned).into_iter().chain(ours).chain([unfinished]);
    all.fold(Memory::default(), |shelf, key| shelf.with(&key, "bytes"))
}

async fn foretell(state: &TempDir, storage: &dyn Storage) -> SweepReport {
    foretell_dead(state.path(), &[SweepPlace { fingerprint: "fp", storage }]).await.unwrap()
}

async fn sweep(state: &TempDir, storage: &dyn Storage) -> SweepReport {
    sweep_dead(state.path(), &[SweepPlace { fingerprint: "fp", storage }]).await.unwrap()
}

fn sorted(keys: &[&str]) -> Vec<String> {
    let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    keys.sort();
    keys
}

fn journals(state: &TempDir) -> usize {
    std::fs::read_dir(state.path().join("journal")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn what_a_dead_run_was_putting_goes_and_nothing_else() {
    let (state, shelf) = (TempDir::new().unwrap(), littered());
    let dying = journal(&state);
    putting(&dying).await;
    drop(dying);
    let report = sweep(&state, &shelf).await;
    assert_eq!(report.removed.len(), 4, "{report:?}");
    assert_eq!(shelf.keys(), sorted(&OTHERS));
    assert_eq!((report.waiting, report.errors, journals(&state)), (vec![], vec![], 0));
    assert_eq!(sweep(&state, &shelf).await, SweepReport::default());
}

#[tokio::test]
async fn a_look_ahead_names_what_a_sweep_removes_and_changes_nothing() {
    let (state, shelf) = (TempDir::new().unwrap(), littered());
    let dying = journal(&state);
    putting(&dying).await;
    let gone = key("a/daily/a_2026-11-19_02-00-00.tar");
    let keys = vec![key(&format!("{gone}.manifest.json")), gone];
    dying.deleting("fp", "offsite", keys).await.unwrap();
    drop(dying);
    let file = std::fs::read_dir(state.path().join("journal")).unwrap().next().unwrap().unwrap();
    let cut = [std::fs::read(file.path()).unwrap(), b"{\"do".to_vec()].concat();
    std::fs::write(file.path(), &cut).unwrap();
    let before = shelf.keys();
    let told = foretell(&state, &shelf).await;
    assert_eq!((shelf.keys(), std::fs::read(file.path()).unwrap()), (before, cut));
    assert_eq!((told.removed.len(), &told), (4, &sweep(&state, &shelf).await));
    assert_eq!(foretell(&state, &shelf).await, SweepReport::default());
}

#[tokio::test]
async fn what_a_living_run_is_putting_stays() {
    let (state, shelf) = (TempDir::new().unwrap(), littered());
    let living = journal(&state);
    putting(&living).await;
    let before = shelf.keys();
    assert_eq!(sweep(&state, &shelf).await, SweepReport::default());
    assert_eq!(shelf.keys(), before);
    living.done("fp", &key(NAME)).unwrap();
    living.finish().unwrap();
    assert_eq!(journals(&state), 0);
}

#[tokio::test]
async fn a_put_whose_manifest_stands_is_a_backup() {
    let (state, shelf) = (TempDir::new().unwrap(), littered());
    let shelf = shelf.with(&format!("{NAME}.manifest.json"), "{");
    let dying = journal(&state);
    putting(&dying).await;
    drop(dying);
    let before = shelf.keys();
    assert_eq!(sweep(&state, &shelf).await, SweepReport::default());
    assert_eq!((shelf.keys(), journals(&state)), (before, 0));
}

#[tokio::test]
async fn a_deletion_is_completed_once_its_manifest_is_gone() {
    let keys = [".manifest.json", ".index.zst", "", ".002"].map(|end| key(&format!("{NAME}{end}")));
    for begun in [false, true] {
        let (state, mut shelf) = (TempDir::new().unwrap(), littered());
        if !begun {
            shelf = shelf.with(keys[0].as_str(), "{}");
        }
        let before = shelf.keys();
        let dying = journal(&state);
        dying.deleting("fp", "offsite", keys.to_vec()).await.unwrap();
        drop(dying);
        let report = sweep(&state, &shelf).await;
        assert_eq!(report.removed.len(), if begun { 3 } else { 0 });
        assert_eq!(before.len() - shelf.keys().len(), report.removed.len());
        assert_eq!(journals(&state), 0);
    }
}

#[tokio::test]
async fn entries_wait_for_a_storage_that_is_down_or_out_of_the_config() {
    let (state, shelf) = (TempDir::new().unwrap(), littered());
    let dying = journal(&state);
    putting(&dying).await;
    drop(dying);
    let elsewhere = sweep_dead(state.path(), &[]).await.unwrap();
    assert_eq!(elsewhere.waiting, ["offsite: not in the config"]);
    for verb in ["stat", "list", "delete"] {
        let flaky = Flaky::new(shelf.clone());
        flaky.fail_each(verb, Some(Fault::Before(Kind::Unavailable)));
        let report = sweep(&state, &flaky).await;
        assert_eq!((report.waiting.len(), report.removed.len()), (1, 0), "{report:?}");
    }
    assert_eq!(sweep(&state, &shelf).await.removed.len(), 4);
    assert_eq!(journals(&state), 0);
}

#[tokio::test]
async fn where_listing_is_refused_every_object_is_asked_for() {
    let (state, shelf) = (TempDir::new().unwrap(), littered());
    let dying = journal(&state);
    putting(&dying).await;
    drop(dying);
    let flaky = Flaky::new(shelf.clone());
    flaky.fail_each("list", Some(Fault::Before(Kind::Denied)));
    sweep(&state, &flaky).await;
    let left = shelf.keys();
    assert!(OTHERS.iter().all(|other| left.contains(&(*other).to_owned())));
    assert_eq!(left.len(), OTHERS.len() + 1, "only the temporary name cannot be found: {left:?}");
}

fn aged(shelf: Memory, key: &str, days: i64) -> Memory {
    let at = now().saturating_sub(days.days());
    let shelf = shelf.with(key, "bytes");
    shelf.set_modified(key, at.timestamp());
    shelf
}

#[tokio::test]
async fn only_the_old_by_stamp_and_by_time_is_stale() {
    let old = "a/daily/a_2026-11-10_02-00-00.tar";
    let mut shelf = Memory::default();
    for (name, days) in [
        (old, 11),
        ("a/daily/a_2026-11-10_02-00-00.tar.index.zst", 11),
        ("a/daily/.nxs-partial.a_2026-11-10_02-00-00.tar.manifest.json.7", 11),
        ("b/daily/b_2026-11-10_02-00-00.tar", 2),
        ("c/daily/c_2026-11-20_02-00-00.tar", 11),
        ("d/daily/d_2026-11-10_02-00-00.tar", 11),
        ("d/daily/d_2026-11-10_02-00-00.tar.002", 1),
        ("e/daily/e_2026-11-10_02-00-00.tar", 11),
        ("e/daily/e_2026-11-10_02-00-00.tar.manifest.json", 11),
        ("e/daily/.nxs-partial.e_2026-11-10_02-00-00.tar.7", 11),
        ("f/daily/f_2026-11-10_02-00.tar", 11),
        ("f/daily/.nxs-partial.notes.txt.7", 11),
        ("f/daily/notes.txt", 11),
    ] {
        shelf = aged(shelf, name, days);
    }
    let timeless = "g/daily/g_2026-11-10_02-00-00.tar";
    shelf.poke(timeless, "no time");
    shelf.set_modified(timeless, None);
    let survey = survey(&shelf, "").await.unwrap();
    let found = stale(&survey, &now());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].artefact.as_str(), found[0].objects.len()), (old, 3));

    let before = shelf.keys().len();
    assert_eq!(remove_stale(&shelf, &found).await.unwrap().len(), 3);
    assert_eq!(shelf.keys().len(), before - 3);
}

#[tokio::test]
async fn what_became_a_backup_since_it_was_shown_stays() {
    let old = "a/daily/a_2026-11-10_02-00-00.tar";
    let shelf = aged(Memory::default(), old, 11);
    let found = stale(&survey(&shelf, "").await.unwrap(), &now());
    let shelf = shelf.with(&format!("{old}.manifest.json"), "{}");
    assert_eq!((found.len(), remove_stale(&shelf, &found).await.unwrap().len()), (1, 0));
}
