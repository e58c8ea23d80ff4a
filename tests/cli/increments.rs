//! `inc_files`: chains as an operator sees them, from `plan` to a restore with tar alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::id_of;
use crate::support::bed::Bed;
use crate::support::tree;
use crate::support::world::{open_to_all, powerless, sh};

pub(super) fn config(keys: &str) -> String {
    format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
         jobs:\n- {{job: site, type: inc_files, compress: zstd, {keys} \
         sources: [{{target: ['$DIR/www']}}], \
         storages: [{{storage: local, name: store, backup_dir: $DIR/store}}]}}\n"
    )
}

pub(super) fn site(keys: &str) -> Bed {
    let files = [("a/one", "one"), ("a/two", "two"), ("gone/x", "x"), ("top", "top")];
    Bed::new().config(&config(keys)).tree("www", &files)
}

/// Runs on four days, each with its change.
fn four_days(bed: &mut Bed) {
    let days: [(&str, &str); 4] = [
        ("2026-11-01", "true"),
        ("2026-11-02", "echo new > www/a/new; rm -r www/gone"),
        ("2026-11-11", "rm www/top; mkdir www/top; echo in > www/top/in; ln -s a www/link"),
        ("2026-11-12", "echo changed >> www/a/one; mv www/a/two www/a/three"),
    ];
    for (day, change) in days {
        sh(bed, change);
        bed.now(&format!("{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]).stdout("");
        sh(bed, &format!("mkdir -p seen; cp -a www seen/{day}"));
    }
}

/// Where the tree lies below a folder of the bed that it was restored to.
pub(super) fn www(bed: &Bed, to: &str) -> std::path::PathBuf {
    bed.path(to).join(bed.path("www").strip_prefix("/").unwrap())
}

/// Restores into a folder of the bed with the commands that `--explain` prints.
pub(super) fn by_tar(bed: &Bed, args: &[&str], to: &str) {
    let to = bed.path(to);
    let explain = ["restore", "site", "--explain", "--to", to.to_str().unwrap()];
    let raw = bed.command(explain.iter().chain(args)).output().unwrap();
    sh(bed, std::str::from_utf8(&raw.stdout).unwrap());
}

#[test]
fn a_chain_is_planned_made_listed_and_verified() {
    let mut bed = site("");
    bed.now("2026-11-01T03:00:00+00:00[UTC]");
    bed.run(["plan"]).stdout_has("year copy www/2026/year/www_2026-11-01_03-00-00.tar.zst");
    four_days(&mut bed);
    bed.run(["plan"])
        .stdout_has("day copy www/2026/month_11/daily/day_11/www_2026-11-12_03-00-00-2.tar.zst")
        .stdout_has("builds on www/2026/month_11/daily/day_11/www_2026-11-11_03-00-00.tar.zst");
    let listed = bed.run(["list"]);
    for branch in [" year ", " └ day ", " └ decade ", "   └ day "] {
        assert!(listed.out().contains(branch), "{branch:?}\n{}", listed.out());
    }
    assert_eq!(listed.code(), Some(0));
    bed.run(["verify", "--full"]).stdout("4 copies looked at, 4 whole, 0 not\n");
    bed.run(["show", &id_of(&bed, "www")]).stdout_has("builds on").stdout_has("tree ");
    bed.run(["prune", "--dry-run"]).stdout_has("of this month or the 11 before it");
}

#[test]
fn every_day_comes_back_by_our_restore_and_by_tar_alone() {
    let mut bed = site("");
    four_days(&mut bed);
    for day in ["2026-11-01", "2026-11-02", "2026-11-11", "2026-11-12"] {
        let wanted = tree::read(&bed.path(&format!("seen/{day}")));
        let (ours, tars) = (format!("ours-{day}"), format!("tar-{day}"));
        let to = bed.path(&ours);
        bed.run(["restore", "site", "--at", day, "--to", to.to_str().unwrap()]).noisy();
        tree::assert_same(&wanted, &tree::read(&www(&bed, &ours)));
        by_tar(&bed, &["--at", day], &tars);
        tree::assert_same(&wanted, &tree::read(&www(&bed, &tars)));
    }
}

#[test]
fn one_file_is_found_and_comes_from_the_copy_that_holds_it() {
    let mut bed = site("incremental: {max_level: 7},");
    four_days(&mut bed);
    bed.run(["find", "**/a/*"]).stdout_has("a/three").stdout_has("a/new");
    let raw = bed.command(["find", "--json", "**/a/new"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    let files = found["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    assert!(files[0]["held_by"].as_str().unwrap() != files[0]["id"].as_str().unwrap());
    let to = bed.path("out");
    let path = bed.path("www/a");
    let args = ["restore", "site", "--path", path.to_str().unwrap(), "--to", to.to_str().unwrap()];
    bed.run(args).noisy();
    let stored = to.join(path.strip_prefix("/").unwrap());
    tree::assert_same(&tree::read(&path), &tree::read(&stored));
    by_tar(&bed, &["--path", path.to_str().unwrap()], "by-tar");
    let stored = bed.path("by-tar").join(path.strip_prefix("/").unwrap());
    assert_eq!(fs::read_to_string(stored.join("one")).unwrap(), "onechanged\n");
    assert_eq!(fs::read_to_string(stored.join("three")).unwrap(), "two");
}

#[test]
fn an_increment_is_no_single_stream() {
    let mut bed = site("");
    four_days(&mut bed);
    bed.run(["restore", "site", "--to", "-"]).exit(1).stderr_has("restore it into a folder");
}

#[test]
fn a_link_that_is_gone_is_told_and_the_older_copies_still_come_back() {
    let mut bed = site("incremental: {max_level: 7},");
    four_days(&mut bed);
    sh(&bed, "rm store/www/chain_*/L2_*.tar.zst");
    bed.run(["verify"]).exit(3).noisy().stdout_has("builds on").stdout_has("is missing");
    let to = bed.path("out");
    bed.run(["restore", "site", "--to", to.to_str().unwrap()])
        .exit(3)
        .stderr_has("passed over")
        .stderr_has("of which no whole copy is left");
    let said =
        bed.run(["restore", "site", "--json", "--to", "again"]).exit(3).noisy().json().to_string();
    assert!(said.contains("\"caveats\":[") && said.contains("is passed over"), "{said}");
    tree::assert_same(&tree::read(&bed.path("seen/2026-11-02")), &tree::read(&www(&bed, "out")));
    bed.now("2026-11-13T03:00:00+00:00[UTC]");
    bed.run(["start"]).noisy();
    let to = bed.path("healed");
    bed.run(["restore", "site", "--to", to.to_str().unwrap()]).noisy();
    tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&www(&bed, "healed")));
}

#[test]
fn what_builds_on_a_damaged_copy_is_not_called_whole() {
    let mut bed = site("incremental: {max_level: 7},");
    four_days(&mut bed);
    let flip = "f=$(ls store/www/chain*/L1*.tar.zst); ls $f; \
                printf x | dd of=$f bs=1 seek=30 conv=notrunc 2>/dev/null";
    let damaged = sh(&bed, flip).trim().strip_prefix("store/").unwrap().to_owned();
    let ran = bed.run(["verify", "--full"]).exit(3).noisy();
    let said = format!("it builds on {damaged}, which is not whole");
    assert_eq!(ran.out().matches(&said).count(), 2, "{}", ran.out());
    drop(ran.stderr_has(&said).stdout_has("4 copies looked at, 1 whole, 3 not"));
}

#[test]
fn a_path_that_means_the_target_itself_comes_back_stripped() {
    let inc = config("");
    let desc = inc
        .replace("inc_files", "desc_files")
        .replace("$DIR/store}", "$DIR/store, store: {last: 3}}");
    for text in [inc, desc] {
        let bed = Bed::new().config(&text);
        let bed = bed.tree("www", &[("a/one", "one"), ("top", "top")]);
        bed.run(["start"]);
        let www = bed.path("www");
        for (number, path) in ["**", "*", www.to_str().unwrap()].into_iter().enumerate() {
            let to = format!("out-{number}");
            bed.run(["restore", "--strip", "--path", path, "--to", &to]).stdout_has("restored");
            sh(&bed, &format!("diff -r www {to}"));
        }
    }
}

/// Lets a user without rights read the site and store it.
fn open_to_nobody(bed: &Bed) {
    for folder in ["state", "store", "log"] {
        fs::create_dir_all(bed.path(folder)).unwrap();
    }
    open_to_all(bed, &["www", "www/a", "www/gone", "state", "store", "log", "tmp"]);
}

#[test]
fn a_folder_that_becomes_unreadable_loses_nothing() {
    let mut bed = site("");
    open_to_nobody(&bed);
    let run = |bed: &Bed| bed.finish(powerless(bed, ["start", "-q"])).noisy().code();
    bed.now("2026-11-01T03:00:00+00:00[UTC]");
    assert_eq!(run(&bed), Some(0));
    fs::set_permissions(bed.path("www/gone"), fs::Permissions::from_mode(0o0)).unwrap();
    fs::write(bed.path("www/top"), "changed").unwrap();
    bed.now("2026-11-02T03:00:00+00:00[UTC]");
    assert_eq!(run(&bed), Some(3), "a partial copy");
    fs::set_permissions(bed.path("www/gone"), fs::Permissions::from_mode(0o755)).unwrap();
    let to = bed.path("out");
    bed.run(["restore", "site", "--strip", "--to", to.to_str().unwrap()]).noisy();
    by_tar(&bed, &[], "by-tar");
    for out in [to, www(&bed, "by-tar")] {
        assert_eq!(fs::read_to_string(out.join("gone/x")).unwrap(), "x");
        assert_eq!(fs::read_to_string(out.join("top")).unwrap(), "changed");
        let mode = fs::metadata(out.join("gone")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0, "as it was then");
    }
    bed.now("2026-11-03T03:00:00+00:00[UTC]");
    assert_eq!(run(&bed), Some(0));
}

#[test]
fn a_name_that_could_not_be_looked_at_keeps_its_own_data_whatever_became_of_the_first_name() {
    for change in ["rm www/a/first", "rm www/a/first; echo another > www/a/first"] {
        let mut bed = site("");
        sh(&bed, "echo old > www/a/first; ln www/a/first www/gone/second");
        open_to_nobody(&bed);
        let run = |bed: &Bed| bed.finish(powerless(bed, ["start", "-q"])).noisy().code();
        bed.now("2026-11-01T03:00:00+00:00[UTC]");
        assert_eq!(run(&bed), Some(0));
        fs::set_permissions(bed.path("www/gone"), fs::Permissions::from_mode(0o0)).unwrap();
        sh(&bed, change);
        bed.now("2026-11-02T03:00:00+00:00[UTC]");
        assert_eq!(run(&bed), Some(3), "a partial copy");
        bed.run(["restore", "site", "--strip", "--to", "out"]).noisy();
        bed.run(["restore", "site", "--strip", "--path", "**/gone/second", "--to", "one"]).noisy();
        for out in ["out", "one"] {
            assert_eq!(sh(&bed, &format!("cat {out}/gone/second")), "old\n", "{change}, {out}");
        }
        let first = fs::read_to_string(bed.path("out/a/first")).unwrap_or_default();
        assert_eq!(first, fs::read_to_string(bed.path("www/a/first")).unwrap_or_default());
    }
}

#[test]
fn explained_commands_apply_nothing_to_what_is_not_whole() {
    let mut bed = site("incremental: {max_level: 7},");
    for day in 1..=3 {
        sh(&bed, &format!("echo {day} > www/day{day}"));
        bed.now(&format!("2026-11-0{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]).stdout("");
    }
    sh(
        &bed,
        "f=$(ls store/www/chain*/L1*.tar.zst); printf x | dd of=$f bs=1 seek=30 conv=notrunc 2>/dev/null",
    );
    let told = bed
        .run(["restore", "--explain", "--to", "out"])
        .out()
        .replace("$DIR", bed.path("").to_str().unwrap().trim_end_matches('/'));
    fs::write(bed.path("explained"), told).unwrap();
    let said =
        sh(&bed, "if sh explained 2>said; then echo all well; fi; cat said; find out -name 'day*'");
    assert!(said.contains("has other bytes than its manifest says"), "{said}");
    assert!(
        said.contains("/day1") && !said.contains("/day3") && !said.contains("all well"),
        "{said}"
    );
}

#[test]
fn force_read_is_an_option_of_start() {
    let mut bed = site("");
    for day in ["2026-11-01", "2026-11-02"] {
        bed.now(&format!("{day}T03:00:00+00:00[UTC]"));
        bed.run(["start", "--force-read"]).stdout("");
    }
    assert_eq!(bed.files("store/www").len(), 6);
}

#[test]
fn words_of_increments_have_their_places_told() {
    let cases = [
        ("incremental: {max_level: 7, always_level: 2},", "not both"),
        ("incremental: {restart_days: 7},", "need `max_level` or `always_level`"),
        ("incremental: weekly,", "no way to build increments"),
        ("incremental: {max_level: 7, levels: 2},", "unknown field `levels`"),
        ("incremental: {max_level: 99},", "a level is at most 98"),
        ("keep_chains: some,", "keep_chains"),
    ];
    for (keys, said) in cases {
        let bed = site(keys);
        let ran = bed.run(["check"]).exit(2).noisy();
        let all = format!("{}{}", ran.out(), ran.err());
        assert!(all.contains(said) && all.contains("nxs-backup.conf:3:"), "{keys}\n{all}");
    }
    let plain = config("incremental: calendar,").replace("inc_files", "desc_files");
    let bed = Bed::new().config(&plain).tree("www", &[("x", "x")]);
    let ran = bed.run(["check"]).exit(2).noisy();
    let all = format!("{}{}", ran.out(), ran.err());
    assert!(all.contains("copies of `desc_files` stand alone"), "{all}");
    let bed = site("keep_chains: 3,");
    let ran = bed.run(["check"]).noisy();
    let all = format!("{}{}", ran.out(), ran.err());
    assert!(all.contains("no effect with this `incremental`"), "{all}");
}
