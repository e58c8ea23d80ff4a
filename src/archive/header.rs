//! A member's header: one ustar block, and PAX records before it for what does not fit there.
//!
//! Numbers, names and times that fit are in the ustar block alone, so that headers stay short;
//! fractions of a second do not, so most members have a record for `mtime`.

use crate::archive::chunks::Chunks;
use crate::archive::meta::{Meta, Time};

/// What a member's header says beside its [`Meta`].
#[derive(Clone, Copy)]
pub(crate) struct Header<'a> {
    /// The path without a leading slash; a folder's ends with a slash.
    pub(crate) path: &'a [u8],
    /// The type as tar knows it.
    pub(crate) kind: u8,
    /// Bytes of data that follow.
    pub(crate) size: u64,
    /// Where a link leads; empty for others.
    pub(crate) link: &'a [u8],
    pub(crate) user: &'a [u8],
    pub(crate) group: &'a [u8],
}

/// PAX records, ready to be written.
#[derive(Default)]
pub(crate) struct Records(Vec<u8>);

impl Records {
    /// Adds a record; it counts its own length.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + digits(rest);
        length = rest + digits(length);
        self.0.extend_from_slice(format!("{length} ").as_bytes());
        self.0.extend_from_slice(key);
        self.0.push(b'=');
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Returns the first bytes of the BLAKE3 digest of all of them; `None` where there are none.
    pub(crate) fn digest(&self) -> Option<[u8; 8]> {
        let hash = blake3::hash(&self.0);
        let first = hash.as_bytes().first_chunk().copied();
        first.filter(|_| !self.0.is_empty())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Header<'_> {
    /// Writes the member's header; `records` are added to those that the header needs itself.
    pub(crate) fn write(&self, meta: &Meta, records: &mut Records, out: &mut Chunks) {
        let mut header = tar::Header::new_ustar();
        let block = header.as_ustar_mut().expect("made as ustar just before");
        block.typeflag = [self.kind];
        octal(&mut block.mode, u64::from(meta.mode));
        for (field, id, key) in
            [(&mut block.uid, meta.uid, b"uid".as_slice()), (&mut block.gid, meta.gid, b"gid")]
        {
            if !octal(field, u64::from(id)) {
                records.add(key, id.to_string().as_bytes());
            }
        }
        if !octal(&mut block.size, self.size) {
            records.add(b"size", self.size.to_string().as_bytes());
        }
        let whole = u64::try_from(meta.mtime.secs);
        if !whole.is_ok_and(|secs| octal(&mut block.mtime, secs)) || meta.mtime.nanos > 0 {
            records.add(b"mtime", decimal(meta.mtime).as_bytes());
        }
        for (field, name, key) in [
            (&mut block.uname, self.user, b"uname".as_slice()),
            (&mut block.gname, self.group, b"gname"),
        ] {
            match name.len() < field.len() {
                true => field[..name.len()].copy_from_slice(name),
                false => records.add(key, name),
            }
        }
        if matches!(self.kind, b'3' | b'4') {
            octal(&mut block.dev_major, u64::from(rustix::fs::major(meta.rdev)));
            octal(&mut block.dev_minor, u64::from(rustix::fs::minor(meta.rdev)));
        }
        if !set_path(block, self.path) {
            records.add(b"path", self.path);
        }
        match self.link.len() <= block.linkname.len() {
            true => block.linkname[..self.link.len()].copy_from_slice(self.link),
            false => records.add(b"linkpath", self.link),
        }
        header.set_cksum();
        records.write(out);
        out.put(header.as_bytes());
    }
}

impl Records {
    /// Writes the records as a member of their own, if there are any.
    fn write(&self, out: &mut Chunks) {
        if self.0.is_empty() {
            return;
        }
        let mut header = tar::Header::new_ustar();
        let block = header.as_ustar_mut().expect("made as ustar just before");
        // The same name for all: it means nothing, and packs better than one for each.
        block.name[..NAME.len()].copy_from_slice(NAME);
        block.typeflag = *b"x";
        octal(&mut block.mode, 0o644);
        octal(&mut block.uid, 0);
        octal(&mut block.gid, 0);
        octal(&mut block.mtime, 0);
        octal(&mut block.size, self.0.len() as u64);
        header.set_cksum();
        out.put(header.as_bytes());
        out.put(&self.0);
        out.pad();
    }
}

/// Writes `value` with zeros before it and a NUL behind; tells whether it fits.
fn octal(field: &mut [u8], value: u64) -> bool {
    let Some((end, digits)) = field.split_last_mut() else { return false };
    *end = 0;
    let fits = value >> (3 * digits.len()) == 0;
    let mut rest = if fits { value } else { 0 };
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    fits
}

/// Puts a path into its fields, cut at a slash if need be; tells whether it fits.
fn set_path(block: &mut tar::UstarHeader, path: &[u8]) -> bool {
    let (name, prefix) = (block.name.len(), block.prefix.len());
    if path.len() <= name {
        block.name[..path.len()].copy_from_slice(path);
        return true;
    }
    let first = path.len().saturating_sub(name + 1);
    let last = prefix.min(path.len() - 2);
    let cut = (first..=last).find(|at| *at > 0 && path[*at] == b'/');
    match cut {
        Some(at) => {
            block.prefix[..at].copy_from_slice(&path[..at]);
            block.name[..path.len() - at - 1].copy_from_slice(&path[at + 1..]);
        }
        // A reader that knows no PAX gets at least the beginning.
        None => block.name.copy_from_slice(&path[..name]),
    }
    cut.is_some()
}

/// Spells a time in seconds with as many decimals as it needs.
pub(crate) fn decimal(time: Time) -> String {
    let Time { secs, nanos } = time;
    let said = match (secs, nanos) {
        (_, 0) => return secs.to_string(),
        (0.., _) => format!("{secs}.{nanos:09}"),
        (..0, _) => format!("-{}.{:09}", -(secs + 1), 1_000_000_000 - nanos),
    };
    said.trim_end_matches('0').to_owned()
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

const NAME: &[u8] = b"PaxHeaders/member";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::reader::TarReader;

    #[test]
    fn times_before_1970_have_their_sign_and_their_fraction() {
        let cases = [
            (0, 0, "0"),
            (1, 500_000_000, "1.5"),
            (1_700_000_000, 1, "1700000000.000000001"),
            (-1, 0, "-1"),
            (-1, 500_000_000, "-0.5"),
            (-5, 250_000_000, "-4.75"),
        ];
        for (secs, nanos, said) in cases {
            assert_eq!(decimal(Time { secs, nanos }), said);
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for length in 0..2000 {
            let mut records = Records::default();
            records.add(b"path", &vec![b'x'; length]);
            let said = String::from_utf8(records.0).unwrap();
            let (count, _) = said.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), said.len());
        }
    }
    #[test]
    fn a_size_over_eight_gib_is_read_as_it_was_written() {
        let meta = crate::archive::meta::Meta::of(rustix::fs::CWD, c"/proc/self/exe").unwrap();
        for size in [1, (8 << 30) - 1, 8 << 30, 9 << 30, 70 << 40, u64::MAX >> 2] {
            let (feeder, mut stream) = crate::stream::ByteStream::channel(8);
            let mut out = Chunks::new(feeder, 1 << 20);
            let (path, link, user, group) = (&b"large"[..], &b""[..], &b"u"[..], &b"g"[..]);
            let header = Header { path, kind: b'0', size, link, user, group };
            header.write(&meta, &mut Records::default(), &mut out);
            out.finish().unwrap();
            let written = stream.blocking_next().unwrap().unwrap();
            let member = TarReader::new(&written[..]).next().unwrap().unwrap();
            assert_eq!((member.size, member.path), (size, b"large".to_vec()));
        }
    }

    #[test]
    fn a_size_over_eight_gib_is_read_as_other_tools_write_it() {
        let mut header = tar::Header::new_gnu();
        header.set_path("large").unwrap();
        header.set_size(9 << 30);
        header.set_cksum();
        let member = TarReader::new(&header.as_bytes()[..]).next().unwrap().unwrap();
        assert_eq!(member.size, 9 << 30);
    }
}
