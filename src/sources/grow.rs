//! Dumps that hold only what changed since an earlier one: of physical copies, by a log position.

use async_trait::async_trait;

use crate::sources::{Result, Target};
use crate::stream::Payload;

/// A source whose dumps can begin where an earlier one ended.
#[async_trait]
pub trait Grow: Send + Sync {
    /// Says why no dump can begin at `position` now, or why that cannot be told; nothing where one
    /// can. The copy that ended there was of the same [`crate::sources::Source::scope`].
    async fn refusal(&self, position: &str) -> Option<String>;
    /// Starts to read what changed since `position`.
    ///
    /// Errors: as those of [`crate::sources::Source::open`].
    async fn open_since(&self, target: &Target, position: &str) -> Result<Payload>;
}
