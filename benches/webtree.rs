//! Makes a realistic web tree.

fn main() {}
