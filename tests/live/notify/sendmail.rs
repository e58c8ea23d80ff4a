//! Without a server mail goes through `sendmail`: a stub that writes down what it gets, and Exim's.

use std::fs;
use std::path::Path;

use super::bed;

const KEEPS: &str = "printf '%s\\n' \"$@\" > $BED/args; env > $BED/env; cat > $BED/mail";

#[test]
fn without_a_server_sendmail_gets_the_mail_and_no_secrets() {
    let bed = bed(
        "  admin_mail: root\n  mail_from: backup@svc.test\n  smtp_user: x\n  smtp_password: !env MAIL_PASSWORD\n",
    );
    let script = KEEPS.replace("$BED", &bed.path("").display().to_string());
    let bed = bed.stub("sendmail", &script).env("MAIL_PASSWORD", "hunter2");
    bed.run(["start"]).exit(3).stdout_has("bücher").noisy();
    let args = fs::read_to_string(bed.path("args")).unwrap();
    let args: Vec<&str> = args.lines().collect();
    assert_eq!(args[..4], ["-oi", "-f", "backup@svc.test", "--"]);
    assert!(args[4].starts_with("root@") && args.len() == 5, "{args:?}");
    let mail = fs::read_to_string(bed.path("mail")).unwrap();
    assert!(mail.contains("Subject: [web1] backup done in part: 1 of 2 jobs failed"), "{mail}");
    let env = fs::read_to_string(bed.path("env")).unwrap();
    assert!(env.contains("PATH=") && !env.contains("hunter2"), "{env}");
}

#[test]
fn a_sendmail_that_fails_is_quoted_and_the_report_is_kept() {
    let bed =
        bed("  admin_mail: root\n").stub("sendmail", "echo 'no space in the queue' >&2; exit 73");
    bed.run(["start"])
        .exit(3)
        .stdout_has(
            "kept for the next run: sendmail failed (exit status: 73): no space in the queue",
        )
        .noisy();
    bed.run(["report"]).stdout_has("no space in the queue");
}

#[test]
fn the_sendmail_of_a_mail_server_takes_the_mail() {
    let server = crate::support::server::Server::shared("exim");
    let keys = "  admin_mail: sent@svc.test\n  mail_from: backup@svc.test\n";
    // The one of the machine knows nothing of our server: it is told which config it has.
    let config = server.path("exim.conf").display().to_string();
    let script = format!("exec /usr/sbin/exim4 -C {config} -odi \"$@\"");
    let bed = bed(keys).stub("sendmail", &script);
    let ran = bed.run(["start"]).exit(3).noisy();
    if !rustix::process::geteuid().is_root() {
        return; // Exim lets only root choose its config.
    }
    assert!(!ran.out().contains("could not be sent"), "{}", ran.out());
    let folder = server.path("mail/new");
    let arrived =
        |path: &Path| fs::read_to_string(path).unwrap().contains("Envelope-to: sent@svc.test");
    let found = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        fs::read_dir(&folder).into_iter().flatten().flatten().any(|entry| arrived(&entry.path()))
    });
    assert!(found, "no mail in {}", folder.display());
}
