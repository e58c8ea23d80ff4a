//! The log of one run as it goes into a mail: bounded, its middle cut out when it is long.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::count;

/// The first and the last lines of a run's log.
///
/// Memory: at most twice 64 KiB and one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    head: Vec<String>,
    tail: VecDeque<String>,
    left_out: u64,
    #[serde(skip)]
    head_bytes: usize,
    #[serde(skip)]
    tail_bytes: usize,
}

impl Log {
    /// Adds a line; one from the middle goes when there is no more room.
    pub fn push(&mut self, line: &str) {
        let line = cut(line.trim_end());
        if self.tail.is_empty() && self.head_bytes + line.len() <= HALF {
            self.head_bytes += line.len();
            return self.head.push(line);
        }
        self.tail_bytes += line.len();
        self.tail.push_back(line);
        while self.tail_bytes > HALF {
            let Some(gone) = self.tail.pop_front() else { break };
            self.tail_bytes -= gone.len();
            self.left_out += 1;
        }
    }

    /// Returns the lines; where some are left out, one that says so and names `file`.
    pub fn lines(&self, file: Option<&str>) -> Vec<String> {
        let mut lines = self.head.clone();
        if self.left_out > 0 {
            let whole = file.map(|file| format!(", the whole log is in {file}"));
            lines.push(format!(
                "[{} left out here{}]",
                count(self.left_out, "line", "lines"),
                whole.unwrap_or_default()
            ));
        }
        lines.extend(self.tail.iter().cloned());
        lines
    }

    /// Returns the last lines, together at most `bytes` long.
    pub fn end(&self, bytes: usize) -> String {
        let mut kept = Vec::new();
        let mut left = bytes;
        for line in self.head.iter().chain(&self.tail).rev() {
            if line.len() + 1 > left {
                break;
            }
            left -= line.len() + 1;
            kept.push(line.as_str());
        }
        kept.reverse();
        kept.join("\n")
    }
}

/// Cuts a line that alone would fill the room, between characters.
fn cut(line: &str) -> String {
    if line.len() <= LONGEST {
        return line.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    format!("{} …", &line[..end])
}

const HALF: usize = 64 << 10;
const LONGEST: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_loses_its_middle_and_says_where_the_whole_is() {
        let mut log = Log::default();
        (0..100_000).for_each(|at| log.push(&format!("INFO line {at}\n")));
        let lines = log.lines(Some("/var/log/nxs.log"));
        assert_eq!((lines[0].as_str(), lines[1].as_str()), ("INFO line 0", "INFO line 1"));
        assert_eq!(lines.last().unwrap(), "INFO line 99999");
        let cut = lines.iter().find(|line| line.contains("left out")).unwrap();
        assert!(
            cut.ends_with("lines left out here, the whole log is in /var/log/nxs.log]"),
            "{cut}"
        );
        let left_out: usize = cut[1..].split(' ').next().unwrap().parse().unwrap();
        assert_eq!(lines.len() - 1 + left_out, 100_000);
        assert!(lines.concat().len() < 2 * HALF + 200);
        assert!(log.end(100).lines().count() >= 5 && log.end(100).ends_with("INFO line 99999"));
    }

    #[test]
    fn a_line_without_an_end_is_cut_between_characters() {
        let mut log = Log::default();
        log.push(&"\u{e4}".repeat(1_000_000));
        log.push("last");
        let lines = log.lines(None);
        assert!(lines[0].ends_with(" …") && lines[0].len() < 2 * LONGEST);
        assert_eq!(lines[1], "last");
    }
}
