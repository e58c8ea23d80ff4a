//! A file that somebody else has made: what it is called is known only once it is opened.

use crate::base::BoxError;
use crate::stream::Dump;

/// The file of a script, with the name that its copies get.
pub struct Produced {
    /// Its bytes.
    pub dump: Dump,
    /// How the names of its copies begin, raw bytes, unescaped.
    pub base: Vec<u8>,
    /// The extension without a dot, with that of its own compression; may be empty.
    pub ext: String,
    /// Whether it is compressed already: it is stored as it is then.
    pub is_compressed: bool,
    /// Where it lies, for people.
    pub location: String,
    /// Removes it; called once every storage on which a copy was due has one, else never.
    pub remove: Remove,
}

/// Removes a file.
///
/// Errors: why it is still there.
pub type Remove = Box<dyn FnOnce() -> Result<(), BoxError> + Send>;
