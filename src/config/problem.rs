//! What is wrong with a config, said so that a person finds the place: file, line, column, the
//! path in the tree, the line itself with a caret, and what to do.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::config::mask;
use crate::config::node::Mark;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// What it is about cannot work.
    Error,
    /// It works, but not as it may be meant.
    Note,
}

/// One thing that is wrong, or worth a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower case, no final period, subject first.
    pub message: String,
    /// The file.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// Where it is in the tree: `jobs[2].storages[0].store.days`; may be empty.
    pub path: String,
    /// The line with its secrets masked, and where the caret stands in it.
    pub snippet: Option<Snippet>,
    /// What to do next.
    pub hint: Option<String>,
    /// Other places with the same problem: `file:line:column`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

/// A line of a file and the part of it that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// The line, or the part of a long one around the place.
    pub text: String,
    /// How many characters stand before the caret.
    pub before: usize,
    /// How many characters the caret covers.
    pub len: usize,
}

/// All problems found, in the order in which they were found.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Problems {
    list: Vec<Problem>,
    /// What was said of which place.
    #[serde(skip)]
    seen: HashSet<(String, usize, usize, String)>,
}

impl Problem {
    /// Makes an error at `mark`; `path` is the place in the tree.
    pub fn error(mark: &Mark, path: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: clean(&message.into()),
            file: mark.file.path.display().to_string(),
            line: mark.line,
            column: mark.column,
            path: clean(path),
            snippet: Snippet::of(mark).filter(|snippet| {
                // A secret may stand on a line of its own, below its key.
                !mask::is_secret(path.rsplit('.').next().unwrap_or(path))
                    || snippet.text.contains("***")
            }),
            hint: None,
            also: Vec::new(),
        }
    }

    /// Makes a note at `mark`.
    pub fn note(mark: &Mark, path: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(mark, path, message) }
    }

    /// Makes an error about a file as a whole.
    pub fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self::error(&Mark::of_file(path), "", message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(clean(&hint.into()));
        self
    }

    /// Spells it in one line: `file:line: message`.
    pub fn brief(&self) -> String {
        match self.line {
            0 => format!("{}: {}", self.file, self.message),
            line => format!("{}:{line}: {}", self.file, self.message),
        }
    }
}

impl Snippet {
    fn of(mark: &Mark) -> Option<Self> {
        let line = mark.file.line(mark.line).filter(|line| line.len() <= LONGEST_LINE)?;
        let shown: Vec<char> = clean(&mask::line(line)).chars().collect();
        let before = mark.column.saturating_sub(1).min(shown.len());
        let from = before.saturating_sub(LONGEST / 2);
        let text: String = shown.iter().skip(from).take(LONGEST).collect();
        let text = text.trim_end().to_owned();
        let room = text.chars().count().saturating_sub(before - from);
        Some(Self { text, before: before - from, len: mark.len.min(room).max(1) })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.severity == Severity::Error { "error" } else { "note" };
        write!(f, "{word}: {}", self.message)?;
        let gutter = " ".repeat(self.line.to_string().len() + 1);
        match self.line {
            0 => write!(f, "\n{gutter}--> {}", self.file)?,
            line => write!(f, "\n{gutter}--> {}:{line}:{}", self.file, self.column)?,
        }
        if !self.path.is_empty() {
            write!(f, " ({})", self.path)?;
        }
        if let Some(Snippet { text, before, len }) = &self.snippet {
            let (space, caret) = (" ".repeat(*before), "^".repeat(*len));
            write!(f, "\n{gutter} |\n {} | {text}\n{gutter} | {space}{caret}", self.line)?;
        }
        for place in &self.also {
            write!(f, "\n{gutter} = also: {place}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n{gutter} = help: {hint}")?;
        }
        Ok(())
    }
}

impl Problems {
    /// Adds one, unless the same was said of the same place: defaults reach many jobs.
    pub fn push(&mut self, problem: Problem) {
        let Problem { file, line, column, message, .. } = &problem;
        if self.seen.insert((file.clone(), *line, *column, message.clone())) {
            self.list.push(problem);
        }
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Problem>) {
        others.into_iter().for_each(|problem| self.push(problem));
    }

    /// Tells whether there is nothing, not even a note.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns all of them in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Returns those that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// Returns those that are only worth a word.
    pub fn notes(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|problem| problem.severity == Severity::Note)
    }

    /// Tells whether any is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Puts them in the order of the files: by line within each.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        let mut files: HashMap<String, usize> = HashMap::new();
        for problem in &self.list {
            let next = files.len();
            files.entry(problem.file.clone()).or_insert(next);
        }
        let file = |problem: &Problem| files.get(&problem.file).copied();
        self.list.sort_by_cached_key(|problem| (file(problem), problem.line, problem.column));
        self
    }

    /// Says once what is not built: the places of repetitions go to [`Problem::also`].
    #[must_use]
    pub fn merged(mut self) -> Self {
        let mut merged: Vec<Problem> = Vec::new();
        let mut seen = HashMap::new();
        for problem in self.list {
            if !problem.message.ends_with(NOT_BUILT) {
                merged.push(problem);
                continue;
            }
            match seen.get(&problem.message) {
                None => {
                    seen.insert(problem.message.clone(), merged.len());
                    merged.push(problem);
                }
                Some(first) => {
                    let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
                    merged[*first].also.push(place);
                }
            }
        }
        self.list = merged;
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.list.iter().enumerate() {
            let space = if at == 0 { "" } else { "\n\n" };
            write!(f, "{space}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        let mut problems = Self::default();
        problems.push(problem);
        problems
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// Returns the valid name that is so near to `name` that it may be meant.
pub fn nearest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = (name.chars().count() / 3).max(1);
    valid
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Replaces what would move the cursor of a terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|ch| match ch {
            '\t' => ' ',
            ch if ch.is_control() => char::REPLACEMENT_CHARACTER,
            ch => ch,
        })
        .collect()
}

/// How every message ends that says that something is not built yet.
pub(crate) const NOT_BUILT: &str = "is known, but not built in this version";
const LONGEST: usize = 120;
/// A line that is longer than this is no line that a person wrote.
const LONGEST_LINE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::node::File;

    fn mark(text: &str, line: usize, column: usize, len: usize) -> Mark {
        let file = File::new("conf.d/site.conf".into(), text.to_owned());
        Mark { file: Arc::new(file), line, column, len }
    }

    #[test]
    fn shows_the_line_with_a_caret() {
        let mark = mark("jobs:\n  - job: a\n    tmp_dri: /var/tmp\n", 3, 5, 7);
        let problem = Problem::error(&mark, "jobs[0]", "unknown key `tmp_dri`");
        let expected = "error: unknown key `tmp_dri`\n  --> conf.d/site.conf:3:5 (jobs[0])\n   \
                        |\n 3 |     tmp_dri: /var/tmp\n   |     ^^^^^^^";
        assert_eq!(problem.to_string(), expected);
    }

    #[test]
    fn snippets_mask_secrets_and_shorten_long_lines() {
        let masked = Problem::error(&mark("  passwrod: hunter2", 1, 3, 8), "", "x").to_string();
        assert!(masked.contains("passwrod: ***") && !masked.contains("hunter2"), "{masked}");
        let long = format!("{}here{}", "a".repeat(5000), "b".repeat(5000));
        let snippet = Problem::error(&mark(&long, 1, 5001, 4), "", "x").snippet.unwrap();
        assert_eq!(snippet.text.chars().count(), LONGEST);
        assert_eq!(&snippet.text[snippet.before..snippet.before + 4], "here");
    }

    #[test]
    fn a_caret_behind_a_masked_or_short_line_still_stands() {
        let problem = Problem::error(&mark("password: 'long secret", 1, 30, 9), "", "x");
        assert!(problem.to_string().ends_with('^'));
    }

    #[test]
    fn nearest_names_only_what_is_near() {
        assert_eq!(nearest("tmp_dri", ["job", "tmp_dir"]), Some("tmp_dir"));
        assert_eq!(nearest("zzz", ["job", "tmp_dir"]), None);
    }
}
