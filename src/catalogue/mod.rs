//! What is kept where, and what depends on what: manifests, the layout of a `backup_dir`, and the
//! history of a target as its manifests tell it.

mod history;
mod joined;
mod layout;
mod manifest;

pub use history::{Stored, Survey, belongs, identity_matches, survey};
pub use joined::{joined, joined_part};
pub use layout::{
    MARKER, Names, Parsed, Piece, TooManySegments, index_key, is_manifest, manifest_key, parse,
    segment_key, server_folder,
};
#[cfg(test)]
pub(crate) use manifest::tests::sample;
pub use manifest::{
    BadManifest, FORMAT, FrameSummary, IndexRef, Manifest, Outcome, Parent, Segment, TreeFacts,
};
