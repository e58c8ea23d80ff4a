//! Dumps of MariaDB and MySQL.
