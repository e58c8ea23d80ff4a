//! `swift` against real servers.
