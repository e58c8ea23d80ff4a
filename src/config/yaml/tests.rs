//! What the tree looks like, and that no text hurts.

use super::*;

fn read(text: &str) -> (Option<Node>, Problems) {
    let file = Arc::new(File::new("t.conf".into(), text.to_owned()));
    let mut problems = Problems::default();
    let node = parse(&file, &mut Budget::new(), &mut problems);
    (node, problems)
}

fn good(text: &str) -> Node {
    let (node, problems) = read(text);
    assert!(problems.is_empty(), "{problems}");
    node.unwrap()
}

fn bad(text: &str) -> String {
    let (_, problems) = read(text);
    assert!(problems.has_errors(), "{text} was taken");
    problems.to_string()
}

#[test]
fn every_node_knows_where_it_stands() {
    let root = good("main:\n  server_name: web1\njobs:\n  - job: ä\n    days: '6'\n");
    let job = match &root.get("jobs").unwrap().value {
        Value::List(items) => &items[0],
        other => panic!("{other:?}"),
    };
    let days = job.entry("days").unwrap();
    assert_eq!((days.mark.line, days.mark.column, days.mark.len), (5, 5, 4));
    assert_eq!((days.value.mark.line, days.value.mark.column, days.value.mark.len), (5, 11, 3));
    assert_eq!(days.value.text(), Some("6"));
    assert_eq!((job.first_mark().line, job.first_mark().column), (4, 5));
}

#[test]
fn nothing_and_empty_texts_are_blank() {
    let root = good("a:\nb: ''\nc: ~\nd: null\ne: \"null\"\nf: ' '\n");
    for key in ["a", "b", "c", "d", "f"] {
        assert!(root.get(key).is_none(), "{key}");
    }
    assert_eq!(root.get("e").unwrap().text(), Some("null"));
    assert!(good("").is_blank() && good("# only a comment\n").is_blank());
}

#[test]
fn tags_are_kept_and_unknown_ones_are_problems() {
    let root = good(
        "a: !env NAME\nb: !file p\nc: !cmd \"x y\"\nd: !include [x, y]\ne: !import z\nf: ENV:N\n\
         g: !!str yes\nh: 'x ENV:N'\n",
    );
    let tag = |key: &str| root.entry(key).unwrap().value.tag;
    assert_eq!(tag("a"), Some(Tag::Env));
    assert_eq!(tag("b"), Some(Tag::File));
    assert_eq!(tag("c"), Some(Tag::Cmd));
    assert_eq!(tag("d"), Some(Tag::Include));
    assert_eq!(tag("e"), Some(Tag::Include));
    assert_eq!(tag("f"), Some(Tag::Env));
    assert_eq!(tag("g"), None);
    assert_eq!(tag("h"), None);
    let said = bad("a: 1\nb: !incldue x\n");
    assert!(said.contains("unknown tag `!incldue`, did you mean `!include`?"), "{said}");
    assert!(said.contains("t.conf:2:4") && said.contains("^^^^^^^^"), "{said}");
    assert!(bad("a: !env [x]\n").contains("stands before a single value"));
    assert!(bad("a: !include {x: y}\n").contains("a mapping cannot be an include"));
    assert!(bad("a: !env ''\n").contains("a tag without a value"));
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let root = good("base: &b {x: 1, y: 2}\njob:\n  <<: *b\n  y: 3\nlist:\n  <<: [*b, {z: 4}]\n");
    let job = root.get("job").unwrap();
    assert_eq!(job.get("x").unwrap().text(), Some("1"));
    assert_eq!(job.get("x").unwrap().mark.line, 1);
    assert_eq!(job.get("y").unwrap().text(), Some("3"));
    assert_eq!(root.get("list").unwrap().get("z").unwrap().text(), Some("4"));
    assert!(bad("a: {<<: 1}\n").contains("`<<` takes a mapping"));
    assert!(bad("a: *nobody\n").contains("not valid YAML"));
}

#[test]
fn duplicate_and_odd_keys_are_problems_each() {
    let said = bad("a: 1\nb: 2\na: 3\nb: 4\n? [x]\n: y\n");
    assert!(said.contains("key `a` is set twice, first in line 1"), "{said}");
    assert!(said.contains("key `b` is set twice, first in line 2"), "{said}");
    assert!(said.contains("a key must be a single word"), "{said}");
}

#[test]
fn bombs_and_towers_are_refused_quickly() {
    let started = std::time::Instant::now();
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for at in 1..10 {
        let aliases = vec![format!("*a{}", at - 1); 10].join(",");
        bomb.push_str(&format!("a{at}: &a{at} [{aliases}]\n"));
    }
    assert!(bad(&bomb).contains("holds more than"));
    bad(&"[".repeat(100_000));
    bad(&"{a: ".repeat(100_000));
    bad(&(0..3000).map(|at| format!("{}a:\n", " ".repeat(at))).collect::<String>());
    let mut tower = "a0: &a0 [x]\n".to_owned();
    for at in 1..200 {
        tower.push_str(&format!("a{at}: &a{at} [*a{}]\n", at - 1));
    }
    assert!(bad(&tower).contains("levels deep"));
    bad("a: &a [*a]\n");
    let seconds = started.elapsed().as_secs();
    assert!(seconds < 10, "took {seconds} s");
}

#[test]
fn syntax_errors_say_where() {
    let said = bad("main:\n  server_name: [a\njobs: b\n");
    assert!(said.starts_with("error: not valid YAML: ") && said.contains("--> t.conf:"), "{said}");
    assert!(bad("a: 1\n---\nb: 2\n").contains("one document"));
    assert!(bad("a: b: c\n").contains("t.conf:1:"));
    assert!(bad("\tmain: x\n- y\n").contains("not valid YAML"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in r#"([a-c:\-\[\]{},&*!?|>#'"%@` \t\r\n<~0ä\u{feff}]|: |\n  |\n- |<<: \*|!include |password: ){0,60}"#) {
        let (_, problems) = read(&text);
        problems.to_string();
    }
}

#[test]
fn files_from_other_systems_are_read() {
    let root = good("\u{feff}a: 1\r\nb:\r\n  - x\r\n");
    assert_eq!(root.get("a").unwrap().text(), Some("1"));
    assert_eq!(root.entry("b").unwrap().mark.line, 2);
}
