//! What is left out of a tree: thousands of globs, judged path by path at the cost of a few.
//!
//! The globs form a tree of their components. Names that stand for themselves, nearly all of
//! them, are found by hash; each node has one set for its components with special characters.

use std::collections::HashMap;

use globset::{Candidate, GlobSet};

use super::globs::{BadGlob, Name, Part, parts};

/// The excludes of one source.
#[derive(Debug)]
pub(super) struct Excludes {
    nodes: Vec<Node>,
    texts: Vec<String>,
}

/// A place in the tree of components.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Vec<u8>, usize>,
    /// Glob components, their text, and where they lead.
    globs: Vec<(Name, usize)>,
    set: GlobSet,
    /// Where `**` leads: to a node that leads to itself with every name.
    deep: Option<usize>,
    is_deep: bool,
    /// The glob that ends here.
    end: Option<usize>,
}

impl Excludes {
    /// Understands `globs`: absolute ones begin with a slash, others are joined to each target.
    pub(super) fn new(globs: &[String]) -> Result<Self, BadGlob> {
        let mut excludes =
            Self { nodes: vec![Node::default(), Node::default()], texts: Vec::new() };
        for glob in globs.iter().filter(|glob| !glob.is_empty()) {
            let top = if glob.starts_with('/') { ABSOLUTE } else { RELATIVE };
            excludes.add(top, glob)?;
        }
        for node in &mut excludes.nodes {
            let mut set = GlobSet::builder();
            for (name, _) in &node.globs {
                set.add(name.matcher.glob().clone());
            }
            let bad =
                |error: globset::Error| BadGlob { glob: String::new(), why: error.to_string() };
            node.set = set.build().map_err(bad)?;
        }
        Ok(excludes)
    }

    /// Tells by which glob the absolute `path` or a folder above it is left out, when what is
    /// below `target` is joined to it.
    pub(super) fn hides(&self, target: &[u8], path: &[u8]) -> Option<&str> {
        let below = path
            .strip_prefix(target)
            .filter(|rest| rest.is_empty() || target.ends_with(b"/") || rest.starts_with(b"/"));
        self.matches(ABSOLUTE, path).or_else(|| self.matches(RELATIVE, below?))
    }

    fn matches(&self, top: usize, path: &[u8]) -> Option<&str> {
        let mut states = vec![top];
        let mut next = Vec::new();
        if self.nodes[top].is_barren() {
            return None;
        }
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            for state in states.drain(..) {
                self.step(state, name, &mut next);
            }
            std::mem::swap(&mut states, &mut next);
            if states.is_empty() {
                return None;
            }
            if let Some(end) = states.iter().find_map(|state| self.nodes[*state].end) {
                return Some(&self.texts[end]);
            }
        }
        None
    }

    /// Adds the nodes to which `name` leads from the node `from`.
    fn step(&self, from: usize, name: &[u8], next: &mut Vec<usize>) {
        let node = &self.nodes[from];
        let hidden = name.starts_with(b".");
        if let Some(to) = node.literals.get(name) {
            push(next, *to);
        }
        if !node.globs.is_empty() {
            for number in node.set.matches_candidate(&Candidate::from_bytes(name)) {
                let (glob, to) = &node.globs[number];
                if glob.dot || !hidden {
                    push(next, *to);
                }
            }
        }
        if node.is_deep && !hidden {
            push(next, from);
        }
        if let Some(deep) = node.deep {
            // No folder at all, or this one and any below.
            self.step(deep, name, next);
        }
    }

    fn add(&mut self, top: usize, glob: &str) -> Result<(), BadGlob> {
        let parts = parts(glob)?;
        let mut at = top;
        let mut ends_deep = false;
        for part in parts {
            ends_deep = matches!(part, Part::Deep);
            at = self.child(at, part);
        }
        if at == top {
            return Err(BadGlob { glob: glob.to_owned(), why: "it names nothing".to_owned() });
        }
        if ends_deep {
            // Everything below, but not the folder itself.
            let any = parts_of_any();
            at = self.child(at, any);
        }
        self.nodes[at].end.get_or_insert(self.texts.len());
        self.texts.push(glob.to_owned());
        Ok(())
    }

    /// Finds or makes the node to which `part` leads.
    fn child(&mut self, at: usize, part: Part) -> usize {
        let made = self.nodes.len();
        let node = &mut self.nodes[at];
        let found = match part {
            Part::Literal(name) => *node.literals.entry(name).or_insert(made),
            Part::Deep => *node.deep.get_or_insert(made),
            Part::Glob(name) => {
                let same = |(known, _): &&(Name, usize)| {
                    known.matcher.glob().glob() == name.matcher.glob().glob()
                };
                match node.globs.iter().find(same) {
                    Some((_, known)) => *known,
                    None => {
                        node.globs.push((name, made));
                        made
                    }
                }
            }
        };
        if found == made {
            let is_deep = self.nodes[at].deep == Some(made);
            self.nodes.push(Node { is_deep, ..Node::default() });
        }
        found
    }
}

impl Node {
    fn is_barren(&self) -> bool {
        self.literals.is_empty() && self.globs.is_empty() && self.deep.is_none()
    }
}

fn push(states: &mut Vec<usize>, state: usize) {
    if !states.contains(&state) {
        states.push(state);
    }
}

fn parts_of_any() -> Part {
    let mut any = parts("*").expect("a plain star is a glob");
    any.remove(0)
}

const ABSOLUTE: usize = 0;
const RELATIVE: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(globs: &[&str], path: &str) -> bool {
        let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let excludes = Excludes::new(&globs).unwrap();
        excludes.hides(b"/var/www/site", path.as_bytes()).is_some()
    }

    #[test]
    fn globs_mean_what_they_meant_in_2_x() {
        let cases = [
            ("cache", "/var/www/site/cache", true),
            ("cache", "/var/www/site/cache/a/b", true),
            ("cache/", "/var/www/site/cache", true),
            ("./cache", "/var/www/site/cache", true),
            ("cache", "/var/www/site/sub/cache", false),
            ("cache", "/var/www/site/cache2", false),
            ("cache", "/var/www/site2/cache", false),
            ("/var/www/site/tmp", "/var/www/site/tmp/x", true),
            ("/var/www", "/var/www/site", true),
            ("*.log", "/var/www/site/a.log", true),
            ("*.log", "/var/www/site/sub/a.log", false),
            ("*", "/var/www/site/.htaccess", false),
            (".*", "/var/www/site/.git/config", true),
            ("**/cache", "/var/www/site/cache", true),
            ("**/cache", "/var/www/site/a/b/cache/x", true),
            ("**/cache", "/var/www/site/.hidden/cache", false),
            ("a/**", "/var/www/site/a", false),
            ("a/**", "/var/www/site/a/b", true),
            ("a/**/z", "/var/www/site/a/z", true),
            ("a/**/z", "/var/www/site/a/b/c/z", true),
            ("a{b}", "/var/www/site/a{b}", true),
            ("[!a]x", "/var/www/site/bx", true),
            ("[!a]x", "/var/www/site/ax", false),
        ];
        for (glob, path, hidden) in cases {
            assert_eq!(hides(&[glob], path), hidden, "{glob} on {path}");
        }
    }

    #[test]
    fn the_glob_that_hides_is_named() {
        let excludes = Excludes::new(&["a".to_owned(), "b*".to_owned()]).unwrap();
        assert_eq!(excludes.hides(b"/t", b"/t/bc/d"), Some("b*"));
    }

    #[test]
    fn five_thousand_globs_cost_little() {
        let kinds = |n: usize| match n % 4 {
            0 => format!("/var/www/site/dir{n}/file"),
            1 => format!("cache{n}/*.tmp"),
            2 => format!("**/node_modules_{n}"),
            _ => format!("*.ext{n}"),
        };
        let globs: Vec<String> = (0..5000).map(kinds).collect();
        let excludes = Excludes::new(&globs).unwrap();
        let started = std::time::Instant::now();
        for n in 0..10_000 {
            let path = format!("/var/www/site/some/deep/folder{}/file{n}.php", n % 100);
            assert!(excludes.hides(b"/var/www/site", path.as_bytes()).is_none());
        }
        // A release build takes a tenth of this; a quadratic judge takes a hundred times as long.
        assert!(started.elapsed().as_secs_f64() < 1.0, "{:?} for 10,000", started.elapsed());
    }
}
