//! An HTTP server that writes down what it is asked, and answers as the test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Answers on a port of its own until the process ends.
pub(crate) struct Hook {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// Statuses for requests whose path begins so, each used once, the first one first.
    answers: Vec<(String, u16)>,
    /// Requests whose path begins so get no answer.
    silent: Option<String>,
    /// Every request is refused, and quoted in the answer.
    echoes: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// Returns a header; its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body read as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Hook {
    /// Begins to listen.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { port, state }
    }

    /// Returns an address of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers the next requests whose path begins with `path` with these statuses.
    pub(crate) fn answer(&self, path: &str, statuses: &[u16]) {
        let answers = statuses.iter().map(|status| (path.to_owned(), *status));
        self.state.lock().unwrap().answers.extend(answers);
    }

    /// Never answers requests whose path begins with `path`.
    pub(crate) fn hang(&self, path: &str) {
        self.state.lock().unwrap().silent = Some(path.to_owned());
    }

    /// Refuses every request, and quotes it in the answer as some services do.
    pub(crate) fn echo(&self) {
        self.state.lock().unwrap().echoes = true;
    }

    /// Takes what was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(asked) = read(&mut reader) {
        let echo = format!("{} {:?} {}", asked.path, asked.headers, asked.body);
        let (status, silent, text) = {
            let mut state = state.lock().unwrap();
            let at =
                state.answers.iter().position(|(path, _)| asked.path.starts_with(path.as_str()));
            let (status, text) = match state.echoes {
                true => (403, echo),
                false => (at.map_or(200, |at| state.answers.remove(at).1), "hello".to_owned()),
            };
            let silent = state.silent.as_ref().is_some_and(|path| asked.path.starts_with(path));
            state.asked.push(asked);
            (status, silent, text)
        };
        if silent {
            std::thread::sleep(std::time::Duration::from_secs(600));
            return;
        }
        let length = text.len();
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{text}");
        if (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8(body).unwrap() })
}
