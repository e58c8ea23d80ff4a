//! `prune`, `pin`, `unpin`, `sweep`: what goes, what stays, and why.

use std::fs;
use std::process::Command;

use crate::cli::{config, id_of, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::everything;

/// Ten daily backups of two sites; the config then says `store` instead of `days: 20`.
fn ten_days(store: &str) -> Bed {
    let with = |store: &str| config(&[job("sites", "$DIR/www/*", &[local("store", store)])]);
    let mut bed = two_sites().config(&with("days: 20"));
    for day in 11..=20 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    bed.config(&with(store))
}

fn days(bed: &Bed, site: &str) -> Vec<String> {
    let manifests = bed.files("store").into_iter().filter(|name| name.ends_with(".manifest.json"));
    let of_site = manifests.filter_map(|name| {
        let stamp = name.strip_prefix(&format!("{site}/daily/{site}_2026-11-"))?;
        Some(stamp[..2].to_owned())
    });
    of_site.collect()
}

#[test]
fn pruning_removes_what_the_store_no_longer_says_and_explains_it_first() {
    let bed = ten_days("days: 3");
    let before = everything(&bed.path("store"));
    let ran = bed.run(["prune", "--dry-run"]).stdout_has("14 copies would be removed");
    let line = |word: &str| ran.out().lines().filter(|line| line.contains(word)).count();
    assert_eq!((line(" keep "), line(" remove ")), (6, 14));
    drop(ran);
    assert_eq!(everything(&bed.path("store")), before);
    bed.run(["prune"]).stdout_has("14 copies removed");
    assert_eq!((days(&bed, "blog"), days(&bed, "shop")), (days(&bed, "shop"), days(&bed, "blog")));
    assert_eq!(days(&bed, "blog"), ["18", "19", "20"]);
    assert_eq!(bed.files("store").len(), 1 + 2 * 3 * 3);
    assert!(bed.files("state/journal").is_empty());
    bed.run(["prune"]).stdout_has("0 copies removed");
    bed.run(["prune", "-q"]).stdout("");
    bed.run(["verify", "--full"]).stdout_has("6 copies looked at, 6 whole, 0 not");
}

#[test]
fn copies_of_a_job_that_is_gone_stay_until_they_are_called_orphans() {
    let bed = ten_days("days: 20");
    let gone = config(&[job("new", "$DIR/www/shop", &[local("store", "days: 20")])]);
    let bed = bed.config(&gone);
    bed.run(["list"]).stdout_has("orphan");
    bed.run(["prune"]).stdout_has("`prune --orphans` takes it").stdout_has("0 copies removed");
    assert_eq!(days(&bed, "blog").len(), 10);
    bed.run(["prune", "--orphans", "-n"]).stdout_has("20 copies would be removed");
    bed.run(["prune", "--orphans"]).stdout_has("20 copies removed");
    assert_eq!(bed.files("store"), [".nxs-backup.json"]);
}

#[test]
fn copies_of_a_target_that_is_gone_stay_until_they_are_called_orphans() {
    let mut bed = ten_days("days: 20");
    fs::remove_dir_all(bed.path("www/blog")).unwrap();
    bed.now("2026-11-21T03:00:00+00:00[UTC]").run(["start"]);
    bed.run(["prune"]).stdout_has("0 copies removed");
    bed.run(["prune", "--orphans"]).stdout_has("10 copies removed");
    assert!(days(&bed, "blog").is_empty() && days(&bed, "shop").len() == 11);
}

#[test]
fn targets_that_cannot_be_seen_today_make_no_orphans() {
    let bed = ten_days("days: 20");
    fs::rename(bed.path("www"), bed.path("away")).unwrap();
    fs::write(bed.path("www"), "").unwrap();
    let ran = bed.run(["prune", "--orphans"]).exit(3);
    drop(
        ran.stdout_has("job \"sites\": no target counts as gone: ").stdout_has("0 copies removed"),
    );
    assert_eq!((days(&bed, "blog").len(), days(&bed, "shop").len()), (10, 10));
}

#[test]
fn a_job_with_an_error_in_its_config_loses_nothing_to_pruning() {
    let bed = ten_days("days: 20");
    let broken = job("sites", "$DIR/www/*", &[local("store", "dayz: 3")]);
    let good = job("other", "$DIR/www/shop", &[local("store", "days: 3")]);
    let bed = bed.config(&config(&[broken, good]));
    for orphans in [&["prune"][..], &["prune", "--orphans"], &["prune", "--orphans", "other"]] {
        let ran = bed.run(orphans.iter()).noisy();
        let said = ran.out().to_owned();
        assert_eq!(ran.code(), Some(if orphans.len() == 1 { 3 } else { 2 }), "{said}");
        assert_eq!((days(&bed, "blog").len(), days(&bed, "shop").len()), (10, 10), "{said}");
    }
    let bed = bed.config(&config(&[]).replace("jobs:", "jobs: []"));
    let _ = bed.run(["prune", "--orphans"]).noisy().code();
    assert_eq!(days(&bed, "blog").len(), 10);
}

#[test]
fn jobs_that_share_a_folder_are_pruned_by_their_own_store() {
    let with = |days: u8| {
        let few = job("few", "$DIR/www/blog", &[local("store", "days: 2")]);
        let many = job("many", "$DIR/www/shop", &[local("store", &format!("days: {days}"))]);
        config(&[few, many])
    };
    let mut bed = two_sites().config(&with(9));
    for day in 11..=19 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    assert_eq!((days(&bed, "blog").len(), days(&bed, "shop").len()), (2, 9));
    bed.run(["prune"]).stdout_has("0 copies removed");
    let bed = bed.config(&with(5));
    bed.run(["prune", "--orphans"]).stdout_has("4 copies removed");
    assert_eq!((days(&bed, "blog").len(), days(&bed, "shop").len()), (2, 5));
}

#[test]
fn copies_of_a_level_that_is_switched_off_stay_until_they_are_called_orphans() {
    let bed = ten_days("weeks: 2");
    bed.run(["prune"]).stdout_has("0 copies removed");
    assert_eq!(days(&bed, "blog").len(), 10);
    bed.run(["list"]).stdout_has("ok, level off");
    bed.run(["prune", "--orphans"]);
    assert_eq!(days(&bed, "blog").len(), 1, "the newest complete copy stays");
}

#[test]
fn a_pinned_copy_survives_rotation_until_it_is_unpinned() {
    let mut bed =
        two_sites().config(&config(&[job("blog", "$DIR/www/blog", &[local("store", "days: 2")])]));
    bed.now("2026-11-11T03:00:00+00:00[UTC]").run(["start"]);
    let id = id_of(&bed, "blog");
    bed.run(["pin", &id, "-n"]).stdout("$RUN-1 on 'store': would be pinned\n");
    bed.run(["pin", &id]).stdout("$RUN-1 on 'store': pinned\n");
    bed.run(["list"]).stdout_has("ok, pinned");
    bed.run(["verify", "--full"]).stdout_has("1 whole");
    for day in 12..=20 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    assert_eq!(days(&bed, "blog"), ["11", "19", "20"]);
    bed.run(["prune"]).stdout_has("pinned").stdout_has("0 copies removed");
    bed.run(["unpin", &id]).stdout("$RUN-1 on 'store': unpinned\n");
    bed.run(["prune"]).stdout_has("1 copy removed");
    assert_eq!(days(&bed, "blog"), ["19", "20"]);
    bed.run(["pin", "zzz"]).exit(1).stderr_has("no backup has the id");
}

#[test]
fn sweeping_shows_old_remains_and_removes_them_only_when_told() {
    let mut bed = ten_days("days: 20");
    let name = "store/blog/daily/blog_2026-11-12_03-00-00.tar.zst";
    fs::remove_file(bed.path(&format!("{name}.manifest.json"))).unwrap();
    let partial = "store/shop/daily/shop_2026-11-12_04-00-00.tar.zst";
    fs::write(bed.path(&format!("{partial}.nxs-partial.abc")), "half").unwrap();
    fs::write(bed.path("store/blog/daily/notes"), "mine").unwrap();
    let aged = ["", ".index.zst"].map(|end| bed.path(&format!("{name}{end}")));
    let touched = Command::new("touch").args(["-d", "2026-11-12"]).args(&aged).status().unwrap();
    assert!(touched.success());
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let ran = bed.run(["sweep"]).stdout_has("blog_2026-11-12_03-00-00.tar.zst.index.zst");
    drop(ran.stdout_has("nothing was removed; `sweep --yes` removes what is shown"));
    assert!(aged.iter().all(|path| path.exists()));
    bed.run(["sweep", "-n", "--yes"]);
    assert!(aged.iter().all(|path| path.exists()));
    bed.run(["sweep", "--yes"]).stdout_has("removed blog/daily/blog_2026-11-12_03-00-00.tar.zst");
    assert!(!aged.iter().any(|path| path.exists()) && bed.path("store/blog/daily/notes").exists());
    bed.run(["sweep", "--yes"]).stdout_has("nothing is left over");
    bed.run(["verify", "--full"]).stdout_has("19 copies looked at, 19 whole, 0 not");
}

#[test]
fn a_copy_that_shrank_holds_what_is_still_there_and_says_just_that() {
    let mut bed = two_sites();
    let path = bed.path("www/blog/noise");
    fs::write(&path, vec![b'x'; 4_000_000]).unwrap();
    for day in 10..=12 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    fs::remove_file(path).unwrap();
    bed.now("2026-11-13T03:00:00+00:00[UTC]");
    let ran = bed.run(["start", "--json"]).noisy();
    let report = ran.json();
    let blog = &report["jobs"][0]["targets"][0]["places"][0];
    assert_eq!(blog["removed"].as_array().unwrap().len(), 1, "{blog:#}");
    let warning = blog["warnings"][0].as_str().unwrap();
    assert!(warning.contains("nothing more is rotated"), "{warning}");
}

#[test]
fn sweeping_leaves_the_folder_of_another_server_alone() {
    let mut bed = two_sites();
    bed.run(["start"]);
    let name =
        bed.files("store").into_iter().find(|name| name.ends_with(".manifest.json")).unwrap();
    std::fs::remove_file(bed.path("store").join(name)).unwrap();
    let old = "find store -type f -exec touch -d 2026-11-01 {} +";
    crate::support::world::sh(&bed, old);
    let text = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = {
        bed.now("2027-01-01T03:00:00+00:00[UTC]");
        bed.config(&text.replace("server_name: web1", "server_name: web2"))
    };
    let before = bed.files("store");
    drop(bed.run(["sweep", "--yes"]).exit(3).stdout_has("belongs to the server \"web1\""));
    assert_eq!(bed.files("store"), before);
}
