//! What is kept where, and what depends on what: manifests, the layout of a `backup_dir`, and the
//! history of a target as its manifests tell it.

mod manifest;

pub use manifest::{
    BadManifest, FORMAT, FrameSummary, IndexRef, Manifest, Outcome, Parent, Segment,
};
