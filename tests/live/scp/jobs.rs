//! The command with an SSH server behind it: what a sysadmin does, from end to end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{everything, sh};

fn server() -> &'static Server {
    Server::shared("sshd")
}

/// A job that stores a tree in `folder` of the server; `login` are the keys that log in.
fn job(folder: &str, port: u16, login: &str) -> String {
    let host_key = server().text("host_ed25519.pub");
    let port = server().port(port);
    format!(
        "main: {{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}}\n\
         jobs:\n\
         - job: site\n  type: desc_files\n  compress: zstd\n  sources: [{{target: ['$DIR/www']}}]\n  \
         storages:\n  - storage: sftp\n    name: offsite\n    host: 127.0.0.1\n    port: '{port}'\n    \
         {login}\n    host_key: '{host_key}'\n    backup_dir: {folder}\n    store: {{days: 2}}\n"
    )
}

fn by_odd_password() -> String {
    let odd = serde_json::to_string(&server().text("odd_password")).unwrap();
    format!("user: svcodd\n    password: {odd}")
}

fn bed(text: &str) -> Bed {
    let bed = Bed::new().config(text).tree(
        "www",
        &[("index.php", "<?php"), ("img/a.png", "png"), ("img/deep/er/b", "b"), ("empty/", "")],
    );
    sh(&bed, "head -c 3000000 /dev/urandom > www/noise; ln -s noise www/link; chmod 600 www/noise");
    bed
}

/// Where the tree came back below `to`.
fn came_back(bed: &Bed, to: &str) -> String {
    everything(&bed.path(to).join(bed.path("www").strip_prefix("/").unwrap()))
        .replace(bed.path(to).join(bed.path("").strip_prefix("/").unwrap()).to_str().unwrap(), "")
}

#[test]
fn a_tree_is_backed_up_listed_verified_and_restored() {
    let bed = bed(&job("jobs/tree", 0, &by_odd_password()));
    bed.run(["check"]);
    bed.run(["start"]);
    bed.run(["list"]).stdout_has("offsite");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    bed.run(["restore", "--to", "out"]);
    let there = everything(&bed.path("www")).replace(bed.path("").to_str().unwrap(), "/");
    assert_eq!(came_back(&bed, "out").replace("//", "/"), there.replace("//", "/"));
    sh(&bed, &format!("diff -r --no-dereference www out{}", bed.path("www").display()));
    bed.run(["restore", "--to", "part", "--strip", "--path", "**/img/deep/er/b"]);
    assert_eq!(bed.files("part"), ["img/deep/er/b"]);
}

#[test]
fn rotation_removes_what_is_too_old_and_nothing_else() {
    let mut bed = bed(&job("jobs/rotation", 0, "user: svcsftp\n    password: svcpw"));
    for day in 21..=24 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 2);
    let left = server().path("home/svcsftp/jobs/rotation");
    let left = everything(&left);
    assert_eq!(left.matches(".manifest.json").count(), 2, "{left}");
    assert!(!left.contains("2026-11-22") && !left.contains("nxs-partial"), "{left}");
}

#[test]
fn the_stock_client_fetches_what_the_manifest_describes() {
    let bed = bed(&job("jobs/stock", 0, "user: svcsftp\n    password: svcpw"));
    bed.run(["start"]);
    let shown = bed.run(["show", "2026", "--json"]).json();
    let segment = &shown[0]["manifest"]["segments"][0];
    let key = segment["key"].as_str().unwrap();
    let own = bed.path("key");
    fs::copy(server().path("keys/ed25519"), &own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
    let mut sftp = Command::new("sftp");
    sftp.args(["-q", "-P", &server().port(0).to_string(), "-o", "IdentitiesOnly=yes", "-i"]);
    sftp.arg(&own).arg("-o").arg(known_hosts(&server().path("known_hosts")));
    sftp.arg(format!("svcsftp@127.0.0.1:jobs/stock/{key}")).arg(bed.path("fetched"));
    let output = sftp.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sha256 = sh(&bed, "sha256sum < fetched");
    assert_eq!(sha256.split(' ').next(), segment["sha256"].as_str());
}

fn known_hosts(path: &Path) -> String {
    format!("UserKnownHostsFile={}", path.display())
}

#[test]
fn a_password_stands_in_no_log_and_on_no_command_line() {
    let bed = bed(&job("jobs/secrets", 0, &by_odd_password()));
    let secret = "f%g#h:i@j/k";
    let mut said = bed.run_watched(&["start", "-v"], secret);
    said.push_str(&bed.run_watched(&["check", "storage", "offsite", "-v"], secret));
    said.push_str(&bed.run_watched(&["config", "show", "site"], secret));
    said.push_str(&fs::read_to_string(bed.path("log/nxs.log")).unwrap());
    for part in [secret, "b\"c$d", "b\\\"c$d"] {
        assert!(!said.contains(part), "{said}");
    }
    let wrong = bed.config(&job("jobs/secrets", 0, "user: svcodd\n    password: 'f%g#h:i@j/k'"));
    let ran = wrong.run(["start", "-v"]).exit(1).noisy();
    let said = format!("{}{}", ran.out(), ran.err());
    assert!(said.contains("the password was refused") && !said.contains(secret), "{said}");
}

#[test]
fn check_tries_a_storage_and_says_what_is_wrong_with_it() {
    let good = bed(&job("jobs/check", 0, "user: svcsftp\n    password: svcpw"));
    good.run(["check", "storage", "offsite"]).stdout_has("a put replaces the whole object");
    let bare = good.config(&job("jobs/check", 1, "user: svcsftp\n    password: svcpw"));
    let ran = bare.run(["check", "storage", "offsite"]).exit(1);
    assert!(
        ran.out().contains("offers no SFTP (`scp`, `sftp` and `ssh` all speak it)"),
        "{}",
        ran.out()
    );
    let keeping = bare.config(&job("jobs/kept", 4, "user: svcsftp\n    password: svcpw"));
    let ran = keeping.run(["check", "storage", "offsite"]).exit(1);
    assert!(ran.out().contains("permission denied") && ran.out().contains("these stay"));
}

#[test]
fn without_the_right_to_delete_a_job_without_rotation_is_content() {
    let text = job("jobs/append", 4, "user: svcsftp\n    password: svcpw\n    rotation: none");
    let mut bed = bed(&text);
    for day in 21..=23 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]"));
        bed.run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    assert_eq!(listing["backups"].as_array().unwrap().len(), 3);
}

#[test]
fn the_keys_of_an_agent_log_in() {
    let bed = bed(&job("jobs/agent", 0, "user: svcsftp\n    agent: yes"));
    let ran = bed.run(["check", "storage", "offsite"]).exit(1);
    assert!(ran.out().contains("no SSH agent answers"), "{}", ran.out());
    let socket = bed.path("agent.sock");
    let mut agent = Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    sh(&bed, "for i in $(seq 100); do [ -S agent.sock ] && exit 0; sleep 0.05; done; exit 1");
    let bed = bed.env("SSH_AUTH_SOCK", socket.to_str().unwrap());
    let ran = bed.run(["check", "storage", "offsite"]).exit(1);
    assert!(ran.out().contains("the SSH agent has no keys"), "{}", ran.out());
    let add = |key: &Path| {
        let own = bed.path("key");
        fs::copy(key, &own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o600)).unwrap();
        sh(&bed, &format!("SSH_AUTH_SOCK={} ssh-add -q key", socket.display()));
    };
    add(&server().path("stranger"));
    let ran = bed.run(["check", "storage", "offsite"]).exit(1);
    assert!(
        ran.out().contains("the keys of the SSH agent were refused: stranger"),
        "{}",
        ran.out()
    );
    add(&server().path("keys/rsa"));
    bed.run(["check", "storage", "offsite"]);
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn what_is_wrong_in_the_config_is_said_with_its_place() {
    let good = job("jobs/config", 0, "user: svcsftp\n    password: svcpw");
    for (from, to, place, words) in [
        ("    host: 127.0.0.1\n", "", ":8:5", "`host` is missing"),
        ("password: svcpw", "agent: no", ":12:5", "no way to log in"),
        (
            "password: svcpw",
            "path_to_key: id_rsa",
            ":13:5",
            "`path_to_key` must be an absolute path",
        ),
        ("password: svcpw", "pasword: svcpw", ":13:5", "did you mean `password`?"),
        ("host: 127.0.0.1", "host: me@127.0.0.1", ":10:5", "`host` must be a name or an address"),
        ("backup_dir: jobs", "backup_dir: ../jobs", ":15:5", "must not lead upwards"),
        ("host_key: 'ssh-ed25519 ", "host_key: 'ssh-rsa ", ":14:5", "`host_key` must be"),
    ] {
        assert!(good.contains(from), "{from}");
        let bed = bed(&good.replacen(from, to, 1));
        let ran = bed.run(["check"]).exit(2);
        assert!(ran.out().contains(words), "{}", ran.out());
        assert!(ran.out().contains(&format!("nxs-backup.conf{place}")), "{words}: {}", ran.out());
    }
    let port = format!("port: '{}'", server().port(0));
    let ran = bed(&good.replace(&port, "port: 0")).run(["check"]).exit(2);
    assert!(ran.out().contains("`port` must lie between 1 and 65535"), "{}", ran.out());
}

#[test]
fn the_example_of_the_page_loads() {
    let page = include_str!("../../../docs/storages/scp.md");
    let (_, example) = page.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let bed = Bed::new().file("key", "");
    let example = example.replace("/etc/nxs-backup/id_ed25519", "$DIR/key");
    bed.config(&example).run(["check"]).stdout_has("no errors");
}
