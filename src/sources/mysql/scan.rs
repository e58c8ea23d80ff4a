//! Looks through a dump for statements that leave the database that it is loaded into.
//!
//! A small reader of SQL: it knows strings, quoted names, comments, the versioned ones that are
//! code, and `DELIMITER`; what stands inside of a routine is not looked at.

/// Reads a dump piece by piece.
pub(super) struct Scan {
    into: String,
    state: State,
    /// What was read of the statement so far, comments left out; at most [`HEAD`].
    head: Vec<u8>,
    delimiter: Vec<u8>,
    /// The last bytes of code, for delimiters and comments of two letters.
    before: [u8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Code,
    Quoted(u8),
    Escaped(u8),
    Line,
    Comment,
    /// After `/*`, until it is known whether it is code.
    Opening,
    /// After `/*!` or `/*M!`: the number of a version.
    Version,
}

/// A dump that must not be loaded, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dump holds `{0}`, which leaves the database that it is loaded into")]
pub(super) struct Leaves(pub(super) String);

impl Scan {
    /// Expects a dump that is to be loaded into the database `into`.
    pub(super) fn new(into: &str) -> Self {
        Self {
            into: into.to_owned(),
            state: State::Code,
            head: Vec::new(),
            delimiter: b";".to_vec(),
            before: [b'\n'; 2],
        }
    }

    /// Reads on.
    ///
    /// Errors: the statement that names another database.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Leaves> {
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            // Strings are most of a dump.
            if let State::Quoted(quote) = self.state {
                let stop = |byte: &u8| *byte == quote || *byte == b'\\' && quote != b'`';
                let skip = rest.iter().position(stop).unwrap_or(rest.len());
                if self.head.len() < HEAD {
                    self.keep(&rest[..skip]);
                }
                if skip > 0 {
                    rest = &rest[skip..];
                    continue;
                }
            }
            self.step(*byte)?;
            rest = after;
        }
        Ok(())
    }

    /// Ends the last statement.
    ///
    /// Errors: as [`Self::read`].
    pub(super) fn finish(&mut self) -> Result<(), Leaves> {
        self.judge()
    }

    fn step(&mut self, byte: u8) -> Result<(), Leaves> {
        match self.state {
            State::Code => return self.code(byte),
            State::Quoted(quote) => {
                self.keep(&[byte]);
                if byte == quote {
                    self.state = State::Code;
                    self.before = [0, quote];
                } else if byte == b'\\' {
                    self.state = State::Escaped(quote);
                }
            }
            State::Escaped(quote) => {
                self.keep(&[byte]);
                self.state = State::Quoted(quote);
            }
            State::Line if byte == b'\n' => {
                self.state = State::Code;
                self.before = [b'\n'; 2];
            }
            State::Comment if self.before[1] == b'*' && byte == b'/' => {
                self.state = State::Code;
                self.before = [b' '; 2];
            }
            State::Line | State::Comment => self.before = [self.before[1], byte],
            State::Opening => match byte {
                b'!' => self.state = State::Version,
                b'M' => {}
                b'*' => (self.state, self.before) = (State::Comment, [b' ', b'*']),
                _ => (self.state, self.before) = (State::Comment, [b' '; 2]),
            },
            State::Version if byte.is_ascii_digit() => {}
            State::Version => {
                (self.state, self.before) = (State::Code, [b' '; 2]);
                return self.code(byte);
            }
        }
        Ok(())
    }

    fn code(&mut self, byte: u8) -> Result<(), Leaves> {
        let [second, first] = self.before;
        self.before = [first, byte];
        match byte {
            b'\'' | b'"' | b'`' => {
                self.keep(&[byte]);
                self.state = State::Quoted(byte);
            }
            b'#' => self.state = State::Line,
            b'*' if first == b'/' => {
                self.head.pop();
                self.state = State::Opening;
            }
            // The end of a comment that is code.
            b'/' if first == b'*' => {
                self.head.pop();
                self.before = [b' '; 2];
            }
            b' ' | b'\t' | b'\n' | b'\r' if first == b'-' && second == b'-' => {
                self.head.truncate(self.head.len().saturating_sub(2));
                if byte != b'\n' {
                    self.state = State::Line;
                }
            }
            b'\n' if self.takes_delimiter() => {}
            _ => self.keep(&[byte]),
        }
        let ends = byte == self.delimiter[self.delimiter.len() - 1];
        let ends = ends && (self.delimiter.len() == 1 || self.is_delimiter(first));
        if ends && !self.names_delimiter() {
            self.judge()?;
            self.head.clear();
        }
        Ok(())
    }

    /// Delimiters of dumps are `;` and `;;`; of a longer one the last two letters are compared.
    fn is_delimiter(&self, first: u8) -> bool {
        self.delimiter[self.delimiter.len() - 2] == first
    }

    fn names_delimiter(&self) -> bool {
        self.head.get(..10).is_some_and(|word| word.eq_ignore_ascii_case(b"DELIMITER "))
    }

    /// A line `DELIMITER x` is a word to the client.
    fn takes_delimiter(&mut self) -> bool {
        let word = self.names_delimiter();
        if word {
            self.delimiter = self.head[10..].trim_ascii().to_vec();
            if self.delimiter.is_empty() {
                self.delimiter = b";".to_vec();
            }
            self.head.clear();
        }
        word
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.head.is_empty() && bytes.first().is_some_and(u8::is_ascii_whitespace) {
            return;
        }
        let room = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn judge(&self) -> Result<(), Leaves> {
        let first = self.head.first().map_or(0, u8::to_ascii_uppercase);
        if !matches!(first, b'U' | b'C' | b'D' | b'A') {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.head);
        let text = text.trim_end_matches([';', ' ', '\n', '\r']);
        match named_database(text) {
            Some(name) if name != self.into => {
                let shown: String = text.chars().take(SHOWN).collect();
                Err(Leaves(crate::base::display(&shown)))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the database that a statement enters, makes, changes or drops.
fn named_database(statement: &str) -> Option<String> {
    let mut words = statement.split_whitespace().peekable();
    let verb = words.next()?.to_ascii_uppercase();
    if let Some(name) = verb.strip_prefix("USE") {
        let rest = statement[3..].trim_start();
        return (name.is_empty() || name.starts_with('`')).then(|| unquoted(rest));
    }
    if verb == "CREATE" && words.peek().is_some_and(|word| word.eq_ignore_ascii_case("OR")) {
        words.nth(1);
    }
    if !matches!(verb.as_str(), "CREATE" | "DROP" | "ALTER") {
        return None;
    }
    let noun = words.next()?.to_ascii_uppercase();
    let noun_only = noun.split('`').next().unwrap_or_default();
    if !matches!(noun_only, "DATABASE" | "SCHEMA") {
        return None;
    }
    let at = statement.to_ascii_uppercase().find(noun_only)? + noun_only.len();
    let mut rest = statement[at..].trim_start();
    for word in ["IF", "NOT", "EXISTS"] {
        let is_next = rest.get(..word.len()).is_some_and(|next| next.eq_ignore_ascii_case(word));
        if is_next && rest[word.len()..].starts_with([' ', '\n', '\t', '`']) {
            rest = rest[word.len()..].trim_start();
        }
    }
    let name = unquoted(rest);
    // Without a name it is the database that is loaded into.
    let no_name = ["CHARACTER", "CHARSET", "DEFAULT", "COLLATE", "COMMENT", ""];
    let is_bare = !rest.starts_with('`');
    let none = verb == "ALTER" && is_bare && no_name.contains(&name.to_ascii_uppercase().as_str());
    (!none).then_some(name)
}

fn unquoted(text: &str) -> String {
    match text.strip_prefix('`') {
        None => text.split([' ', ';', '\n', '\t', '/']).next().unwrap_or_default().to_owned(),
        Some(rest) => {
            let (mut name, mut letters) = (String::new(), rest.chars().peekable());
            while let Some(letter) = letters.next() {
                if letter == '`' && letters.next_if_eq(&'`').is_none() {
                    break;
                }
                name.push(letter);
            }
            name
        }
    }
}

const HEAD: usize = 512;
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(dump: &str) -> Result<(), Leaves> {
        // One piece, and byte by byte: pieces end anywhere.
        let mut whole = Scan::new("shop");
        let done = whole.read(dump.as_bytes()).and_then(|()| whole.finish());
        let mut slow = Scan::new("shop");
        let bytes = dump.bytes().try_for_each(|byte| slow.read(&[byte]));
        assert_eq!(done, bytes.and_then(|()| slow.finish()), "{dump}");
        done
    }

    #[test]
    fn a_dump_that_leaves_its_database_is_found() {
        for dump in [
            "USE other;",
            "use `other`;\n",
            "-- c\nUSE`other`;",
            "INSERT INTO a VALUES (1);USE other;",
            "/*!40000 DROP DATABASE IF EXISTS `other`*/;",
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `other` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;",
            "/*M!100101 CREATE OR REPLACE DATABASE other*/;",
            "ALTER DATABASE `other` CHARACTER SET utf8;",
            "DROP SCHEMA other;",
            "INSERT INTO a VALUES ('\\\\');\nUSE other;",
            "SELECT 1 # x'\n; USE other",
            "DELIMITER ;;\nCREATE TRIGGER t BEGIN USE x; END;;\nDELIMITER ;\nUSE other;",
            "\n\n  USE other",
            "/**/USE other;",
            "CREATE DATABASE `sh``op`;",
            "SELECT '/*'; USE other;",
        ] {
            assert!(scan(dump).is_err(), "{dump}");
        }
    }

    #[test]
    fn a_dump_that_stays_passes_whatever_its_content_says() {
        for dump in [
            "USE `shop`;\nCREATE DATABASE IF NOT EXISTS `shop`;\nALTER DATABASE `shop` CHARACTER SET utf8;",
            "ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;",
            "INSERT INTO a VALUES ('x\\'\nUSE other;\n','b''\nDROP DATABASE other;');",
            "INSERT INTO a VALUES (\"\nUSE other;\");",
            "-- USE other;\n# USE other;\n/* USE other; */",
            "/*M!999999\\- enable the sandbox mode */ \nSELECT 1;",
            "CREATE TABLE `USE` (`database` int);",
            "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN\nSELECT 1;\nDROP DATABASE other;\nEND ;;\nDELIMITER ;\n",
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER x BEFORE INSERT ON t*/;;",
            "SELECT 5--1;",
            "UPDATE t SET a=1; DROP TABLE IF EXISTS `other`;",
            "",
        ] {
            assert_eq!(scan(dump), Ok(()), "{dump}");
        }
    }
}
