//! What `scan.rs` must see and must not be fooled by.

use crate::support::scan::{code_only, crate_paths, functions, modules, without_tests};

#[test]
fn literals_and_comments_hide_nothing_and_show_nothing() {
    let text = concat!(
        "let a = \"crate::x {\"; // crate::y {\n",
        "/* { /* crate::z */ } */ let b = '{'; let c = b'\\''; let d: &'static str = r#\"\"{\"#;\n",
        "let e = '\"'; let f = b\"}\"; let g = r\"\\\"; fn h<'a>(i: &'a str) {}",
    );
    let code = code_only(text);
    assert!(!code.contains("crate::"), "{code}");
    assert_eq!((code.matches('{').count(), code.matches('}').count()), (1, 1), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn test_items_are_cut_and_only_they() {
    let code = "mod a;\n#[cfg(test)]\nmod tests;\nuse crate::b::C;\n#[cfg(test)] mod t { fn x() {} }\nfn y() {}";
    let left = without_tests(code);
    assert!(
        left.contains("crate::b") && left.contains("fn y") && left.contains("mod a;"),
        "{left}"
    );
    assert!(!left.contains("tests") && !left.contains("fn x"), "{left}");
}

#[test]
fn every_crate_path_is_spelled_out() {
    let code = "use crate::a::{B, c::{self, D as E}, F}; use crate::{g, h::*}; fn x() { crate::i::j::<K>(); \
        crate::l::m(n); } use crate::*; pub use crate::o::P;";
    let found: Vec<String> = crate_paths(code).into_iter().map(|path| path.join("::")).collect();
    let wanted =
        ["a::B", "a::c::self", "a::c::D", "a::F", "g", "h::*", "i::j", "l::m", "*", "o::P"];
    assert_eq!(found, wanted);
}

#[test]
fn functions_are_measured_between_their_braces() {
    let code = "trait T { fn open(&self) -> [u8; 2]; }\nfn one() -> [u8; 2] {\n    a();\n    if b {\n        c();\n    }\n}\nfn empty() {}\n";
    assert_eq!(functions(code), [("one".to_owned(), 4), ("empty".to_owned(), 0)]);
}

#[test]
fn modules_are_found_with_what_is_around_them() {
    let found = modules("mod a; mod b { pub(crate) mod c; fn x() {} mod d; } pub mod e;");
    let found: Vec<String> = found.into_iter().map(|names| names.join("/")).collect();
    assert_eq!(found, ["a", "b/c", "b/d", "e"]);
}
