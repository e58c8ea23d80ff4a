//! A WebDAV server in memory that does what odd servers do: wants lengths, knows no ranges, keeps
//! nothing of bodies without a length, answers nonsense; and Nextcloud's upload in pieces, as its
//! manual describes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A running server; its thread ends with the process.
#[derive(Clone)]
pub(super) struct Stub {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct Quirks {
    /// A body needs a `Content-Length`: 411 otherwise.
    pub(super) wants_length: bool,
    /// Of a body without `Content-Length` nothing is kept.
    pub(super) loses_chunked: bool,
    pub(super) no_ranges: bool,
    /// Requests that begin so (`PUT /a`) get this answer, as often as it says.
    pub(super) answers: Vec<(&'static str, usize, &'static str)>,
}

#[derive(Default)]
struct State {
    quirks: Quirks,
    /// By decoded path without a slash at its end; `None` is a folder.
    things: BTreeMap<String, Option<Vec<u8>>>,
    /// Where the pieces in an upload folder will go.
    uploads: BTreeMap<String, String>,
    seen: Vec<String>,
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type Answer = (u16, String, Vec<u8>);

impl Stub {
    pub(super) fn new(quirks: Quirks) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut state = State { quirks, ..State::default() };
        let files = ["/remote.php/dav/files/us er", "/remote.php/webdav"];
        for folder in ["", files[0], files[1], "/remote.php/dav/uploads/us er"] {
            state.things.insert(folder.to_owned(), None);
        }
        let stub = Self { port, state: Arc::new(Mutex::new(state)) };
        let state = stub.state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                thread::spawn(move || serve(&stream, &state));
            }
        });
        stub
    }

    /// Requests so far whose method and path begin like this.
    pub(super) fn seen(&self, begin: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|line| line.starts_with(begin)).cloned().collect()
    }

    /// Everything that lies below `path`.
    pub(super) fn below(&self, path: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.things.keys().filter(|name| name.starts_with(path)).cloned().collect()
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut from = BufReader::new(stream);
    stream.set_nodelay(true).ok();
    while let Some(request) = read(&mut from) {
        let (status, headers, body) = state.lock().unwrap().answer(request);
        let length = body.len();
        let head = format!("HTTP/1.1 {status} Stub\r\ncontent-length: {length}\r\n{headers}\r\n");
        let mut to = stream;
        if to.write_all(head.as_bytes()).and_then(|()| to.write_all(&body)).is_err() {
            return;
        }
    }
}

/// Reads one request; `None` when the connection ends, in the middle too.
fn read(from: &mut impl BufRead) -> Option<Request> {
    let line = line(from)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?);
    let path = percent_decode_str(path).decode_utf8().ok()?.into_owned();
    let mut headers = BTreeMap::new();
    loop {
        let text = self::line(from)?;
        match text.split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let mut body = Vec::new();
    if headers.contains_key("transfer-encoding") {
        loop {
            let size = usize::from_str_radix(&self::line(from)?, 16).ok()?;
            let mut chunk = vec![0; size + 2];
            from.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = headers.get("content-length") {
        body = vec![0; length.parse().ok()?];
        from.read_exact(&mut body).ok()?;
    }
    Some(Request { method, path, headers, body })
}

fn line(from: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    (from.read_line(&mut text).ok()? > 0).then(|| text.trim_end().to_owned())
}

fn plain(status: u16) -> Answer {
    (status, String::new(), Vec::new())
}

fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

const UPLOADS: &str = "/remote.php/dav/uploads/us er/";

impl State {
    fn answer(&mut self, request: Request) -> Answer {
        let line = format!("{} {}", request.method, request.path);
        self.seen.push(line.clone());
        for (begin, times, text) in &mut self.quirks.answers {
            if line.starts_with(*begin) && *times > 0 {
                *times -= 1;
                let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
                let (status, headers) = head.split_once('\n').unwrap_or((head, ""));
                let headers = headers.lines().map(|line| format!("{line}\r\n")).collect();
                return (status.parse().unwrap(), headers, body.into());
            }
        }
        let path = request.path.trim_end_matches('/').to_owned();
        match request.method.as_str() {
            "PROPFIND" => self.propfind(&path, &request),
            "MKCOL" => self.mkcol(path, &request),
            "PUT" => self.put(path, request),
            "GET" => self.get(&path, &request),
            "DELETE" => self.delete(&path),
            "MOVE" => self.rename(&path, &request),
            _ => plain(405),
        }
    }

    fn propfind(&self, path: &str, request: &Request) -> Answer {
        let Some(thing) = self.things.get(path) else { return plain(404) };
        let mut text = "<?xml version=\"1.0\"?><multistatus xmlns=\"DAV:\">".to_owned();
        describe(&mut text, path, thing.as_ref());
        if request.headers["depth"] == "1" {
            let members = self.things.iter().filter(|(name, _)| {
                name.strip_prefix(path).is_some_and(|rest| rest.rfind('/') == Some(0))
            });
            members.for_each(|(name, thing)| describe(&mut text, name, thing.as_ref()));
        }
        text.push_str("</multistatus>");
        (207, "content-type: application/xml\r\n".to_owned(), text.into_bytes())
    }

    fn mkcol(&mut self, path: String, request: &Request) -> Answer {
        if self.things.contains_key(&path) {
            return plain(405);
        }
        if !matches!(self.things.get(above(&path)), Some(None)) {
            return plain(409);
        }
        if path.starts_with(UPLOADS) {
            let Some(to) = destination(request) else { return plain(400) };
            self.uploads.insert(path.clone(), to);
        }
        self.things.insert(path, None);
        plain(201)
    }

    fn put(&mut self, path: String, request: Request) -> Answer {
        let chunked = request.headers.contains_key("transfer-encoding");
        if chunked && self.quirks.wants_length {
            return plain(411);
        }
        if !matches!(self.things.get(above(&path)), Some(None)) {
            return plain(409);
        }
        if path.starts_with(UPLOADS) {
            let number = path.rsplit('/').next().and_then(|name| name.parse::<u32>().ok());
            let known = self.uploads.get(above(&path));
            let right = destination(&request).as_ref() == known;
            if !right || !number.is_some_and(|number| (1..=10_000).contains(&number)) {
                return plain(400);
            }
        }
        let lost = chunked && self.quirks.loses_chunked;
        let body = if lost { Vec::new() } else { request.body };
        match self.things.insert(path, Some(body)) {
            None => plain(201),
            Some(_) => plain(204),
        }
    }

    fn get(&self, path: &str, request: &Request) -> Answer {
        let Some(Some(body)) = self.things.get(path) else { return plain(404) };
        let range = request.headers.get("range").filter(|_| !self.quirks.no_ranges);
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        else {
            return (200, String::new(), body.clone());
        };
        let (start, last): (usize, usize) = (range.0.parse().unwrap(), range.1.parse().unwrap());
        if start >= body.len() {
            return plain(416);
        }
        let last = last.min(body.len() - 1);
        let header = format!("content-range: bytes {start}-{last}/{}\r\n", body.len());
        (206, header, body[start..=last].to_vec())
    }

    fn delete(&mut self, path: &str) -> Answer {
        let found = self.things.contains_key(path);
        let inside = format!("{path}/");
        self.things.retain(|name, _| name != path && !name.starts_with(&inside));
        plain(if found { 204 } else { 404 })
    }

    fn rename(&mut self, path: &str, request: &Request) -> Answer {
        let Some(to) = destination(request) else { return plain(400) };
        let there = self.things.contains_key(&to);
        if there && request.headers.get("overwrite").is_some_and(|word| word == "F") {
            return plain(412);
        }
        let body = match path.strip_suffix("/.file").filter(|_| path.starts_with(UPLOADS)) {
            Some(folder) => match self.assemble(folder, &to, request) {
                Ok(body) => Some(body),
                Err(status) => return plain(status),
            },
            None => match self.things.remove(path) {
                Some(thing) => thing,
                None => return plain(404),
            },
        };
        self.things.insert(to, body);
        plain(if there { 204 } else { 201 })
    }

    /// Puts the pieces together, as Nextcloud does: all but the last have at least 5 MiB.
    fn assemble(&mut self, folder: &str, to: &str, request: &Request) -> Result<Vec<u8>, u16> {
        if self.uploads.remove(folder).ok_or(404_u16)? != to {
            return Err(400);
        }
        let inside = format!("{folder}/");
        let mut pieces: Vec<(u32, Vec<u8>)> = Vec::new();
        for (name, thing) in self.things.iter_mut().filter(|(name, _)| name.starts_with(&inside)) {
            pieces.push((name[inside.len()..].parse().unwrap(), thing.take().unwrap()));
        }
        pieces.sort();
        self.delete(folder);
        let small = pieces.iter().rev().skip(1).any(|(_, piece)| piece.len() < 5 << 20);
        let body: Vec<u8> = pieces.into_iter().flat_map(|(_, piece)| piece).collect();
        let total = request.headers.get("oc-total-length").map(|text| text.parse().unwrap());
        if small || total.is_some_and(|total: usize| total != body.len()) {
            return Err(400);
        }
        Ok(body)
    }
}

fn describe(text: &mut String, path: &str, thing: Option<&Vec<u8>>) {
    let parts: Vec<_> = path
        .split('/')
        .map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string())
        .collect();
    let end = if thing.is_none() { "/" } else { "" };
    write!(text, "<response><href>{}{end}</href><propstat><prop>", parts.join("/")).unwrap();
    match thing {
        Some(body) => write!(text, "<getcontentlength>{}</getcontentlength>", body.len()).unwrap(),
        None => text.push_str("<resourcetype><collection/></resourcetype>"),
    }
    text.push_str("</prop><status>HTTP/1.1 200 OK</status></propstat></response>");
}

fn destination(request: &Request) -> Option<String> {
    let url = request.headers.get("destination")?;
    let path = url
        .split_once("://")
        .map_or(Some(url.as_str()), |(_, rest)| rest.find("/").map(|at| &rest[at..]))?;
    Some(percent_decode_str(path).decode_utf8().ok()?.into_owned())
}
