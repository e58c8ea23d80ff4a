//! How SFTP version 3 puts its values into packets.
//!
//! Source: <https://datatracker.ietf.org/doc/html/draft-ietf-secsh-filexfer-02>.

use std::io;

/// A packet that is being written: length, kind, id, values.
#[derive(Debug, Default)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    pub(super) fn new(kind: u8, id: u32) -> Self {
        let mut bytes = vec![0, 0, 0, 0, kind];
        bytes.extend_from_slice(&id.to_be_bytes());
        Self(bytes)
    }

    /// Takes the room of an older packet.
    pub(super) fn reuse(mut self, kind: u8, id: u32) -> Self {
        self.0.clear();
        self.0.extend_from_slice(&[0, 0, 0, 0, kind]);
        self.number(id)
    }

    /// Gives the one of two old packets that has more room.
    pub(super) fn roomier(self, other: Self) -> Self {
        if self.0.capacity() > other.0.capacity() { self } else { other }
    }

    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds bytes with their length before them; nothing that we send is 4 GiB long.
    pub(super) fn text(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let mut packet = self.number(bytes.len() as u32);
        packet.0.extend_from_slice(bytes);
        packet
    }

    /// Writes the length and gives the bytes.
    pub(super) fn bytes(&mut self) -> &[u8] {
        let length = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        &self.0
    }
}

/// The values of a packet that came, from the front.
pub(super) struct Values<'a>(pub(super) &'a [u8]);

impl<'a> Values<'a> {
    pub(super) fn number(&mut self) -> io::Result<u32> {
        let (four, rest) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*four))
    }

    pub(super) fn long(&mut self) -> io::Result<u64> {
        let (eight, rest) = self.0.split_first_chunk().ok_or_else(cut)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*eight))
    }

    pub(super) fn text(&mut self) -> io::Result<&'a [u8]> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(text)
    }

    pub(super) fn attributes(&mut self) -> io::Result<Attributes> {
        let flags = self.number()?;
        let mut found = Attributes::default();
        if flags & SIZE != 0 {
            found.bytes = Some(self.long()?);
        }
        if flags & OWNER != 0 {
            self.long()?;
        }
        if flags & MODE != 0 {
            found.mode = Some(self.number()?);
        }
        if flags & TIMES != 0 {
            self.number()?;
            found.modified = Some(self.number()?);
        }
        if flags & MORE != 0 {
            for _ in 0..self.number()? {
                self.text()?;
                self.text()?;
            }
        }
        Ok(found)
    }
}

/// What a server tells of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) bytes: Option<u64>,
    pub(super) mode: Option<u32>,
    /// Seconds since 1970.
    pub(super) modified: Option<u32>,
}

impl Attributes {
    pub(super) fn is_folder(&self) -> bool {
        self.mode.is_some_and(|mode| mode & KIND == FOLDER)
    }

    /// A server that tells no mode tells sizes of files only.
    pub(super) fn is_file(&self) -> bool {
        self.mode.map_or(self.bytes.is_some(), |mode| mode & KIND == FILE)
    }
}

const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

const SIZE: u32 = 1;
const OWNER: u32 = 2;
/// The attribute that sets a mode.
pub(super) const MODE: u32 = 4;
const TIMES: u32 = 8;
const MORE: u32 = 1 << 31;

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer is shorter than it says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_written() {
        let mut packet = Packet::new(7, 9).number(1).long(1 << 40).text("ab");
        let bytes = packet.bytes().to_vec();
        assert_eq!(bytes[..9], [0, 0, 0, 23, 7, 0, 0, 0, 9]);
        let mut values = Values(&bytes[9..]);
        assert_eq!(values.number().unwrap(), 1);
        assert_eq!(values.long().unwrap(), 1 << 40);
        assert_eq!(values.text().unwrap(), b"ab");
        assert!(values.number().is_err());
        assert!(Values(&[0, 0, 0, 9, 1]).text().is_err());
    }

    #[test]
    fn attributes_are_read_whatever_the_server_tells() {
        let mut all = Packet::new(0, 0).number(SIZE | OWNER | MODE | TIMES | MORE);
        all = all.long(5).number(1).number(2).number(0o100_600).number(3).number(4);
        let mut all = all.number(1).text("name").text("value");
        let found = Values(&all.bytes()[9..]).attributes().unwrap();
        let should = Attributes { bytes: Some(5), mode: Some(0o100_600), modified: Some(4) };
        assert_eq!(found, should);
        assert!(found.is_file() && !found.is_folder());
        let none = Values(&[0, 0, 0, 0]).attributes().unwrap();
        assert!(!none.is_file() && !none.is_folder());
    }
}
