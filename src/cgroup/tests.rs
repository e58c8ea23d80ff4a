//! On a tree of plain files in place of the kernel's: where things go and what is written.

use super::disks::{Disk, Mounts};
use super::home::Home;
use super::*;

use std::os::unix::fs::symlink;

use tempfile::TempDir;

const WISHES: Wishes =
    Wishes { cpu_shares: Some(512), blkio_weight: Some(250), read: Some(7), write: Some(9) };

/// A machine: its group offers `controllers`; `/data` is on a partition of the disk 254:0.
struct Machine {
    folder: TempDir,
    roots: Roots,
}

impl Machine {
    fn new(controllers: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("proc/self")).unwrap();
        fs::create_dir_all(at("group/own")).unwrap();
        fs::create_dir_all(at("sys/devices/vda/vda1")).unwrap();
        fs::create_dir_all(at("sys/dev/block")).unwrap();
        symlink("../../devices/vda", at("sys/dev/block/254:0")).unwrap();
        symlink("../../devices/vda/vda1", at("sys/dev/block/254:1")).unwrap();
        fs::write(at("sys/devices/vda/dev"), "254:0\n").unwrap();
        fs::write(at("sys/devices/vda/vda1/partition"), "1\n").unwrap();
        fs::write(at("proc/self/cgroup"), "1:cpu:/x\n0::/own\n").unwrap();
        let group = at("group");
        let mounts = format!(
            "20 1 254:0 / / rw - ext4 /dev/vda rw\n21 20 254:1 / /my\\040data rw - ext4 /dev/vda1 rw\n\
             22 20 0:25 / /run rw - tmpfs tmpfs rw\n23 20 0:9 / {} rw - cgroup2 cgroup2 rw\n",
            group.display()
        );
        fs::write(at("proc/self/mountinfo"), mounts).unwrap();
        fs::write(at("group/own/cgroup.controllers"), controllers).unwrap();
        fs::write(at("group/own/cgroup.type"), "domain\n").unwrap();
        let roots = Roots { proc: at("proc"), sys: at("sys") };
        Self { folder, roots }
    }

    fn own(&self, name: &str) -> PathBuf {
        self.folder.path().join("group/own").join(name)
    }

    fn enter(&self) -> Result<Group, String> {
        Group::enter(&WISHES, &self.roots).map_err(|refused| refused.to_string())
    }

    fn written(&self, group: &Group, file: &str) -> String {
        fs::read_to_string(group.dir.join(file)).unwrap_or_default()
    }
}

#[test]
fn we_move_into_a_child_and_all_limits_are_written_there() {
    let machine = Machine::new("cpuset cpu io memory pids\n");
    let group = machine.enter().unwrap();
    let id = std::process::id().to_string();
    assert_eq!(group.dir, machine.own(&format!("nxs-backup-{id}")));
    assert_eq!(machine.written(&group, "cgroup.procs"), id);
    assert_eq!(machine.written(&group, "cpu.weight"), "50");
    assert_eq!(machine.written(&group, "io.weight"), "default 50");
    assert_eq!(machine.written(&group, "io.bfq.weight"), "default 50");
    assert_eq!(machine.written(&group, "io.max"), "254:0 rbps=7 wbps=9");
    assert_eq!(group.enabled, ["cpu", "io", "memory"]);
    let said = "cpu.weight 50, io.weight 50 (where a disk has io.cost), io.bfq.weight 50 (where a \
                disk has bfq), io.max rbps=7 wbps=9 for the disks 254:0";
    assert_eq!(group.words(), format!("{}: {said}", group.dir.display()));
    assert!(group.has_cpu() && group.has_reads());
}

#[test]
fn without_the_memory_controller_writes_are_left_to_others() {
    let machine = Machine::new("cpu io");
    let group = machine.enter().unwrap();
    assert_eq!(machine.written(&group, "io.max"), "254:0 rbps=7");
}

#[test]
fn a_group_takes_what_there_is() {
    let machine = Machine::new("io");
    let group = machine.enter().unwrap();
    assert!(!group.has_cpu() && group.has_reads());
    let machine = Machine::new("cpu");
    let group = machine.enter().unwrap();
    assert!(group.has_cpu() && !group.has_reads());
}

#[test]
fn what_is_missing_is_said() {
    let none = Machine::new("memory hugetlb");
    let why = none.enter().unwrap_err();
    assert!(why.contains("group/own/cgroup.controllers offers no `cpu` and no `io`"), "{why}");
    let text = fs::read_dir(none.own("")).unwrap().count();
    assert_eq!(text, 2, "nothing is left there");
    let old = Machine::new("cpu");
    fs::write(old.roots.proc.join("self/cgroup"), "1:cpu:/\n").unwrap();
    assert_eq!(old.enter().unwrap_err(), "this machine has no cgroup v2");
    fs::write(old.roots.proc.join("self/cgroup"), "0::/../other\n").unwrap();
    assert!(old.enter().unwrap_err().contains("outside of what we can see"));
}

#[test]
fn a_container_that_sees_a_part_of_the_tree_finds_its_group() {
    let machine = Machine::new("cpu io");
    let mounts = machine.roots.proc.join("self/mountinfo");
    let text = fs::read_to_string(&mounts).unwrap();
    fs::write(&mounts, text.replace("0:9 / ", "0:9 /pod ")).unwrap();
    fs::write(machine.roots.proc.join("self/cgroup"), "0::/pod/own\n").unwrap();
    assert_eq!(Home::find(&machine.roots.proc).unwrap().dir, machine.own("").join(""));
    fs::write(machine.roots.proc.join("self/cgroup"), "0::/podium/own\n").unwrap();
    assert!(Home::find(&machine.roots.proc).is_err());
}

#[test]
fn what_a_dead_run_left_goes_and_nothing_else() {
    let machine = Machine::new("cpu io");
    fs::create_dir_all(machine.roots.proc.join("77")).unwrap();
    for name in ["nxs-backup-76", "nxs-backup-77", "nxs-backup-x", "other"] {
        fs::create_dir(machine.own(name)).unwrap();
    }
    machine.enter().unwrap();
    assert!(!machine.own("nxs-backup-76").exists(), "its maker is dead");
    assert!(machine.own("nxs-backup-77").exists(), "its maker lives");
    assert!(machine.own("nxs-backup-x").exists() && machine.own("other").exists());
}

#[test]
fn a_run_in_the_root_of_the_tree_takes_nothing_from_the_groups_of_others() {
    let machine = Machine::new("cpu io memory");
    fs::remove_file(machine.own("cgroup.type")).unwrap();
    let mut group = machine.enter().unwrap();
    fs::write(machine.own("cgroup.subtree_control"), "cpu io memory").unwrap();
    fs::remove_dir_all(&group.dir).unwrap();
    group.leave().unwrap();
    let left = fs::read_to_string(machine.own("cgroup.subtree_control")).unwrap();
    assert_eq!(left, "cpu io memory");
}

#[test]
fn a_job_after_one_that_left_something_running_has_a_group_of_its_own() {
    let machine = Machine::new("cpu io");
    let first = machine.enter().unwrap();
    fs::write(first.dir.join("cpu.weight"), "1").unwrap();
    let second = machine.enter().unwrap();
    assert_eq!(second.dir, machine.own(&format!("nxs-backup-{}-2", std::process::id())));
    fs::create_dir(machine.own("nxs-backup-76-2")).unwrap();
    machine.enter().unwrap();
    assert!(!machine.own("nxs-backup-76-2").exists(), "its maker is dead");
}

#[test]
fn what_is_not_offered_is_said_beside_what_is() {
    let machine = Machine::new("cpu memory");
    let said = machine.enter().unwrap().words();
    assert!(said.ends_with("cpu.weight 50, without `io`, which it is not offered"), "{said}");
    let machine = Machine::new("io");
    let wishes = Wishes { write: Some(9), ..Wishes::default() };
    let why = Group::enter(&wishes, &machine.roots).unwrap_err().to_string();
    assert!(why.ends_with("what is asked for takes `memory`, which it is not offered"), "{why}");
}

#[test]
fn a_tree_is_limited_as_a_whole_or_not_at_all_by_what_is_mounted_now() {
    let machine = Machine::new("cpu io");
    let folder = machine.folder.path().canonicalize().unwrap();
    fs::create_dir_all(folder.join("www/net")).unwrap();
    let group = machine.enter().unwrap();
    let is_limited = |name: &str| group.limits_reads_of(&folder.join(name), &machine.roots);
    assert!(is_limited("www"));
    let mounts = machine.roots.proc.join("self/mountinfo");
    let mut text = fs::read_to_string(&mounts).unwrap();
    text.push_str(&format!("24 20 0:40 / {}/www/net rw - nfs4 host:/x rw\n", folder.display()));
    fs::write(&mounts, text).unwrap();
    assert!(!is_limited("www") && !is_limited("www/net") && is_limited("proc"));
}

#[test]
fn the_mount_that_shows_our_group_is_found_among_others() {
    let machine = Machine::new("cpu io");
    let mounts = machine.roots.proc.join("self/mountinfo");
    let text = fs::read_to_string(&mounts).unwrap();
    fs::write(&mounts, format!("19 20 0:9 /.. /mnt/cg rw - cgroup2 cgroup2 rw\n{text}")).unwrap();
    machine.enter().unwrap();
}

#[test]
fn a_path_lies_on_the_whole_disk_of_the_deepest_mount() {
    let machine = Machine::new("cpu io");
    let mounts = Mounts::read(&machine.roots.proc).unwrap();
    let of = |path: &str| mounts.disks_in(Path::new(path), &machine.roots.sys);
    let disk = Some(Disk { major: 254, minor: 0 });
    assert_eq!(
        (of("/my data/www"), of("/etc"), of("/run/x")),
        (vec![disk], vec![disk], vec![None])
    );
    assert_eq!(mounts.disks(&machine.roots.sys).len(), 1);
}

#[test]
fn weights_keep_their_meaning() {
    let shares = [(1024, 100), (512, 50), (2, 1), (262_144, 10_000)];
    for (shares, weight) in shares {
        assert_eq!(weights::of_shares(shares), weight, "{shares}");
    }
    let blkio = [(500, 100), (10, 2), (1000, 200), (1, 1)];
    for (blkio, weight) in blkio {
        assert_eq!(weights::of_blkio(blkio, weights::IO), weight, "{blkio}");
    }
}
