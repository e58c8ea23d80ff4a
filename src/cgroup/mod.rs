//! A control group of our own (cgroup v2): the kernel then shares out processor and disks among
//! us, with every tool that we start, and everybody else.
//!
//! It needs a group that is ours: the root of the tree, or one that was delegated to us. There a
//! child is made, we move into it (inner groups hold no processes), and limits are written to it.
//! What a machine does not offer is no error of a run: the refusal says why, and who asked uses
//! means of its own. Assumes that nobody else in the program changes its group.

mod disks;
mod home;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use disks::{Disk, Mounts};
use home::Home;

/// What a group is asked to do; nothing in it is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Share of the processor, where 1024 is that of any other program.
    pub cpu_shares: Option<u32>,
    /// Weight at the disks, 10 to 1000, where 500 is that of any other program.
    pub blkio_weight: Option<u32>,
    /// Bytes a second that are read from each disk.
    pub read: Option<u64>,
    /// Bytes a second that are written to each disk.
    pub write: Option<u64>,
}

/// Where the kernel tells of processes and devices: `/proc` and `/sys`, but for tests.
#[derive(Clone, Debug)]
pub struct Roots {
    /// In place of `/proc`.
    pub proc: PathBuf,
    /// In place of `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

/// Why there is no group; a sentence that follows another.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// A group that holds this program until [`Group::leave`].
#[derive(Debug)]
pub struct Group {
    home: Home,
    dir: PathBuf,
    /// Controllers that were asked for and are not offered.
    lacking: Vec<&'static str>,
    /// What was switched on in `home` for it, and goes off again.
    enabled: Vec<&'static str>,
    /// What was written, as in its files.
    says: Vec<String>,
    has_cpu: bool,
    read: BTreeSet<Disk>,
}

impl Group {
    /// Makes a group with what can be had of `wishes` and moves this program into it. Groups that
    /// dead runs left in the same place go first.
    ///
    /// Errors: [`Refused`] when nothing of it can be had; everything is as before then.
    pub fn enter(wishes: &Wishes, roots: &Roots) -> Result<Self, Refused> {
        let home = Home::find(&roots.proc).map_err(Refused)?;
        home.sweep(&roots.proc);
        let wanted = wishes.controllers();
        let offered = home.offered(&wanted).map_err(Refused)?;
        let dir = home.make_group(std::process::id()).map_err(Refused)?;
        let lacking = wanted.into_iter().filter(|name| !offered.contains(name)).collect();
        let mut group = Self {
            home,
            dir,
            lacking,
            enabled: Vec::new(),
            says: Vec::new(),
            has_cpu: false,
            read: BTreeSet::new(),
        };
        let made = group.fill(&offered, wishes, roots);
        match made {
            Ok(()) => Ok(group),
            Err(why) => {
                group.leave().ok();
                Err(Refused(why))
            }
        }
    }

    /// Tells whether it shares out the processor.
    pub fn has_cpu(&self) -> bool {
        self.has_cpu
    }

    /// Tells whether reads of the tree at `path` are limited: of whatever is mounted in it now.
    pub fn limits_reads_of(&self, path: &Path, roots: &Roots) -> bool {
        let Ok(path) = path.canonicalize() else { return false };
        let Some(mounts) = Mounts::read(&roots.proc) else { return false };
        let is_limited = |disk: Option<Disk>| disk.is_some_and(|disk| self.read.contains(&disk));
        mounts.disks_in(&path, &roots.sys).into_iter().all(is_limited)
    }

    /// Tells whether any reads are limited.
    pub fn has_reads(&self) -> bool {
        !self.read.is_empty()
    }

    /// Returns the folder of the group, what was written to its files, and what is lacking.
    pub fn words(&self) -> String {
        let lacking = match self.lacking.as_slice() {
            [] => String::new(),
            lacking => format!(", without {}, which it is not offered", quoted(lacking)),
        };
        format!("{}: {}{lacking}", self.dir.display(), self.says.join(", "))
    }

    /// Moves this program back to where it was, and removes the group.
    ///
    /// Errors: what stays behind, and why; the next run tries again.
    pub fn leave(&mut self) -> Result<(), String> {
        // Back there nobody may live while it has controllers switched on for groups below; where
        // one stays on, the kernel refuses the way back and says why.
        while let Some(controller) = self.enabled.pop() {
            write(&self.home.dir.join(SUBTREE), &format!("-{controller}")).ok();
        }
        let procs = self.home.dir.join(PROCS);
        let moved = write(&procs, &std::process::id().to_string());
        moved.map_err(|error| home::why(&procs, &error))?;
        match fs::remove_dir(&self.dir) {
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                Err(format!(
                    "{}: stays, since something that the run has started goes on in it",
                    self.dir.display()
                ))
            }
            Err(error) if error.kind() != ErrorKind::NotFound => Err(home::why(&self.dir, &error)),
            _ => Ok(()),
        }
    }

    fn fill(
        &mut self,
        wanted: &[&'static str],
        wishes: &Wishes,
        roots: &Roots,
    ) -> Result<(), String> {
        let procs = self.dir.join(PROCS);
        let moved = write(&procs, &std::process::id().to_string());
        moved.map_err(|error| home::why(&procs, &error))?;
        let mut refused = Vec::new();
        let mut has = BTreeSet::new();
        for controller in wanted {
            match self.switch_on(controller) {
                Ok(()) => {
                    has.insert(*controller);
                }
                Err(why) => refused.push(why),
            }
        }
        if has.contains("cpu") {
            self.set_cpu(wishes, &mut refused);
        }
        if has.contains("io") {
            self.set_weight(wishes, &mut refused);
            // Without the memory controller the kernel does not know whose a delayed write is.
            let write = wishes.write.filter(|_| has.contains("memory"));
            self.set_rates(wishes.read, write, roots, &mut refused);
        }
        match self.says.is_empty() {
            false => Ok(()),
            true => Err(refused.into_iter().next().unwrap_or_else(|| {
                let (home, lacking) = (self.home.dir.display(), quoted(&self.lacking));
                format!("{home}: what is asked for takes {lacking}, which it is not offered")
            })),
        }
    }

    fn switch_on(&mut self, controller: &'static str) -> Result<(), String> {
        let file = self.home.dir.join(SUBTREE);
        let on = fs::read_to_string(&file).unwrap_or_default();
        if on.split_whitespace().any(|one| one == controller) {
            return Ok(());
        }
        write(&file, &format!("+{controller}")).map_err(|error| home::why(&file, &error))?;
        // The root of the tree may hold processes beside it, and limits of others hang on it.
        if !self.home.is_root() {
            self.enabled.push(controller);
        }
        Ok(())
    }

    fn set_cpu(&mut self, wishes: &Wishes, refused: &mut Vec<String>) {
        let Some(shares) = wishes.cpu_shares else { return };
        let weight = weights::of_shares(shares);
        match self.set("cpu.weight", &weight.to_string()) {
            Ok(()) => {
                self.has_cpu = true;
                self.says.push(format!("cpu.weight {weight}"));
            }
            Err(why) => refused.push(why),
        }
    }

    /// A kernel has the file of each scheduler that can weigh, whichever a disk uses.
    fn set_weight(&mut self, wishes: &Wishes, refused: &mut Vec<String>) {
        let Some(weight) = wishes.blkio_weight else { return };
        let tries = [
            ("io.weight", "io.cost", weights::of_blkio(weight, weights::IO)),
            ("io.bfq.weight", "bfq", weights::of_blkio(weight, weights::BFQ)),
        ];
        for (file, scheduler, weight) in tries {
            match self.set(file, &format!("default {weight}")) {
                Ok(()) => self.says.push(format!("{file} {weight} (where a disk has {scheduler})")),
                Err(why) => refused.push(why),
            }
        }
    }

    fn set_rates(
        &mut self,
        read: Option<u64>,
        write: Option<u64>,
        roots: &Roots,
        refused: &mut Vec<String>,
    ) {
        let rates = [("rbps", read), ("wbps", write)];
        let said = rates.iter().filter_map(|(key, rate)| rate.map(|rate| format!(" {key}={rate}")));
        let said: String = said.collect();
        if said.is_empty() {
            return;
        }
        let mut limited = BTreeSet::new();
        let mounts = Mounts::read(&roots.proc).unwrap_or_default();
        for disk in mounts.disks(&roots.sys) {
            match self.set("io.max", &format!("{disk}{said}")) {
                Ok(()) => {
                    limited.insert(disk);
                }
                Err(why) => refused.push(why),
            }
        }
        if limited.is_empty() {
            return;
        }
        let names: Vec<_> = limited.iter().map(Disk::to_string).collect();
        self.says.push(format!("io.max{said} for the disks {}", names.join(" ")));
        if read.is_some() {
            self.read = limited;
        }
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        let file = self.dir.join(file);
        write(&file, value).map_err(|error| home::why(&file, &error))
    }
}

impl Wishes {
    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the controllers that it takes, the most wanted first.
    fn controllers(&self) -> Vec<&'static str> {
        let io = self.blkio_weight.is_some() || self.read.is_some() || self.write.is_some();
        [("cpu", self.cpu_shares.is_some()), ("io", io), ("memory", self.write.is_some())]
            .into_iter()
            .filter_map(|(name, wanted)| wanted.then_some(name))
            .collect()
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ")
}

/// Files of the kernel take a value in one write.
fn write(file: &Path, value: &str) -> io::Result<()> {
    fs::write(file, value)
}

const PROCS: &str = "cgroup.procs";
const SUBTREE: &str = "cgroup.subtree_control";
