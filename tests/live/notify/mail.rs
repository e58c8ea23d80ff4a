//! Mail through Exim into a maildir, read by Python's own parser.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{bed, mend, nowhere};
use crate::support::server::Server;

/// A mail as a stock parser reads it.
#[derive(Debug, serde::Deserialize)]
struct Mail {
    to: String,
    from: String,
    subject: String,
    date: String,
    id: String,
    text: String,
    html: String,
}

const PARSE: &str = r"
import email, email.policy, json, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
assert not m.defects, m.defects
part = lambda kind: m.get_body(preferencelist=(kind,)).get_content()
print(json.dumps(dict(to=m['to'], subject=m['subject'], date=m['date'], id=m['message-id'],
    text=part('plain'), html=part('html'), **{'from': m['from']})))";

/// Waits for `count` mails to `to` and returns them in the order in which they came.
#[track_caller]
fn mails(server: &Server, to: &str, count: usize) -> Vec<Mail> {
    let folder = server.path("mail/new");
    let mut found = Vec::new();
    for _ in 0..100 {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        found = entries
            .map(|entry| entry.path())
            .filter(|path| {
                let text = fs::read_to_string(path).unwrap();
                text.contains(&format!("\nEnvelope-to: {to}\n"))
                    || text.starts_with(&format!("Envelope-to: {to}\n"))
            })
            .collect();
        if found.len() >= count {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(found.len(), count, "mails to {to}");
    found.sort();
    let parse = |path: &std::path::PathBuf| {
        let output = Command::new("python3").args(["-c", PARSE]).arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", fs::read_to_string(path).unwrap());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    found.iter().map(parse).collect()
}

/// The keys of the server's port `number` with this way of TLS and a login.
fn smtp(server: &Server, number: u16, way: &str) -> String {
    format!(
        "  smtp_server: localhost\n  smtp_port: {}\n  {way}\n  smtp_ca_file: {}\n  smtp_user: svcmail\n  \
         smtp_password: !env MAIL_PASSWORD\n  mail_from: backup@svc.test\n",
        server.port(number),
        server.path("tls/ca.crt").display()
    )
}

#[test]
fn a_failure_arrives_by_starttls_and_by_implicit_tls_with_a_login_and_without_either() {
    let server = Server::shared("exim");
    let plain = format!(
        "  smtp_server: localhost\n  smtp_port: {}\n  mail_from: backup@svc.test\n",
        server.port(0)
    );
    for (to, keys) in [
        ("start@svc.test", smtp(server, 1, "smtp_tls: yes")),
        ("implicit@svc.test", smtp(server, 2, "smtp_ssl: yes")),
        ("plain@svc.test", plain),
    ] {
        let bed = bed(&format!("{keys}  admin_mail: Jörg <{to}>\n")).env("MAIL_PASSWORD", "svcpw");
        let ran = bed.run(["start", "-vv"]).exit(3).noisy();
        assert!(!ran.err().contains("svcpw") && !ran.out().contains("svcpw"));
        nowhere(&bed, "log", &["svcpw"]);
        nowhere(&bed, "state", &["svcpw"]);
        let mail = mails(server, to, 1).remove(0);
        assert_eq!(
            (mail.to.as_str(), mail.from.as_str()),
            (&*format!("Jörg <{to}>"), "backup@svc.test")
        );
        assert_eq!(mail.subject, "[web1] backup done in part: 1 of 2 jobs failed");
        assert!(
            mail.date.starts_with("Sat, 21 Nov 2026 03:00:00") && mail.id.ends_with('>'),
            "{mail:?}"
        );
        let errors =
            mail.text.find("\nErrors\n  bücher: ").unwrap_or_else(|| panic!("{}", mail.text));
        assert!(errors < mail.text.find("\nJobs\n").unwrap(), "{}", mail.text);
        assert!(
            mail.text.contains("  bücher  failed") && mail.text.contains("  sites   ok"),
            "{}",
            mail.text
        );
        assert!(
            mail.html.contains("<b>bücher</b>: ")
                && mail.html.contains("<b style=\"color:#b42318\">failed</b>")
        );
        drop(ran);
    }
}

#[test]
fn administrators_hear_of_errors_and_clients_of_what_level_message_says() {
    let server = Server::shared("exim");
    let keys = |level: &str| {
        format!(
            "{}  admin_mail: admin-{level}@svc.test\n  client_mail: ['', client-{level}@svc.test]\n  \
             level_message: {level}\n",
            smtp(server, 1, "smtp_tls: yes")
        )
    };
    for (level, in_good_run) in [("error", 0), ("debug", 1), ("info", 1)] {
        let mut bed = bed(&keys(level)).env("MAIL_PASSWORD", "svcpw");
        bed.run(["start"]).exit(3).noisy();
        mend(&bed);
        bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]);
        let mut client = mails(server, &format!("client-{level}@svc.test"), 1 + in_good_run);
        // They may be delivered in any order.
        client.sort_by_key(|mail| mail.subject.contains("ok:"));
        let admin = mails(server, &format!("admin-{level}@svc.test"), 1);
        assert_eq!(admin[0].subject, "[web1] backup done in part: 1 of 2 jobs failed");
        assert!(!admin[0].text.contains("\nLog\n"), "{}", admin[0].text);
        let has_log = client[0].text.contains("\nLog\n  INFO [sites] [");
        assert_eq!(has_log, level != "error", "{}", client[0].text);
        if let Some(good) = client.get(1) {
            assert_eq!(good.subject, "[web1] backup ok: 2 jobs, 3 copies");
            assert!(good.text.contains("stored on 'store' as blog/"), "{}", good.text);
        }
    }
}

#[test]
fn a_mail_server_that_is_down_costs_no_report() {
    let server = Server::own("exim");
    let keys = format!("{}  admin_mail: a@svc.test\n", smtp(&server, 1, "smtp_tls: yes"));
    let mut bed = bed(&keys).env("MAIL_PASSWORD", "svcpw");
    server.tell("stop");
    let wanted = "the report for 'mail to a@svc.test' could not be sent and is kept for the next run: localhost:";
    bed.run(["start"]).exit(3).stdout_has(wanted).stdout_has("refused").noisy();
    bed.now("2026-11-22T03:00:00+00:00[UTC]").run(["start"]).exit(3).noisy();
    bed.run(["report"]).stdout_has("mail to a@svc.test").stdout_has(" 2 ");
    server.tell("again");
    mend(&bed);
    // Nothing failed: the next run has nothing to tell, and brings what waited.
    bed.now("2026-11-23T03:00:00+00:00[UTC]").run(["start"]);
    let mail = mails(&server, "a@svc.test", 1).remove(0);
    assert_eq!(mail.subject, "[web1] 2 of 2 backup runs FAILED");
    assert!(
        mail.text.contains("Note: the report of 11-21 03:00 comes late: localhost:"),
        "{}",
        mail.text
    );
    assert!(
        mail.text.contains("Note: the report of 11-22 03:00 comes late: localhost:"),
        "{}",
        mail.text
    );
    bed.now("2026-11-24T03:00:00+00:00[UTC]").run(["start"]);
    mails(&server, "a@svc.test", 1);
    bed.run(["report", "--json"]).stdout_has("\"reports\": 0");
}

#[test]
fn one_wrong_address_takes_nothing_from_the_others() {
    let server = Server::shared("exim");
    let keys = format!(
        "{}  admin_mail: [bounce@svc.test, defer@svc.test, other@elsewhere.test, good@svc.test]\n",
        smtp(server, 1, "smtp_tls: yes")
    );
    let bed = bed(&keys).env("MAIL_PASSWORD", "svcpw");
    let ran = bed.run(["start"]).exit(3).noisy();
    for (to, why) in [
        ("bounce@svc.test", "permanent error (550): no such user"),
        ("defer@svc.test", "transient error (451): try again later"),
        ("other@elsewhere.test", "permanent error (550): relay not permitted"),
    ] {
        let said = format!("'mail to {to}' could not be sent and is kept for the next run: {why}");
        assert!(ran.out().contains(&said), "no {said:?} in\n{}", ran.out());
    }
    assert_eq!(mails(server, "good@svc.test", 1).len(), 1);
}

#[test]
fn a_server_that_is_not_what_it_should_be_gets_no_mail_and_the_run_says_why() {
    let server = Server::shared("exim");
    let no_ca = |way: u16, keys: &str| {
        let keys = smtp(server, way, keys);
        keys.lines()
            .filter(|line| !line.contains("smtp_ca_file"))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let wrong = smtp(server, 1, "smtp_tls: yes").replace("!env MAIL_PASSWORD", "hunter2");
    for (to, keys, why) in [
        ("ca1@svc.test", no_ca(1, "smtp_tls: yes"), "invalid peer certificate: UnknownIssuer"),
        ("ca2@svc.test", no_ca(2, "smtp_ssl: yes"), "invalid peer certificate: UnknownIssuer"),
        (
            "none@svc.test",
            smtp(server, 3, "smtp_tls: yes"),
            "it offers no STARTTLS, so nothing was sent (see `smtp_tls`)",
        ),
        ("pw@svc.test", wrong, "permanent error (535)"),
        ("host@svc.test", "  smtp_server: nowhere.invalid\n".to_owned(), "nowhere.invalid:25: "),
    ] {
        let bed = bed(&format!("{keys}  admin_mail: {to}\n")).env("MAIL_PASSWORD", "svcpw");
        let ran = bed.run(["start"]).exit(3).noisy();
        assert!(
            ran.out().contains(why) && !ran.out().contains("hunter2"),
            "no {why:?} in\n{}",
            ran.out()
        );
        assert_eq!(mails(server, to, 0).len(), 0);
    }
}

#[test]
fn a_mail_server_that_says_nothing_is_waited_for_as_long_as_smtp_timeout_says() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let bed = bed(&format!(
        "  smtp_server: 127.0.0.1\n  smtp_port: {port}\n  smtp_timeout: 1s\n  admin_mail: a@svc.test\n"
    ));
    let begun = std::time::Instant::now();
    let ran = bed.run(["start"]).exit(3).noisy();
    assert!(ran.out().contains("no answer within 1 s"), "{}", ran.out());
    drop(ran);
    assert!(begun.elapsed().as_secs() < 60);
    bed.run(["report", "--json"]).stdout_has("\"reports\": 1");
}

#[test]
fn check_notify_sends_a_test_to_everybody_and_says_who_cannot_be_reached() {
    let server = Server::shared("exim");
    let keys = format!(
        "{}  admin_mail: [probe@svc.test, bounce@svc.test]\n",
        smtp(server, 1, "smtp_tls: yes")
    );
    let bed = bed(&keys).env("MAIL_PASSWORD", "svcpw");
    mend(&bed);
    let ran = bed.run(["check", "--notify"]).exit(3);
    assert!(ran.out().contains("told   mail to probe@svc.test"), "{}", ran.out());
    assert!(
        ran.out().contains("FAILED mail to bounce@svc.test: permanent error (550): no such user")
    );
    assert_eq!(
        mails(server, "probe@svc.test", 1)[0].subject,
        "[web1] test: messages of nxs-backup arrive here"
    );
    let good = "admin_mail: [probe@svc.test]";
    let text = fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("admin_mail: [probe@svc.test, bounce@svc.test]", good));
    bed.run(["check", "--notify"]).stdout_has("no errors");
}

#[test]
fn a_broken_config_is_mailed_as_far_as_main_can_be_read() {
    let server = Server::shared("exim");
    let keys = |to: &str| format!("{}  admin_mail: {to}\n", smtp(server, 1, "smtp_tls: yes"));
    // An error in `main` and in an include stop all.
    let bad = bed(&format!("{}  lock_wiat: 5m\n  state_dri: x\n", keys("main@svc.test")));
    let bad = bad.env("MAIL_PASSWORD", "svcpw");
    bad.run(["start"]).exit(2).stderr_has("`lock_wiat`");
    let mail = mails(server, "main@svc.test", 1).remove(0);
    assert_eq!(mail.subject, "[web1] backup FAILED: 1 error");
    assert!(
        mail.text.contains("`lock_wiat`") && mail.text.contains("`state_dri`"),
        "{}",
        mail.text
    );
    let text = fs::read_to_string(bad.path("nxs-backup.conf")).unwrap();
    let (main, _) = text.split_once("jobs:").unwrap();
    let main = main.replace("  lock_wiat: 5m\n  state_dri: x\n", "").replace("main@", "include@");
    let bed2 = bad
        .config(&format!("{main}jobs: !include [conf.d/*.conf]\n"))
        .file("conf.d/a.conf", "- job: [\n");
    bed2.run(["start"]).exit(2).noisy();
    let mail = mails(server, "include@svc.test", 1).remove(0);
    assert!(mail.text.contains("conf.d/a.conf:"), "{}", mail.text);
    // An error in one job fails that job alone.
    let good = bed(&keys("job@svc.test")).env("MAIL_PASSWORD", "svcpw");
    spoil_config(&good);
    mend(&good);
    good.run(["start"]).exit(3).noisy();
    let mail = mails(server, "job@svc.test", 1).remove(0);
    assert_eq!(mail.subject, "[web1] backup done in part: 1 of 2 jobs failed");
    assert!(mail.text.contains("did you mean `sources`?"), "{}", mail.text);
}

fn spoil_config(bed: &crate::support::bed::Bed) {
    let path = bed.path("nxs-backup.conf");
    let text = fs::read_to_string(&path).unwrap();
    let at = text.rfind("sources:").unwrap();
    fs::write(&path, format!("{}sorces:{}", &text[..at], &text[at + 8..])).unwrap();
}
