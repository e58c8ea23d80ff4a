//! From YAML text to a marked tree. The only file that names the parser.
//!
//! Anchors, aliases and merge keys (`<<`) are resolved here, within a budget; tags are kept for
//! those who understand them. A syntax error ends the file; anything else is noted and passed by.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::config::node::{Entry, File, Mark, Node, Tag, Value};
use crate::config::problem::{Problem, Problems, nearest};

/// How many values a whole config may have, with what aliases and includes repeat.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    /// Makes the budget of one config.
    pub(crate) fn new() -> Self {
        Self { left: MOST_VALUES }
    }

    fn spend(&mut self, values: usize) -> Result<(), String> {
        let problem = || format!("the config holds more than {MOST_VALUES} values");
        self.left = self.left.checked_sub(values).ok_or_else(problem)?;
        Ok(())
    }
}

/// Parses one file.
///
/// What is wrong goes to `problems`; the tree holds what could be read, `None` after a syntax
/// error. An empty file is a blank value.
pub(crate) fn parse(
    file: &Arc<File>,
    budget: &mut Budget,
    problems: &mut Problems,
) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let events = Parser::new_from_str_with_options(&file.text, options);
    let mut reader = Reader { events, file, budget, problems, anchors: HashMap::new() };
    match reader.document() {
        Ok(node) => Some(node),
        Err(Stop(problem)) => {
            problems.push(*problem);
            None
        }
    }
}

/// Why the rest of a file cannot be read.
struct Stop(Box<Problem>);

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: &'a Arc<File>,
    budget: &'a mut Budget,
    problems: &'a mut Problems,
    /// Finished nodes by anchor, with their size and depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
}

type Got<'a> = (Event<'a>, Span);

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    let mark = self.mark(&span);
                    return Err(self.stop(&mark, "a config file holds one document, not several"));
                }
                event => root = Some(self.node((event, span), 0)?),
            }
        }
        let start = Mark { file: self.file.clone(), line: 1, column: 1, len: 0 };
        Ok(root.unwrap_or_else(|| Node::blank(start)))
    }

    fn node(&mut self, (event, span): Got<'a>, depth: usize) -> Result<Node, Stop> {
        let mark = self.mark(&span.tag_span().unwrap_or(span));
        if depth > DEEPEST {
            return Err(self.stop(&mark, &format!("nested more than {DEEPEST} levels deep")));
        }
        self.budget.spend(1).map_err(|problem| self.stop(&mark, &problem))?;
        let (node, anchor) = match event {
            Event::Alias(id) => return self.alias(id, mark, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let text = text.into_owned();
                let tag = tag.map(|tag| tag.original());
                (self.scalar(text, style, tag, mark), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = tag.map(|tag| tag.original());
                (self.list(mark, tag, depth)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = tag.map(|tag| tag.original());
                (self.mapping(mark, tag, depth)?, anchor)
            }
            _ => return Err(self.stop(&mark, "a value is expected here")),
        };
        if anchor != 0 {
            let (size, depth) = (node.size(), node.depth());
            self.budget.spend(size).map_err(|problem| self.stop(&node.mark, &problem))?;
            self.anchors.insert(anchor, (node.clone(), size, depth));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, mark: Mark, depth: usize) -> Result<Node, Stop> {
        let Some((node, size, below)) = self.anchors.get(&id).cloned() else {
            return Err(self.stop(&mark, "an alias inside its own anchor never ends"));
        };
        self.budget.spend(size).map_err(|problem| self.stop(&mark, &problem))?;
        if depth + below > DEEPEST {
            return Err(self.stop(&mark, &format!("nested more than {DEEPEST} levels deep")));
        }
        Ok(node)
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        tag: Option<String>,
        mark: Mark,
    ) -> Node {
        let tag = self.tag(tag, &mark, true);
        let is_null = style == ScalarStyle::Plain && NULLS.contains(&text.as_str());
        let text = if is_null { String::new() } else { text };
        if tag.is_some() && text.trim().is_empty() {
            self.problems.push(Problem::error(&mark, "", "a tag without a value"));
            return Node::blank(mark);
        }
        match variable(&text) {
            Some(name) if tag.is_none() => {
                let value = Value::Scalar(name.to_owned());
                Node { value, mark, tag: Some(Tag::Env), secret: false }
            }
            _ => Node { value: Value::Scalar(text), mark, tag, secret: false },
        }
    }

    fn list(&mut self, mark: Mark, tag: Option<String>, depth: usize) -> Result<Node, Stop> {
        let tag = self.tag(tag, &mark, false);
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => break,
                got => items.push(self.node(got, depth + 1)?),
            }
        }
        Ok(Node { value: Value::List(items), mark, tag, secret: false })
    }

    fn mapping(&mut self, mark: Mark, tag: Option<String>, depth: usize) -> Result<Node, Stop> {
        if self.tag(tag, &mark, false).is_some() {
            self.problems.push(Problem::error(&mark, "", "a mapping cannot be an include"));
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key_mark = self.mark(&span);
            let key = self.node((event, span), depth + 1)?;
            let got = self.next()?;
            let value = self.node(got, depth + 1)?;
            let Value::Scalar(key) = key.value else {
                let problem = "a key must be a single word, not a list or a mapping";
                self.problems.push(Problem::error(&key_mark, "", problem));
                continue;
            };
            if plain && key == "<<" {
                merges.push(value);
                continue;
            }
            if let Some(line) = lines.get(&key) {
                let problem = format!("key `{key}` is set twice, first in line {line}");
                self.problems.push(Problem::error(&key_mark, "", problem));
                continue;
            }
            lines.insert(key.clone(), key_mark.line);
            entries.push(Entry { key, mark: key_mark, value });
        }
        merges.into_iter().for_each(|merge| self.merge(&mut entries, &mut lines, merge));
        Ok(Node::map(entries, mark))
    }

    /// Adds what a `<<` gives: own keys win over merged ones, earlier merges over later ones.
    fn merge(&mut self, entries: &mut Vec<Entry>, lines: &mut HashMap<String, usize>, value: Node) {
        match value.value {
            Value::Map(merged) => {
                for entry in merged {
                    if !lines.contains_key(&entry.key) {
                        lines.insert(entry.key.clone(), entry.mark.line);
                        entries.push(entry);
                    }
                }
            }
            Value::List(items) if value.tag.is_none() => {
                items.into_iter().for_each(|item| self.merge(entries, lines, item));
            }
            _ => {
                let problem = "`<<` takes a mapping or a list of mappings";
                self.problems.push(Problem::error(&value.mark, "", problem));
            }
        }
    }

    fn tag(&mut self, tag: Option<String>, mark: &Mark, scalar: bool) -> Option<Tag> {
        let tag = tag?;
        let known = match tag.as_str() {
            "!include" | "!import" => return Some(Tag::Include),
            "!env" => Tag::Env,
            "!file" => Tag::File,
            "!cmd" => Tag::Cmd,
            core if core.starts_with("!!") || core == "!" => return None,
            _ => {
                let near = nearest(&tag, TAGS).map(|near| format!(", did you mean `{near}`?"));
                let message = format!("unknown tag `{tag}`{}", near.unwrap_or_default());
                let hint = format!("known tags: {}", TAGS.join(", "));
                self.problems.push(Problem::error(mark, "", message).with_hint(hint));
                return None;
            }
        };
        if !scalar {
            let message = format!("`{tag}` stands before a single value, not before a list");
            self.problems.push(Problem::error(mark, "", message));
            return None;
        }
        Some(known)
    }

    fn next(&mut self) -> Result<Got<'a>, Stop> {
        match self.events.next_event() {
            Some(Ok(got)) => Ok(got),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => {
                let mark = Mark { file: self.file.clone(), line: 1, column: 1, len: 1 };
                Err(self.stop(&mark, "the file ends too early"))
            }
        }
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let mark = self.mark_at(error.marker(), 1);
        self.stop(&mark, &format!("not valid YAML: {}", error.info()))
    }

    fn stop(&self, mark: &Mark, message: &str) -> Stop {
        Stop(Box::new(Problem::error(mark, "", message)))
    }

    fn mark(&self, span: &Span) -> Mark {
        let one_line = span.start.line() == span.end.line();
        let len = if one_line { span.len() } else { usize::MAX };
        self.mark_at(&span.start, len)
    }

    fn mark_at(&self, at: &Marker, len: usize) -> Mark {
        Mark { file: self.file.clone(), line: at.line(), column: at.col() + 1, len }
    }
}

/// Returns the NAME of a value that is `ENV:NAME` as a whole.
fn variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("ENV:")?;
    let word = name.bytes().all(|ch| ch.is_ascii_alphanumeric() || ch == b'_');
    (word && name.starts_with(|ch: char| !ch.is_ascii_digit())).then_some(name)
}

const MOST_VALUES: usize = 1_000_000;
const DEEPEST: usize = 64;
const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const TAGS: [&str; 5] = ["!include", "!import", "!env", "!file", "!cmd"];

#[cfg(test)]
mod tests;
