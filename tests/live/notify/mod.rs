//! Who hears of a run: a real mail server, an HTTP server that writes down what it is asked, the
//! checks of Prometheus, and the journal.

mod figures;
mod hooks;
mod journal;
mod mail;
mod sendmail;
mod waiting;

use std::fs;

use crate::cli::{job, local};
use crate::support::bed::Bed;

/// A job that goes well and one whose storage is a file; `main` holds more keys, each on a line
/// that is indented by two.
fn bed(main: &str) -> Bed {
    let jobs = [
        job("sites", "$DIR/www/*", &[local("store", "days: 3")]),
        job("bücher", "$DIR/bücher", &[local("broken", "days: 3")]),
    ];
    let text = format!(
        "main:\n  server_name: web1\n  state_dir: $DIR/state\n  log_file: $DIR/log/nxs.log\n{main}jobs:\n{}",
        jobs.concat()
    );
    Bed::new()
        .config(&text)
        .tree("www", &[("blog/index.php", "<?php"), ("shop/index.php", "<?php")])
        .tree("bücher", &[("kapitel <1>", "es war einmal")])
        .file("broken", "in the way")
}

/// Lets the second job go well from now on.
fn mend(bed: &Bed) {
    fs::remove_file(bed.path("broken")).unwrap();
}

/// Lets it fail again.
fn spoil(bed: &Bed) {
    fs::remove_dir_all(bed.path("broken")).unwrap();
    fs::write(bed.path("broken"), "in the way").unwrap();
}

/// Says that none of `secrets` stands in a file of `folder` of the bed.
#[track_caller]
fn nowhere(bed: &Bed, folder: &str, secrets: &[&str]) {
    for name in bed.files(folder) {
        let bytes = fs::read(bed.path(folder).join(&name)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} stands in {folder}/{name}:\n{text}");
        }
    }
}
