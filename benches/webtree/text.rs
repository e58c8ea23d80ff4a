//! Text that compresses like sources and logs do: few words are everywhere, many are rare, and
//! each file has some of its own.

use std::io::{self, Write};

use crate::plan::Kind;
use crate::random::Random;

/// Words as a project has them: few that are everywhere, many that are rare.
pub(crate) struct Words {
    words: Vec<String>,
    /// Every word as often as it is common.
    drawn: Vec<u16>,
}

impl Words {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let parts = [
            "get", "set", "user", "name", "id", "list", "item", "post", "page", "meta", "data",
            "key", "value", "type", "file", "path", "url", "form", "field", "table", "query",
            "row", "date", "time", "cache", "option", "term", "hook", "filter", "action", "admin",
            "theme", "block", "con", "ter", "ra", "li", "mo", "ver", "pro", "sta", "ni", "re",
            "de", "ex", "in", "or",
        ];
        let words: Vec<String> = (0..COUNT_OF_WORDS).map(|_| word(&mut random, &parts)).collect();
        let mut drawn = Vec::new();
        let all: f64 = (1..=COUNT_OF_WORDS).map(|rank| 1.0 / rank as f64).sum();
        for rank in 0..COUNT_OF_WORDS {
            let often = (f64::from(1 << 17) / ((rank + 1) as f64 * all)).ceil() as usize;
            drawn.extend(std::iter::repeat_n(rank as u16, often));
        }
        Self { words, drawn }
    }

    fn draw(&self, random: &mut Random) -> u16 {
        self.drawn[random.below(self.drawn.len() as u64) as usize]
    }
}

/// Joins a few parts as programmers do: `getUserName`, `user_name`, `name`.
fn word(random: &mut Random, parts: &[&str]) -> String {
    let snake = random.below(3) == 0;
    let mut word = String::new();
    for at in 0..1 + random.below(4) {
        let part = parts[random.below(parts.len() as u64) as usize];
        if at > 0 && snake {
            word.push('_');
        }
        if at > 0 && !snake {
            word.push_str(&part[..1].to_uppercase());
            word.push_str(&part[1..]);
        } else {
            word.push_str(part);
        }
    }
    word
}

/// Writes one file of text: it has words of its own that come back often.
pub(crate) struct Author<'a> {
    words: &'a Words,
    random: &'a mut Random,
    own: Vec<u16>,
    line: Vec<u8>,
    clock: u64,
}

impl<'a> Author<'a> {
    pub(crate) fn new(words: &'a Words, random: &'a mut Random) -> Self {
        let own = (0..140).map(|_| random.below(COUNT_OF_WORDS as u64) as u16).collect();
        Self { words, random, own, line: Vec::new(), clock: 0 }
    }

    pub(crate) fn write(mut self, out: &mut impl Write, kind: Kind, bytes: u64) -> io::Result<()> {
        let mut left = bytes as usize;
        let shapes = shapes(kind);
        let mut depth = 0_usize;
        while left > 0 {
            let shape = shapes[self.random.below(shapes.len() as u64) as usize];
            if shape.starts_with('}') || shape.starts_with("</") {
                depth = depth.saturating_sub(1);
            }
            self.line.clear();
            if kind != Kind::Log {
                self.line.resize(depth.min(6) * 4, b' ');
            }
            self.fill(shape);
            self.line.push(b'\n');
            if shape.ends_with('{') || shape.ends_with("\">") {
                depth = (depth + 1) % 7;
            }
            let taken = left.min(self.line.len());
            out.write_all(&self.line[..taken])?;
            left -= taken;
        }
        Ok(())
    }

    /// Replaces `@` by a word, `#` by a number, `~` by a few words of prose, `^` by a time.
    fn fill(&mut self, shape: &str) {
        for byte in shape.bytes() {
            match byte {
                b'@' => self.word(),
                b'#' => {
                    let widest = [10, 100, 1000, 65_536][self.random.below(4) as usize];
                    self.number(widest)
                }
                b'~' => {
                    for at in 0..3 + self.random.below(9) {
                        if at > 0 {
                            self.line.push(b' ');
                        }
                        self.word();
                    }
                }
                b'^' => {
                    self.clock += self.random.below(3);
                    let (hours, minutes) = (self.clock / 3600 % 24, self.clock / 60 % 60);
                    let time = format!("{hours:02}:{minutes:02}:{:02}", self.clock % 60);
                    self.line.extend_from_slice(time.as_bytes());
                }
                byte => self.line.push(byte),
            }
        }
    }

    fn word(&mut self) {
        let word = match self.random.below(5) {
            0 | 1 => self.own[self.random.below(self.own.len() as u64) as usize],
            _ => self.words.draw(self.random),
        };
        self.line.extend_from_slice(self.words.words[usize::from(word)].as_bytes());
    }

    fn number(&mut self, below: u64) {
        let number = self.random.below(below).to_string();
        self.line.extend_from_slice(number.as_bytes());
    }
}

/// The lines that a file of this kind is made of.
fn shapes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Php => &[
            "public function @( $@, $@ = null ) {",
            "$@ = $this->@( $@, '@' );",
            "}",
            "}",
            "",
            "if ( ! empty( $@['@'] ) && $@ > # ) {",
            "return $@->@;",
            "/** ~",
            " * Takes a @ in $@: ~",
            " */",
            "$@[] = array( '@' => $@, '@' => # );",
            "foreach ( $@ as $@ => $@ ) {",
            "// ~",
            "throw new @( __( '~', '@' ) );",
            "$@ .= sprintf( '@_%s', esc_html( $@ ) );",
        ],
        Kind::Js => &[
            "const @ = require('./@/@');",
            "function @(@, @) {",
            "}",
            "});",
            "}",
            "",
            "return @.@(@ => @.@ === #);",
            "if (@ && @.length > #) {",
            "this.@ = @ || '@';",
            "// ~",
            "export const @ = { @: '@', @: # };",
            "@.addEventListener('@', (@) => {",
            "@.@(@, #);",
        ],
        Kind::Html => &[
            "<div class=\"@ @-#\">",
            "</div>",
            "</div>",
            "<p>~</p>",
            "<a href=\"/@/@-#\">@</a>",
            "<img src=\"/uploads/@/@-#.jpg\" alt=\"~\">",
            "<li class=\"@\">~</li>",
            "{{ @.@ }}",
            "",
        ],
        Kind::Css => &[
            ".@-@ .@ {",
            "}",
            "margin: #px #px;",
            "color: rgba(#, #, #, 0.#);",
            "display: flex;",
            "background: url('../@/@.png') no-repeat;",
            "font-size: #px;",
            "@media (max-width: #px) {",
        ],
        Kind::Json => &[
            "\"@\": \"@\",",
            "\"@\": #,",
            "\"@_id\": ##,",
            "\"@\": {",
            "},",
            "\"@\": [\"@\", \"@\"],",
            "\"@\": \"~\",",
        ],
        _ => &[
            "10.#.#.# - - [21/Nov/2025:^ +0000] \"GET /@/@ HTTP/1.1\" 200 ## \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
            "10.#.#.# - - [21/Nov/2025:^ +0000] \"GET /@/@.php?@=# HTTP/1.1\" 200 ## \"https://example.org/@\" \"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1#.0.0.0\"",
            "10.#.#.# - @ [21/Nov/2025:^ +0000] \"POST /@/@ HTTP/1.1\" 302 # \"-\" \"curl/7.88.1\"",
            "2025/11/21 ^ [error] ##: *## ~, client: 10.#.#.#, server: example.org",
        ],
    }
}

const COUNT_OF_WORDS: usize = 20_000;
