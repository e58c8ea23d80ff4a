//! POSIX access lists: the kernel's form in attributes, and the text that archives carry.
//!
//! Text as `acl_to_text` gives it, entries parted by commas, ids as numbers.
//! Source: <https://man7.org/linux/man-pages/man5/acl.5.html>; the binary form is version 2 of
//! `struct posix_acl_xattr_header` in the kernel's user headers.

use crate::archive::owners::Owners;

/// Turns the kernel's form into text; `None` when it is not one.
pub(crate) fn to_text(binary: &[u8]) -> Option<String> {
    let entries = binary.strip_prefix(&VERSION)?;
    let mut text = Vec::new();
    for entry in entries.chunks(8) {
        let entry: [u8; 8] = entry.try_into().ok()?;
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let bits = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (_, word, named) = TAGS.iter().find(|(known, ..)| *known == tag)?;
        let id = if *named { id.to_string() } else { String::new() };
        let may = |bit: u16, letter| if bits & bit != 0 { letter } else { '-' };
        text.push(format!("{word}:{id}:{}{}{}", may(4, 'r'), may(2, 'w'), may(1, 'x')));
    }
    Some(text.join(","))
}

/// Turns text into the kernel's form; names are looked up in `owners`.
///
/// Answers `None` when it is not understood or names somebody unknown.
pub(crate) fn to_binary(text: &[u8], owners: &Owners) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let lines = text.split([',', '\n']).map(|line| line.split('#').next().unwrap_or("").trim());
    let mut entries = lines
        .filter(|line| !line.is_empty())
        .map(|line| entry(line, owners))
        .collect::<Option<Vec<_>>>()?;
    entries.sort_unstable();
    let mut binary = VERSION.to_vec();
    for (tag, id, bits) in entries {
        binary.extend_from_slice(&tag.to_le_bytes());
        binary.extend_from_slice(&bits.to_le_bytes());
        binary.extend_from_slice(&id.to_le_bytes());
    }
    Some(binary)
}

/// Reads `user:1000:rwx`, `u::r-x`, and star's `user:joe:rwx:1000`.
fn entry(line: &str, owners: &Owners) -> Option<(u16, u32, u16)> {
    let fields: Vec<&str> = line.split(':').map(str::trim).collect();
    let (word, who, may) = match fields.as_slice() {
        [word @ ("mask" | "m" | "other" | "o"), may] => (*word, "", *may),
        [word, who, may] => (*word, *who, *may),
        [word, _, may, id] => (*word, *id, *may),
        _ => return None,
    };
    let named = !who.is_empty();
    let mut known = TAGS.iter().filter(|(_, full, has_id)| {
        (word == *full || Some(word) == full.get(..1)) && *has_id == named
    });
    let (tag, full, _) = known.next()?;
    let id = match (named, who.parse(), *full) {
        (false, ..) => u32::MAX,
        (_, Ok(id), _) => id,
        (.., "user") => owners.uid(who.as_bytes())?,
        _ => owners.gid(who.as_bytes())?,
    };
    let bit = |letter: char| match letter {
        'r' => Some(4),
        'w' => Some(2),
        'x' => Some(1),
        '-' => Some(0),
        _ => None,
    };
    let bits = may.chars().map(bit).collect::<Option<Vec<u16>>>()?;
    Some((*tag, id, bits.into_iter().fold(0, |all, bit| all | bit)))
}

/// Tag, word, whether it names somebody.
const TAGS: [(u16, &str, bool); 6] = [
    (0x01, "user", false),
    (0x02, "user", true),
    (0x04, "group", false),
    (0x08, "group", true),
    (0x10, "mask", false),
    (0x20, "other", false),
];
const VERSION: [u8; 4] = 2u32.to_le_bytes();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_binary_lead_to_each_other() {
        let owners = Owners::read();
        let text = "user::rw-,user:1000:r--,group::r-x,group:7:-w-,mask::rwx,other::---";
        let binary = to_binary(text.as_bytes(), &owners).unwrap();
        assert_eq!(to_text(&binary).unwrap(), text);
    }

    #[test]
    fn other_spellings_are_understood() {
        let owners = Owners::read();
        let cases = [
            (
                "user::rwx\nuser:root:r-x\t#effective:r--\ngroup::r--\nmask::r--\nother::r--\n",
                "user::rwx,user:0:r-x,group::r--,mask::r--,other::r--",
            ),
            (
                "u::rwx,g::r,m:r,o:x,user:nobody-here:rwx:42",
                "user::rwx,user:42:rwx,group::r--,mask::r--,other::--x",
            ),
        ];
        for (odd, plain) in cases {
            assert_eq!(to_text(&to_binary(odd.as_bytes(), &owners).unwrap()).unwrap(), plain);
        }
        for bad in ["user:no-such-person:rwx", "owner::rwx", "user::rwz", "user"] {
            assert!(to_binary(bad.as_bytes(), &owners).is_none(), "{bad} was taken");
        }
    }
}
