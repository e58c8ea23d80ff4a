//! `ftp` against real servers.
