//! A folder that nxs-backup 2.x filled: our chain begins beside it and leaves it alone, and what
//! lies there restores with the commands of docs/increments.md.

use std::fs;

use crate::cli::increments::{config, www};
use crate::support::bed::Bed;
use crate::support::tree;
use crate::support::world::{everything, sh};

/// Stores the tree as 2.x did: `archive STATE FROM FOLDER STAMP`; the state of tar stands for the
/// index of 2.x, which tar itself does not have.
const ARCHIVE: &str = r#"
archive() {
    mkdir -p "store/www/$3"
    test -z "$2" || cp "snar/$2" "snar/$1"
    tar -C / --format=posix -c -g "snar/$1" -f "store/www/$3/www_$4.tar" "${PWD#/}/www"
}
index() { echo '{"/srv/www/top": 1760000000.5}' > "store/www/$1"; }
mkdir -p snar seen
"#;

/// A year of 2.x: a full copy in October with its links, a month, a decade, two days.
const YEAR: &str = r#"
archive year '' 2026/year 2026-10-05_03-00
index 2026/year/year.inc
mkdir -p store/www/2026/month_10/monthly store/www/2026/month_10/daily/day_01
for folder in monthly daily/day_01; do
    ln -s "$PWD/store/www/2026/year/www_2026-10-05_03-00.tar" "store/www/2026/month_10/$folder/"
done
ln -s "$PWD/store/www/2026/year/year.inc" store/www/2026/month_10/monthly/month.inc
ln -s "$PWD/store/www/2026/year/year.inc" store/www/2026/month_10/daily/day_01/daily.inc
cp -a www seen/2026-10-05
sleep 0.02; echo november > www/a/new; rm -r www/gone
archive month year 2026/month_11/monthly 2026-11-01_03-00
index 2026/month_11/monthly/month.inc
mkdir -p store/www/2026/month_11/daily/day_01
ln -s "$PWD/store/www/2026/month_11/monthly/month.inc" store/www/2026/month_11/daily/day_01/daily.inc
cp -a www seen/2026-11-01
sleep 0.02; rm www/top; mkdir www/top; echo in > www/top/in
archive decade month 2026/month_11/daily/day_11 2026-11-11_03-00
index 2026/month_11/daily/day_11/daily.inc
cp -a www seen/2026-11-11
sleep 0.02; echo changed >> www/a/one; mv www/a/two www/a/three
archive day decade 2026/month_11/daily/day_11 2026-11-12_03-00
gzip -k store/www/2026/month_11/daily/day_11/www_2026-11-12_03-00.tar
cp -a www seen/2026-11-12
ln -s /nowhere/at/all store/www/2026/dangling
"#;

fn old_store() -> Bed {
    let keys = "inc_months_to_store: 1, min_copies: 1,";
    let files = [("a/one", "one"), ("a/two", "two"), ("gone/x", "x"), ("top", "top")];
    let bed = Bed::new().config(&config(keys)).tree("www", &files);
    sh(&bed, &format!("{ARCHIVE}{YEAR}"));
    bed
}

/// What 2.x left, with all that a file system tells of it.
fn of_2x(bed: &Bed) -> Vec<String> {
    let is_old = |line: &&str| {
        let name = line.rsplit(['/', ' ']).next().unwrap();
        // Ours have seconds in their stamps.
        let is_ours = name.contains("_03-00-00");
        !line.is_empty() && !line.starts_with('d') && !is_ours && name != ".nxs-backup.json"
    };
    everything(&bed.path("store")).lines().filter(is_old).map(str::to_owned).collect()
}

#[test]
fn a_tree_of_2x_is_told_of_once_and_left_alone_while_our_chain_grows_and_goes() {
    let mut bed = old_store();
    let old = of_2x(&bed);
    assert_eq!(old.len(), 14, "{old:#?}");
    bed.now("2026-11-21T03:00:00+00:00[UTC]");
    bed.run(["plan"]).stdout_has("increments of nxs-backup 2.x");
    let said = "holds increments of nxs-backup 2.x: they are left alone, and a chain of its own";
    bed.run(["start"]).stderr_has(said);
    let mut removed = false;
    for day in ["2026-11-22", "2026-12-01", "2027-01-01", "2027-01-02", "2027-02-01", "2027-03-01"]
    {
        sh(&bed, &format!("echo {day} > www/day"));
        bed.now(&format!("{day}T03:00:00+00:00[UTC]"));
        let ran = bed.run(["start"]).stdout("").stderr("");
        drop(ran);
        let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
        removed |= log.contains("removed on 'store'");
        assert_eq!(of_2x(&bed), old, "{day}");
    }
    assert!(removed, "our own old copies went");
    bed.run(["prune", "--orphans"]).noisy();
    bed.run(["sweep"]).noisy();
    assert_eq!(of_2x(&bed), old);
    let listed = bed.run(["list", "--json"]).json();
    assert_eq!(listed["backups"].as_array().unwrap().len(), 3, "{listed}");
    bed.run(["verify", "--full"]).stdout("3 copies looked at, 3 whole, 0 not\n");
    let to = bed.path("out");
    bed.run(["restore", "site", "--to", to.to_str().unwrap()]).noisy();
    tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&www(&bed, "out")));
}

/// The commands that docs/increments.md names for 2.x, one a line.
fn documented() -> Vec<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/increments.md"));
    let page = page.unwrap();
    let part = page.split_once("## Trees of 2.x").unwrap().1;
    let block = part.split("```").nth(1).unwrap();
    block.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn what_2x_left_restores_with_the_commands_of_the_docs() {
    let mut bed = old_store();
    for day in ["2026-11-21", "2026-11-22", "2027-01-01", "2027-02-01"] {
        bed.now(&format!("{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]).noisy();
    }
    let lines = documented();
    assert_eq!(lines.len(), 4, "year, month, decade, day: {lines:?}");
    let stamps = ["2026-10-05", "2026-11-01", "2026-11-11", "2026-11-12"];
    let fill = |line: &str, stamp: &str| {
        let stamp = format!("{stamp}_03-00");
        let filled = line.replace("<YYYY>", "2026").replace("<MM>", "11").replace("<DD>", "11");
        filled.replace("site_", "www_").replace("<STAMP>", &stamp).replace("DIR", "$DIR/by-tar")
    };
    sh(&bed, "mkdir by-tar");
    for (line, stamp) in lines.iter().zip(stamps) {
        sh(&bed, &format!("cd store/www; {}", fill(line, stamp)));
        let wanted = tree::read(&bed.path(&format!("seen/{stamp}")));
        tree::assert_same(&wanted, &tree::read(&www(&bed, "by-tar")));
    }
    // The compressed form, over the state of the decade.
    sh(&bed, "rm -r by-tar; mkdir by-tar");
    for (line, stamp) in lines.iter().zip(stamps) {
        let mut line = fill(line, stamp);
        if stamp == "2026-11-12" {
            line = line.replace("tar -x -G", "tar -xz -G").replace(".tar ", ".tar.gz ");
        }
        sh(&bed, &format!("cd store/www; {line}"));
    }
    tree::assert_same(&tree::read(&bed.path("www")), &tree::read(&www(&bed, "by-tar")));
}
