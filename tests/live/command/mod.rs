//! Commands whose output is the data.
