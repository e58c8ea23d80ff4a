//! What tests of the command need from the machine: small disks, a user without rights, tools,
//! and a look at everything below a folder.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::bed::Bed;

/// A small disk of its own, taken away again when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts an empty disk at `folder` of the bed; `None`, and loud, where that is not allowed.
    pub(crate) fn mount(bed: &Bed, folder: &str, size: &str) -> Option<Self> {
        let at = bed.path(folder);
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={size},mode=0755");
        let mounted = tool("mount", ["-t", "tmpfs", "-o", &options, "none"], &at);
        if !mounted.status.success() {
            skipped("mounting a disk is not allowed here");
            return None;
        }
        Some(Self(at))
    }

    /// Lets nobody write to the disk any more, root neither.
    pub(crate) fn lock(&self) {
        assert!(tool("mount", ["-o", "remount,ro"], &self.0).status.success());
    }

    /// Lets it be written again.
    pub(crate) fn unlock(&self) {
        assert!(tool("mount", ["-o", "remount,rw"], &self.0).status.success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        tool("umount", ["-l"], &self.0);
    }
}

/// Says on the real standard error that a test could not run: skipped must not look like passed.
pub(crate) fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").ok();
}

/// Prepares a run as a user who owns nothing; for root only `nobody` is one.
pub(crate) fn powerless<S: AsRef<OsStr>>(bed: &Bed, args: impl IntoIterator<Item = S>) -> Command {
    let plain = bed.command(args);
    if !rustix::process::geteuid().is_root() {
        return plain;
    }
    let program = bed.path("bin/nxs-backup");
    if !program.exists() {
        fs::copy(plain.get_program(), &program).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
    command.arg(program).args(plain.get_args()).current_dir("/").env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

/// Lets everybody into the folders of the bed that are named, and nobody own them.
pub(crate) fn open_to_all(bed: &Bed, folders: &[&str]) {
    for name in ["", "nxs-backup.conf", "bin"].iter().chain(folders) {
        let path = bed.path(name);
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        for name in folders {
            std::os::unix::fs::chown(bed.path(name), Some(65534), Some(65534)).unwrap();
        }
    }
}

/// Tells of everything below a folder: kind, mode, owner, size, time of change, links, name.
pub(crate) fn everything(folder: &Path) -> String {
    const FORM: &str = "%y %m %U:%G %s %T@ %n %l %P\\0";
    let found = Command::new("find").arg(folder).args(["-printf", FORM]).output().unwrap();
    let text = found.stdout.escape_ascii().to_string();
    let mut lines: Vec<&str> = text.split("\\x00").collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Waits until `holds`; fails in the words of `what` when that takes a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "a minute went by without this: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The same for what is asked of a storage or a server meanwhile.
pub(crate) async fn reached(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, asked).await;
    assert!(done.is_ok(), "a minute went by without this: {what}");
}

const PATIENCE: Duration = Duration::from_secs(60);

/// The first objects of the copies in the bed's `store`, sorted.
pub(crate) fn copies(bed: &Bed) -> Vec<String> {
    let files = bed.files("store");
    let first = files.iter().filter_map(|name| name.strip_suffix(".manifest.json"));
    first.map(str::to_owned).collect()
}

/// Runs a job that must fail with these words on stderr: the bed's `store` is as before, and no
/// temporary file is left.
#[track_caller]
pub(crate) fn fails(bed: &Bed, words: &str) {
    let stored = || {
        let files = bed.files("store").into_iter();
        files.filter(|name| name != ".nxs-backup.json").collect::<Vec<_>>()
    };
    let before = stored();
    bed.run(["start"]).exit(1).stderr_has(words);
    assert_eq!(stored(), before, "a failed run changed what is stored");
    assert_eq!(bed.files("tmp"), [""; 0]);
}

/// Runs a script in the bed with the shell, which must succeed, and returns what it printed.
#[track_caller]
pub(crate) fn sh(bed: &Bed, script: &str) -> String {
    let script = script.replace("$DIR", bed.path("").to_str().unwrap().trim_end_matches('/'));
    let mut command = Command::new("sh");
    command.args(["-ec", &script]).current_dir(bed.path(""));
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}{err}");
    out.into_owned()
}

fn tool<const N: usize>(name: &str, args: [&str; N], path: &Path) -> Output {
    Command::new(name).args(args).arg(path).output().unwrap()
}

/// Expects `check --connect` to end so, with these words, and to store nothing.
#[track_caller]
pub(crate) fn reaches(bed: &Bed, exit: i32, words: &str) {
    bed.run(["check", "--connect"]).exit(exit).stdout_has(words);
    let stored = bed.files("").into_iter().filter(|name| name.ends_with(".manifest.json"));
    assert_eq!(stored.count(), 0);
}
