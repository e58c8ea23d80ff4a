//! How the artefacts of a source come back: into a server, or into a folder that is made ready.
//!
//! Files are not here: `archive` unpacks them. Commands and connections come from the config,
//! never from a manifest.

use std::path::Path;

use async_trait::async_trait;

use crate::sources::{Result, Target};
use crate::stream::ByteStream;

/// How a source takes its artefacts back.
#[derive(Clone, Copy)]
pub enum Back<'a> {
    /// Only as files or as a stream.
    Plain,
    /// Into a server or a command.
    Load(&'a dyn Loader),
    /// Into a folder, which is made ready for the server afterwards.
    Prepare(&'a dyn Preparer),
}

/// A stored dump, as far as a source needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The target that it is of, as in [`Target::name`].
    pub target: String,
    /// Its extension without that of a compression: `sql`.
    pub ext: String,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// The version of the server that it came from.
    pub server_version: Option<String>,
}

/// Something that takes a dump back while it runs.
#[async_trait]
pub trait Loader: Send + Sync {
    /// Reads the whole dump and finds what speaks against loading it as `into`: it is cut, or it
    /// would switch to another database.
    ///
    /// Errors: the reason; nothing was changed.
    async fn inspect(&self, stored: &Stored, into: &str, dump: ByteStream) -> Result<()>;
    /// Returns what is there under that name now, to be dumped before `stored` replaces it. A
    /// dump of it leaves nothing out, whatever the config says.
    async fn present(&self, stored: &Stored, into: &str) -> Result<Option<Target>>;
    /// Loads the dump as `into`, which is made where it is missing and replaced where it is there.
    ///
    /// Errors: with the tool's own last words; what is there then must not be trusted.
    async fn load(&self, stored: &Stored, into: &str, dump: ByteStream) -> Result<()>;
}

/// Something that makes a physical copy ready.
#[async_trait]
pub trait Preparer: Send + Sync {
    /// Unpacks one artefact; of a chain each in its turn, from the full one on. `folder` is the
    /// `dir` of [`Self::prepare`] for the first, and a folder of its own beside it for each later one.
    async fn unpack(&self, stored: &Stored, dump: ByteStream, folder: &Path) -> Result<()>;
    /// Makes `dir` ready with `increments`, in order, which are removed then, and returns the next steps for a person:
    /// commands and sentences, one a line.
    async fn prepare(&self, dir: &Path, increments: &[&Path]) -> Result<Vec<String>>;
}
