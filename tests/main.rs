//! The only test binary: every file below `tests/` is a module of this one, and `house.rs` fails
//! for one that is not.

#![allow(clippy::unwrap_used)] // what surprises a test's own tools is a failure of the test

mod cli;
mod config;
mod contract {
    mod layers;
    mod local;
    mod storages;
}
mod house;
mod jobs {
    mod archive_changes;
    mod archive_gnu;
    mod archive_hostile;
    mod archive_index;
    mod archive_large;
    mod archive_round_trip;
    mod chains;
    mod chains_kept;
    mod increments;
    mod increments_tar;
    mod run;
}
mod live {
    mod command;
    mod external;
    mod ftp;
    mod hooks;
    mod mongodb;
    mod mysql;
    mod mysql_xtrabackup;
    mod nfs;
    mod notify;
    mod postgresql;
    mod postgresql_basebackup;
    mod redis;
    mod s3;
    mod scp;
    mod smb;
    mod sqlite;
    mod swift;
    mod together;
    mod webdav;
}
mod support {
    pub(crate) mod archive;
    pub(crate) mod bed;
    mod bed_test;
    pub(crate) mod hook;
    pub(crate) mod procs;
    pub(crate) mod proxy;
    pub(crate) mod rehearsal;
    pub(crate) mod scan;
    mod scan_test;
    pub(crate) mod server;
    mod server_test;
    pub(crate) mod storage;
    pub(crate) mod tree;
    pub(crate) mod world;
}
