//! Physical copies of PostgreSQL.
