//! The command with an FTP storage, end to end.

use std::process::Stdio;

use crate::cli::{config, job};
use crate::live::ftp::{proftpd, vsftpd};
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{everything, sh};

/// A storage as the config has it; `more` begins with a comma.
fn storage(port: u16, folder: &str, more: &str) -> String {
    format!(
        "{{storage: ftp, name: offsite, host: localhost, port: '{port}', \
         backup_dir: {folder}, store: {{days: 3}}{more}}}"
    )
}

fn tls(server: &Server, mode: &str) -> String {
    let ca_file = server.path("tls/ca.crt");
    format!(", user: svcftp, password: svcpw, tls: {mode}, ca_file: {}", ca_file.display())
}

const TREE: &str = "mkdir -p $DIR/www/deep/er; cd $DIR/www; echo content > deep/er/file; \
                    head -c 3000000 /dev/urandom > noise; ln -s noise link; : > 'an empty one'";

fn bed(storage: String) -> Bed {
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[storage])]));
    sh(&bed, TREE);
    bed
}

/// Backs up on five days, lists, verifies, restores all and a part, and checks the storage.
/// Returns the key of the newest artefact and its digest, as the manifest has it.
fn whole_road(bed: &mut Bed) -> (String, String) {
    bed.run(["check"]);
    for day in 17..=21 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        sh(bed, &format!("echo {day} > $DIR/www/today"));
        bed.run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 3, "{listing:#}");
    bed.run(["verify", "--full"]).stdout_has("3 copies looked at, 3 whole, 0 not");
    bed.run(["restore", "--to", "out"]);
    let www = bed.path("www");
    let there = bed.path("out").join(www.strip_prefix("/").unwrap());
    assert_eq!(everything(&there), everything(&www));
    sh(bed, &format!("diff -r --no-dereference $DIR/www {}", there.display()));
    bed.run(["restore", "--to", "part", "--strip", "--path", "**/deep/er/file"]);
    assert_eq!(bed.files("part"), ["deep/er/file"]);
    bed.run(["check", "storage", "offsite"]).stdout_has("ok     what was tried can be removed");
    let shown = bed.run(["show", "20261121", "--json"]).json();
    let segment = &shown[0]["manifest"]["segments"][0];
    let text = |name: &str| segment[name].as_str().unwrap().to_owned();
    (text("key"), text("sha256"))
}

/// Fetches an artefact by the storage's stock clients and compares the digests.
fn stock_clients(
    bed: &Bed,
    curl: &str,
    lftp: &str,
    folder: &str,
    (key, sha256): &(String, String),
) {
    sh(bed, &format!("curl -sS --globoff -u svcftp:svcpw {curl}/{folder}/{key} -o $DIR/by-curl"));
    let get = format!("get \"{folder}/{key}\" -o \"$DIR/by-lftp\"; bye");
    sh(bed, &format!("lftp -e 'set net:max-retries 2; {lftp}; {get}' >/dev/null"));
    for name in ["by-curl", "by-lftp"] {
        assert_eq!(sh(bed, &format!("sha256sum < $DIR/{name}")).split(' ').next().unwrap(), sha256);
    }
}

#[test]
fn a_job_to_proftpd_is_backed_up_rotated_verified_and_restored() {
    let server = proftpd();
    let port = server.port(0);
    let user = ", user: svcftp, password: svcpw";
    let mut bed = bed(storage(port, "/command/plain", user));
    let artefact = whole_road(&mut bed);
    let at = format!("ftp://localhost:{port}");
    let open = format!("set ftp:ssl-allow false; open -u svcftp,svcpw {at}");
    stock_clients(&bed, &at, &open, "command/plain", &artefact);
}

#[test]
fn a_job_with_implicit_tls_is_backed_up_rotated_verified_and_restored() {
    let server = proftpd();
    let port = server.port(2);
    let mut bed = bed(storage(port, "command/implicit", &tls(server, "implicit")));
    let artefact = whole_road(&mut bed);
    let ca = server.path("tls/ca.crt").display().to_string();
    let at = format!("ftps://localhost:{port}");
    let open = format!("set ssl:ca-file {ca}; open -u svcftp,svcpw {at}");
    let curl = format!("--tls-max 1.2 --cacert {ca} {at}");
    stock_clients(&bed, &curl, &open, "command/implicit", &artefact);
}

#[test]
fn a_job_to_vsftpd_is_backed_up_rotated_verified_and_restored() {
    let server = vsftpd();
    let port = server.port(0);
    let mut bed = bed(storage(port, "command/strict", &tls(server, "explicit")));
    let artefact = whole_road(&mut bed);
    let ca = server.path("tls/ca.crt").display().to_string();
    let at = format!("ftp://localhost:{port}");
    let open = format!(
        "set ssl:ca-file {ca}; set ftp:ssl-force true; set ftp:ssl-protect-data true; \
         open -u svcftp,svcpw {at}"
    );
    let curl = format!("--ssl-reqd --tls-max 1.2 --cacert {ca} {at}");
    stock_clients(&bed, &curl, &open, "command/strict", &artefact);
}

#[test]
fn a_password_is_never_shown() {
    let password = proftpd().text("odd.password");
    let quoted = password.replace('\'', "''");
    let more = format!(", user: odd, password: '{quoted}'");
    let bed = bed(storage(proftpd().port(0), "shown", &more));
    let mut command = bed.command(["start", "-vv"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let line = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let there = String::from_utf8_lossy(&line).into_owned();
    assert!(child.wait().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let wrong = more.replace("odd\" $HOME", "odd\" $home");
    let other = Bed::new().config(&config(&[job(
        "site",
        "$DIR/www",
        &[storage(proftpd().port(0), "shown", &wrong)],
    )]));
    sh(&other, TREE);
    let ran = other.run(["start", "-vv"]).exit(1).stderr_has("check `user` and `password`");
    let log = sh(&bed, "cat $DIR/log/*; cat $DIR/state/* 2>/dev/null || true");
    let shown = sh(&other, "cat $DIR/log/*");
    let said = [
        there,
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
        ran.out().to_owned() + ran.err(),
        log,
        shown,
        bed.run(["config", "show", "site"]).out().to_owned(),
    ];
    for text in said {
        for secret in [&password, "$home \\ %41", "$HOME \\ %41"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[test]
fn what_cannot_work_is_said_by_check_with_its_place() {
    let whole = storage(7000, "a", ", user: u, password: p");
    let cases = [
        (whole.replace("7000", "70000"), "`70000` is outside what is possible here"),
        (whole.replace("7000", "0"), "`port` must lie between 1 and 65535"),
        (whole, "no errors"),
        (storage(21, "a", ", user: u, tls: yes"), "one of: explicit, implicit, no"),
        (storage(21, "a", ", password: p"), "`user` is missing"),
        (storage(21, "a", ", user: u, password: \"a\\nb\""), "which FTP cannot carry"),
        (storage(21, "a/../b", ""), "must not lead upwards"),
        (storage(21, "''", ""), "backup_dir"),
        (storage(21, "a", ", ca_file: /x"), "no TLS is spoken"),
        (storage(21, "a", ", bucket_name: x"), "unknown key `bucket_name`"),
        (storage(21, "a", "").replace("host: localhost, ", ""), "host"),
        (storage(21, "a", "").replace("host: localhost", "host: ftp://x/y"), "not a URL"),
    ];
    for (text, words) in cases {
        let bed = Bed::new().config(&config(&[job("site", "/etc", std::slice::from_ref(&text))]));
        let ran = bed.run(["check"]).noisy();
        let said = ran.out().to_owned();
        let code = ran.code();
        assert!(said.contains(words), "{text}\n{said}");
        if words != "no errors" {
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("$DIR/nxs-backup.conf:3:"), "{said}");
        }
    }
}

#[test]
fn the_example_of_the_docs_loads() {
    let page = include_str!("../../../docs/storages/ftp.md");
    let example = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let job = format!("  {}", example.trim_end().replace('\n', "\n  "));
    let text = format!("- job: site\n  type: desc_files\n  sources: [{{target: [/etc]}}]\n{job}\n");
    Bed::new().config(&config(&[text])).run(["check"]).stdout_has("no errors");
}
