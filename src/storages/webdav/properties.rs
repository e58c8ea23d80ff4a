//! PROPFIND: what lies at a URL, and directly below it.
//!
//! An answer is read as it comes; only what it tells is kept. Depth `infinity` is never asked
//! for: many servers refuse it, and some choke on it.

use std::io::{BufRead, BufReader};
use std::sync::atomic::Ordering;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use reqwest::{Response, StatusCode, Url};
use tokio::task::spawn_blocking;

use crate::storages::Kind;
use crate::storages::http::kind_of;
use crate::storages::webdav::errors::{Trouble, means_folder, no_webdav, refusal};
use crate::storages::webdav::place::{Seen, relate};
use crate::storages::webdav::service::{Ask, Service};
use crate::stream::{ByteStream, Error, StreamReader};

/// What lies at the URL that was asked, and below it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What the URL itself is.
    pub(super) itself: Facts,
    /// Its direct members by name, when it is a folder.
    pub(super) members: Vec<(String, Facts)>,
    /// Members whose names are none of ours: not UTF-8.
    pub(super) foreign: usize,
}

/// What the server tells about one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) folder: bool,
    pub(super) bytes: Option<u64>,
    pub(super) modified: Option<Timestamp>,
    /// The server tells nothing of it, with this status.
    refused: Option<u16>,
}

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The URL alone.
    Itself,
    /// The URL and its members; the answer is read up to so many of them.
    Members(usize),
}

/// Looks at a URL; `None` when nothing is there.
///
/// Errors: also when nothing is at the URL that `host` names, which would otherwise look like an
/// empty storage.
pub(super) async fn look(
    service: &Service,
    url: &Url,
    depth: Depth,
) -> Result<Option<Found>, Trouble> {
    let found = look_there(service, url, depth).await?;
    if found.is_none() && !service.known.speaks.load(Ordering::Relaxed) {
        let base = service.place.base();
        if base == url || look_there(service, base, Depth::Itself).await?.is_none() {
            let problem = format!("there is no folder at {base}: check the path in `host`");
            return Err(Trouble::new(Kind::Other, problem));
        }
    }
    Ok(found)
}

async fn look_there(service: &Service, url: &Url, depth: Depth) -> Result<Option<Found>, Trouble> {
    let depth_word = if depth == Depth::Itself { "0" } else { "1" };
    let ask = Ask::new("PROPFIND", url).with("Depth", depth_word);
    let ask = ask.with("Content-Type", "application/xml; charset=utf-8").body(WANTED);
    let response = service.call(&ask).await?;
    match response.status() {
        StatusCode::MULTI_STATUS => {
            let found = read(response, url, depth).await?;
            service.speaks();
            Ok(Some(found))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        _ if means_folder(&response) => {
            let itself = Facts { folder: true, ..Facts::default() };
            Ok(Some(Found { itself, ..Found::default() }))
        }
        status if status.is_success() => Err(no_webdav("PROPFIND", &response)),
        // Apache refuses what would lie below an object, a slash too.
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT if is_no_folder(service, url).await => {
            Ok(None)
        }
        _ => Err(refusal("PROPFIND", response).await),
    }
}

/// Tells whether what lies above `url`, or is `url` without its slash, is there and a folder.
async fn is_no_folder(service: &Service, url: &Url) -> bool {
    let path = url.path().trim_end_matches('/');
    let above = match path.len() < url.path().len() {
        true => path,
        false => path.rsplit_once('/').map_or("", |(above, _)| above),
    };
    if above.len() < service.place.base().path().len() {
        return false;
    }
    let mut asked = url.clone();
    asked.set_path(above);
    let found = Box::pin(look_there(service, &asked, Depth::Itself)).await;
    found.is_ok_and(|found| found.is_none_or(|found| !found.itself.folder))
}

const WANTED: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
    <propfind xmlns=\"DAV:\"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop>\
    </propfind>";

async fn read(response: Response, url: &Url, depth: Depth) -> Result<Found, Trouble> {
    let asked = url.clone();
    let body = ByteStream::from_stream(response.bytes_stream().map_err(Error::new));
    let limit = match depth {
        Depth::Itself => 1,
        Depth::Members(limit) => limit,
    };
    let reading = spawn_blocking(move || {
        let found = Found::default();
        let mut sorting = Sorting { asked: &asked, found, itself: false, refused: None, limit };
        parse(BufReader::new(StreamReader::new(body)), |href, facts| sorting.take(href, facts))?;
        match (sorting.refused, sorting.itself) {
            (Some((name, status)), _) => Err(Odd::Refused(name, status)),
            (None, true) => Ok(sorting.found),
            (None, false) => Err(Odd::Elsewhere),
        }
    });
    let read = match reading.await {
        Ok(read) => read,
        Err(panic) => return Err(Trouble::of(Kind::Other, "an answer could not be read", panic)),
    };
    read.map_err(|odd| match odd {
        Odd::Elsewhere => {
            let problem = format!(
                "the answer about {url} names other paths: a proxy between us and the server \
                 rewrites them, ask for the server's own"
            );
            Trouble::new(Kind::Unsupported, problem)
        }
        Odd::Refused(name, status) => {
            let problem = format!("the server answers {status} about {name} in {url}");
            Trouble::new(StatusCode::from_u16(status).map_or(Kind::Other, kind_of), problem)
        }
        Odd::Broken(error) => {
            let problem = format!("the answer about {url} broke off or is no WebDAV");
            Trouble::of(Kind::Unavailable, problem, error)
        }
    })
}

/// Puts what an answer tells to its place.
struct Sorting<'a> {
    asked: &'a Url,
    found: Found,
    itself: bool,
    /// A member that is there and of which nothing is told: it must not pass for one that is not.
    refused: Option<(String, u16)>,
    limit: usize,
}

impl Sorting<'_> {
    /// Takes one thing; tells whether more is wanted.
    fn take(&mut self, href: &str, facts: Facts) -> bool {
        if matches!(facts.refused, Some(404 | 410)) {
            return true;
        }
        match (relate(self.asked, href), facts.refused) {
            (Seen::Itself, None) => (self.found.itself, self.itself) = (facts, true),
            (Seen::Member(name), None) => self.found.members.push((name, facts)),
            (Seen::Itself | Seen::Member(_), Some(status)) => {
                self.refused = Some((href.to_owned(), status));
                return false;
            }
            (Seen::Foreign, _) => {
                self.found.foreign += 1;
                tracing::debug!(href, "foreign name");
            }
            (Seen::Elsewhere, _) => tracing::debug!(href, "foreign name"),
        }
        self.found.members.len() < self.limit || !self.itself
    }
}

/// Why an answer cannot be used.
#[derive(Debug)]
enum Odd {
    /// It does not tell about what was asked.
    Elsewhere,
    /// It names something and refuses to tell of it, with this status.
    Refused(String, u16),
    /// It broke, or is no answer to a PROPFIND.
    Broken(quick_xml::Error),
}

/// Reads the responses of a multistatus; `take` says whether to go on.
fn parse(from: impl BufRead, mut take: impl FnMut(&str, Facts) -> bool) -> Result<(), Odd> {
    let mut reader = NsReader::from_reader(from);
    let (mut buffer, mut reading) = (Vec::new(), Reading::default());
    loop {
        buffer.clear();
        let (space, event) = reader.read_resolved_event_into(&mut buffer).map_err(Odd::Broken)?;
        let ours = matches!(space, ResolveResult::Bound(Namespace("DAV:")));
        match event {
            Event::Start(tag) if ours => reading.open(tag.local_name().as_ref()),
            Event::Empty(tag) if ours => reading.empty(tag.local_name().as_ref()),
            Event::End(tag) if ours => match tag.local_name().as_ref() {
                "response" => {
                    if let Some((href, facts)) = reading.response()
                        && !take(&href, facts)
                    {
                        return Ok(());
                    }
                }
                "multistatus" => return Ok(()),
                name => reading.close(name),
            },
            Event::Text(text) => reading.text.push_str(&text.xml10_content()),
            Event::CData(text) => reading.text.push_str(&text.xml10_content()),
            Event::GeneralRef(name) => match name.resolve_char_ref().map_err(Odd::Broken)? {
                Some(ch) => reading.text.push(ch),
                None => reading.text.push_str(entity(&name)),
            },
            Event::Eof => {
                let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(Odd::Broken(cut.into()));
            }
            _ => {}
        }
    }
}

fn entity(name: &str) -> &'static str {
    match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
}

/// One `response` while it is read.
#[derive(Default)]
struct Reading {
    /// What stands in the element that was opened last.
    text: String,
    href: Option<String>,
    facts: Facts,
    block: Option<Block>,
}

/// One `propstat`: properties, and whether they are there.
#[derive(Default)]
struct Block {
    facts: Facts,
    missing: bool,
}

impl Reading {
    fn open(&mut self, name: &str) {
        self.text.clear();
        match name {
            "response" => *self = Self::default(),
            "propstat" => self.block = Some(Block::default()),
            _ => self.empty(name),
        }
    }

    fn empty(&mut self, name: &str) {
        if name == "collection"
            && let Some(block) = &mut self.block
        {
            block.facts.folder = true;
        }
    }

    fn close(&mut self, name: &str) {
        let text = self.text.trim();
        match (name, &mut self.block) {
            ("href", None) if self.href.is_none() => self.href = Some(text.to_owned()),
            ("getcontentlength", Some(block)) => block.facts.bytes = text.parse().ok(),
            ("getlastmodified", Some(block)) => {
                block.facts.modified = DateTimeParser::new().parse_timestamp(text).ok();
            }
            ("status", Some(block)) => {
                block.missing = status(text).is_none_or(|code| code / 100 != 2)
            }
            ("status", None) => self.facts.refused = status(text).filter(|code| code / 100 != 2),
            ("propstat", block) => {
                if let Some(Block { facts, missing: false }) = block.take() {
                    self.facts.folder |= facts.folder;
                    self.facts.bytes = self.facts.bytes.or(facts.bytes);
                    self.facts.modified = self.facts.modified.or(facts.modified);
                }
            }
            _ => {}
        }
        self.text.clear();
    }

    fn response(&mut self) -> Option<(String, Facts)> {
        let done = std::mem::take(self);
        done.href.map(|href| (href, done.facts))
    }
}

/// Reads the code of a status line: `HTTP/1.1 200 OK`.
fn status(line: &str) -> Option<u16> {
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> Result<Vec<(String, Facts)>, Odd> {
        let mut found = Vec::new();
        parse(text.as_bytes(), |href, facts| {
            found.push((href.to_owned(), facts));
            true
        })?;
        Ok(found)
    }

    #[test]
    fn every_dialect_is_read() {
        let text = r#"<?xml version="1.0"?><x:multistatus xmlns:x="DAV:" xmlns:y="other">
            <x:response><x:href>/d/</x:href><x:propstat><x:prop>
              <x:resourcetype><x:collection/></x:resourcetype><y:getcontentlength>9</y:getcontentlength>
            </x:prop><x:status>HTTP/1.1 200 OK</x:status></x:propstat>
            <x:propstat><x:prop><x:getcontentlength/></x:prop>
              <x:status>HTTP/1.1 404 Not Found</x:status></x:propstat></x:response>
            <response xmlns="DAV:"><href> /d/a&amp;b&#x20;c<![CDATA[<]]></href><propstat><prop>
              <getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</getlastmodified><resourcetype/>
              <getcontentlength>7</getcontentlength></prop><status>HTTP/1.1 200 OK</status>
            </propstat></response>
            <x:response><x:href>/d/gone</x:href><x:status>HTTP/1.1 404 Not Found</x:status></x:response>
            </x:multistatus>"#;
        let found = read_all(text).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[2].0.as_str(), found[2].1.refused), ("/d/gone", Some(404)));
        let (folder, file) = (&found[0], &found[1]);
        assert_eq!((folder.0.as_str(), folder.1.folder, folder.1.bytes), ("/d/", true, None));
        assert_eq!((file.0.as_str(), file.1.folder, file.1.bytes), ("/d/a&b c<", false, Some(7)));
        assert_eq!(file.1.modified, "1994-11-06T08:49:37Z".parse().ok());
    }

    #[test]
    fn what_breaks_off_or_is_no_answer_is_an_error() {
        let cut = r#"<multistatus xmlns="DAV:"><response><href>/d/</href></response>"#;
        for text in [cut, "", "<html><body>login</body></html>", "{}", "<multistatus"] {
            assert!(read_all(text).is_err(), "{text:?}");
        }
    }
}
