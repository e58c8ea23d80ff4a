//! What is lenient, what is not, and where errors point.

use std::sync::Arc;

use serde::Deserialize;

use super::*;
use crate::config::node::File;
use crate::config::yaml::{self, Budget};

#[derive(Debug, Deserialize, PartialEq)]
struct Outer {
    name: String,
    number: Option<u16>,
    #[serde(default)]
    list: Vec<String>,
    inner: Option<Inner>,
    #[serde(default)]
    many: Vec<Inner>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Inner {
    flag: bool,
    word: Option<Word>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Word {
    One,
    Two,
}

fn from(text: &str) -> (Option<Outer>, Vec<Problem>) {
    let file = Arc::new(File::new("t".into(), text.to_owned()));
    let mut problems = Problems::default();
    let node = yaml::parse(&file, &mut Budget::new(), &mut problems).unwrap();
    let value = read(&node, "top", &["also"], &mut problems);
    (value, problems.into_iter().collect())
}

fn good(text: &str) -> Outer {
    let (value, problems) = from(text);
    assert!(problems.is_empty(), "{problems:?}");
    value.unwrap()
}

fn bad(text: &str) -> (usize, usize, String, String) {
    let (value, mut problems) = from(text);
    assert!(value.is_none() && problems.len() == 1, "{problems:?}");
    let problem = problems.remove(0);
    (problem.line, problem.column, problem.path, problem.message)
}

#[test]
fn plain_meanings_are_taken() {
    let outer = good("name: 5\nnumber: ' 7 '\nlist: one\ninner: {flag: on, word: two}\nalso: x\n");
    assert_eq!((outer.name.as_str(), outer.number), ("5", Some(7)));
    assert_eq!(outer.list, ["one"]);
    assert_eq!(outer.inner, Some(Inner { flag: true, word: Some(Word::Two) }));
    let outer = good("name: x\nnumber: ''\nlist: ['', a, ~]\ninner:\nmany: [{flag: 'no'}]\n");
    assert_eq!((outer.number, outer.inner), (None, None));
    assert_eq!(outer.list, ["a"]);
}

#[test]
fn errors_point_at_the_value_that_is_to_blame() {
    let at = |line, column, path: &str, message: &str| {
        (line, column, path.to_owned(), message.to_owned())
    };
    let cases = [
        ("name: x\nnumber: ten\n", at(2, 9, "top.number", "`ten` is not a whole number")),
        (
            "name: x\nnumber: 70000\n",
            at(2, 9, "top.number", "`70000` is outside what is possible here"),
        ),
        ("name: [x]\n", at(1, 7, "top.name", "a single value is expected here, not a list")),
        ("number: 1\n", at(1, 1, "top", "`name` is missing")),
        ("number: 1\nname: ''\n", at(2, 1, "top", "`name` is missing")),
        ("name: x\nlist: {a: b}\n", at(2, 7, "top.list", "a list is expected here, not a mapping")),
        (
            "name: x\nmany:\n- flag: no\n- flag: 2\n",
            at(4, 9, "top.many[1].flag", "`2` is neither `yes` nor `no`"),
        ),
        (
            "name: x\ninner: {flag: y, word: too}\n",
            at(2, 24, "top.inner.word", "`too` is not possible here, did you mean `two`?"),
        ),
        ("just text\n", at(1, 1, "top", "a mapping is expected here, not a single value")),
    ];
    for (text, expected) in cases {
        assert_eq!(bad(text), expected, "{text}");
    }
}

#[test]
fn unknown_keys_of_all_levels_come_at_once_and_stop_nothing() {
    let (value, problems) =
        from("nam: 1\nname: x\ninner: {flag: y, falg: n}\nmany: [{flag: n, zzz: 1}]\nals: 1\n");
    assert!(value.is_some());
    let said: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let expected = [
        "unknown key `nam`, did you mean `name`?",
        "unknown key `als`, did you mean `also`?",
        "unknown key `falg`, did you mean `flag`?",
        "unknown key `zzz`",
    ];
    assert_eq!(said, expected);
    assert_eq!(problems[3].hint.as_deref(), Some("valid here: flag, word"));
}

#[test]
fn secrets_are_not_quoted() {
    #[derive(Debug, Deserialize)]
    struct Login {
        #[allow(dead_code)]
        password: u16,
    }
    let file = Arc::new(File::new("t".into(), "password: hunter2\n".to_owned()));
    let mut problems = Problems::default();
    let node = yaml::parse(&file, &mut Budget::new(), &mut problems).unwrap();
    assert!(read::<Login>(&node, "", &[], &mut problems).is_none());
    let said = problems.to_string();
    assert!(
        !said.contains("hunter2") && said.contains("the value is not a whole number"),
        "{said}"
    );
}
