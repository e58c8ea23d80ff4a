//! Where things lie: names become URLs, and what the server calls them becomes names again.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::Url;

/// The folder of one storage: a path below a URL.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// What `host` names; its path ends with a slash.
    base: Url,
    /// `backup_dir`, without slashes around it.
    top: String,
}

impl Place {
    /// Makes a place; `base` must be one of `http` or `https`.
    pub(super) fn new(mut base: Url, backup_dir: &str) -> Self {
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Self { base, top: parts(backup_dir).collect::<Vec<_>>().join("/") }
    }

    /// The URL that `host` names.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// The path of `folder` of the storage below the URL; both may be empty.
    pub(super) fn inside(&self, folder: &str) -> String {
        match (self.top.as_str(), folder) {
            (top, "") => top.to_owned(),
            ("", folder) => folder.to_owned(),
            (top, folder) => format!("{top}/{folder}"),
        }
    }

    /// The URL of an object, by its key.
    pub(super) fn object(&self, key: &str) -> Url {
        below(&self.base, &self.inside(key), "")
    }

    /// The URL of a folder, by what [`Place::inside`] gives.
    pub(super) fn folder(&self, inside: &str) -> Url {
        below(&self.base, inside, if inside.is_empty() { "" } else { "/" })
    }
}

/// Appends `path`, whose parts are encoded, and `end`.
pub(super) fn below(base: &Url, path: &str, end: &str) -> Url {
    let encoded: Vec<_> = parts(path).map(|part| encode(part).to_string()).collect();
    let mut url = base.clone();
    url.set_path(&format!("{}{}{end}", base.path(), encoded.join("/")));
    url
}

/// Encodes one part of a path.
pub(super) fn encode(part: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(part, RESERVED)
}

/// All but letters, digits and these mean something somewhere in a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// How an `href` of an answer lies to the URL that was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is that very URL.
    Itself,
    /// It is directly below, under this name.
    Member(String),
    /// It is directly below, under a name that is no text.
    Foreign,
    /// It is none of these.
    Elsewhere,
}

/// Compares an `href`, a path or a whole URL, with the URL that was asked.
pub(super) fn relate(asked: &Url, href: &str) -> Seen {
    let path = match href.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => href,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut there = parts(path);
    for part in parts(asked.path()) {
        let same = there.next().is_some_and(|other| decoded(other).eq(decoded(part)));
        if !same {
            return Seen::Elsewhere;
        }
    }
    match (there.next(), there.next()) {
        (None, _) => Seen::Itself,
        (Some(name), None) => match percent_decode_str(name).decode_utf8() {
            Ok(name) => Seen::Member(name.into_owned()),
            Err(_) => Seen::Foreign,
        },
        _ => Seen::Elsewhere,
    }
}

fn decoded(part: &str) -> percent_encoding::PercentDecode<'_> {
    percent_decode_str(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(base: &str, dir: &str) -> Place {
        Place::new(Url::parse(base).unwrap(), dir)
    }

    #[test]
    fn names_become_urls_and_come_back() {
        let at = place("https://dav.example/remote.php/files/a%40b", "/backups//web1/");
        for name in ["a", ".%2F ä+#&'=;@!(x)~`{}$,[1]^", "..z", "日本", "a?b", "a%zz", "\\", "x .y"]
        {
            let url = at.object(&format!("d/{name}"));
            let asked = at.folder(&at.inside("d"));
            assert!(url.as_str().starts_with(asked.as_str()), "{url} {asked}");
            assert_eq!(relate(&asked, url.as_str()), Seen::Member(name.to_owned()), "{url}");
            assert_eq!(relate(&asked, url.path()), Seen::Member(name.to_owned()), "{url}");
            assert_eq!(relate(&url, url.path()), Seen::Itself);
        }
        assert_eq!(at.folder("").as_str(), "https://dav.example/remote.php/files/a%40b/");
        assert_eq!(place("http://h", "").folder("").as_str(), "http://h/");
    }

    #[test]
    fn what_lies_elsewhere_is_told_apart() {
        let asked = Url::parse("http://h/dav/b/").unwrap();
        assert_eq!(relate(&asked, "http://proxy:8080/dav/b"), Seen::Itself);
        assert_eq!(relate(&asked, "/dav/b/c/"), Seen::Member("c".to_owned()));
        assert_eq!(relate(&asked, "/dav/%62/c%20d"), Seen::Member("c d".to_owned()));
        assert_eq!(relate(&asked, "/dav/b/%FF"), Seen::Foreign);
        for href in ["/b/", "/dav/b/c/d", "/dav", "/davs/b/c", ""] {
            assert_eq!(relate(&asked, href), Seen::Elsewhere, "{href}");
        }
    }
}
