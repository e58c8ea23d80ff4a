//! Definitions that jobs share: `main.templates`, with `${NAME}` where a parameter of the job goes.
//!
//! What a job says itself wins over its template, and that over `main.defaults`. Every value keeps
//! the place where it was written: that of the template, or of the parameter that is all of it.
//! Values that lie elsewhere stay so: tags are passed on.

use std::collections::BTreeSet;

use crate::config::merge;
use crate::config::node::{Entry, Node, Value};
use crate::config::problem::{Problem, Problems, nearest};

/// Puts the template that `job` names under it.
pub(crate) fn apply(main: &Node, job: &Node, path: &str, problems: &mut Problems) -> Node {
    let mut whole = job.clone();
    if let Value::Map(entries) = &mut whole.value {
        entries.retain(|entry| !OWN.contains(&entry.key.as_str()));
    }
    let Some(parameters) = Parameters::of(job, path, problems) else { return whole };
    let Some(wanted) = job.get("template") else {
        if let Some(entry) = job.entry("parameters").filter(|_| job.get("parameters").is_some()) {
            let message = "`parameters` are for a `template`, and this job names none";
            problems.push(Problem::error(&entry.mark, path, message));
        }
        return whole;
    };
    let Some(template) = find(main, wanted, path, problems) else { return whole };
    parameters.refuse_unused(template, path, problems);
    let set = |entry: &&Entry| {
        let is_own = whole.get(&entry.key).is_some() && !merge::is_merged(&entry.key);
        !is_own && !OWN.contains(&entry.key.as_str())
    };
    let mut below: Vec<Entry> = template.entries().iter().filter(set).cloned().collect();
    let mut found = Problems::default();
    below.iter_mut().for_each(|entry| parameters.fill(&mut entry.value, path, &mut found));
    // What is wrong with a parameter is wrong wherever it stands: it is said once.
    let mut said = BTreeSet::new();
    problems.extend(found.into_iter().filter(|problem| said.insert(problem.message.clone())));
    merge::put_under(&mut whole, &Node::map(below, template.mark.clone()), &|_| true);
    whole
}

/// Checks the outline of `main.templates` once, not in every job.
pub(crate) fn check(main: &Node, problems: &mut Problems) {
    let Some(templates) = main.get("templates") else { return };
    if !matches!(templates.value, Value::Map(_)) {
        let message = format!("`templates` is a mapping of names, not {}", templates.kind());
        problems.push(Problem::error(&templates.mark, "main.templates", message));
    }
    for entry in templates.entries() {
        let path = format!("main.templates.{}", entry.key);
        if !matches!(entry.value.value, Value::Map(_)) {
            let message =
                format!("a template is a mapping of a job's keys, not {}", entry.value.kind());
            problems.push(Problem::error(&entry.mark, &path, message));
        }
        for own in entry.value.entries().iter().filter(|own| OWN.contains(&own.key.as_str())) {
            let message =
                format!("`{}` stands in jobs: a template builds on no other one", own.key);
            problems.push(Problem::error(&own.mark, &path, message));
        }
    }
}

fn find<'a>(
    main: &'a Node,
    wanted: &Node,
    path: &str,
    problems: &mut Problems,
) -> Option<&'a Node> {
    let Some(name) = wanted.text() else {
        let message = "`template` must be a name that is written out here";
        problems.push(Problem::error(&wanted.mark, path, message));
        return None;
    };
    let templates = main.get("templates").map_or(&[][..], Node::entries);
    let Some(found) = templates.iter().find(|entry| entry.key == name) else {
        let near = nearest(name, templates.iter().map(|entry| entry.key.as_str()));
        let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        let message = format!("`main.templates` has no template `{name}`{near}");
        problems.push(Problem::error(&wanted.mark, path, message));
        return None;
    };
    Some(&found.value)
}

/// What a job gives to its template.
struct Parameters<'a>(&'a [Entry]);

impl<'a> Parameters<'a> {
    fn of(job: &'a Node, path: &str, problems: &mut Problems) -> Option<Self> {
        let Some(given) = job.get("parameters") else { return Some(Self(&[])) };
        if !matches!(given.value, Value::Map(_)) {
            let message = format!("`parameters` is a mapping of names, not {}", given.kind());
            problems.push(Problem::error(&given.mark, path, message));
            return None;
        }
        Some(Self(given.entries()))
    }

    fn get(&self, name: &str) -> Option<&'a Node> {
        self.0.iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }

    /// Says which are not used anywhere in the template.
    fn refuse_unused(&self, template: &Node, path: &str, problems: &mut Problems) {
        let mut used = BTreeSet::new();
        template.walk(&mut |node| {
            if let Value::Scalar(text) = &node.value {
                used.extend(parts(text).filter_map(|part| match part {
                    Part::Name(name) => Some(name),
                    _ => None,
                }));
            }
        });
        for entry in self.0.iter().filter(|entry| !used.contains(entry.key.as_str())) {
            let near = nearest(&entry.key, used.iter().copied());
            let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            let message = format!("the template uses no parameter `{}`{near}", entry.key);
            problems.push(Problem::error(&entry.mark, path, message));
        }
    }

    /// Puts parameters where their names stand.
    fn fill(&self, node: &mut Node, path: &str, problems: &mut Problems) {
        match &mut node.value {
            Value::List(items) => {
                items.iter_mut().for_each(|item| self.fill(item, path, problems));
            }
            Value::Map(entries) => {
                entries.iter_mut().for_each(|entry| self.fill(&mut entry.value, path, problems));
            }
            Value::Scalar(text) if !text.contains("${") => {}
            Value::Scalar(text) => match self.value_of(text, node.tag.is_some()) {
                Ok(Filled::Whole(value)) => *node = value.clone(),
                Ok(Filled::Text(text)) => node.value = Value::Scalar(text),
                Err(message) => problems.push(Problem::error(&node.mark, path, message)),
            },
        }
    }

    /// What a text becomes; one with a tag says where a value lies and stays a text.
    fn value_of(&self, text: &str, has_tag: bool) -> Result<Filled<'a>, String> {
        let known = |name: &str| {
            self.get(name).ok_or_else(|| {
                format!(
                    "the parameter `{name}` of this template is missing in `parameters`; write \
                     `$${{{name}}}` where the text itself is meant"
                )
            })
        };
        let mut all = parts(text);
        if let (Some(Part::Name(name)), None, false) = (all.next(), all.next(), has_tag) {
            return known(name).map(Filled::Whole);
        }
        let mut filled = String::new();
        for part in parts(text) {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Name(name) => filled.push_str(inside(name, known(name)?)?),
                Part::Bad(bad) => {
                    return Err(format!(
                        "`{bad}` is no parameter: write `$${{` where the text itself is meant"
                    ));
                }
            }
            if filled.len() > LONGEST {
                return Err(format!("the text has more than {LONGEST} bytes with its parameters"));
            }
        }
        Ok(Filled::Text(filled))
    }
}

/// The text of a parameter that stands inside another text.
fn inside<'a>(name: &str, value: &'a Node) -> Result<&'a str, String> {
    match &value.value {
        Value::Scalar(_) if value.is_pending() => Err(format!(
            "the parameter `{name}` lies elsewhere, so it can only be a whole value, not a part of one"
        )),
        Value::Scalar(text) => Ok(text),
        _ => Err(format!("the parameter `{name}` is {}, which no text can hold", value.kind())),
    }
}

enum Filled<'a> {
    Whole(&'a Node),
    Text(String),
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Name(&'t str),
    /// It begins like a parameter and is none.
    Bad(&'t str),
}

/// Takes a text apart: `${NAME}` is a parameter, `$${` means `${` itself.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = rest.find("${");
        let (part, next) = match at {
            _ if rest.is_empty() => return None,
            None => (Part::Text(rest), ""),
            // The first dollar says that the second is meant as it is.
            Some(1) if rest.starts_with('$') => (Part::Text("${"), &rest[3..]),
            Some(at) if rest[..at].ends_with('$') => (Part::Text(&rest[..at - 1]), &rest[at - 1..]),
            Some(0) => name(rest),
            Some(at) => (Part::Text(&rest[..at]), &rest[at..]),
        };
        rest = next;
        Some(part)
    })
}

fn name(text: &str) -> (Part<'_>, &str) {
    let Some((name, next)) = text[2..].split_once('}') else { return (Part::Bad(text), "") };
    let is_name = |ch: char| ch.is_ascii_alphanumeric() || ch == '_' || ch == '-';
    match !name.is_empty() && name.chars().all(is_name) {
        true => (Part::Name(name), next),
        false => (Part::Bad(&text[..name.len() + 3]), next),
    }
}

const OWN: [&str; 2] = ["template", "parameters"];
const LONGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_at_its_parameters() {
        use Part::{Bad, Name, Text};
        for (text, wanted) in [
            ("", vec![]),
            ("plain $HOME $x", vec![Text("plain $HOME $x")]),
            ("${a}", vec![Name("a")]),
            ("${a}${b-1}/", vec![Name("a"), Name("b-1"), Text("/")]),
            ("x ${a} y", vec![Text("x "), Name("a"), Text(" y")]),
            ("$${a}", vec![Text("${"), Text("a}")]),
            ("x$${a} ${b}", vec![Text("x"), Text("${"), Text("a} "), Name("b")]),
            ("${a:-b} c", vec![Bad("${a:-b}"), Text(" c")]),
            ("${}", vec![Bad("${}")]),
            ("ü${a", vec![Text("ü"), Bad("${a")]),
        ] {
            assert_eq!(parts(text).collect::<Vec<_>>(), wanted, "{text}");
        }
    }
}
