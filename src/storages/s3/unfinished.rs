//! Uploads that nobody has finished, as objects with a temporary name: so whoever clears away
//! what dead runs left needs to know nothing of uploads.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::base::Key;

/// Names the upload `id` of `key`.
pub(super) fn name(key: &Key, id: &str) -> Key {
    key.partial(&utf8_percent_encode(id, &ID).to_string())
}

/// Returns the key and the id of the upload that has this name.
pub(super) fn upload_of(name: &Key) -> Option<(Key, String)> {
    let key = name.partial_of()?;
    let (_, id) = name.name().rsplit_once('.')?;
    let id = percent_decode_str(id).decode_utf8().ok()?;
    (!id.is_empty()).then(|| (key, id.into_owned()))
}

/// Returns what the keys of all uploads whose names may begin with `prefix` begin with.
pub(super) fn search(prefix: &str) -> &str {
    let folder = prefix.rfind('/').map_or(0, |slash| slash + 1);
    let name = &prefix[folder..];
    if name.starts_with(TEMPORARY) || TEMPORARY.starts_with(name) {
        return &prefix[..folder];
    }
    prefix
}

/// What temporary names begin with.
const TEMPORARY: &str = ".nxs-partial.";

/// Ids hold letters, digits and some signs; a dot would end the name, a slash its folder.
const ID: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_key_and_id() {
        for (key, id) in [("a", "2~x_-Y"), ("a/b.c/d.tar.zst", "x.y/z==%"), ("a/.b", "ä")] {
            let key = Key::new(key).unwrap();
            let name = name(&key, id);
            assert_eq!(name.folder(), key.folder());
            assert_eq!(upload_of(&name), Some((key, id.to_owned())), "{name}");
        }
        for none in ["a", "a/b.c", ".nxs-partial.a."] {
            assert_eq!(upload_of(&Key::new(none).unwrap()), None);
        }
    }

    #[test]
    fn every_upload_is_searched_for_where_its_name_may_be() {
        assert!(name(&Key::new("a").unwrap(), "1").as_str().starts_with(TEMPORARY));
        for (prefix, search_for) in [
            ("", ""),
            ("a/b", "a/b"),
            ("a/", "a/"),
            ("a/.n", "a/"),
            ("a/.nxs-partial.site", "a/"),
            (".nxs-backup", ".nxs-backup"),
        ] {
            assert_eq!(search(prefix), search_for, "{prefix}");
        }
    }
}
