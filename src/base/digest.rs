//! A checksum as bytes and as hex.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A digest of 16 or 32 bytes, written as lower-case hex.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(Vec<u8>);

impl Digest {
    /// Wraps raw digest bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Returns the raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        let wrong = || format!("{hex:?} is not a digest in hex");
        if !hex.bytes().all(|ch| ch.is_ascii_hexdigit()) || !hex.len().is_multiple_of(2) {
            return Err(wrong());
        }
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| wrong());
        (0..hex.len()).step_by(2).map(byte).collect::<Result<Vec<u8>, String>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let digest = Digest::new([0, 15, 255]);
        assert_eq!(digest.to_string(), "000fff");
        assert_eq!(Digest::try_from("000fff".to_owned()), Ok(digest));
        for bad in ["0", "0g", "é1", "+1"] {
            assert!(Digest::try_from(bad.to_owned()).is_err(), "{bad} was taken");
        }
    }
}
