//! What hurts.
