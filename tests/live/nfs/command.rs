//! The command, end to end.

use std::process::Stdio;
use std::time::Duration;

use crate::cli::{config, job};
use crate::live::nfs::keys;
use crate::support::bed::Bed;
use crate::support::server::Server;
use crate::support::world::{everything, sh};

/// A storage as a user writes it, with the ports of `server`.
fn nas(server: &Server, folder: &str, store: &str) -> String {
    let keys = keys(server, "export", folder);
    format!(
        "{{storage: nfs, name: nas, host: 127.0.0.1, port: {}, mount_port: '{}', export: {}, \
         backup_dir: {}, store: {{{store}}}}}",
        server.port(0),
        server.port(1),
        keys.export.unwrap(),
        keys.backup_dir,
    )
}

/// A job that backs up `www` to the server.
fn bed(server: &Server, folder: &str) -> Bed {
    let bed =
        Bed::new().config(&config(&[job("site", "$DIR/www", &[nas(server, folder, "days: 3")])]));
    let bed = bed.tree("www", &[("index.php", "<?php"), ("img/a b.png", "png"), ("empty/", "")]);
    sh(
        &bed,
        "head -c 3000000 /dev/urandom > www/noise; ln -s index.php www/link; chmod 640 www/noise",
    );
    bed
}

#[test]
fn a_tree_goes_to_the_server_and_comes_back() {
    let server = Server::shared("ganesha");
    let bed = bed(server, "tree");
    bed.run(["start"]).stdout("");
    bed.run(["list"]).stdout_has("nas");
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
    bed.run(["restore", "--strip", "--to", "out"]);
    assert_eq!(below(&bed, "out"), below(&bed, "www"));
    sh(&bed, "diff -r --no-dereference www out");
    bed.run(["restore", "--path", "**/a b.png", "--strip", "--to", "part"]);
    assert_eq!(bed.files("part"), ["img/a b.png"]);
}

/// Everything below a folder but the folder itself, whose times are its own.
fn below(bed: &Bed, folder: &str) -> Vec<String> {
    let all = everything(&bed.path(folder));
    all.lines().filter(|line| !line.ends_with("  ")).map(str::to_owned).collect()
}

#[test]
fn a_stock_client_fetches_the_same_artefact() {
    let server = Server::shared("ganesha");
    let bed = bed(server, "stock");
    bed.run(["start"]);
    let shown = bed.run(["show", "2026", "--json"]).json();
    let segment = &shown[0]["manifest"]["segments"][0];
    let folder = server.path("export/stock").display().to_string();
    let (port, mount_port) = (server.port(0), server.port(1));
    let url = format!(
        "nfs://127.0.0.1{folder}/{}?nfsport={port}&mountport={mount_port}",
        segment["key"].as_str().unwrap()
    );
    sh(&bed, &format!("nfs-cp '{url}' fetched"));
    let sha256 = sh(&bed, "sha256sum < fetched");
    assert_eq!(sha256.split(' ').next(), segment["sha256"].as_str());
}

#[test]
fn old_copies_go_and_no_folder_stays_empty() {
    let server = Server::shared("ganesha");
    let mut bed = bed(server, "rotated");
    for day in 12..=16 {
        bed.now(&format!("2026-11-{day}T03:00:00+00:00[UTC]")).run(["start"]);
    }
    let listing = bed.run(["list", "--json"]).json();
    // The first of the month and of the week have their own levels, which are off.
    assert_eq!(listing["backups"].as_array().unwrap().len(), 3, "{listing}");
    bed.run(["verify", "--full"]).stdout_has("3 copies looked at, 3 whole, 0 not");
    assert!(bed.files("state/journal").is_empty());
}

#[test]
fn check_storage_keeps_its_promises_and_leaves_nothing() {
    let server = Server::shared("ganesha");
    let bed = bed(server, "checked");
    bed.run(["check", "storage", "nas"]).stdout_has("ok     a range gives exactly its bytes");
    assert_eq!(std::fs::read_dir(server.path("export/checked")).unwrap().count(), 0);
}

#[test]
fn a_storage_that_refuses_fails_the_run_and_leaves_the_other_one_well() {
    let server = Server::shared("ganesha");
    let bad = nas(server, "x", "days: 3").replace("/export", "/readonly");
    let good = crate::cli::local("store", "days: 3");
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[bad, good])]));
    let bed = bed.tree("www", &[("a", "b")]);
    let ran = bed.run(["start"]).exit(3);
    drop(ran.stderr_has("the export is read-only for us: export it with `rw`"));
    bed.run(["verify", "--full", "--storage", "store"]).stdout_has("1 whole, 0 not");
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_on_the_server() {
    let server = Server::shared("ganesha");
    let bed = bed(server, "interrupted");
    bed.run(["start"]);
    let before = everything(&server.path("export/interrupted"));
    let config = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&config.replace("name: nas", "name: nas, limits: {net: 512KiB}"));
    let mut running = bed.command(["start"]);
    running.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = running.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(running.try_wait().unwrap(), None, "the run was over too early");
    let pid = rustix::process::Pid::from_child(&running);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let names = |all: &str| {
        all.lines().map(|line| line.rsplit(' ').next().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(names(&everything(&server.path("export/interrupted"))), names(&before));
}

#[test]
fn what_is_wrong_in_the_config_is_shown_with_its_place() {
    let wrong = "{storage: nfs, host: 'nas:/vol', backup_dir: vol, export: /vol, port: 0, uid: -1, \
                 extra_keys: 'vers=4,rw', store: {days: 1}}";
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[wrong.to_owned()])]));
    drop(bed.run(["check"]).exit(2).stdout_has("uid").stdout_has("nxs-backup.conf:3:"));
    let bed = bed.config(&config(&[job("site", "$DIR/www", &[wrong.replace("uid: -1,", "")])]));
    let ran = bed.run(["check"]).exit(2);
    for part in [
        "`host` must be the name or the address alone: the part `/vol` belongs into `export`",
        "`backup_dir` must be an absolute path of the server",
        "`port` must lie between 1 and 65535",
        "`vers=4`: NFSv3 is spoken here; for another version mount the export and use a `local` \
         storage with `must_be_mounted: yes`",
        "nxs-backup.conf:3:",
    ] {
        assert!(ran.out().contains(part), "no {part:?} in\n{}", ran.out());
    }
}

#[test]
fn a_storage_as_2_x_wrote_it_is_read() {
    let old = "{storage: nfs, host: nas, backup_dir: /vol/web, remote_mount_point: /vol, \
               extra_keys: '-o rw,soft,timeo=100', store: {days: '7', weeks: '', month: '1'}}";
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &[old.to_owned()])]));
    bed.run(["check"]).stdout("$DIR/nxs-backup.conf: no errors\n");
}

#[test]
fn two_storages_in_one_folder_of_a_server_are_seen() {
    let one = "{storage: nfs, name: a, host: nas, backup_dir: /vol/web, store: {days: 7}}";
    let other = "{storage: nfs, name: b, host: NAS, port: 2049, export: /vol, \
                 backup_dir: /vol//web/, store: {days: 7}}";
    let storages = [one.to_owned(), other.to_owned()];
    let bed = Bed::new().config(&config(&[job("site", "$DIR/www", &storages)]));
    let said = "another storage of this job stores in the same folder";
    drop(bed.run(["check"]).exit(2).stdout_has(said));
}
