//! SQLite files in use.
