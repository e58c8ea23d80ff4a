//! `s3` against real servers.
