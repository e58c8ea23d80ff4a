//! A store that is as rude as the test wants: what no real one does on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What came in.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) token: String,
    /// Of its kind: the same method and path, counted from 0.
    pub(super) number: usize,
}

/// What goes out; the account's URL in `{url}`.
pub(super) enum Answer {
    /// Status, headers (each with its line end) and body.
    Say(u16, &'static str, &'static str),
    /// The same, before the body was read, and the connection is closed.
    Interrupt(u16),
}

pub(super) struct Stub {
    pub(super) port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

type Behave = dyn Fn(&Request) -> Answer + Send + Sync;

impl Stub {
    pub(super) fn new(behave: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (behave, log): (Arc<Behave>, _) = (Arc::new(behave), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behave, log) = (behave.clone(), log.clone());
                std::thread::spawn(move || talk(&stream, port, &*behave, &log));
            }
        });
        Self { port, seen }
    }

    /// Counts requests so far whose method and path begin so.
    pub(super) fn count(&self, begin: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.starts_with(begin)).count()
    }
}

fn talk(stream: &TcpStream, port: u16, behave: &Behave, log: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next()?, words.next()?);
        let (mut length, mut token) = (0, String::new());
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "x-auth-token" => token = value.to_owned(),
                _ => {}
            }
        }
        let seen = format!("{method} {path}");
        let number = {
            let mut log = log.lock().unwrap();
            let number = log.iter().filter(|known| **known == seen).count();
            log.push(seen);
            number
        };
        let (status, headers, body) =
            match behave(&Request { method: method.clone(), path, token, number }) {
                Answer::Say(status, headers, body) => {
                    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
                    (status, headers, body)
                }
                Answer::Interrupt(status) => {
                    write!(&mut &*stream, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")
                        .ok()?;
                    stream.shutdown(Shutdown::Both).ok()?;
                    return None;
                }
            };
        let headers = headers.replace("{url}", &format!("http://127.0.0.1:{port}/v1/AUTH_a"));
        let length = body.len();
        let body = if method == "HEAD" { "" } else { body };
        let head = format!("HTTP/1.1 {status} So\r\n{headers}content-length: {length}\r\n\r\n");
        (&mut &*stream).write_all(format!("{head}{body}").as_bytes()).ok()?;
    }
}
