//! How a stream is compressed, and where its frames lie.

use serde::{Deserialize, Serialize};

/// A compression and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// The format.
    #[serde(rename = "type")]
    pub codec: Codec,
    /// The level in the format's own scale; 0 for none.
    pub level: i32,
}

/// A compression format that stock tools read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// As it is.
    None,
    /// gzip members of 1 MiB.
    Gzip,
    /// zstd frames of 4 MiB.
    Zstd,
}

impl Codec {
    /// Returns the ending of a file's name, with its dot; empty for none.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Returns how many raw bytes a frame holds; the last may hold fewer.
    pub fn frame_bytes(self) -> u64 {
        match self {
            Self::Gzip => 1 << 20,
            Self::None | Self::Zstd => 4 << 20,
        }
    }

    /// Returns how many raw bytes a producer had best hand over at a time: whole frames where
    /// there are some, else what stays in a processor's cache from one stage to the next.
    pub fn chunk_bytes(self) -> usize {
        match self {
            Self::None => 1 << 20,
            Self::Gzip | Self::Zstd => self.frame_bytes() as usize,
        }
    }

    /// Returns the format at its usual level.
    pub fn by_default(self) -> Compression {
        let level = match self {
            Self::None => 0,
            Self::Gzip => 6,
            Self::Zstd => 3,
        };
        Compression { codec: self, level }
    }
}

/// Where the frames of one compressed stream lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Raw bytes of the whole stream.
    pub raw_bytes: u64,
    /// Compressed bytes of the whole stream.
    pub stored_bytes: u64,
    /// Raw bytes of every frame but the last.
    pub frame_bytes: u64,
    /// Where each frame begins in the compressed stream, ascending.
    pub starts: Vec<u64>,
}
