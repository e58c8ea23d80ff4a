//! A plain dump read as psql would read it, to find what must not be run.
//!
//! A command of psql (a backslash outside of quotes and data) could switch to another database or
//! start a program; a statement about a database would touch the original. Only what pg_dump
//! itself writes for one database passes.

/// Reads a dump chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Scan {
    state: State,
    /// The beginning of the current statement, in upper case, blanks squeezed.
    statement: Vec<u8>,
    /// The last bytes outside of quotes, to know what begins.
    word: Vec<u8>,
    /// A command of psql as far as it was read.
    command: Vec<u8>,
    found: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// Outside of everything.
    #[default]
    Open,
    /// After one dash or slash, which may begin a comment.
    Maybe(u8),
    /// In a comment that ends with its line.
    LineComment,
    /// In a comment with this many openings, and its last byte.
    Comment(u32, u8),
    /// In a text; whether a backslash escapes, and whether one came just now.
    Text(bool, bool),
    /// After a quote that ends a text, unless another follows; whether a backslash escapes in it.
    AfterText(bool),
    /// In a quoted name.
    Name,
    /// In the tag of a dollar quote.
    Tag(Vec<u8>),
    /// In a dollar quote: its tag with both dollars, and how much of it may have come again.
    Dollar(Vec<u8>, usize),
    /// In a command of psql.
    Command,
    /// After the semicolon of a COPY: data begin with the next line.
    CopyHead,
    /// In data, at this place of a line `\.`; `usize::MAX` for any other line.
    Copy(usize),
}

impl Scan {
    /// Reads on.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.state {
                // Data are most of a dump: a line that is not the last is skipped at once.
                State::Copy(usize::MAX) => after_line(rest, &mut self.state),
                _ => {
                    self.step(byte);
                    after
                }
            };
        }
    }

    /// Returns what must not be run, if anything was found.
    pub(super) fn found(&self) -> Option<&str> {
        self.found.as_deref()
    }

    fn step(&mut self, byte: u8) {
        self.state = match std::mem::take(&mut self.state) {
            State::Open => self.open(byte),
            State::Maybe(first) => match (first, byte) {
                (b'-', b'-') => {
                    self.note(b' ');
                    State::LineComment
                }
                (b'/', b'*') => {
                    self.note(b' ');
                    State::Comment(1, 0)
                }
                _ => {
                    self.note(first);
                    self.open(byte)
                }
            },
            State::LineComment if byte == b'\n' => State::Open,
            State::LineComment => State::LineComment,
            State::Comment(depth, last) => comment(depth, last, byte),
            State::Text(escapes, escaped) => match byte {
                _ if escaped => State::Text(escapes, false),
                b'\\' if escapes => State::Text(escapes, true),
                b'\'' => State::AfterText(escapes),
                _ => State::Text(escapes, false),
            },
            State::AfterText(escapes) if byte == b'\'' => State::Text(escapes, false),
            State::AfterText(_) => self.open(byte),
            State::Name if byte == b'"' => State::Open,
            State::Name => State::Name,
            State::Tag(tag) => self.tag(tag, byte),
            State::Dollar(tag, at) => dollar(tag, at, byte),
            State::Command => self.command(byte),
            State::CopyHead if byte == b'\n' => State::Copy(0),
            State::CopyHead => State::CopyHead,
            State::Copy(at) => copy(at, byte),
        };
    }

    fn open(&mut self, byte: u8) -> State {
        match byte {
            b'-' | b'/' => return State::Maybe(byte),
            b'\'' => {
                let escapes = self.word.eq_ignore_ascii_case(b"E");
                self.note(byte);
                return State::Text(escapes, false);
            }
            b'"' => {
                self.note(byte);
                return State::Name;
            }
            // In a name a dollar is a letter.
            b'$' if self.word.is_empty() => return State::Tag(vec![b'$']),
            b'\\' => {
                self.command.clear();
                return State::Command;
            }
            b';' => {
                let is_copy = self.statement.starts_with(b"COPY ")
                    && self.statement.ends_with(b" FROM STDIN");
                self.statement.clear();
                self.word.clear();
                return if is_copy { State::CopyHead } else { State::Open };
            }
            _ => self.note(byte),
        }
        State::Open
    }

    /// Remembers the statement and the word that a byte belongs to.
    fn note(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80 {
            self.word.push(byte);
            self.word.truncate(8);
        } else {
            self.word.clear();
        }
        let byte = if byte.is_ascii_whitespace() { b' ' } else { byte.to_ascii_uppercase() };
        let blank = self.statement.last().is_none_or(|last| *last == b' ');
        if byte == b' ' && blank {
            return;
        }
        // COPY tells itself by its beginning and its end.
        if self.statement.len() == LONGEST_STATEMENT {
            self.statement.remove(LONGEST_STATEMENT / 2);
        }
        self.statement.push(byte);
        if self.found.is_none()
            && let Some(what) = FORBIDDEN.iter().find(|what| self.statement == what.as_bytes())
        {
            self.found = Some((*what).to_owned());
        }
    }

    fn tag(&mut self, mut tag: Vec<u8>, byte: u8) -> State {
        match byte {
            b'$' => {
                tag.push(b'$');
                State::Dollar(tag, 0)
            }
            _ if (byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80)
                && tag.len() < LONGEST_TAG =>
            {
                tag.push(byte);
                State::Tag(tag)
            }
            // A parameter such as $1.
            _ => {
                self.note(b'$');
                self.open(byte)
            }
        }
    }

    fn command(&mut self, byte: u8) -> State {
        let is_over = byte.is_ascii_whitespace() || byte == b'\\';
        if !is_over {
            self.command.push(byte);
            self.command.truncate(LONGEST_COMMAND);
            return State::Command;
        }
        if !HARMLESS.contains(&self.command.as_slice()) && self.found.is_none() {
            self.found = Some(format!("\\{}", String::from_utf8_lossy(&self.command)));
        }
        // The key of \restrict holds nothing but letters and digits.
        if byte == b'\n' { State::Open } else { State::LineComment }
    }
}

fn comment(depth: u32, last: u8, byte: u8) -> State {
    match (last, byte) {
        (b'*', b'/') if depth == 1 => State::Open,
        (b'*', b'/') => State::Comment(depth - 1, 0),
        (b'/', b'*') => State::Comment(depth + 1, 0),
        _ => State::Comment(depth, byte),
    }
}

/// The tag has a dollar at both ends and none between.
fn dollar(tag: Vec<u8>, at: usize, byte: u8) -> State {
    match byte == tag[at] {
        true if at + 1 == tag.len() => State::Open,
        true => State::Dollar(tag, at + 1),
        false => State::Dollar(tag, usize::from(byte == b'$')),
    }
}

fn copy(at: usize, byte: u8) -> State {
    match (at, byte) {
        (2, b'\n') => State::Open,
        (2, b'\r') => State::Copy(2),
        (_, b'\n') => State::Copy(0),
        (0, b'\\') => State::Copy(1),
        (1, b'.') => State::Copy(2),
        _ => State::Copy(usize::MAX),
    }
}

/// Skips the rest of a line of data.
fn after_line<'a>(rest: &'a [u8], state: &mut State) -> &'a [u8] {
    match rest.iter().position(|byte| *byte == b'\n') {
        Some(at) => {
            *state = State::Copy(0);
            &rest[at + 1..]
        }
        None => &[],
    }
}

const FORBIDDEN: &[&str] = &["CREATE DATABASE", "DROP DATABASE", "ALTER DATABASE"];
/// They protect the rest of a dump from commands in it.
const HARMLESS: &[&[u8]] = &[b"restrict", b"unrestrict"];
const LONGEST_STATEMENT: usize = 64;
const LONGEST_COMMAND: usize = 32;
const LONGEST_TAG: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        let whole = {
            let mut scan = Scan::default();
            scan.feed(text.as_bytes());
            scan.found
        };
        let mut scan = Scan::default();
        text.as_bytes().chunks(1).for_each(|byte| scan.feed(byte));
        assert_eq!(scan.found, whole, "{text}");
        whole
    }

    #[test]
    fn what_switches_the_database_is_found() {
        for (text, what) in [
            ("\\connect other\n", "\\connect"),
            ("select 1;\n  \\c other\n", "\\c"),
            ("\\! rm -rf /\n", "\\!"),
            ("select 1 \\gexec\n", "\\gexec"),
            ("create  database\nx;", "CREATE DATABASE"),
            ("/* a */ DROP DATABASE x;", "DROP DATABASE"),
            ("DROP/**/DATABASE\"x\";", "DROP DATABASE"),
            ("select E'a''b\\'; '; \\connect x\n", "\\connect"),
            ("COPY t FROM stdin;\na\n\\.\n\\connect x\n", "\\connect"),
            ("COPY t FROM stdin;\n\\.\n\\connect x\n", "\\connect"),
            ("select '\\'; \\connect x\n", "\\connect"),
            ("select E'\\\\'; \\connect x\n", "\\connect"),
            ("select $a$ $b$ $a$; \\connect x\n", "\\connect"),
            ("select $1; \\connect x\n", "\\connect"),
            ("-- '\n\\connect x\n", "\\connect"),
            ("\\restrict abc\n\\connect x\n", "\\connect"),
            ("create table a\"'\"(x int);\\connect x\n", "\\connect"),
        ] {
            assert_eq!(found(text).as_deref(), Some(what), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        for text in [
            "\\restrict abc\nselect 1;\n\\unrestrict abc\n",
            "select '\n\\connect x\n';",
            "select E'it\\'s\n\\connect x\n';",
            "select 'it''s\n\\connect x\n';",
            "create function f() as $_$\n\\connect x\ncreate database x;\n$_$;",
            "create function f() as $$ $1 $a$\n\\connect x\n$$;",
            "/* /* */ \\connect x\n */ select 1;",
            "-- \\connect x\n",
            "-- create database x;\n",
            "COPY public.\"odd;t\" (a, b) FROM stdin;\n\\\\connect x\ncreate database x;\n\\N\n\\.\nselect 1;",
            "select \"\n\\connect\n\";",
            "create table database(x int); create table x; select 'create database x'",
            "select 1 - 2 / 3;",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_copy_is_known_by_its_end() {
        let columns = (0..500).map(|at| format!("column_{at}")).collect::<Vec<_>>().join(", ");
        let text = format!("COPY public.t ({columns}) FROM stdin;\n'\n$$\n\\.\n\\connect x\n");
        assert_eq!(found(&text).as_deref(), Some("\\connect"));
    }
}
