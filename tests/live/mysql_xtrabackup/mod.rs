//! Physical copies of MariaDB.
