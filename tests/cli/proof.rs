//! What came back is what was backed up, by our restore and by standard tools.

use std::path::PathBuf;

use crate::cli::{config, job, local, two_sites};
use crate::support::bed::Bed;
use crate::support::world::{everything, sh};

/// A tree with every kind of file and name that needs no right but the owner's.
const ODD_TREE: &str = r#"
    mkdir -p www/plain www/empty "www/with space" www/deep/er/still www/locked
    cd www
    echo content > plain/file; : > plain/nothing
    echo a > "$(printf 'new\nline')"; echo b > "$(printf 'latin-\351-\377')"; echo c > 'quo"te'"'"'s'
    echo d > ./-rf; echo e > 'with space/ lead and trail '; echo f > '*?[glob]'; echo g > '\back\slash'
    echo h > "$(printf 'esc\033[31mred')"; echo i > '~home $HOME `id`'; echo j > .hidden; echo k > größe
    mkdir "$(printf 'tab\tdir')"; echo l > "$(printf 'tab\tdir')/%41%zz"
    ln -s plain/file link; ln -s /nowhere/at/all dangling; ln -s . self; ln -s ../../.. deep/up
    ln plain/file hard; ln plain/file deep/er/hard-too; ln -s "$(printf 'a\nb')" odd-link
    mkfifo pipe
    long=$(printf 'n%.0s' $(seq 200)); mkdir -p "$long/$long"; echo m > "$long/$long/$long"
    truncate -s 3M sparse; printf end >> sparse; head -c 5000000 /dev/urandom > noise
    chmod 600 plain/file; chmod 4755 plain/nothing; chmod 1777 empty; chmod 400 .hidden; chmod 2750 deep
    touch -d '1999-12-31 23:59:59.123456789Z' plain/nothing; touch -d '2033-05-18 03:33:20.5Z' noise
    touch -h -d '2001-02-03 04:05:06.7Z' link; touch -d '1975-01-01Z' deep/er; touch -d @0 empty
    chmod 500 locked
"#;

fn odd(codec: &str) -> Bed {
    let storages = [local("store", "days: 3")];
    let text = job("odd", "$DIR/www", &storages).replace("zstd", codec);
    let bed = Bed::new().config(&config(&[text]));
    sh(&bed, ODD_TREE);
    bed
}

/// Where the target came back below `to`.
fn came_back(bed: &Bed, to: &str) -> PathBuf {
    bed.path(to).join(bed.path("www").strip_prefix("/").unwrap())
}

#[track_caller]
fn same(bed: &Bed, to: &str) {
    let there = came_back(bed, to);
    assert_eq!(everything(&there), everything(&bed.path("www")), "{to}");
    sh(
        bed,
        &format!(
            "cd $DIR && rm -f {0}/pipe && mv www/pipe . && \
        diff -r --no-dereference www {0} && mv pipe www/",
            there.display()
        ),
    );
}

#[test]
fn an_odd_tree_comes_back_as_it_was() {
    for codec in ["zstd", "gzip", "none"] {
        let bed = odd(codec);
        bed.run(["start"]);
        bed.run(["restore", "--to", "out"]);
        let there = came_back(&bed, "out");
        assert_eq!(everything(&there), everything(&bed.path("www")), "{codec}");
    }
}

#[test]
fn standard_tools_give_the_same_tree_by_the_commands_that_explain_prints() {
    for codec in ["zstd", "gzip", "none"] {
        let bed = odd(codec);
        bed.run(["start"]);
        let shown = bed.command(["restore", "--explain", "--to", "it's out"]).output().unwrap();
        let script = String::from_utf8(shown.stdout).unwrap();
        let said = sh(&bed, &script);
        assert_eq!(said, "", "{script}");
        let there = came_back(&bed, "it's out");
        assert_eq!(everything(&there), everything(&bed.path("www")), "{codec}\n{script}");
    }
}

#[test]
fn content_is_the_same_byte_by_byte() {
    let bed = odd("zstd");
    bed.run(["start"]);
    bed.run(["restore", "--to", "out"]);
    same(&bed, "out");
}

#[test]
fn standard_tools_compute_the_digests_of_the_manifest() {
    let bed = odd("zstd");
    bed.run(["start"]);
    let shown = bed.run(["show", "2026", "--json"]).json();
    let manifest = &shown[0]["manifest"];
    let object = format!("$DIR/store/{}", manifest["segments"][0]["key"].as_str().unwrap());
    let sha256 = sh(&bed, &format!("sha256sum < {object}"));
    assert_eq!(sha256.split(' ').next(), manifest["sha256"].as_str());
    assert_eq!(manifest["segments"][0]["sha256"], manifest["sha256"]);
    let raw = sh(&bed, &format!("zstd -dc {object} > raw.tar; stat -c %s raw.tar"));
    assert_eq!(raw.trim(), manifest["raw_bytes"].to_string());
    let hash = blake3::hash(&std::fs::read(bed.path("raw.tar")).unwrap()).to_hex();
    assert_eq!(Some(hash.as_str()), manifest["blake3"].as_str());
    if sh(&bed, "command -v b3sum || true").is_empty() {
        return;
    }
    assert_eq!(sh(&bed, "b3sum < raw.tar").split_whitespace().next(), Some(hash.as_str()));
}

#[test]
fn odd_names_can_be_found_and_brought_back_alone() {
    let bed = odd("zstd");
    bed.run(["start"]);
    bed.run(["restore", "--to", "out", "--strip", "--path", "**/latin-*", "--path", "**/deep/er"]);
    let found = sh(&bed, "cd out && find . -type f | LC_ALL=C sort | od -An -c | tr -d ' \\n'");
    assert_eq!(found, "./deep/er/hard-too\\n./latin-351-377\\n");
    assert_eq!(sh(&bed, "cat out/latin-* out/deep/er/hard-too"), "b\ncontent\n");
    let ran = bed.run(["find", "*red"]);
    assert!(ran.out().contains("esc%1B[31mred") && !ran.out().contains('\u{1b}'), "{}", ran.out());
}

#[test]
fn a_long_artefact_in_segments_comes_back_and_is_explained() {
    let bed = odd("zstd");
    let text = std::fs::read_to_string(bed.path("nxs-backup.conf")).unwrap();
    let bed = bed.config(&text.replace("type:", "split: 2MiB, type:"));
    bed.run(["start"]);
    let segments = bed.files("store").into_iter().filter(|name| !name.ends_with(".json"));
    assert_eq!(segments.filter(|name| !name.ends_with(".index.zst")).count(), 3);
    bed.run(["restore", "--to", "out"]);
    assert_eq!(everything(&came_back(&bed, "out")), everything(&bed.path("www")));
    let shown = bed.command(["restore", "--explain", "--to", "plain"]).output().unwrap();
    sh(&bed, &String::from_utf8(shown.stdout).unwrap());
    assert_eq!(everything(&came_back(&bed, "plain")), everything(&bed.path("www")));
    bed.run(["restore", "--to", "part", "--strip", "--path", "**/plain"]);
    assert_eq!(bed.files("part"), ["plain/file", "plain/nothing"]);
    bed.run(["verify", "--full"]).stdout_has("1 copy looked at, 1 whole, 0 not");
}

/// Restores `globs` by ourselves and by the commands that are printed, and compares; `along` is
/// what comes with the latter because a hard link needs it.
#[track_caller]
fn the_same_part(bed: &Bed, globs: &[&str], along: &[&str]) {
    let mut words = vec!["restore", "--strip", "--target", "**/www"];
    globs.iter().for_each(|glob| words.extend(["--path", *glob]));
    sh(bed, "rm -rf ours stock");
    bed.run([&words[..], &["--to", "ours"]].concat());
    let shown = bed.command([&words[..], &["--to", "stock", "--explain"]].concat()).output();
    let script = String::from_utf8(shown.unwrap().stdout).unwrap();
    assert!(!script.contains('\u{1b}') && script.lines().count() < 8, "{script}");
    assert_eq!(script.matches("comes along").count(), along.len(), "{script}");
    assert_eq!(sh(bed, &script), "", "{script}");
    for extra in along {
        sh(bed, &format!("cd stock && rm {extra} && find . -depth -type d -empty -delete"));
    }
    let list = |folder: &str| {
        let form = "%y %m %s %T@ %l %P\\n";
        sh(bed, &format!("cd {folder} && find . ! -type d -printf '{form}' | LC_ALL=C sort"))
    };
    assert_eq!(list("ours"), list("stock"), "{globs:?}\n{script}");
    assert!(!list("ours").is_empty(), "{globs:?}");
    sh(bed, "diff -r --no-dereference ours stock");
}

#[test]
fn the_commands_for_globs_and_odd_names_bring_back_what_our_restore_does() {
    for codec in ["zstd", "none"] {
        let bed = odd(codec);
        sh(&bed, "mkdir -p www/sub/plain; echo n > www/sub/plain/file; echo o > www/sub/noise");
        bed.run(["start"]);
        let at = |name: &str| bed.path("www").join(name).to_str().unwrap().to_owned();
        for globs in [
            &["noise"][..],
            &["**/{noise,quo*}"],
            &[&at("*noise")],
            &[&at("sub/*/file"), "**/-rf"],
            &["**/latin*", "**/new*", "**/esc*"],
            &["**/tab*", "**/%2541*"],
            &["**/\\\\back*", "**/[*]*", "**/~home*", "größe", "**/*lead*"],
            &["**/n{n,a}*", "**/link", "**/dangling", "**/self"],
        ] {
            the_same_part(&bed, globs, &[]);
        }
        the_same_part(&bed, &["**/hard-too", "**/www/hard"], &[]);
        the_same_part(&bed, &["**/www/hard", "**/quo*"], &["deep/er/hard-too"]);
        the_same_part(&bed, &["**/www/hard", "**/www/plain"], &["deep/er/hard-too"]);
    }
}

#[test]
fn the_commands_for_a_target_that_is_one_file_keep_its_name() {
    let jobs = [job("one", "$DIR/www/index.php", &[local("store", "days: 3")])];
    let bed = Bed::new().config(&config(&jobs)).tree("www", &[("index.php", "<?php")]);
    bed.run(["start"]);
    let words = ["restore", "--strip", "--explain", "--to", "out"];
    let shown = bed.run(words).out().to_owned();
    sh(&bed, &shown.replace("$DIR", bed.path("").to_str().unwrap()));
    assert_eq!(bed.files("out"), ["index.php"]);
}

#[test]
fn the_commands_leave_out_targets_that_have_nothing_of_it() {
    let bed = two_sites();
    bed.run(["start"]);
    let words = ["restore", "--path", "**/a.png", "--explain", "--to"];
    let shown = bed.command([&words[..], &["stock"]].concat()).output().unwrap();
    sh(&bed, &String::from_utf8(shown.stdout).unwrap());
    bed.run(["restore", "--path", "**/a.png", "--to", "ours"]);
    assert_eq!(bed.files("stock"), bed.files("ours"));
    let more = [&words[..], &["out", "--path", "**/a.jpg"]].concat();
    drop(bed.run(more).exit(3).stderr_has("nothing in these backups matches **/a.jpg"));
    let none = ["restore", "--path", "**/a.jpg", "--explain", "--to", "out"];
    drop(bed.run(none).exit(1).stderr_has("nothing in these backups matches **/a.jpg"));
}

#[test]
fn the_commands_for_a_part_bring_back_that_part_alone() {
    let bed = two_sites();
    bed.run(["start"]);
    let words = ["restore", "--target", "**/blog", "--path", "index.php", "--strip", "--explain"];
    let shown = bed.command([&words[..], &["--to", "part"]].concat()).output().unwrap();
    sh(&bed, &String::from_utf8(shown.stdout).unwrap());
    assert_eq!(bed.files("part"), ["index.php"]);
    let shown = bed.run([&words[..], &["--to", "-"]].concat()).out().to_owned();
    assert!(!shown.contains("mkdir") && shown.contains("zstd -dc"), "{shown}");
}
