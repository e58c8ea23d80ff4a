//! The built command in a bed: what people and cron see of it.

mod damage;
mod disks;
mod generate;
mod increments;
mod increments_2x;
mod increments_histories;
mod increments_trouble;
mod jobs;
mod keep;
mod killed;
mod limits;
mod listing;
mod load;
mod log;
mod paths;
mod proof;
mod restore;
mod start;
mod time;
mod usage;

use crate::support::bed::Bed;

/// A config of these jobs, whose log goes to a file, so that a run that goes well is silent.
pub(crate) fn config(jobs: &[String]) -> String {
    let main = "{server_name: web1, state_dir: $DIR/state, log_file: $DIR/log/nxs.log}";
    format!("main: {main}\njobs:\n{}", jobs.concat())
}

/// A job that stores each match of `target`.
pub(crate) fn job(name: &str, target: &str, storages: &[String]) -> String {
    let storages = storages.join(", ");
    format!(
        "- {{job: {name}, type: desc_files, compress: zstd, sources: [{{target: ['{target}']}}], \
         storages: [{storages}]}}\n"
    )
}

/// A storage with its folder in the bed; `store` such as `days: 3`, more keys may follow it.
pub(crate) fn local(name: &str, store: &str) -> String {
    format!("{{storage: local, name: {name}, backup_dir: $DIR/{name}, store: {{{store}}}}}")
}

/// Two small sites in one job, on one storage.
pub(crate) fn two_sites() -> Bed {
    let sites = job("sites", "$DIR/www/*", &[local("store", "days: 3")]);
    Bed::new().config(&config(&[sites])).tree(
        "www",
        &[("blog/index.php", "<?php blog"), ("blog/img/a.png", "png"), ("shop/index.php", "<?php")],
    )
}

/// Returns the id of the newest backup of the target whose path ends in `name`.
pub(crate) fn id_of(bed: &Bed, name: &str) -> String {
    let rows = listed(bed, &["--target", &format!("**/{name}")]);
    rows.last().unwrap()["id"].as_str().unwrap().to_owned()
}

/// Returns the rows of `list`, with the ids as they are.
pub(crate) fn listed(bed: &Bed, args: &[&str]) -> Vec<serde_json::Value> {
    let raw = bed.command(["list", "--json"].iter().chain(args)).output().unwrap();
    let listing: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    listing["backups"].as_array().unwrap().clone()
}
