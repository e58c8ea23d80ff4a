//! The journal of systemd, played by a socket in a mount namespace, and log files that rotate.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use super::{bed, mend};

/// Runs `start` where `journal/` of the bed is the folder of the journal's socket.
fn run(bed: &crate::support::bed::Bed, prefix: &str) -> std::process::Output {
    let plain = bed.command(["start"]);
    let program = plain.get_program().to_string_lossy().into_owned();
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind {} /run/systemd/journal && {prefix} {program} start",
        bed.path("journal").display()
    );
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "unshare" } else { "sudo" });
    if !root {
        command.args(["-n", "--preserve-env", "unshare"]);
    }
    command.args(["--mount", "sh", "-c", &script]).env_clear().current_dir(bed.path(""));
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    command.output().unwrap()
}

/// The fields of each message that has arrived.
fn messages(socket: &UnixDatagram) -> Vec<String> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(size) = socket.recv(&mut buffer) {
        if size > 0 {
            all.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
        }
    }
    all
}

#[test]
fn the_journal_gets_lines_with_their_job_and_level_as_fields() {
    for (main, prefix, gets) in [
        ("  journald: yes\n", "", true),
        // As systemd starts a unit: its standard error is the journal's, and named by its inode.
        ("", "eval 'exec 2>err; export JOURNAL_STREAM=$(stat -c %d:%i err)';", true),
        ("", "JOURNAL_STREAM=1:1", false),
        (
            "  journald: no\n",
            "eval 'exec 2>err; export JOURNAL_STREAM=$(stat -c %d:%i err)';",
            false,
        ),
    ] {
        let bed = bed(main);
        mend(&bed);
        fs::create_dir(bed.path("journal")).unwrap();
        let socket = UnixDatagram::bind(bed.path("journal/socket")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let output = run(&bed, prefix);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = messages(&socket);
        assert_eq!(!lines.is_empty(), gets, "{main}{prefix}: {lines:?}");
        if gets {
            let stored =
                lines.iter().find(|line| line.contains("stored on 'store' as blog/")).unwrap();
            assert!(stored.contains("NXS_BACKUP_JOB\n\u{5}\0\0\0\0\0\0\0sites"), "{stored:?}");
            assert!(
                stored.contains("PRIORITY=6\n")
                    || stored.contains("PRIORITY\n\u{1}\0\0\0\0\0\0\x006"),
                "{stored:?}"
            );
            assert!(
                stored.contains("SYSLOG_IDENTIFIER\n\u{a}\0\0\0\0\0\0\0nxs-backup"),
                "{stored:?}"
            );
        }
    }
}

#[test]
fn a_journal_that_is_wanted_and_not_there_is_said() {
    let bed = bed("  journald: yes\n");
    mend(&bed);
    fs::create_dir(bed.path("journal")).unwrap();
    let output = run(&bed, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("the journal of systemd gets no lines: "),
        "{said}"
    );
}

#[test]
fn log_files_rotate_and_old_ones_go() {
    let bed = bed("  log_rotation: daily\n  log_keep: 3\n");
    mend(&bed);
    fs::create_dir(bed.path("log")).unwrap();
    for day in 1..=6 {
        fs::write(bed.path(&format!("log/nxs.log.2020-01-0{day}")), "old\n").unwrap();
    }
    bed.run(["start"]);
    let files = bed.files("log");
    assert!((3..=4).contains(&files.len()), "{files:?}");
    let newest = bed.path("log").join(files.last().unwrap());
    assert!(fs::read_to_string(&newest).unwrap().contains("INFO [sites] ["), "{files:?}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(newest).unwrap().permissions().mode() & 0o777, 0o640);
}
