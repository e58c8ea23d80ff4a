//! `smb` against real servers.
