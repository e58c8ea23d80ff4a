//! The form of an RDB file: its magic at the beginning, and at the end the opcode EOF and a CRC64
//! of all before it.
//!
//! Source: <https://github.com/redis/redis/blob/7.0/src/rdb.c> (`rdbSaveRio`), and Valkey 9, whose
//! magic is `VALKEY`.

use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};

use crate::sources::form::Form;
use crate::stream::DumpFacts;

/// An RDB as it passes.
pub(super) struct Rdb {
    head: Vec<u8>,
    /// The last bytes: the checksum, if this is the end.
    tail: Vec<u8>,
    /// The byte before them.
    before: u8,
    digest: Digest,
    bytes: u64,
}

/// An RDB that the random mark of a transfer without a length may follow: redis-cli leaves it in
/// when it writes to its output.
pub(super) struct Marked {
    rdb: Rdb,
    held: BytesMut,
}

impl Rdb {
    pub(super) fn new() -> Self {
        let digest = Digest::new(CrcAlgorithm::Crc64Redis);
        Self { head: Vec::new(), tail: Vec::new(), before: 0, digest, bytes: 0 }
    }

    fn read(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        let missing = HEAD.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..missing]);
        if chunk.len() < CHECKSUM {
            self.tail.extend_from_slice(chunk);
            let rest = self.tail.split_off(self.tail.len().saturating_sub(CHECKSUM));
            let body = std::mem::replace(&mut self.tail, rest);
            return self.hash(&body);
        }
        let (body, last) = chunk.split_at(chunk.len() - CHECKSUM);
        let former = std::mem::replace(&mut self.tail, last.to_vec());
        self.hash(&former);
        self.hash(body);
    }

    fn hash(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.before = bytes.last().copied().unwrap_or(self.before);
    }

    /// How it is known to be whole.
    fn verdict(&self) -> Result<&'static str, String> {
        let bytes = self.bytes;
        let magic = MAGICS.iter().find_map(|magic| self.head.strip_prefix(*magic));
        let is_version = |rest: &[u8]| rest.iter().take(3).filter(|b| b.is_ascii_digit()).count();
        if magic.map(is_version) != Some(3) {
            return Err(format!("the dump of {bytes} bytes is no RDB: it begins otherwise"));
        }
        let Ok(checksum) = <[u8; CHECKSUM]>::try_from(self.tail.as_slice()) else {
            return Err(format!("the dump is cut: it ends after {bytes} bytes"));
        };
        match (self.before, u64::from_le_bytes(checksum)) {
            (EOF, 0) => Ok("length and end mark; the server makes no checksum (rdbchecksum no)"),
            (EOF, sum) if sum == self.digest.finalize() => Ok("length, end mark and CRC64"),
            (EOF, _) => Err(format!("the dump of {bytes} bytes is damaged: its CRC64 differs")),
            _ => Err(format!("the dump is cut: it has no end mark after {bytes} bytes")),
        }
    }

    fn judge(&self, facts: &mut DumpFacts) -> Result<(), String> {
        facts.checked = Some(self.verdict()?.to_owned());
        facts.server_version = server_of(&self.head);
        Ok(())
    }
}

impl Form for Rdb {
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, String> {
        self.read(&chunk);
        Ok(chunk)
    }

    fn end(&mut self, facts: &mut DumpFacts) -> Result<Bytes, String> {
        self.judge(facts)?;
        Ok(Bytes::new())
    }
}

impl Marked {
    pub(super) fn new() -> Self {
        Self { rdb: Rdb::new(), held: BytesMut::new() }
    }
}

impl Form for Marked {
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, String> {
        self.held.extend_from_slice(&chunk);
        let sure = self.held.len().saturating_sub(MARK);
        self.rdb.pass(self.held.split_to(sure).freeze())
    }

    fn end(&mut self, facts: &mut DumpFacts) -> Result<Bytes, String> {
        let is_mark = self.held.len() == MARK && self.held.iter().all(u8::is_ascii_hexdigit);
        if is_mark && self.rdb.judge(facts).is_ok() {
            return Ok(Bytes::new());
        }
        let rest = self.rdb.pass(self.held.split().freeze())?;
        self.rdb.judge(facts)?;
        Ok(rest)
    }
}

/// Finds in the beginning of an RDB the version of the server that made it, which it tells first.
pub(super) fn server_of(head: &[u8]) -> Option<String> {
    let (at, name) = NAMES.iter().find_map(|(field, name)| {
        let mut wanted = vec![AUX, u8::try_from(field.len()).ok()?];
        wanted.extend_from_slice(field.as_bytes());
        let at = head.windows(wanted.len()).position(|window| window == wanted)?;
        Some((at + wanted.len(), name))
    })?;
    let length = usize::from(*head.get(at)?);
    let version = head.get(at + 1..at + 1 + length).filter(|_| length < 0x40)?;
    Some(format!("{name} {}", std::str::from_utf8(version).ok()?))
}

/// How it begins, before the digits of its version.
const MAGICS: &[&[u8]] = &[b"REDIS", b"VALKEY"];
/// The fields that tell the version of the server.
const NAMES: &[(&str, &str)] = &[("valkey-ver", "Valkey"), ("redis-ver", "Redis")];
const AUX: u8 = 0xfa;
const EOF: u8 = 0xff;
const CHECKSUM: usize = 8;
/// How much of the beginning is looked at.
pub(super) const HEAD: usize = 256;
/// How long the mark of a transfer without a length is.
pub(super) const MARK: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis 7.0.15 writes for no keys, shortened to one field.
    fn rdb(magic: &str, with_sum: bool) -> Vec<u8> {
        let mut bytes = magic.as_bytes().to_vec();
        bytes.extend_from_slice(b"\xfa\x09redis-ver\x067.0.15\xff");
        let mut digest = Digest::new(CrcAlgorithm::Crc64Redis);
        digest.update(&bytes);
        let sum = if with_sum { digest.finalize() } else { 0 };
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn judged(
        mut form: impl Form,
        bytes: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, DumpFacts), String> {
        let (mut out, mut facts) = (Vec::new(), DumpFacts::default());
        for chunk in bytes.chunks(step) {
            out.extend_from_slice(&form.pass(Bytes::copy_from_slice(chunk))?);
        }
        out.extend_from_slice(&form.end(&mut facts)?);
        Ok((out, facts))
    }

    #[test]
    fn the_checksum_is_that_of_redis() {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Redis);
        digest.update(b"123456789");
        assert_eq!(digest.finalize(), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn a_whole_dump_passes_unchanged_in_chunks_of_any_size() {
        for magic in ["REDIS0010", "VALKEY080"] {
            let whole = rdb(magic, true);
            for step in 1..=whole.len() {
                let (out, facts) = judged(Rdb::new(), &whole, step).unwrap();
                assert_eq!(out, whole);
                assert_eq!(facts.checked.as_deref(), Some("length, end mark and CRC64"));
                assert_eq!(facts.server_version.as_deref(), Some("Redis 7.0.15"));
            }
        }
    }

    #[test]
    fn a_dump_that_ends_anywhere_else_is_refused() {
        let whole = rdb("REDIS0010", true);
        for length in 0..whole.len() {
            assert!(judged(Rdb::new(), &whole[..length], 7).is_err(), "{length}");
            assert!(judged(Marked::new(), &whole[..length], 7).is_err(), "{length}");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_by_the_checksum() {
        let whole = rdb("REDIS0010", true);
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            assert!(judged(Rdb::new(), &bad, 8).is_err(), "{at}");
        }
    }

    #[test]
    fn a_server_without_checksums_is_told_of() {
        let (_, facts) = judged(Rdb::new(), &rdb("REDIS0010", false), 8).unwrap();
        assert!(facts.checked.unwrap().contains("rdbchecksum no"));
    }

    #[test]
    fn the_mark_of_a_transfer_is_taken_off_where_there_is_one() {
        for with_sum in [true, false] {
            let whole = rdb("REDIS0010", with_sum);
            let mut marked = whole.clone();
            marked.extend_from_slice(&[b'a'; MARK]);
            for step in 1..=marked.len() {
                assert_eq!(judged(Marked::new(), &marked, step).unwrap().0, whole);
                assert_eq!(judged(Marked::new(), &whole, step).unwrap().0, whole);
            }
        }
    }
}
