//! The manifest: the JSON document that makes an artefact a backup.
//!
//! Format 1, described in `docs/formats/manifest.md`. Readers ignore unknown keys and refuse a
//! newer format. The last key, `check`, is a digest of the document itself, so that a flipped
//! bit in a size or a date does not pass for the truth.

use std::collections::BTreeMap;

use jiff::{Timestamp, civil, tz};
use serde::{Deserialize, Serialize};

use crate::base::{ArtefactId, Digest, Key, RunId, Warnings};
use crate::stream::Compression;

/// The format that this program writes and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What one artefact is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this document's format.
    pub format: u32,
    /// Name and version of the program that wrote it.
    pub program: String,
    /// The artefact; the same on every storage.
    pub id: ArtefactId,
    /// The run that made it.
    pub run: RunId,
    /// `main.server_name`.
    pub server_name: String,
    /// The job's name.
    pub job: String,
    /// The job's type: `desc_files`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The source's name, where it has one.
    #[serde(default)]
    pub source: Option<String>,
    /// What it holds: a path or a database, escaped by [`crate::base::text`].
    pub target: String,
    /// `daily`, `weekly`, `monthly`; increments have their own words.
    pub level: String,
    /// The artefact that this one builds on.
    #[serde(default)]
    pub parent: Option<Parent>,
    /// When the run began.
    pub started: Timestamp,
    /// When the artefact was complete on this storage.
    pub finished: Timestamp,
    /// Milliseconds from the question to the source until the last byte had gone through.
    #[serde(default)]
    pub took_ms: Option<u64>,
    /// The local zone's offset from UTC when the run began, in seconds.
    pub utc_offset_secs: i32,
    /// Members of a tree.
    #[serde(default)]
    pub files: Option<u64>,
    /// The whole tree of that moment, where this is one of a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeFacts>,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes as stored, all segments together.
    pub stored_bytes: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// How it is encrypted: scheme and recipients, never a secret.
    #[serde(default)]
    pub encryption: Option<serde_json::Value>,
    /// How the compressed stream is cut.
    pub frames: FrameSummary,
    /// The objects that hold it, in order; `cat` joins them.
    pub segments: Vec<Segment>,
    /// The index of a tree.
    #[serde(default)]
    pub index: Option<IndexRef>,
    /// SHA-256 of the stored stream, all segments joined.
    pub sha256: Digest,
    /// BLAKE3 of the raw stream.
    pub blake3: Digest,
    /// Versions of the tools that took part.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
    /// Version of the server that was dumped.
    #[serde(default)]
    pub server_version: Option<String>,
    /// How a dump was known to be whole, beside the exit code of its tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
    /// What an increment of a dump would begin at: a log position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// What an increment of a dump builds only on a copy with the same of: server and options,
    /// hashed; where this is one of a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The snapshot that was read.
    #[serde(default)]
    pub snapshot: Option<serde_json::Value>,
    /// The rotation in force on this storage.
    pub policy: serde_json::Value,
    /// Results of hooks.
    #[serde(default)]
    pub hooks: Vec<serde_json::Value>,
    /// What started the run: `command`, `agent`.
    pub trigger: String,
    /// Files that could not be read, changed or vanished.
    #[serde(default)]
    pub warnings: Warnings,
    /// Whether everything that was asked for is inside.
    pub result: Outcome,
    /// Much smaller than the last copies: holds rotation.
    #[serde(default)]
    pub shrunken: bool,
    /// Never removed by rotation.
    #[serde(default)]
    pub pinned: bool,
}

/// Whether everything that was asked for is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Yes.
    Ok,
    /// Some files could not be read; `warnings` names them.
    Partial,
}

impl Outcome {
    /// Returns the word that stands in the document.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
        }
    }
}

/// The whole tree that the index of one of a chain lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeFacts {
    /// Files, folders and all else.
    pub files: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Path, excludes and encryption, hashed: an increment builds only on a copy with the same.
    pub scope: String,
}

/// The artefact that an increment builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its id.
    pub id: ArtefactId,
    /// Its first segment on this storage.
    pub key: Key,
}

/// One object of an artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its name, relative to `backup_dir`.
    pub key: Key,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// How the compressed stream is cut into frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameSummary {
    /// How many there are.
    pub count: u64,
    /// Raw bytes in each but the last.
    pub raw_bytes: u64,
}

/// Where the index of a tree lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRef {
    /// Its name, relative to `backup_dir`.
    pub key: Key,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Where its last frame begins, before sealing.
    pub last_frame: u64,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    /// Not JSON of the expected shape.
    #[error("is not a manifest")]
    Shape(#[from] serde_json::Error),
    /// Its own digest does not fit.
    #[error("is damaged: its check does not fit its text")]
    Damaged,
    /// Written by a newer program.
    #[error("has format {0}; this program reads up to {FORMAT}: use a newer nxs-backup")]
    Newer(u64),
}

impl Manifest {
    /// Writes the document, its `check` last.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text =
            serde_json::to_string_pretty(self).expect("a manifest has only plain values");
        text.truncate(text.trim_end_matches('}').trim_end().len());
        text.push_str(",\n");
        let check = blake3::hash(text.as_bytes()).to_hex();
        text.push_str(&format!("{CHECK}{check}\"\n}}\n"));
        text.into_bytes()
    }

    /// Reads a document.
    ///
    /// Errors: [`BadManifest`] when it is no manifest, damaged, or of a newer format.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BadManifest> {
        let value: serde_json::Value = serde_json::from_slice(bytes)?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => return Err(BadManifest::Newer(format)),
            _ => {}
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BadManifest::Damaged)?;
        let (said, check) = text.rsplit_once(CHECK).ok_or(BadManifest::Damaged)?;
        let check = check.split('"').next().unwrap_or_default();
        if blake3::hash(said.as_bytes()).to_hex().as_str() != check {
            return Err(BadManifest::Damaged);
        }
        let manifest: Self = serde_json::from_value(value)?;
        if manifest.segments.is_empty() {
            return Err(BadManifest::Damaged);
        }
        Ok(manifest)
    }

    /// Returns what tells the chain that it is one of; nothing for a copy that stands alone.
    pub fn scope(&self) -> Option<&str> {
        self.tree.as_ref().map(|tree| &tree.scope).or(self.scope.as_ref()).map(String::as_str)
    }

    /// Returns the run's start as the clock on the wall showed it.
    pub fn local_start(&self) -> civil::DateTime {
        let offset = tz::Offset::from_seconds(self.utc_offset_secs).unwrap_or(tz::Offset::UTC);
        offset.to_datetime(self.started)
    }
}

const CHECK: &str = "  \"check\": \"";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::stream::Codec;

    /// A small manifest to start from.
    pub(crate) fn sample() -> Manifest {
        let started = Timestamp::from_second(1_763_700_000).unwrap();
        let run = RunId::new(started, "web1", "site");
        Manifest {
            format: FORMAT,
            program: "nxs-backup 0.1.0".into(),
            id: ArtefactId::new(&run, 1),
            run,
            server_name: "web1".into(),
            job: "site".into(),
            kind: "desc_files".into(),
            source: None,
            target: "/var/www/site".into(),
            level: "daily".into(),
            parent: None,
            started,
            finished: started,
            took_ms: Some(1500),
            utc_offset_secs: 3600,
            files: Some(3),
            tree: None,
            raw_bytes: 4096,
            stored_bytes: 100,
            compression: Codec::Zstd.by_default(),
            encryption: None,
            frames: FrameSummary { count: 1, raw_bytes: 4 << 20 },
            segments: vec![Segment {
                key: Key::new("site/daily/site_2025-11-21_05-40-00.tar.zst").unwrap(),
                bytes: 100,
                sha256: Digest::new([7; 32]),
            }],
            index: None,
            sha256: Digest::new([7; 32]),
            blake3: Digest::new([8; 32]),
            tools: BTreeMap::new(),
            server_version: None,
            checked: None,
            position: None,
            scope: None,
            snapshot: None,
            policy: serde_json::json!({"days": 7}),
            hooks: Vec::new(),
            trigger: "command".into(),
            warnings: Warnings::default(),
            result: Outcome::Ok,
            shrunken: false,
            pinned: false,
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let manifest = sample();
        assert_eq!(Manifest::from_json(&manifest.to_json()).unwrap(), manifest);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let json = sample().to_json();
        for at in 0..json.len() {
            let mut bad = json.clone();
            bad[at] ^= 1;
            let harmless = json[at].is_ascii_whitespace() && at + 3 >= json.len();
            assert!(Manifest::from_json(&bad).is_err() || harmless, "byte {at} was changed unseen");
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let json = String::from_utf8(sample().to_json()).unwrap();
        let newer = json.replace("\"format\": 1", "\"format\": 2");
        let error = Manifest::from_json(newer.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
    }

    #[test]
    fn unknown_keys_are_ignored() {
        let mut json = String::from_utf8(sample().to_json()).unwrap();
        json = json.replace("\"pinned\": false", "\"pinned\": false,\n  \"later\": [1]");
        let (said, _) = json.rsplit_once(CHECK).unwrap();
        let fixed = format!("{said}{CHECK}{}\"\n}}\n", blake3::hash(said.as_bytes()).to_hex());
        assert_eq!(Manifest::from_json(fixed.as_bytes()).unwrap(), sample_like(&fixed));
    }

    fn sample_like(json: &str) -> Manifest {
        serde_json::from_str(json).unwrap()
    }
}
