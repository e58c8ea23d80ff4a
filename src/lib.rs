//! nxs-backup: backs up files and databases of many projects to every storage they have, and
//! brings them back.
//!
//! The rooms, in the order of the road that the data takes; `docs/architecture.md` is the map.

/// A tar out of a tree and back, with an index.
pub mod archive;
/// The words of everybody: keys, levels, secrets, clocks.
pub mod base;
/// What is kept where: manifests and the layout.
pub mod catalogue;
/// A control group of our own, for limits that the kernel keeps.
pub mod cgroup;
/// One file a verb; the only room that prints.
pub mod cli;
/// Files as the user wrote them, with the place of every value.
pub mod config;
/// How a run went, as figures for Prometheus.
pub mod metrics;
/// TLS for those who speak it themselves.
pub mod net;
/// Telling people and machines how a run went.
pub mod notify;
/// What will be done, resolved once.
pub mod plan;
/// Outcomes of a run.
pub mod report;
/// The road backwards.
pub mod restore;
/// Which copies stay: a pure rule.
pub mod retention;
/// One run of one job, from source to report.
pub mod run;
/// Things that can be backed up.
pub mod sources;
/// Places that keep whole objects.
pub mod storages;
/// Bytes on the move: compress, digest, tee.
pub mod stream;
