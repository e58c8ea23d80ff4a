//! A job that holds itself back: the rate at the source, priorities, and what is wrong about them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::cli::{config, job, local};
use crate::support::bed::Bed;
use crate::support::world::skipped;

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

/// As `/proc` shows it.
const SCHED_BATCH: &str = "3";

#[test]
fn a_job_gives_way_with_all_its_threads_while_it_runs() {
    let bed = limited(3, "{disk: 1MiB, nice: 7, ionice: idle}");
    let mut child = bed.command(["start", "site"]).spawn().unwrap();
    wait_for_start(&bed, &mut child);
    std::thread::sleep(Duration::from_millis(300));
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
    for task in tasks.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let (nice, policy) = (fields[16], fields[38]);
        assert_eq!((nice, policy), ("7", SCHED_BATCH), "{stat}");
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
fn no_rate_is_exceeded_by_our_own_means() {
    let edited = |from: &str, to: &str| {
        let bed = limited(4, "{}");
        let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
        bed.config(&text.replace(from, to))
    };
    let of_storage = edited("store: {", "limits: {net: 2MiB}, store: {");
    let of_main = edited("main: {", "main: {block_io_read: 2, ");
    for (what, bed) in [
        ("`disk` of a job", limited(4, "{disk: 2MiB}")),
        ("`net` of a job", limited(4, "{net: 2MiB}")),
        ("`net` of a storage", of_storage),
        ("`block_io_read`", of_main),
    ] {
        let begun = Instant::now();
        bed.run(["start", "site"]);
        let (took, log) = (begun.elapsed(), fs::read_to_string(bed.path("log/nxs.log")).unwrap());
        // What a group of the kernel limits is the disk alone: what lies in memory is free.
        let is_ours = !log.contains("the control group");
        assert!(took > Duration::from_millis(1500) || !is_ours, "{what}: {took:?}\n{log}");
    }
}

#[test]
fn a_tool_is_as_nice_as_its_job() {
    let storages = local("store", "days: 3");
    let jobs = [format!(
        "- {{job: nice, type: command, command: nice, limits: {{nice: 7}}, storages: [{storages}]}}\n"
    )];
    let bed = Bed::new().config(&config(&jobs));
    bed.run(["start"]);
    bed.run(["restore", "nice", "--to", "-"]).stdout("7\n").noisy();
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

/// A control group (v2) of the test, in which a run can be started; gone with this value.
struct OwnGroup {
    root: PathBuf,
    dir: PathBuf,
}

impl OwnGroup {
    /// Makes one that has `cpu` and `io`; `None`, and loud, where that cannot be had.
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let Some(mount) = mounts.find(|fields| fields[2] == "cgroup2") else {
            skipped("cgroup v2 is not mounted");
            return None;
        };
        let root = PathBuf::from(mount[1]);
        let offered = fs::read_to_string(root.join("cgroup.controllers")).unwrap();
        let has = |name| offered.split_whitespace().any(|one| one == name);
        if !(has("cpu") && has("io")) {
            skipped("cgroup v2 offers no `cpu` and `io` here: cgroup v1 has them");
            return None;
        }
        let dir = root.join(format!("nxs-test-{}", std::process::id()));
        let made = fs::write(root.join("cgroup.subtree_control"), "+cpu +io +memory")
            .and_then(|()| fs::create_dir(&dir));
        if let Err(error) = made {
            skipped(&format!("no control group can be made here: {error}"));
            return None;
        }
        Some(Self { root, dir })
    }
}

impl Drop for OwnGroup {
    fn drop(&mut self) {
        fs::remove_dir(&self.dir).ok();
    }
}

#[test]
fn a_control_group_of_the_kernel_holds_a_run_with_its_tools_and_is_gone_after_it() {
    let Some(group) = OwnGroup::make() else { return };
    let job = format!(
        "- {{job: look, type: command, command: $DIR/look, storages: [{}]}}\n",
        local("store", "days: 1")
    );
    let text = config(&[job]).replace("main: {", "main: {cpu_shares: 512, block_io_read: 10, ");
    let look = format!(
        "#!/bin/sh\nd={}$(sed -n s/^0:://p /proc/self/cgroup)\necho $d\ncat $d/cpu.weight $d/io.max\n",
        group.root.display()
    );
    let bed = Bed::new().config(&text).file("look", &look);
    fs::set_permissions(bed.path("look"), fs::Permissions::from_mode(0o700)).unwrap();
    let run = bed.command(["start"]);
    // The shell goes into the group and becomes the run.
    let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.dir.display());
    let mut shell = Command::new("sh");
    shell.args(["-c", &enter, "sh"]).arg(run.get_program()).args(run.get_args());
    shell.env_clear().envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    bed.finish(shell);
    let stored = bed.files("store").into_iter().find(|name| name.ends_with(".dump")).unwrap();
    let seen = fs::read_to_string(bed.path("store").join(stored)).unwrap();
    let mut lines = seen.lines();
    let child = lines.next().unwrap();
    assert!(child.starts_with(&format!("{}/nxs-backup-", group.dir.display())), "{seen}");
    assert_eq!(lines.next(), Some("50"), "{seen}");
    assert!(lines.all(|line| line.contains("rbps=10000000 wbps=max")), "{seen}");
    assert!(!Path::new(child).exists());
    let log = fs::read_to_string(bed.path("log/nxs.log")).unwrap();
    assert!(log.contains(child) && log.contains("cpu.weight 50"), "{log}");
}
