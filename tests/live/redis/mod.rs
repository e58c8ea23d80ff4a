//! RDB files of Redis.
