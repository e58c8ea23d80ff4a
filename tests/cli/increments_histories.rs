//! Random histories of the built command: runs, storages that are down, objects taken away by
//! hand, a clock that jumps, another policy. Every backup that was made gives the tree of its
//! moment, or, where a hand took what it builds on, an error: never another tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jiff::{ToSpan, Zoned};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cli::increments::www;
use crate::cli::listed;
use crate::support::bed::{Bed, NOW};
use crate::support::tree::{self, Tree};

/// What happens before a run.
#[derive(Clone, Debug)]
enum Event {
    Write(usize, usize, u8),
    Remove(usize, usize),
    RemoveFolder(usize),
    RenameFolder(usize, usize),
    FileByFolder(usize, usize),
    Down(usize),
    Up,
    Lose(Index),
    Policy(usize),
}

const FOLDERS: [&str; 3] = ["a", "b", "a-b"];
const FILES: [&str; 4] = ["one", "two", "\u{e9}", "x y"];
const STORES: [&str; 2] = ["near", "far"];
const POLICIES: [&str; 4] = [
    "incremental: calendar, inc_months_to_store: 1,",
    "incremental: {max_level: 2}, keep_chains: 1, keep_chain_days: 0,",
    "incremental: {always_level: 1, restart_days: 10}, keep_chain_days: 5,",
    "incremental: {max_level: 7}, keep_chains: 2, keep_chain_days: 0, min_copies: 2,",
];

fn event() -> impl Strategy<Value = Event> {
    let (folder, file) = (|| 0..FOLDERS.len(), || 0..FILES.len());
    prop_oneof![
        6 => (folder(), file(), any::<u8>()).prop_map(|(a, b, c)| Event::Write(a, b, c)),
        2 => (folder(), file()).prop_map(|(a, b)| Event::Remove(a, b)),
        1 => folder().prop_map(Event::RemoveFolder),
        1 => (folder(), folder()).prop_map(|(a, b)| Event::RenameFolder(a, b)),
        1 => (folder(), file()).prop_map(|(a, b)| Event::FileByFolder(a, b)),
        1 => (0..STORES.len()).prop_map(Event::Down),
        2 => Just(Event::Up),
        1 => any::<Index>().prop_map(Event::Lose),
        1 => (0..POLICIES.len()).prop_map(Event::Policy),
    ]
}

/// Hours until the next run; some go back.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(24_i64),
        1 => Just(0),
        1 => Just(1),
        1 => Just(24 * 9),
        1 => Just(24 * 33),
        1 => Just(-5),
        1 => Just(-50),
    ]
}

/// A machine with one job over time.
struct World {
    bed: Bed,
    now: Zoned,
    policy: usize,
    down: BTreeSet<usize>,
    /// The tree of every backup that was ever listed, and what that builds on.
    made: BTreeMap<String, (Tree, Option<String>)>,
    /// Backups of which a hand took an object.
    harmed: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let bed = Bed::new().tree("www", &[("a/one", "one"), ("top", "top")]);
        STORES.iter().for_each(|store| fs::create_dir(bed.path(store)).unwrap());
        let (made, harmed) = (BTreeMap::new(), BTreeSet::new());
        let now = NOW.parse().unwrap();
        Self { bed, now, policy: 0, down: BTreeSet::new(), made, harmed }.configured()
    }

    fn configured(mut self) -> Self {
        let store = |name| format!("{{storage: local, name: {name}, backup_dir: $DIR/{name}}}");
        let (keys, stores) = (POLICIES[self.policy], STORES.map(store).join(", "));
        self.bed = self.bed.config(&format!(
            "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
             jobs:\n- {{job: site, type: inc_files, compress: zstd, {keys} \
             sources: [{{target: ['$DIR/www']}}], storages: [{stores}]}}\n"
        ));
        self
    }

    fn happens(mut self, event: &Event) -> Self {
        let root = self.bed.path("www");
        let path = |folder: usize, file: usize| root.join(FOLDERS[folder]).join(FILES[file]);
        match event {
            Event::Write(folder, file, byte) => {
                let path = path(*folder, *file);
                clear(&path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, vec![*byte; usize::from(*byte)]).unwrap();
            }
            Event::Remove(folder, file) => clear(&path(*folder, *file)),
            Event::RemoveFolder(folder) => clear(&root.join(FOLDERS[*folder])),
            Event::RenameFolder(from, to) => {
                let (from, to) = (root.join(FOLDERS[*from]), root.join(FOLDERS[*to]));
                if from != to && from.exists() {
                    clear(&to);
                    fs::rename(from, to).unwrap();
                }
            }
            Event::FileByFolder(folder, file) => {
                let path = path(*folder, *file);
                clear(&path);
                fs::create_dir_all(&path).unwrap();
                fs::write(path.join("in"), "in").unwrap();
            }
            Event::Down(store) => self.goes_down(*store),
            Event::Up => self.all_up(),
            Event::Lose(which) => self.lose(which),
            Event::Policy(policy) => {
                self.policy = *policy;
                return self.configured();
            }
        }
        self
    }

    /// A file in the place of the folder: whoever looks gets an error.
    fn goes_down(&mut self, store: usize) {
        if self.down.insert(store) {
            let (path, away) = self.paths(store);
            fs::rename(&path, away).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    fn all_up(&mut self) {
        for store in std::mem::take(&mut self.down) {
            let (path, away) = self.paths(store);
            fs::remove_file(&path).unwrap();
            fs::rename(away, path).unwrap();
        }
    }

    fn paths(&self, store: usize) -> (std::path::PathBuf, std::path::PathBuf) {
        let name = STORES[store];
        (self.bed.path(name), self.bed.path(&format!("{name}.away")))
    }

    fn lose(&mut self, which: &Index) {
        let of = |store: &str| {
            let names = self.bed.files(store).into_iter().filter(|name| name.contains('/'));
            names.map(|name| format!("{store}/{name}")).collect::<Vec<_>>()
        };
        let objects: Vec<_> = STORES.iter().flat_map(|store| of(store)).collect();
        if objects.is_empty() {
            return;
        }
        let lost = which.get(&objects);
        for row in listed(&self.bed, &[]) {
            let key = format!("{}/{}", row["storage"].as_str().unwrap(), word(&row, "key"));
            if lost.starts_with(&key) {
                self.harmed.insert(word(&row, "id"));
            }
        }
        fs::remove_file(self.bed.path(lost)).unwrap();
    }

    /// Runs, and brings back what was made, from each storage by itself.
    fn run(&mut self, hours: i64) {
        self.now = self.now.checked_add(hours.hours()).unwrap();
        self.bed.now(&self.now.to_string());
        let ran = self.bed.run(["start"]).noisy();
        let said = format!("{}{}", ran.out(), ran.err());
        let wanted = match self.down.len() {
            0 => 0,
            1 => 3,
            _ => 1,
        };
        assert_eq!(ran.code(), Some(wanted), "{said}");
        let now = tree::read(&self.bed.path("www"));
        let rows = listed(&self.bed, &[]);
        let new: Vec<_> =
            rows.iter().filter(|row| !self.made.contains_key(&word(row, "id"))).collect();
        assert_eq!(new.len(), STORES.len() - self.down.len(), "one on each storage\n{said}");
        for row in new {
            let (id, storage) = (word(row, "id"), word(row, "storage"));
            let parent = row["parent"].as_str().map(str::to_owned);
            let back = self.back(&id, &["--storage", &storage]);
            let back = back.unwrap_or_else(|said| panic!("{id} from '{storage}': {said}"));
            tree::assert_same(&now, &back);
            self.made.insert(id, (now.clone(), parent));
        }
    }

    /// Restores a backup; an error is what was said.
    fn back(&self, id: &str, args: &[&str]) -> Result<Tree, String> {
        let out = self.bed.path("out");
        let restore = ["restore", "--id", id, "--to", out.to_str().unwrap()];
        let ran = self.bed.run(restore.iter().chain(args)).noisy();
        let said = format!("{}{}", ran.out(), ran.err());
        let back = match ran.code() {
            Some(0) => Ok(tree::read(&www(&self.bed, "out"))),
            code => Err(format!("exit {code:?}\n{said}")),
        };
        fs::remove_dir_all(out).ok();
        back
    }

    /// Brings back all that is left.
    fn all_come_back(&mut self) {
        self.all_up();
        let ids: BTreeSet<_> = listed(&self.bed, &[]).iter().map(|row| word(row, "id")).collect();
        assert!(!ids.is_empty() || self.made.is_empty() || !self.harmed.is_empty());
        for id in ids {
            match self.back(&id, &[]) {
                Ok(back) => tree::assert_same(&self.made[&id].0, &back),
                Err(said) => assert!(self.is_harmed(&id), "{id}: {said}"),
            }
        }
    }

    /// Tells whether a hand took something of a backup, or of one that it builds on.
    fn is_harmed(&self, id: &str) -> bool {
        let mut at = Some(id.to_owned());
        while let Some(id) = at {
            if self.harmed.contains(&id) {
                return true;
            }
            at = self.made[&id].1.clone();
        }
        false
    }
}

fn word(row: &serde_json::Value, key: &str) -> String {
    row[key].as_str().unwrap().to_owned()
}

fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn night() -> impl Strategy<Value = (Vec<Event>, i64)> {
    (proptest::collection::vec(event(), 0..4), gap())
}

fn lives(nights: &[(Vec<Event>, i64)]) {
    let mut world = World::new();
    for (events, hours) in nights {
        for event in events {
            world = world.happens(event);
        }
        world.run(*hours);
    }
    world.all_come_back();
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn whatever_happens_every_backup_gives_its_tree(
        nights in proptest::collection::vec(night(), 3..10),
    ) {
        lives(&nights);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::with_cases(100) })]

    #[test]
    #[ignore = "takes minutes: the same with many long histories"]
    fn whatever_happens_for_long_every_backup_gives_its_tree(
        nights in proptest::collection::vec(night(), 5..25),
    ) {
        lives(&nights);
    }
}
