//! `scp` against real servers.
