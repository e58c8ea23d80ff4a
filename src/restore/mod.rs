//! The road backwards: what to bring back, and how.
