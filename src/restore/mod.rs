//! The road backwards: what the storages hold, what to bring back, and how.
//!
//! Everything is told by the manifests alone; a new machine with the config needs nothing else.

pub mod apply;
pub mod explain;
pub mod holdings;
pub mod load;
pub mod pick;
pub mod ranged;
pub mod verify;
