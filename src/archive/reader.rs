//! Reads a tar, member by member: POSIX, GNU and old archives, with sparse files of all kinds.
//!
//! The end is said by two blocks of zeros; an archive without them is cut short.

use std::io::{BufRead, BufReader, Read};

use crate::archive::meta::Time;
use crate::archive::records;
use crate::archive::sparse::Extent;
use crate::base::{KIB, MIB};

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It ends in the middle.
    #[error("the archive is cut short after {0} bytes")]
    Cut(u64),
    /// It is no tar, or damaged.
    #[error("the archive is damaged at byte {at}: {what}")]
    Damaged {
        /// Where.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The stream that it comes from broke.
    #[error("the archive could not be read")]
    Read(#[from] std::io::Error),
}

type Result<T> = std::result::Result<T, TarError>;

/// A member, without its data.
#[derive(Debug)]
pub(crate) struct Member {
    /// Where its first header begins in what was read.
    pub(crate) start: u64,
    /// As the archive has it: slashes at its ends and all.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mtime: Time,
    pub(crate) link: Vec<u8>,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Bytes of the file when it is unpacked.
    pub(crate) size: u64,
    /// The parts that hold data; `None` for a file without holes.
    pub(crate) extents: Option<Vec<Extent>>,
    /// Records for attributes and access lists.
    pub(crate) records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An archive that is read.
pub(crate) struct TarReader<'a> {
    input: BufReader<Box<dyn Read + 'a>>,
    position: u64,
    /// Data of the present member that was not read yet, and what fills its last block.
    left: u64,
    padding: u64,
    globals: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What comes before a header and counts for it.
#[derive(Default)]
struct Before {
    start: Option<u64>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<'a> TarReader<'a> {
    /// Begins to read.
    pub(crate) fn new(input: impl Read + 'a) -> Self {
        let input = BufReader::with_capacity(BUFFER, Box::new(input) as Box<dyn Read + 'a>);
        Self { input, position: 0, left: 0, padding: 0, globals: Vec::new() }
    }

    /// Gives the next member; `None` at the end, once everything behind it was read, too.
    pub(crate) fn next(&mut self) -> Result<Option<Member>> {
        let mut before = Before { records: self.globals.clone(), ..Before::default() };
        loop {
            self.skip()?;
            let at = self.position;
            before.start.get_or_insert(at);
            let Some(header) = self.header()? else { return self.end() };
            let size = number(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or(TarError::Damaged { at, what: "a size is no number" })?;
            let kind = header.as_old().linkflag[0];
            self.expect(size);
            match kind {
                b'x' => before.records.extend(self.records(at)?),
                b'g' => {
                    let records = self.records(at)?;
                    self.globals.extend(records);
                    before.records = [self.globals.clone(), before.records].concat();
                }
                b'L' => before.path = Some(until_nul(&self.whole(at)?)),
                b'K' => before.link = Some(until_nul(&self.whole(at)?)),
                b'V' => {}
                b'M' => return Err(TarError::Damaged { at, what: "it is one of several volumes" }),
                _ => return self.member(&header, before, size, at).map(Some),
            }
        }
    }

    /// Gives some data of the present member; empty when there is no more.
    pub(crate) fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let position = self.position;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let got = self.input.fill_buf()?;
        if got.is_empty() {
            return Err(TarError::Cut(position));
        }
        Ok(&got[..got.len().min(most)])
    }

    /// Says that the first `count` bytes of [`TarReader::data`] were used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.left -= count as u64;
        self.position += count as u64;
    }

    /// Says how much data comes, by a header or by what overrides it.
    fn expect(&mut self, size: u64) {
        (self.left, self.padding) = (size, size.next_multiple_of(512) - size);
    }

    /// Reads over the rest of the present member.
    fn skip(&mut self) -> Result<()> {
        self.left = self.left.saturating_add(std::mem::take(&mut self.padding));
        loop {
            let count = self.data()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    /// Reads a block; `None` at the end of the input.
    fn block(&mut self) -> Result<Option<[u8; 512]>> {
        let mut block = [0; 512];
        let mut got = 0;
        while got < block.len() {
            match self.input.read(&mut block[got..]) {
                Ok(0) => break,
                Ok(count) => got += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.position += got as u64;
        match got {
            0 => Ok(None),
            512 => Ok(Some(block)),
            _ => Err(TarError::Cut(self.position)),
        }
    }

    /// Reads a header; `None` where a block of zeros stands.
    fn header(&mut self) -> Result<Option<tar::Header>> {
        let at = self.position;
        let block = self.block()?.ok_or(TarError::Cut(at))?;
        if block == [0; 512] {
            return Ok(None);
        }
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        let said = number(&header.as_old().cksum);
        let plain = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
        let unsigned: i64 = (0..512).map(|at| i64::from(plain(at))).sum();
        let signed: i64 = (0..512).map(|at| i64::from(plain(at).cast_signed())).sum();
        if said != Some(unsigned) && said != Some(signed) {
            return Err(TarError::Damaged { at, what: "a header has a wrong checksum" });
        }
        Ok(Some(header))
    }

    /// Checks the second block of zeros and reads whatever follows, so that whoever feeds us is
    /// not cut off and can say what it has found.
    fn end(&mut self) -> Result<Option<Member>> {
        let at = self.position;
        match self.block()? {
            Some(block) if block == [0; 512] => {}
            Some(_) => {
                return Err(TarError::Damaged { at, what: "a single block of zeros stands there" });
            }
            None => return Err(TarError::Cut(at)),
        }
        std::io::copy(&mut self.input, &mut std::io::sink())?;
        Ok(None)
    }

    /// Reads all data of a member that only tells about the next one.
    fn whole(&mut self, at: u64) -> Result<Vec<u8>> {
        if self.left > LONGEST {
            return Err(TarError::Damaged { at, what: "a header is too long" });
        }
        let mut all = Vec::new();
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(piece);
            let count = piece.len();
            self.consume(count);
        }
    }

    fn records(&mut self, at: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let data = self.whole(at)?;
        records::split(&data).ok_or(TarError::Damaged { at, what: "a PAX header is broken" })
    }

    fn member(
        &mut self,
        header: &tar::Header,
        before: Before,
        size: u64,
        at: u64,
    ) -> Result<Member> {
        let damaged = |what| TarError::Damaged { at, what };
        let old = header.as_old();
        let is_posix = header.as_ustar().is_some() || header.as_gnu().is_some();
        let device = |field: Option<u32>| if is_posix { field.unwrap_or(0) } else { 0 };
        let small = |field: &[u8]| number(field).and_then(|id| u32::try_from(id).ok());
        let mut member = Member {
            start: before.start.unwrap_or(at),
            path: before.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            kind: old.linkflag[0],
            mode: small(&old.mode).unwrap_or(0o644) & 0o7777,
            uid: small(&old.uid),
            gid: small(&old.gid),
            mtime: Time { secs: number(&old.mtime).unwrap_or(0), nanos: 0 },
            link: before.link.unwrap_or_else(|| until_nul(&old.linkname)),
            major: device(header.device_major().ok().flatten()),
            minor: device(header.device_minor().ok().flatten()),
            size,
            extents: None,
            records: Vec::new(),
        };
        let mut sparse = Sparse::default();
        for (key, value) in before.records {
            member.take(&key, value, &mut sparse).ok_or(damaged("a PAX record is broken"))?;
        }
        if let Some(path) = sparse.path.take() {
            member.path = path;
        }
        // What stands in a record overrides the header, sizes too.
        self.expect(member.size);
        if member.kind == b'S' {
            self.old_map(header, &mut sparse, at)?;
        } else if sparse.is_1_0 {
            sparse.extents = self.map(at)?;
        }
        if let Some(size) = sparse.size {
            let stored: u64 = sparse.extents.iter().map(|extent| extent.bytes).sum();
            let ordered = sparse.extents.is_sorted_by(|a, b| a.end() <= Some(b.start));
            let inside = sparse.extents.last().is_none_or(|last| last.end() <= Some(size));
            let fits = sparse.extents.iter().all(|extent| extent.end().is_some());
            if !(ordered && inside && fits) || stored != self.left {
                return Err(damaged("the map of a sparse file does not fit"));
            }
            member.size = size;
            member.extents = Some(sparse.extents);
        }
        Ok(member)
    }

    /// Reads the map of a sparse file in GNU's old form, which goes on in blocks of its own.
    fn old_map(&mut self, header: &tar::Header, sparse: &mut Sparse, at: u64) -> Result<()> {
        let damaged = || TarError::Damaged { at, what: "the map of a sparse file is broken" };
        let gnu = header.as_gnu().ok_or_else(damaged)?;
        sparse.size = Some(gnu.real_size().map_err(|_| damaged())?);
        sparse.add(&gnu.sparse).ok_or_else(damaged)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            let read = self.block()?.ok_or(TarError::Cut(self.position))?;
            block.as_mut_bytes().copy_from_slice(&read);
            sparse.add(block.sparse()).ok_or_else(damaged)?;
            more = block.is_extended();
        }
        Ok(())
    }

    /// Reads the map that stands before the data of a sparse file in the form 1.0.
    fn map(&mut self, at: u64) -> Result<Vec<Extent>> {
        let damaged = || TarError::Damaged { at, what: "the map of a sparse file is broken" };
        let mut numbers = Vec::new();
        let mut number: Option<u64> = None;
        let mut wanted = 1;
        while numbers.len() < wanted {
            if self.left < 512 {
                return Err(damaged());
            }
            let block = self.block()?.ok_or(TarError::Cut(self.position))?;
            self.left -= 512;
            for byte in block {
                match byte {
                    _ if numbers.len() == wanted => break,
                    b'0'..=b'9' => {
                        let grown = number.unwrap_or(0).checked_mul(10);
                        let grown = grown.and_then(|n| n.checked_add(u64::from(byte - b'0')));
                        number = Some(grown.ok_or_else(damaged)?);
                    }
                    b'\n' => numbers.push(number.take().ok_or_else(damaged)?),
                    _ => return Err(damaged()),
                }
                if let [count] = numbers[..] {
                    // Each part needs four bytes of map: no more of them than those can be.
                    let fits = count <= self.left.saturating_add(512) / 4;
                    wanted = if fits { 1 + 2 * count as usize } else { return Err(damaged()) };
                }
            }
        }
        Ok(numbers[1..].chunks(2).map(|part| Extent { start: part[0], bytes: part[1] }).collect())
    }
}

/// What PAX records tell about a sparse file.
#[derive(Default)]
struct Sparse {
    size: Option<u64>,
    path: Option<Vec<u8>>,
    extents: Vec<Extent>,
    start: Option<u64>,
    is_1_0: bool,
}

impl Sparse {
    /// Takes in parts of GNU's old form; `None` when they are not numbers.
    fn add(&mut self, parts: &[tar::GnuSparseHeader]) -> Option<()> {
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let (start, bytes) = (part.offset().ok()?, part.length().ok()?);
            self.extents.push(Extent { start, bytes });
        }
        Some(())
    }
}

impl Member {
    /// Takes in a record; `None` when its value is not what it must be.
    fn take(&mut self, key: &[u8], value: Vec<u8>, sparse: &mut Sparse) -> Option<()> {
        match key {
            b"path" => self.path = value,
            b"linkpath" => self.link = value,
            b"size" => self.size = records::number(&value)?,
            b"uid" => self.uid = records::number(&value),
            b"gid" => self.gid = records::number(&value),
            b"mtime" => self.mtime = records::time(&value)?,
            b"GNU.sparse.name" => sparse.path = Some(value),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                sparse.size = Some(records::number(&value)?);
            }
            b"GNU.sparse.major" => sparse.is_1_0 = value == b"1",
            b"GNU.sparse.offset" => sparse.start = Some(records::number(&value)?),
            b"GNU.sparse.numbytes" => {
                let start = sparse.start.take()?;
                sparse.extents.push(Extent { start, bytes: records::number(&value)? });
            }
            b"GNU.sparse.map" => {
                let text = std::str::from_utf8(&value).ok()?;
                let numbers =
                    text.split(',').map(str::parse).collect::<std::result::Result<Vec<u64>, _>>();
                let numbers = numbers.ok()?;
                let part = |part: &[u64]| Extent { start: part[0], bytes: part[1] };
                sparse.extents = numbers.chunks_exact(2).map(part).collect();
            }
            _ if key.starts_with(b"SCHILY.") => self.records.push((key.to_vec(), value)),
            _ => {}
        }
        Some(())
    }
}

/// Reads a number in octal, or in base 256 where its first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let start = if first & 0x40 != 0 { -1 } else { 0 };
        let start = (start << 6) | i64::from(first & 0x3f);
        return rest.iter().try_fold(start, |value, byte| {
            value.checked_mul(256).map(|value| value | i64::from(*byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    if digits.is_empty() { Some(0) } else { i64::from_str_radix(digits, 8).ok() }
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

const BUFFER: usize = 256 * KIB;
/// The longest header that is taken: attributes and long names are far shorter.
const LONGEST: u64 = 64 * MIB as u64;
