//! Names on the share: SMB writes paths with `\` and refuses some names that keys may hold.
//!
//! What SMB refuses is written as other systems write it there (Services for Macintosh, the
//! Linux client): each such character as its partner from a private range of Unicode. Names of
//! devices get a mark of our own, for a Samba server lists them under another name and a Windows
//! server may refuse them. Generated keys need none of it but the mark: they are escaped before.

use crate::base::Key;

/// Returns the folders of a `backup_dir`, whichever slashes it is written with.
pub(super) fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '\\']).filter(|part| !part.is_empty())
}

/// Turns a `backup_dir` into a path on the share; the names in it are taken as they are.
///
/// Errors: in words, when it holds what no SMB server takes.
pub(super) fn folder(path: &str) -> Result<String, &'static str> {
    if path.contains(|c| PAIRS.iter().any(|(bad, _)| *bad == c && c != '\\') || (c as u32) < 0x20) {
        return Err("no name on a share may hold any of : * ? \" < > | or a control character");
    }
    if folders(path).any(|part| part.ends_with(['.', ' ']) && part != "." && part != "..") {
        return Err("no name on a share may end with a dot or a space");
    }
    Ok(folders(path).collect::<Vec<_>>().join("\\"))
}

/// Turns a key, or a folder of keys, into a path below `root`; an empty one is `root` itself.
pub(super) fn path(root: &str, key: &str) -> String {
    let names = key.split('/').filter(|part| !part.is_empty()).map(encode);
    let all = folders(root).map(str::to_owned).chain(names);
    all.collect::<Vec<_>>().join("\\")
}

/// Says why `key` cannot be told from another one on a share, if so.
pub(super) fn refused(key: &Key) -> Option<&'static str> {
    key.as_str().contains(|c| ours(c)).then_some(
        "its name holds characters of the private range U+F001 to U+F07F, which stand for others \
         on a share",
    )
}

/// Writes one name as the share holds it.
pub(super) fn encode(name: &str) -> String {
    let last = name.chars().count() - 1;
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.chars().enumerate() {
        out.push(match c {
            '\u{1}'..='\u{1f}' => char::from_u32(CONTROL + c as u32).unwrap_or(c),
            ' ' if at == last => SPACE,
            '.' if at == last => DOT,
            c => PAIRS.iter().find(|(bad, _)| *bad == c).map_or(c, |(_, good)| *good),
        });
    }
    if is_device(name) {
        let base = out.find('.').unwrap_or(out.len());
        out.insert(base, MARK);
    }
    out
}

/// Reads one name as the share holds it.
pub(super) fn decode(name: &str) -> String {
    let plain = |c: char| match c {
        SPACE => ' ',
        DOT => '.',
        '\u{f001}'..='\u{f01f}' => char::from_u32(c as u32 - CONTROL).unwrap_or(c),
        c => PAIRS.iter().find(|(_, good)| *good == c).map_or(c, |(bad, _)| *bad),
    };
    name.chars().filter(|c| *c != MARK).map(plain).collect()
}

/// Tells whether the name up to its first dot is one that Windows keeps for a device.
fn is_device(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered = ["COM", "LPT"].iter().any(|device| {
        base.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest > "0" && rest <= "9")
    });
    numbered || ["CON", "PRN", "AUX", "NUL", "CLOCK$"].contains(&base.as_str())
}

fn ours(c: char) -> bool {
    ('\u{f001}'..='\u{f01f}').contains(&c)
        || c == SPACE
        || c == DOT
        || c == MARK
        || PAIRS.iter().any(|(_, good)| *good == c)
}

const PAIRS: [(char, char); 8] = [
    ('"', '\u{f020}'),
    ('*', '\u{f021}'),
    (':', '\u{f022}'),
    ('<', '\u{f023}'),
    ('>', '\u{f024}'),
    ('?', '\u{f025}'),
    ('\\', '\u{f026}'),
    ('|', '\u{f027}'),
];
const CONTROL: u32 = 0xf000;
const SPACE: char = '\u{f028}';
const DOT: char = '\u{f029}';
/// Stands behind the name of a device.
const MARK: char = '\u{f07f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back() {
        for name in [
            "plain.tar.zst",
            "dot.",
            "space ",
            ". .",
            "...",
            "a\\b:c*d?e\"f<g>h|i",
            "CON",
            "con.tar.zst",
            "Aux .x",
            "lpt9",
            "line\nbreak\u{1f}",
            "日本 ы e\u{301}",
            ".%2F x",
        ] {
            let there = encode(name);
            assert_eq!(decode(&there), name);
            let bad = |c: char| PAIRS.iter().any(|(bad, _)| *bad == c) || (c as u32) < 0x20;
            assert!(!there.contains(bad) && !there.ends_with(['.', ' ']), "{there:?}");
            assert!(!is_device(&there), "{there:?}");
        }
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["site_2026-11-21_03-00-00.tar.zst", "com0", "com10", "console", "x .y", "..z"]
        {
            assert_eq!(encode(name), name);
        }
    }

    #[test]
    fn a_path_lies_below_its_folder() {
        assert_eq!(path("", "a/b"), "a\\b");
        assert_eq!(path("x\\y", "a/aux"), "x\\y\\a\\aux\u{f07f}");
        assert_eq!(path("x", ""), "x");
    }

    #[test]
    fn what_looks_like_our_own_marks_is_refused() {
        assert!(refused(&Key::new("a/b\u{f022}").unwrap()).is_some());
        assert!(refused(&Key::new("a/b:c").unwrap()).is_none());
    }
}
