//! The words that every room uses: keys, levels, secrets, clocks, digests, progress.
//!
//! Nothing here does I/O, and nothing here knows another room.

mod cancel;
mod clock;
mod digest;
mod escape;
mod group;
mod ids;
mod key;
mod level;
mod plugin;
mod secret;
mod step;
mod units;
mod warnings;
mod watcher;

pub use cancel::{Cancel, Cancelled};
pub use clock::{Clock, FixedClock, SystemClock};
pub use digest::Digest;
pub use escape::{component, component_within, display, text, untext};
pub use group::Group;
pub use ids::{ArtefactId, RunId};
pub use key::{BadKey, Key};
pub use level::Level;
pub use plugin::{MakeSchema, PENDING, Plugin, Wrong};
pub use secret::Secret;
pub use step::{Rank, Step, decade};
pub use units::{Size, Span, count};
pub use warnings::{Noted, Warnings};
pub use watcher::{Progress, Silent, Watcher};

/// Any error, boxed, as a `source`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One kibibyte in bytes.
pub const KIB: usize = 1024;
/// One mebibyte in bytes.
pub const MIB: usize = 1024 * KIB;

/// Spells an error and its causes in one line, each cause after a colon.
///
/// A cause that its wrapper already quotes is not said twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !said.ends_with(&next) {
            said.push_str(": ");
            said.push_str(&next);
        }
        cause = error.source();
    }
    said
}
