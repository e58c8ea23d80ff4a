//! Names of any bytes as safe text: in keys, in JSON, on a terminal.

use std::fmt::Write as _;

/// Turns any bytes into one component of a key that every storage can hold.
///
/// Bytes that are not UTF-8, control characters, any of `/ \ : * ? " < > | %`, a leading dot or
/// space and a trailing dot or space become `%XX`. A result over 180 bytes is cut, never inside a
/// `%XX` or a character, and gets `-` and 8 hex digits of the BLAKE3 hash of the original.
pub fn component(name: &[u8]) -> String {
    component_within(name, LONGEST)
}

/// Like [`component`], for a result of at most `longest` bytes; at least 16.
pub fn component_within(name: &[u8], longest: usize) -> String {
    let mut out = String::with_capacity(name.len());
    let mut ends = Vec::new();
    let last = name.len().saturating_sub(1);
    for chunk in name.utf8_chunks() {
        for (at, ch) in chunk.valid().char_indices() {
            let at = offset_in(name, chunk.valid()) + at;
            let edge = matches!(ch, '.' | ' ') && (at == 0 || at == last);
            if edge || ch.is_control() || FORBIDDEN.contains(ch) {
                let mut bytes = [0; 4];
                ch.encode_utf8(&mut bytes).bytes().for_each(|byte| percent(&mut out, byte));
            } else {
                out.push(ch);
            }
            ends.push(out.len());
        }
        for byte in chunk.invalid() {
            percent(&mut out, *byte);
            ends.push(out.len());
        }
    }
    if out.len() > longest {
        let room = longest - 9;
        let cut = ends.into_iter().rfind(|end| *end <= room).unwrap_or(0);
        out.truncate(cut);
        let hash = blake3::hash(name).to_hex();
        out.push('-');
        out.push_str(&hash[..8]);
    }
    out
}

/// Turns any bytes into text for JSON: bytes that are not UTF-8, control characters and `%`
/// become `%XX`.
pub fn text(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for ch in chunk.valid().chars() {
            if ch.is_control() || ch == '%' {
                let mut bytes = [0; 4];
                ch.encode_utf8(&mut bytes).bytes().for_each(|byte| percent(&mut out, byte));
            } else {
                out.push(ch);
            }
        }
        chunk.invalid().iter().for_each(|byte| percent(&mut out, *byte));
    }
    out
}

/// Turns what [`text`] wrote back into bytes; a `%` without two hex digits stands for itself.
pub fn untext(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Turns what [`text`] wrote into what a person reads: like it, but `%` stands for itself.
pub fn display(text: &str) -> String {
    text.replace("%25", "%")
}

fn percent(out: &mut String, byte: u8) {
    write!(out, "%{byte:02X}").expect("a String takes every write");
}

/// Where `part`, a slice of `whole`, begins in it.
fn offset_in(whole: &[u8], part: &str) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

const FORBIDDEN: &str = "/\\:*?\"<>|%";
const LONGEST: usize = 180;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_safe_everywhere() {
        let cases: [(&[u8], &str); 9] = [
            (b"site1", "site1"),
            (b"a/b", "a%2Fb"),
            (b"..", "%2E%2E"),
            (b".hidden.", "%2Ehidden%2E"),
            (b" a b ", "%20a b%20"),
            (b"100%", "100%25"),
            (b"line\nbreak", "line%0Abreak"),
            (b"\xff\xfe", "%FF%FE"),
            ("\u{e4}\u{85}".as_bytes(), "\u{e4}%C2%85"),
        ];
        for (name, key) in cases {
            assert_eq!(component(name), key);
        }
    }

    #[test]
    fn long_components_are_cut_between_characters_and_stay_apart() {
        for piece in ["\u{e4}", "%", "a"] {
            let (one, two) = (piece.repeat(300), format!("{}x", piece.repeat(300)));
            let (a, b) = (component(one.as_bytes()), component(two.as_bytes()));
            assert!(a.len() <= 180 && b.len() <= 180 && a != b);
            let head = a.rsplit_once('-').unwrap().0;
            assert!(head.replace("%25", "").chars().all(|ch| ch != '%'), "{a}");
        }
    }

    #[test]
    fn text_comes_back_as_the_same_bytes() {
        for name in [b"plain".as_slice(), b"a%41\n\xff\xc3", "\u{20ac}%".as_bytes(), b"%", b"%4"] {
            assert_eq!(untext(&text(name)), name);
        }
    }
}
