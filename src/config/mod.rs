//! From a config on disk to one tree of values that know where they stand.
