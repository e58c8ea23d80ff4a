//! An HTTP front before a server, one request a connection: it passes on, as an HTTP proxy does,
//! or answers by itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Answers a request, given its first line, or passes it on.
pub(super) type Rule = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Listens before the server on `port` and returns its own port.
pub(super) fn before(
    port: u16,
    rule: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let own = listener.local_addr().unwrap().port();
    let rule: Arc<Rule> = Arc::new(rule);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let rule = Arc::clone(&rule);
            thread::spawn(move || serve(client, port, &*rule));
        }
    });
    own
}

/// An answer that is an error of S3.
pub(super) fn error(status: &str, code: &str) -> String {
    let body = format!("<Error><Code>{code}</Code><Message>for a test</Message></Error>");
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// As an answer: the request is passed on, and what the server says is lost.
pub(super) const SWALLOW: &str = "swallow";

fn serve(mut client: TcpStream, port: u16, rule: &Rule) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).ok()?;
    let (first, rest) = head.split_once("\r\n")?;
    let answer = rule(first);
    if let Some(answer) = answer.as_ref().filter(|answer| *answer != SWALLOW) {
        client.write_all(answer.as_bytes()).ok()?;
    } else {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        let head = format!("{}\r\nconnection: close\r\n{rest}", origin_form(first));
        server.write_all(head.as_bytes()).ok()?;
        server.write_all(&body).ok()?;
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).ok()?;
        if answer.is_none() {
            client.write_all(&heard).ok()?;
        }
    }
    client.shutdown(Shutdown::Both).ok()
}

/// Makes `GET /x` of `GET http://host/x`.
fn origin_form(first: &str) -> String {
    let words: Vec<_> = first.split(' ').collect();
    match words[1].strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
        Some((_, path)) => format!("{} /{path} {}", words[0], words[2]),
        None => first.to_owned(),
    }
}
