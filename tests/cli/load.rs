//! `restore --into`: what is checked before anything is touched, and what is left behind.
//!
//! The server is a folder; a job of `command` dumps its files and takes them back.

use std::fs;

use crate::support::bed::Bed;
use crate::support::world::sh;

/// Backed up once on two storages; then the server's `db` changed.
fn backed_up() -> Bed {
    let main = "{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}";
    let storage = |name: &str| {
        format!("{{storage: local, name: {name}, backup_dir: $DIR/{name}, store: {{days: 3}}}}")
    };
    let (near, far) = (storage("near"), storage("far"));
    let job = |name: &str, keys: &str| {
        format!("- {{job: {name}, {keys}, compress: zstd, storages: [{near}, {far}]}}\n")
    };
    let server = "type: command, targets: [db, other], command: 'cat $DIR/server/\"$TARGET\"', \
                  restore_command: '. $DIR/how; cat > $DIR/server/\"$INTO\"'";
    let elsewhere = "type: command, targets: [db2], command: 'cat $DIR/elsewhere/\"$TARGET\"', \
                     restore_command: 'cat > $DIR/elsewhere/\"$INTO\"', enable: no";
    let files = "type: desc_files, sources: [{target: $DIR/www}]";
    let jobs = [job("server", server), job("second", elsewhere), job("www", files)].concat();
    let bed = Bed::new().config(&format!("main: {main}\njobs:\n{jobs}")).file("how", ":");
    let bed = bed.tree("www", &[("a", "1")]).tree("elsewhere", &[("db2", "theirs")]);
    let bed = bed.tree("server", &[("db", "first content\n"), ("other", "other\n")]);
    bed.run(["start"]);
    fs::write(bed.path("server/db"), "changed since\n").unwrap();
    bed
}

fn server(bed: &Bed, name: &str) -> String {
    fs::read_to_string(bed.path("server").join(name)).unwrap_or_else(|_| "absent".to_owned())
}

const RESTORE: [&str; 6] = ["restore", "server", "--target", "db", "--into", "db"];

/// Changes one byte in the middle of an artefact.
fn damage(bed: &Bed, place: &str) {
    sh(
        bed,
        &format!(
            "printf X | dd of=$(ls $DIR/{place}/db/daily/*.zst) bs=1 seek=12 conv=notrunc 2>&1"
        ),
    );
}

#[test]
fn what_is_replaced_is_dumped_first_and_can_be_loaded_back() {
    let bed = backed_up();
    let ran = bed.run(RESTORE);
    let said = "db loaded from 'near' as db into";
    assert!(
        ran.out().contains(said)
            && ran.out().contains("what was there before is in $DIR/state/before-restore/db_")
    );
    assert_eq!(server(&bed, "db"), "first content\n");
    assert_eq!(sh(&bed, "zstd -dc state/before-restore/db_*.dump.zst"), "changed since\n");
    assert_eq!(sh(&bed, "stat -c %a state/before-restore").trim(), "700");
    sh(&bed, "zstd -dc state/before-restore/db_*.dump.zst > server/db");
    assert_eq!(server(&bed, "db"), "changed since\n");
    let rescued = bed.run([&RESTORE[..], &["--rescue", "mine", "--json"]].concat());
    assert!(rescued.json()["rescued"].as_str().unwrap().starts_with("mine/db_"));
    assert_eq!(bed.files("mine").len(), 1);
}

#[test]
fn under_another_name_nothing_is_replaced_and_nothing_dumped() {
    let bed = backed_up();
    bed.run(["restore", "server", "--target", "db", "--into", "a copy"]);
    assert_eq!(server(&bed, "a copy"), "first content\n");
    assert_eq!(server(&bed, "db"), "changed since\n");
    assert!(!bed.path("state/before-restore").exists());
}

#[test]
fn a_damaged_copy_is_found_before_anything_is_touched_and_the_next_storage_is_used() {
    let bed = backed_up();
    damage(&bed, "near");
    let ran = bed.run(RESTORE).noisy();
    assert!(ran.out().contains("another storage was needed: 'near': "), "{}", ran.out());
    assert!(ran.out().contains("db loaded from 'far'"), "{}", ran.out());
    assert_eq!(server(&bed, "db"), "first content\n");
}

#[test]
fn without_any_good_copy_nothing_is_changed() {
    let bed = backed_up();
    damage(&bed, "near");
    damage(&bed, "far");
    let ran = bed.run(RESTORE).exit(1).noisy();
    assert!(ran.err().contains("'near': ") && ran.err().contains("'far': "), "{}", ran.err());
    assert_eq!(server(&bed, "db"), "changed since\n");
    assert!(!bed.path("state/before-restore").exists());
}

#[test]
fn where_the_present_content_cannot_be_dumped_nothing_is_changed() {
    let bed = backed_up();
    fs::remove_file(bed.path("server/db")).unwrap();
    let ran = bed.run(RESTORE).exit(1).noisy();
    for said in [
        "could not be dumped to",
        "so nothing was changed (--no-rescue does without)",
        "No such file",
    ] {
        assert!(ran.err().contains(said), "{said}\n{}", ran.err());
    }
    assert_eq!(server(&bed, "db"), "absent");
    assert_eq!(bed.files("state/before-restore"), Vec::<String>::new());
    bed.run([&RESTORE[..], &["--no-rescue"]].concat());
    assert_eq!(server(&bed, "db"), "first content\n");
}

#[test]
fn a_load_that_fails_is_said_with_the_way_back() {
    let bed = backed_up().file("how", "head -c 3 > $DIR/server/db; echo disk full >&2; exit 3");
    let ran = bed.run(RESTORE).exit(1).noisy();
    for said in [
        "db is not whole now and must not be trusted; what was there before is in $DIR/state/before-restore/db_",
        "restore_command failed (exit status: 3): disk full",
    ] {
        assert!(ran.err().contains(said), "{said}\n{}", ran.err());
    }
    assert_eq!(sh(&bed, "zstd -dc state/before-restore/db_*.dump.zst"), "changed since\n");
    let ran = bed.run([&RESTORE[..], &["--no-rescue"]].concat()).exit(1).noisy();
    assert!(ran.err().contains("must not be trusted: db: restore_command failed"), "{}", ran.err());
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let bed = backed_up();
    let ran = bed.run([&RESTORE[..], &["--dry-run"]].concat());
    assert!(ran.out().contains("would load db ($RUN-1) from 'near' as db into"), "{}", ran.out());
    assert!(ran.out().contains("after dumping what is there"), "{}", ran.out());
    assert_eq!(server(&bed, "db"), "changed since\n");
    assert!(!bed.path("state/before-restore").exists());
}

#[test]
fn several_choices_a_tree_and_unknown_jobs_are_refused() {
    let bed = backed_up();
    for (args, said) in [
        (
            &["restore", "server", "--into", "db"][..],
            "2 backups fit, and only one can be loaded under one name",
        ),
        (
            &["restore", "www", "--into", "db"],
            "a backup of type desc_files cannot be loaded into a server",
        ),
        (
            &["restore", "server", "--target", "db", "--into", "x", "--connect", "nobody"],
            "there is no job \"nobody\"",
        ),
        (
            &["restore", "server", "--target", "db", "--into", "x", "--to", "y"],
            "cannot be used with",
        ),
    ] {
        let ran = bed.run(args).exit(2).noisy();
        assert!(ran.err().contains(said), "{said}\n{}", ran.err());
    }
    assert_eq!(server(&bed, "db"), "changed since\n");
    assert_eq!(server(&bed, "x"), "absent");
}

#[test]
fn another_server_gets_it_with_its_own_rescue() {
    let bed = backed_up();
    let args = ["restore", "server", "--target", "db", "--into", "db2", "--connect", "second"];
    bed.run(args);
    assert_eq!(fs::read_to_string(bed.path("elsewhere/db2")).unwrap(), "first content\n");
    assert_eq!(sh(&bed, "zstd -dc state/before-restore/db2_*.dump.zst"), "theirs");
    assert_eq!(server(&bed, "db2"), "absent");
}
