//! Dumps of PostgreSQL.
