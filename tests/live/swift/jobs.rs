//! The command with a store behind it: backed up, found, brought back, rotated.
