//! `nfs` against real servers.
