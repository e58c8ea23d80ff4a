//! `webdav` against real servers.
