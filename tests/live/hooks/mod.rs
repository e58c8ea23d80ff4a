//! Commands around a run and its targets.
