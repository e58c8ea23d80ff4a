//! Runs that die in the middle of an upload: the next one, or `sweep`, ends it.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::cli::{config, job};
use crate::support::bed::Bed;
use crate::support::proxy::Proxy;
use crate::support::world::sh;

use super::command::offsite;
use super::{ceph, unfinished};

/// A site whose way to the bucket is so slow that there is time to kill.
fn site(way: &Proxy, folder: &str) -> Bed {
    let keys = offsite(way.port(), folder, "store: {days: 2}");
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[keys])]));
    sh(&bed, "mkdir www; head -c 60M /dev/urandom > www/noise");
    bed
}

/// Starts a run and kills it once its upload has begun.
fn die(bed: &Bed, way: &Proxy, folder: &str) {
    way.rate(8 << 20);
    let mut run: Child = bed
        .command(["start"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while unfinished(ceph().port(0), "main", folder).is_empty() {
        assert!(run.try_wait().unwrap().is_none(), "the run ended too soon");
        assert!(begun.elapsed() < Duration::from_secs(60), "no upload was begun");
    }
    run.kill().unwrap();
    run.wait().unwrap();
    way.rate(0);
    way.cut_all();
    assert_eq!(unfinished(ceph().port(0), "main", folder).len(), 1);
}

#[test]
fn the_next_run_ends_the_upload_that_a_killed_one_left() {
    let (port, folder) = (ceph().port(0), "killed/next");
    let way = Proxy::to(port);
    let mut bed = site(&way, folder);
    die(&bed, &way, folder);
    assert!(bed.run(["list", "--json"]).noisy().json()["backups"].as_array().unwrap().is_empty());
    bed.now("2026-11-22T03:00:00+00:00[UTC]");
    let ran = bed.run(["start"]).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    assert_eq!(ran.code(), Some(0), "{said}");
    assert_eq!(unfinished(port, "main", folder), [""; 0]);
    let log = std::fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(log.contains("removed") && log.contains(".nxs-partial."), "{log}");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
}

#[test]
fn sweep_ends_the_upload_that_a_killed_run_left() {
    let (port, folder) = (ceph().port(0), "killed/sweep");
    let way = Proxy::to(port);
    let bed = site(&way, folder);
    die(&bed, &way, folder);
    let ran = bed.run(["sweep"]).noisy();
    assert!(ran.out().contains("removed") && ran.out().contains(".nxs-partial."), "{}", ran.out());
    assert_eq!(unfinished(port, "main", folder), [""; 0]);
    assert!(bed.files("state/journal").is_empty());
}
