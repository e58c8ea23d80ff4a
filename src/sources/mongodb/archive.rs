//! The archive that mongodump writes: what it holds, and whether it is whole.
//!
//! A magic number, a head, a document for each collection, and a terminator; then blocks, each with
//! the collection that its documents belong to, and a terminator. Each collection ends with a block
//! that says so, with the CRC64 of all its documents.
//! Source: <https://github.com/mongodb/mongo-tools/blob/100.7.0/common/archive/archive.go>

use std::collections::{BTreeMap, BTreeSet};

use bson::deserialize_from_slice;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use serde::Deserialize;

use crate::sources::form::Form;
use crate::stream::DumpFacts;

/// An archive as it passes.
pub(super) struct Archive {
    state: State,
    /// The beginning of a document or number that has not come whole.
    partial: Vec<u8>,
    /// How much is left of a document that need not be understood.
    skip: usize,
    head: Option<Head>,
    collections: BTreeMap<Namespace, Collection>,
    /// The database, and the collection, that it must hold.
    asked: Option<(String, Option<String>)>,
    bytes: u64,
}

/// A database and a collection.
type Namespace = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Magic,
    Head,
    Prelude,
    /// Between two blocks.
    Between,
    /// In a block; after its head nothing but a terminator may come where `over`.
    Block {
        of: Namespace,
        over: bool,
    },
}

/// What is known of one collection.
struct Collection {
    digest: Digest,
    is_over: bool,
    /// Whether it must be told of in a block: a view need not.
    has_data: bool,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    server_version: String,
    #[serde(default)]
    tool_version: String,
}

#[derive(Deserialize)]
struct Listed {
    db: String,
    collection: String,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct BlockHead {
    db: String,
    collection: String,
    #[serde(rename = "EOF")]
    eof: bool,
    #[serde(rename = "CRC")]
    crc: i64,
}

impl Archive {
    pub(super) fn new() -> Self {
        Self {
            state: State::Magic,
            partial: Vec::new(),
            skip: 0,
            head: None,
            collections: BTreeMap::new(),
            asked: None,
            bytes: 0,
        }
    }

    /// Says of which database, and which collection of it, it must hold something.
    pub(super) fn of(mut self, database: &str, collection: Option<&str>) -> Self {
        self.asked = Some((database.to_owned(), collection.map(str::to_owned)));
        self
    }

    /// The collections that it will hold, by database: known once its beginning has passed.
    pub(super) fn listed(&self) -> Option<BTreeMap<String, BTreeSet<String>>> {
        if matches!(self.state, State::Magic | State::Head | State::Prelude) {
            return None;
        }
        let mut listed: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (database, collection) in self.collections.keys() {
            listed.entry(database.clone()).or_default().insert(collection.clone());
        }
        Some(listed)
    }

    /// The databases that it holds something of.
    pub(super) fn databases(&self) -> BTreeSet<&str> {
        self.collections.keys().map(|(database, _)| database.as_str()).collect()
    }

    fn read(&mut self, mut chunk: &[u8]) -> Result<(), String> {
        self.bytes += chunk.len() as u64;
        while !chunk.is_empty() {
            if self.skip > 0 {
                let (now, rest) = chunk.split_at(self.skip.min(chunk.len()));
                self.skip -= now.len();
                self.hash(now);
                chunk = rest;
                continue;
            }
            let wanted = match self.partial.first_chunk::<NUMBER>() {
                None => NUMBER,
                Some(number) => self.length(*number)?,
            };
            let missing = wanted.saturating_sub(self.partial.len()).min(chunk.len());
            let (now, rest) = chunk.split_at(missing);
            self.partial.extend_from_slice(now);
            chunk = rest;
            self.advance()?;
        }
        Ok(())
    }

    /// Goes on as far as what has come allows.
    fn advance(&mut self) -> Result<(), String> {
        let Some(number) = self.partial.first_chunk::<NUMBER>().copied() else { return Ok(()) };
        if self.state == State::Magic {
            if u32::from_le_bytes(number) != MAGIC {
                return Err("the dump is no archive of mongodump: it begins otherwise".to_owned());
            }
            self.state = State::Head;
        } else if number == TERMINATOR {
            self.terminate()?;
        } else if let State::Block { over: false, .. } = self.state {
            self.skip = self.length(number)? - NUMBER;
            self.hash(&number);
        } else if self.partial.len() == self.length(number)? {
            let document = std::mem::take(&mut self.partial);
            self.understand(&document)?;
        } else {
            return Ok(());
        }
        self.partial.clear();
        Ok(())
    }

    fn length(&self, number: [u8; NUMBER]) -> Result<usize, String> {
        if self.state == State::Magic || number == TERMINATOR {
            return Ok(NUMBER);
        }
        let length = usize::try_from(i32::from_le_bytes(number)).unwrap_or(0);
        match (SMALLEST..=LARGEST).contains(&length) {
            true => Ok(length),
            false => Err(self.damaged("a document has an impossible length")),
        }
    }

    fn terminate(&mut self) -> Result<(), String> {
        match self.state {
            State::Prelude | State::Block { .. } => self.state = State::Between,
            _ => return Err(self.damaged("a terminator stands where none can")),
        }
        Ok(())
    }

    /// Reads a document of the archive's own.
    fn understand(&mut self, document: &[u8]) -> Result<(), String> {
        match self.state {
            State::Head => {
                self.head = Some(self.parsed(document)?);
                self.state = State::Prelude;
            }
            State::Prelude => {
                let Listed { db, collection, kind } = self.parsed(document)?;
                self.collection((db, collection)).has_data = kind != "view";
            }
            State::Between => {
                let BlockHead { db, collection, eof, crc } = self.parsed(document)?;
                let of = (db, collection);
                let known = self.collection(of.clone());
                if eof && known.digest.finalize().cast_signed() != crc {
                    let (db, collection) = &of;
                    return Err(format!(
                        "the dump of {db}.{collection} is damaged: its CRC differs"
                    ));
                }
                known.is_over |= eof;
                self.state = State::Block { of, over: eof };
            }
            State::Magic | State::Block { .. } => {
                return Err(self.damaged("a document stands where none can"));
            }
        }
        Ok(())
    }

    fn collection(&mut self, namespace: Namespace) -> &mut Collection {
        self.collections.entry(namespace).or_insert_with(|| Collection {
            digest: Digest::new(CrcAlgorithm::Crc64Xz),
            is_over: false,
            has_data: true,
        })
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let State::Block { of, .. } = &self.state
            && let Some(collection) = self.collections.get_mut(of)
        {
            collection.digest.update(bytes);
        }
    }

    fn parsed<T: serde::de::DeserializeOwned>(&self, document: &[u8]) -> Result<T, String> {
        deserialize_from_slice(document).map_err(|error| self.damaged(&error.to_string()))
    }

    fn damaged(&self, why: &str) -> String {
        format!("the dump is damaged before byte {}: {why}", self.bytes)
    }

    /// Says why it is not whole.
    fn verdict(&self) -> Result<(), String> {
        let bytes = self.bytes;
        if self.state != State::Between || !self.partial.is_empty() || self.skip > 0 {
            return Err(format!(
                "the dump is cut: it ends after {bytes} bytes without its terminator"
            ));
        }
        if let Some((database, collection)) = &self.asked {
            let is_asked = |(db, name): &Namespace| {
                db == database && collection.as_ref().is_none_or(|asked| asked == name)
            };
            if !self.collections.keys().any(is_asked) {
                let what = collection
                    .as_ref()
                    .map_or(database.clone(), |collection| format!("{database}.{collection}"));
                return Err(format!("the dump holds nothing of {what}: was it removed meanwhile?"));
            }
        }
        let open = self.collections.iter().find(|(_, one)| one.has_data && !one.is_over);
        match open {
            None => Ok(()),
            Some(((db, collection), _)) => {
                Err(format!("the dump is cut: it holds no end of {db}.{collection}"))
            }
        }
    }
}

impl Form for Archive {
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, String> {
        self.read(&chunk)?;
        Ok(chunk)
    }

    fn end(&mut self, facts: &mut DumpFacts) -> Result<Bytes, String> {
        self.verdict()?;
        if let Some(Head { server_version, tool_version }) = &self.head {
            facts.server_version = Some(format!("MongoDB {server_version}"));
            facts.tools.insert("mongodump".to_owned(), tool_version.clone());
        }
        facts.checked = Some("exit code, end and CRC64 of every collection".to_owned());
        Ok(Bytes::new())
    }
}

const MAGIC: u32 = 0x8199_e26d;
const TERMINATOR: [u8; NUMBER] = [0xff; NUMBER];
const NUMBER: usize = 4;
/// Of a BSON document, in bytes.
const SMALLEST: usize = 5;
/// A document may have 16 MiB, and the server adds a little to its own.
const LARGEST: usize = 48 << 20;
