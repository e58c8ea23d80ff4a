//! The only test binary.

// What helpers of tests cannot do is the failure of a test.
#![allow(clippy::unwrap_used)]

mod config;
