//! What nobody else has: names for temporary objects, and the random numbers that they are made of.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes a word that no other put has, of this process or of another, here or on another machine.
///
/// Shape: 16 random hex digits, a hyphen, and a hex number that counts; no dot and no slash, as
/// [`crate::base::Key::partial`] demands.
pub(super) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:x}", random(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Gives a random number: a hasher with random keys is what the standard library has.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_comes_twice_and_none_ends_a_name() {
        let (one, other) = (unique(), unique());
        assert_ne!(one, other);
        assert_ne!(one.split('-').next(), other.split('-').next());
        assert!(!one.contains(['.', '/']), "{one}");
    }
}
