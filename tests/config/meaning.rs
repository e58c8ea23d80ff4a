//! What a config means once it is resolved.

use std::time::Duration;

use nxs_backup::plan::{self, Entry, Fetch, Require, Verify};
use nxs_backup::retention::Rotation;
use nxs_backup::stream::Codec;

use super::{Bed, broken, good_job, whole};

#[test]
fn a_short_job_gets_the_documented_defaults() {
    let plan = Bed::job(&good_job("a", "")).plan();
    assert_eq!(plan.main.state_dir.to_str(), Some("/var/lib/nxs-backup"));
    assert_eq!(plan.main.lock_wait, Duration::ZERO);
    let job = whole(&plan, 0);
    assert_eq!((job.kind, job.group, job.enabled), ("desc_files", plan::Group::Files, true));
    assert_eq!((job.verify, job.require), (Verify::List, Require::All));
    assert_eq!((job.split, job.timeout), (None, None));
    assert_eq!(job.sources[0].compression.codec, Codec::None);
    let place = &job.places[0];
    assert_eq!((place.name.as_str(), place.kind, place.shared), ("local", "local", false));
    assert_eq!(place.location, "/backup/a");
    assert_eq!(place.fingerprint.len(), 16);
    let policy = place.policy;
    assert_eq!((policy.days, policy.weeks, policy.months, policy.last), (3, 0, 0, 0));
    assert_eq!((policy.min_copies, policy.rotation), (1, Rotation::Before));
}

#[test]
fn yaml_1_1_booleans_and_quoted_numbers_mean_what_they_say() {
    for (word, on) in [
        ("yes", true),
        ("on", true),
        ("True", true),
        ("'yes'", true),
        ("no", false),
        ("OFF", false),
    ] {
        let plan = Bed::job(&good_job("a", &format!("    enable: {word}\n"))).plan();
        assert_eq!(whole(&plan, 0).enabled, on, "{word}");
    }
    let job = good_job("123", "    min_copies: '2'\n    job_timeout: 90\n    split: 1048576\n");
    let job = job.replace("{days: 3}", "{days: '6', weeks: 4, month: \"5\"}");
    let plan = Bed::job(&job).plan();
    let job = whole(&plan, 0);
    let policy = job.places[0].policy;
    assert_eq!(job.name, "123");
    assert_eq!((policy.days, policy.weeks, policy.months, policy.min_copies), (6, 4, 5, 2));
    assert_eq!((job.timeout, job.split), (Some(Duration::from_secs(90)), Some(1 << 20)));
}

#[test]
fn compress_wins_over_gzip_and_the_source_over_the_job() {
    let cases = [
        ("    gzip: yes\n", "", Codec::Gzip, 6),
        ("    gzip: yes\n", "      gzip: no\n", Codec::None, 0),
        ("    compress: zstd\n", "      gzip: yes\n", Codec::Zstd, 3),
        ("    compress: zstd\n", "      compress: {type: gzip, level: 9}\n", Codec::Gzip, 9),
        ("    compress: {type: zstd, level: '19'}\n", "", Codec::Zstd, 19),
        ("    compress: no\n", "      gzip: yes\n", Codec::None, 0),
    ];
    for (of_job, of_source, codec, level) in cases {
        let job = good_job("a", of_job).replace("[/srv]\n", &format!("[/srv]\n{of_source}"));
        let plan = Bed::job(&job).plan();
        let compression = whole(&plan, 0).sources[0].compression;
        assert_eq!((compression.codec, compression.level), (codec, level), "{of_job}{of_source}");
    }
}

#[test]
fn rotation_is_spelled_in_two_ways_and_the_storage_wins() {
    let cases = [
        ("    safety_backup: yes\n", "", Rotation::After),
        ("    rotation: none\n", "", Rotation::None),
        ("    rotation: after\n    safety_backup: yes\n", "", Rotation::After),
        ("    rotation: none\n    safety_backup: no\n", "", Rotation::None),
        ("    safety_backup: yes\n", "      rotation: before\n", Rotation::Before),
    ];
    for (of_job, of_storage, rotation) in cases {
        let job = good_job("a", of_job).replace("      store", &format!("{of_storage}      store"));
        let plan = Bed::job(&job).plan();
        assert_eq!(whole(&plan, 0).places[0].policy.rotation, rotation, "{of_job}{of_storage}");
    }
}

#[test]
fn one_broken_job_breaks_no_other() {
    let jobs = [good_job("a", ""), good_job("b", "    verify: x\n"), good_job("c", "")].concat();
    let plan = Bed::job(&jobs).plan();
    whole(&plan, 0);
    assert!(broken(&plan, 1).contains("`x` is not possible here"));
    whole(&plan, 2);
}

#[test]
fn an_error_in_main_or_an_include_stops_everything() {
    let bed = Bed::new(&[("main.conf", "main: {}\njobs: !include [a.conf]\n"), ("a.conf", "[")]);
    let problems = plan::resolve(&bed.load().unwrap(), Fetch::All).err().unwrap().to_string();
    assert!(problems.contains("`server_name` is missing"), "{problems}");
    assert!(problems.contains("not valid YAML"), "{problems}");
}

#[test]
fn a_job_that_is_off_may_store_nothing_and_may_need_what_is_not_built() {
    let blank = good_job("a", "    enable: no\n").replace("{days: 3}", "{days: ''}");
    let plan = Bed::job(&blank).plan();
    assert!(!whole(&plan, 0).enabled);
    let mysql = good_job("a", "    enable: no\n").replace("desc_files", "command");
    let plan = Bed::job(&mysql).plan();
    assert!(matches!(&plan.jobs[0], Entry::Broken(broken) if !broken.enabled));
}

#[test]
fn defaults_lie_under_every_job_and_named_storages_under_every_use() {
    let text = "main:
  server_name: web1
  defaults:
    compress: zstd
    rotation: after
    limits: {net: 5M}
    storages: [{storage_name: offsite, backup_dir: /off, store: {last: 2}}]
  storage_connects:
  - {name: offsite, storage: local, shared: yes, min_copies: 4}
jobs:
- job: a
  type: desc_files
  sources: {target: /srv}
- job: b
  type: desc_files
  safety_backup: no
  compress: gzip
  sources: {target: /srv}
  storages: {storage_name: offsite, name: other, backup_dir: /b, store: {days: 1}, min_copies: 2}
";
    let plan = Bed::new(&[("main.conf", text)]).plan();
    let (a, b) = (whole(&plan, 0), whole(&plan, 1));
    let place = &a.places[0];
    assert_eq!((place.name.as_str(), place.location.as_str()), ("offsite", "/off"));
    assert_eq!((place.shared, place.policy.min_copies, place.policy.last), (true, 4, 2));
    assert_eq!(place.policy.rotation, Rotation::After);
    assert_eq!(a.sources[0].compression.codec, Codec::Zstd);
    let place = &b.places[0];
    assert_eq!((place.name.as_str(), place.location.as_str()), ("other", "/b"));
    assert_eq!((place.policy.min_copies, place.policy.rotation), (2, Rotation::Before));
    assert_eq!(b.sources[0].compression.codec, Codec::Gzip);
}

#[test]
fn places_without_names_are_numbered() {
    let more = "    - {storage: local, backup_dir: /two, store: {days: 1}}\n";
    let plan = Bed::job(&format!("{}{more}", good_job("a", ""))).plan();
    let places = &whole(&plan, 0).places;
    let names: Vec<_> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names, ["local", "local-2"]);
    assert_ne!(places[0].fingerprint, places[1].fingerprint);
}

#[test]
fn the_same_folder_spelled_differently_has_one_fingerprint() {
    let at = |folder: &str| {
        let plan = Bed::job(&good_job("a", "").replace("/backup/a", folder)).plan();
        whole(&plan, 0).places[0].fingerprint.clone()
    };
    assert_eq!(at("/backup/a"), at("/backup//a/"));
    assert_ne!(at("/backup/a"), at("/backup/b"));
}

#[test]
fn includes_nest_and_are_relative_to_their_own_file() {
    let bed = Bed::new(&[
        ("main.conf", "main: !include parts/main.yml\njobs: !import [x.d/*.conf, one.conf]\n"),
        ("parts/main.yml", "server_name: !include name.yml\n"),
        ("parts/name.yml", "web7\n"),
        ("x.d/2.conf", &good_job("second", "")),
        ("x.d/1.conf", "- !include deep/jobs.yml\n"),
        ("x.d/deep/jobs.yml", &good_job("first", "")),
        ("one.conf", &good_job("third", "").replacen("  - job", "    job", 1)),
    ]);
    let plan = bed.plan();
    let names: Vec<_> = (0..3).map(|index| whole(&plan, index).name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(plan.main.server_name, "web7");
}

#[test]
fn a_relative_path_to_the_config_works() {
    let config = nxs_backup::config::load_as(
        std::path::Path::new("nxs-backup.conf.example"),
        nxs_backup::config::Trust::Anyone,
    );
    assert!(!config.unwrap().jobs().is_empty());
}

#[test]
fn the_old_spelling_of_waiting_is_taken() {
    let text = format!("main: {{server_name: a, loop_timeout: 60}}\njobs:\n{}", good_job("a", ""));
    let plan = Bed::new(&[("main.conf", &text)]).plan();
    assert_eq!(plan.main.lock_wait, Duration::from_secs(60));
}
