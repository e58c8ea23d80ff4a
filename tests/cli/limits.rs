//! A job that holds itself back: the rate at the source, priorities, and what is wrong about them.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::cli::{config, job, local};
use crate::support::bed::Bed;

/// A bed with one incompressible file of `mib` MiB, read under `limits`.
fn limited(mib: usize, limits: &str) -> Bed {
    let bed = Bed::new().tree("src", &[("small", "x")]);
    let random: Vec<u8> =
        (0..mib << 20).map(|at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(bed.path("src/large"), random).unwrap();
    let job = job("site", "$DIR/src", &[local("store", "days: 3")]);
    bed.config(&config(&[job.replace("compress: zstd", &format!("limits: {limits}"))]))
}

fn wait_for_start(bed: &Bed, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(20);
    while !bed.path("store").exists() || fs::read_dir(bed.path("store")).unwrap().count() == 0 {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < until, "it does not run");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_job_gives_way_with_all_its_threads_while_it_runs() {
    let bed = limited(3, "{disk: 1MiB, nice: 7, ionice: idle}");
    let mut child = bed.command(["start", "site"]).spawn().unwrap();
    wait_for_start(&bed, &mut child);
    std::thread::sleep(Duration::from_millis(300));
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    for task in tasks.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap();
        let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap();
        assert_eq!(nice, "7", "{stat}");
        let id = task.file_name().into_string().unwrap();
        let class = Command::new("ionice").args(["-p", &id]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&class.stdout).trim(), "idle");
    }
    assert!(child.wait().unwrap().success());
    let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(
        log.contains(
            "held back by our own means: 1048576 bytes a second read, nice 7, disk when idle"
        ),
        "{log}"
    );
}

#[test]
#[ignore = "takes 20 s by its nature, and other work on the machine slows it down: run it alone"]
fn a_limited_run_keeps_its_rate_within_a_tenth_over_20_s() {
    let bed = limited(20, "{disk: 1MiB}");
    let begun = Instant::now();
    bed.run(["start", "site"]);
    let took = begun.elapsed().as_secs_f64();
    assert!((18.0..22.0).contains(&took), "20 MiB at 1 MiB a second took {took} s");
}

#[test]
fn limits_that_belong_to_the_job_are_errors_on_a_storage() {
    let storage =
        local("store", "days: 3").replace("storage: local", "storage: local, limits: {nice: 5}");
    let bed = Bed::new().config(&config(&[job("site", "/etc/hostname", &[storage])]));
    bed.run(["check"]).exit(2).stdout_has("`limits` of a storage has `net` alone");
    let bed = limited(0, "{ionice: lazy}");
    bed.run(["check"]).exit(2).stdout_has("idle");
}
