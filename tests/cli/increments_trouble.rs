//! `inc_files` in trouble: what hides from it, what is taken away from under it, disks that are
//! full, two that look alike.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::cli::increments::{by_tar, config, site, www};
use crate::cli::listed;
use crate::support::bed::Bed;
use crate::support::tree;
use crate::support::world::{Disk, everything, sh};

/// A program that has a file in its memory and writes to it there.
struct Mapped {
    child: Child,
    answers: BufReader<ChildStdout>,
}

const MAP: &str = "
import mmap, sys
file = open(sys.argv[1], 'r+b')
memory = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    memory[0:3] = line.strip().encode()
    print('done', flush=True)
";

impl Mapped {
    fn open(path: &Path) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", MAP]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn write(&mut self, three: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{three}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// Runs on a day, at three in the night, to a good end.
fn night(bed: &mut Bed, day: &str, args: &[&str]) {
    bed.now(&format!("{day}T03:00:00+00:00[UTC]"));
    bed.run(["start"].iter().chain(args)).noisy();
}

/// Restores what is meant into a new folder of the bed and gives where the tree is there.
fn back(bed: &Bed, to: &str, args: &[&str]) -> PathBuf {
    let out = bed.path(to);
    let restore = ["restore", "site", "--to", out.to_str().unwrap()];
    bed.run(restore.iter().chain(args)).noisy();
    www(bed, to)
}

#[test]
fn a_change_that_no_time_tells_is_found_by_force_read_alone() {
    // Only a disk in memory writes nothing back, and so never notices a mapped page again.
    let memory = tempfile::Builder::new().prefix("nxs-www-").tempdir_in("/dev/shm").unwrap();
    let file = memory.path().join("database");
    fs::write(&file, "old content of a database").unwrap();
    let keys = "incremental: {max_level: 7},";
    let text = config(keys).replace("$DIR/www", memory.path().to_str().unwrap());
    let mut bed = Bed::new().config(&text);
    let mut mapped = Mapped::open(&file);
    mapped.write("one");
    // What changed just before its reading is read again anyway.
    sleep(Duration::from_millis(2100));
    night(&mut bed, "2026-11-01", &[]);
    let facts = || {
        let meta = file.metadata().unwrap();
        let time = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
        (time, meta.len(), meta.ino())
    };
    let before = facts();
    mapped.write("two");
    assert_eq!(facts(), before, "this kernel tells of it: the test needs another change");
    assert!(fs::read_to_string(&file).unwrap().starts_with("two"));
    let content = |bed: &Bed, to: &str| {
        let out = bed.path(to);
        bed.run(["restore", "site", "--strip", "--to", out.to_str().unwrap()]).noisy();
        fs::read_to_string(out.join("database")).unwrap()[..3].to_owned()
    };
    night(&mut bed, "2026-11-02", &[]);
    assert_eq!(content(&bed, "unseen"), "one", "as docs/increments.md says");
    night(&mut bed, "2026-11-03", &["--force-read"]);
    assert_eq!(content(&bed, "seen"), "two");
    let newest = listed(&bed, &[]).last().unwrap()["id"].as_str().unwrap().to_owned();
    bed.run(["show", &newest]).stdout_has("has other content, and no time tells of it");
    // This one builds on that.
    night(&mut bed, "2026-11-04", &[]);
    assert_eq!(content(&bed, "after"), "two");
}

/// The job with two storages.
fn two_storages() -> Bed {
    let one = "{storage: local, name: store, backup_dir: $DIR/store}";
    let both = format!("{one}, {{storage: local, name: far, backup_dir: $DIR/far}}");
    let text = config("incremental: {max_level: 7},").replace(one, &both);
    Bed::new().config(&text).tree("www", &[("a/one", "one"), ("a/two", "two"), ("top", "top")])
}

#[test]
fn what_was_deleted_by_hand_on_one_storage_comes_back_from_the_other() {
    for gone in ["L1_*", "L1_*.tar.zst", "L1_*.index.zst", "L0_*"] {
        let mut bed = two_storages();
        for day in ["2026-11-01", "2026-11-02", "2026-11-03"] {
            sh(&bed, &format!("echo {day} > www/a/{day}"));
            night(&mut bed, day, &[]);
        }
        sh(&bed, &format!("rm far/www/chain_*/{gone}"));
        // Until the next run the rest of the chain comes from where it is whole.
        let out = back(&bed, "before", &[]);
        tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&out));
        sh(&bed, "echo last > www/a/one");
        bed.now("2026-11-04T03:00:00+00:00[UTC]");
        bed.run(["start"]).stderr_has("copied from 'store'");
        bed.run(["verify", "--full"]).stdout("8 copies looked at, 8 whole, 0 not\n");
        let names = |folder: &str| bed.files(folder).join("\n");
        // Where remains had its name, the new one has another.
        if gone.ends_with("_*") {
            assert_eq!(names("store"), names("far"));
        }
        for place in ["store", "far"] {
            let out = back(&bed, &format!("out-{place}"), &["--storage", place]);
            tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&out));
        }
    }
}

#[test]
fn a_listing_marks_what_builds_on_a_copy_that_is_gone() {
    let mut bed = two_storages();
    for day in ["2026-11-01", "2026-11-02", "2026-11-03"] {
        sh(&bed, &format!("echo {day} > www/a/{day}"));
        night(&mut bed, day, &[]);
    }
    let marked = |bed: &Bed, args: &[&str]| {
        let ran = bed.run(["list"].iter().chain(args));
        ran.out().matches("CHAIN BROKEN").count()
    };
    sh(&bed, "rm far/www/chain_*/L1_*");
    assert_eq!(marked(&bed, &[]), 0, "the other storage has it");
    sh(&bed, "rm store/www/chain_*/L1_*");
    assert_eq!(marked(&bed, &[]), 2, "the copies of the third day");
    assert_eq!(marked(&bed, &["--storage", "far"]), 0, "nobody looked at the other one");
    let all = listed(&bed, &[]);
    let marks = |at: usize| all[at]["marks"].as_array().unwrap().len();
    assert_eq!((all.len(), marks(0), marks(3)), (4, 0, 1), "{all:#?}");
}

#[test]
fn verify_promises_a_copy_only_of_what_the_next_run_builds_on() {
    let text = config("incremental: {max_level: 7, restart_days: 3},");
    let one = "{storage: local, name: store, backup_dir: $DIR/store}";
    let both = format!("{one}, {{storage: local, name: far, backup_dir: $DIR/far}}");
    let mut bed = Bed::new().config(&text.replace(one, &both)).tree("www", &[("top", "top")]);
    for day in ["2026-11-01", "2026-11-02", "2026-11-05", "2026-11-06"] {
        sh(&bed, &format!("echo {day} > www/{day}"));
        night(&mut bed, day, &[]);
    }
    sh(&bed, "rm far/www/chain_*/L0_*");
    let (filled, never) = ("the next run copies it", "no run copies it any more");
    let ran = bed.run(["verify"]).exit(3).noisy();
    drop(ran.stdout_has(filled).stdout_has(never).stdout_has("keep 'store' while"));
    sh(&bed, "echo more > www/more");
    night(&mut bed, "2026-11-07", &[]);
    let ran = bed.run(["verify"]).exit(3).stdout_has(never).noisy();
    assert!(!ran.out().contains(filled), "{}", ran.out());
}

#[test]
fn a_root_that_becomes_a_file_and_a_folder_again_comes_back_each_day() {
    let mut bed = site("");
    let days: [(&str, &str); 3] = [
        ("2026-11-01", "true"),
        ("2026-11-02", "rm -r www; echo a file now > www"),
        ("2026-11-03", "rm www; mkdir www; echo new > www/new"),
    ];
    for (day, change) in days {
        sh(&bed, change);
        sh(&bed, &format!("mkdir -p seen; cp -a www seen/{day}"));
        bed.now(&format!("{day}T03:00:00+00:00[UTC]"));
        let ran = bed.run(["start"]).noisy();
        assert_eq!(ran.err().contains("was a folder and is none now"), day != "2026-11-01");
        drop(ran);
    }
    for (day, _) in days {
        let wanted = tree::read(&bed.path(&format!("seen/{day}")));
        let out = back(&bed, &format!("ours-{day}"), &["--at", day]);
        tree::assert_same(&wanted, &tree::read(&out));
        by_tar(&bed, &["--at", day], &format!("tar-{day}"));
        tree::assert_same(&wanted, &tree::read(&www(&bed, &format!("tar-{day}"))));
    }
}

#[test]
fn a_disk_that_fills_up_in_an_increment_keeps_the_chain() {
    let mut bed = site("");
    let Some(_disk) = Disk::mount(&bed, "store", "1m") else { return };
    sh(&bed, "head -c 300000 /dev/urandom > www/noise");
    night(&mut bed, "2026-11-01", &[]);
    sh(&bed, "echo second > www/a/one; cp -a www seen");
    night(&mut bed, "2026-11-02", &[]);
    let files = || {
        let all = everything(&bed.path("store"));
        all.lines().filter(|line| line.starts_with('f')).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = files();
    sh(&bed, "head -c 900000 /dev/urandom > www/too-much");
    for _ in 0..2 {
        let ran = bed.command(["start"]).env("NXS_BACKUP_NOW", "2026-11-03T03:00:00[UTC]").output();
        let ran = ran.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains("'store': ") && said.contains("No space left on device"), "{said}");
        assert_eq!(files(), before);
    }
    assert!(bed.files("state/journal").is_empty());
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
    let out = back(&bed, "out", &[]);
    tree::assert_same(&tree::read(&bed.path("seen")), &tree::read(&out));
    sh(&bed, "rm www/too-much");
    night(&mut bed, "2026-11-03", &[]);
    let rows = listed(&bed, &[]);
    let levels: Vec<_> = rows.iter().map(|row| row["level"].as_str().unwrap()).collect();
    assert_eq!(levels, ["year", "day", "day"]);
    let out = back(&bed, "after", &[]);
    tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&out));
}

#[test]
fn two_runs_in_one_minute_have_names_of_their_own_and_both_come_back() {
    for keys in ["", "incremental: {max_level: 7},"] {
        let mut bed = site(keys);
        let times = ["03:00:00", "03:00:00", "03:00:30", "03:00:30", "03:00:59"];
        for (turn, time) in times.into_iter().enumerate() {
            sh(&bed, &format!("echo {turn} > www/turn; mkdir -p seen; cp -a www seen/{turn}"));
            bed.now(&format!("2026-11-18T{time}+00:00[UTC]"));
            bed.run(["start"]).stdout("");
        }
        bed.run(["verify", "--full"]).stdout("5 copies looked at, 5 whole, 0 not\n");
        let archives = bed.files("store");
        let archives: Vec<_> = archives.iter().filter(|key| key.ends_with(".tar.zst")).collect();
        let again = archives.iter().filter(|key| key.ends_with("-2.tar.zst")).count();
        assert_eq!(archives.len(), 5, "{archives:?}");
        let is_by_level = !keys.is_empty();
        // By levels, and in the folder of the year, each has a name of its own anyway.
        assert_eq!(again, usize::from(!is_by_level), "{archives:?}");
        let mut seen = Vec::new();
        for row in listed(&bed, &[]) {
            let id = row["id"].as_str().unwrap();
            let out = back(&bed, &format!("out-{id}"), &["--id", id]);
            let turn = fs::read_to_string(out.join("turn")).unwrap().trim().to_owned();
            tree::assert_same(&tree::read(&bed.path(&format!("seen/{turn}"))), &tree::read(&out));
            seen.push(turn);
        }
        seen.sort();
        assert_eq!(seen, ["0", "1", "2", "3", "4"]);
        let out = back(&bed, "newest", &[]);
        tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&out));
    }
}

/// A job over `targets`, one source each; with `name:` where `named`.
fn alike(job: &str, targets: &[&str], named: bool) -> String {
    let source = |target: &&str| {
        let name = target.split('/').next().unwrap();
        let name = if named { format!("name: {name}, ") } else { String::new() };
        format!("{{{name}target: ['$DIR/{target}']}}")
    };
    let sources = targets.iter().map(source).collect::<Vec<_>>().join(", ");
    format!(
        "- {{job: {job}, type: inc_files, compress: zstd, incremental: {{max_level: 1}}, \
         keep_chains: 1, keep_chain_days: 0, sources: [{sources}], \
         storages: [{{storage: local, name: store, backup_dir: $DIR/store}}]}}\n"
    )
}

fn main_section() -> String {
    "main: {server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}\njobs:\n".into()
}

#[test]
fn trees_with_the_same_last_part_have_chains_of_their_own() {
    let two_jobs = [alike("one", &["one/www"], false), alike("two", &["two/www"], false)].concat();
    let named = alike("both", &["one/www", "two/www"], true);
    for jobs in [two_jobs, named] {
        let mut bed = Bed::new()
            .config(&(main_section() + &jobs))
            .tree("one/www", &[("a", "of one"), ("same", "x")])
            .tree("two/www", &[("a", "of two"), ("same", "x"), ("more", "more")]);
        for day in 1..=5 {
            sh(&bed, &format!("echo {day} > one/www/day; echo {day}{day} > two/www/day"));
            if day == 3 {
                sh(&bed, "rm two/www/more");
            }
            bed.now(&format!("2026-11-0{day}T03:00:00+00:00[UTC]"));
            bed.run(["start"]).noisy();
        }
        bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n").noisy();
        for name in ["one", "two"] {
            let (glob, to) = (format!("**/{name}/www"), bed.path(&format!("out-{name}")));
            let args = ["restore", "--target", &glob, "--strip", "--to", to.to_str().unwrap()];
            bed.run(args).noisy();
            let files = |root: &Path| {
                let mut all = tree::read(root);
                // With --strip the folder that is restored into stays what it was.
                all.remove(Path::new(""));
                all
            };
            tree::assert_same(&files(&bed.path(&format!("{name}/www"))), &files(&to));
        }
    }
}

#[test]
fn targets_that_would_share_a_folder_are_refused_and_told_how() {
    let jobs = alike("both", &["one/www", "two/www"], false);
    let bed = Bed::new()
        .config(&(main_section() + &jobs))
        .tree("one/www", &[("a", "of one")])
        .tree("two/www", &[("a", "of two")]);
    let ran = bed.run(["start"]).exit(1).noisy();
    drop(ran.stdout_has("would be stored in the same folder").stdout_has("each with a `name:`"));
    assert_eq!(bed.files("store"), [".nxs-backup.json"]);
}

#[test]
fn prune_explains_what_goes_and_what_stays_of_chains() {
    let mut bed = site("incremental: {max_level: 1}, keep_chains: 1, rotation: none,");
    for day in 1..=4 {
        sh(&bed, &format!("echo {day} > www/day"));
        night(&mut bed, &format!("2026-11-0{day}"), &[]);
    }
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("rotation: none,", "keep_chain_days: 0,"));
    let before = everything(&bed.path("store"));
    let said = bed.run(["prune", "--dry-run", "--json"]).json();
    let rows: Vec<_> = said["copies"].as_array().unwrap().iter().collect();
    let row = |row: &&serde_json::Value| {
        let word = |key: &str| row[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", word("action"), word("level"), word("reason"))
    };
    let mut lines: Vec<_> = rows.iter().map(row).collect();
    lines.sort();
    let wanted = [
        "keep 0: of the chain that grows now",
        "keep 1: of the chain that grows now",
        "remove 0: its whole chain is too old",
        "remove 1: its whole chain is too old",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(everything(&bed.path("store")), before);
    bed.run(["prune"]).noisy();
    bed.run(["verify", "--full"]).stdout("2 copies looked at, 2 whole, 0 not\n");
}
