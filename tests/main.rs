//! The only test binary: every file below `tests/` is a module of this one.

#![allow(clippy::unwrap_used)] // what surprises a test's own tools is a failure of the test

mod jobs {
    mod archive_changes;
    mod archive_gnu;
    mod archive_hostile;
    mod archive_index;
    mod archive_round_trip;
}
mod support {
    pub(crate) mod archive;
    pub(crate) mod tree;
}
