//! A tar out of a tree and back, and the index beside it.

mod acl;
mod ahead;
mod apply;
mod attributes;
mod base;
mod chunks;
mod folder;
mod header;
mod increment;
mod index;
mod index_read;
mod lines;
mod links;
mod meta;
mod owners;
mod pack;
mod pack_file;
mod paths;
mod place;
mod reader;
mod records;
mod select;
mod sparse;
mod unpack;
mod walk;

pub use base::Base;
pub use index::{Entry, EntryKind, FORMAT, IndexFile, IndexWriter};
pub use index_read::{Around, Entries, IndexError, IndexReader, Ranges};
pub use pack::{ChainOptions, PackError, PackOptions, Packed, TreeSize, pack};
pub use reader::TarError;
pub use select::{BadGlob, Selection};
pub use unpack::{Expected, Picked, UnpackError, UnpackOptions, Unpacked, unpack, unpack_picked};
