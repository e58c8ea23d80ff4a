//! A tar out of a tree and back, and the index beside it.
