//! Scripts that answer with a file.
