//! The rules of the house: which room may use which, how long a file and a function may grow,
//! and that the map in `docs/architecture.md` shows the rooms as they are.
//!
//! What stands under `#[cfg(test)]` may use every room; sizes hold for tests too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::scan;

/// What each room may use. A name alone opens the whole room; `room::Name` opens only what is
/// called `Name` in it, at any depth. A new door is a new line here and in the map.
const DOORS: &[(&str, &str)] = &[
    ("base", ""),
    ("net", "base"),
    ("cgroup", ""),
    ("stream", "base"),
    ("report", "base"),
    ("retention", "base"),
    ("archive", "base stream"),
    ("sources", "base net stream"),
    ("storages", "base net stream"),
    ("catalogue", "base stream storages"),
    ("notify", "base report"),
    ("metrics", "base report"),
    ("config", "base retention stream::Codec sources::Config storages::Config notify::Config"),
    ("plan", "base config notify retention sources storages stream"),
    ("run", "archive base catalogue cgroup plan report retention sources storages stream"),
    ("restore", "archive base catalogue plan report retention run sources storages stream"),
    (
        "cli",
        "archive base catalogue config metrics notify plan report restore retention run sources \
         storages stream",
    ),
];

/// Functions that may be longer than [`FUNCTION_LINES`]: file, function; only tables and plain
/// matches.
const LONG: &[(&str, &str)] = &[];

/// How an attribute begins that gives a module's file a name of its own.
const PATH: &str = "#[path = \"";

/// Where the compiler begins.
const ROOTS: &[&str] = &["src/lib.rs", "src/main.rs"];

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 80;

#[test]
fn rooms_use_only_the_doors_that_they_have() {
    let mut wrong = Vec::new();
    for file in shipped_files() {
        let Some(room) = room_of(&file) else { continue };
        let code = scan::without_tests(&scan::code_only(&read(&file)));
        let open = DOORS.iter().find(|(name, _)| *name == room).map_or("", |(_, open)| open);
        let open: Vec<&str> = open.split_whitespace().collect();
        for path in scan::crate_paths(&code) {
            if let Some(problem) = closed(&room, &open, &path) {
                wrong.push(format!("{file}: {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "closed doors were used:\n{}", wrong.join("\n"));
}

#[test]
fn nobody_climbs_out_of_a_room() {
    let mut wrong = Vec::new();
    for file in shipped_files() {
        let code = scan::without_tests(&scan::code_only(&read(&file)));
        let squeezed = code.split_whitespace().collect::<String>();
        if squeezed.contains("super::super") {
            wrong.push(format!("{file}: `super::super`; say `crate::room::Thing`"));
        }
        if room_of(&file).is_some() && is_shallow(&file) && code.contains("super::") {
            wrong.push(format!("{file}: `super::` leaves the room; say `crate::room::Thing`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_stay_short() {
    let mut wrong = Vec::new();
    for file in ["src", "tests", "benches"].into_iter().flat_map(rust_files) {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("{file}: {lines} lines; split at {FILE_LINES}"));
        }
        for (name, lines) in scan::functions(&scan::code_only(&text)) {
            if lines > FUNCTION_LINES && !LONG.contains(&(file.as_str(), name.as_str())) {
                wrong.push(format!(
                    "{file}: fn {name} has {lines} lines; split at {FUNCTION_LINES}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = ["src", "tests", "benches"]
        .into_iter()
        .flat_map(rust_files)
        .filter(|file| !read(file).starts_with("//! "))
        .collect();
    assert!(silent.is_empty(), "these do not open with `//!`: {silent:?}");
}

#[test]
fn every_file_is_part_of_the_program_or_of_its_tests() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("autotests = false"), "Cargo would find test binaries by itself");
    assert_eq!(manifest.matches("[[test]]").count(), 1, "tests/main.rs is the only test binary");
    for (folder, roots) in [("tests", &["tests/main.rs"][..]), ("src", ROOTS)] {
        let mut reached = BTreeSet::new();
        for root in roots {
            reach(Path::new(root), true, &mut reached);
        }
        let lost: Vec<String> = rust_files(folder)
            .into_iter()
            .filter(|file| !reached.contains(Path::new(file)))
            .collect();
        assert!(lost.is_empty(), "no `mod` line leads from {roots:?} to {lost:?}");
    }
}

#[test]
fn the_map_shows_every_room_with_its_doors() {
    let map = read("docs/architecture.md");
    let rooms: Vec<String> = scan::modules(&scan::code_only(&read("src/lib.rs")))
        .into_iter()
        .map(|names| names.join("::"))
        .collect();
    let known: BTreeSet<&str> = DOORS.iter().map(|(room, _)| *room).collect();
    assert_eq!(rooms.iter().map(String::as_str).collect::<BTreeSet<_>>(), known, "rooms, doors");
    for (room, open) in DOORS {
        let row = map.lines().find(|line| line.starts_with(&format!("| `{room}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/architecture.md has no row `{room}`"));
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let shown: BTreeSet<&str> = cell.split('`').skip(1).step_by(2).collect();
        let open: BTreeSet<&str> = open.split_whitespace().collect();
        assert_eq!(shown, open, "the doors of `{room}` in docs/architecture.md");
    }
}

#[test]
fn pages_name_only_files_that_are_there() {
    let mut gone = Vec::new();
    let mut pages = files_below(Path::new("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md"].map(str::to_owned));
    for page in pages {
        let text = read(&page);
        let folder = Path::new(&page).parent().unwrap_or(Path::new(""));
        let linked = links(&text).into_iter().filter(|link| !link.contains("://"));
        gone.extend(
            linked
                .filter(|link| !top().join(folder).join(link).exists())
                .map(|link| format!("{page}: ({link})")),
        );
        for name in quoted(&text) {
            let ours = ["src/", "tests/", "docs/", "benches/", "conf.d.example/", ".ci/"];
            let plain = !name.contains(['<', '*', ' ', '{', '$']);
            if plain && ours.iter().any(|ours| name.starts_with(ours)) && !top().join(name).exists()
            {
                gone.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(gone.is_empty(), "pages name files that are not there:\n{}", gone.join("\n"));
}

/// Says why `path`, used in `room`, is not open to it.
fn closed(room: &str, open: &[&str], path: &[String]) -> Option<String> {
    let said = format!("crate::{}", path.join("::"));
    let (first, rest) = path.split_first()?;
    if first == "*" {
        return Some(format!("`{said}` opens every door at once"));
    }
    if first == room || open.contains(&first.as_str()) {
        return None;
    }
    let part = |door: &&str| {
        door.split_once("::")
            .is_some_and(|(into, name)| into == first && rest.iter().any(|part| part == name))
    };
    if open.iter().any(part) {
        return None;
    }
    Some(format!("`{room}` may not use `{said}`"))
}

/// The room of a file below `src/`; the two roots have none.
fn room_of(file: &str) -> Option<String> {
    let inside = file.strip_prefix("src/")?;
    let first = inside.split('/').next()?.trim_end_matches(".rs");
    (!matches!(first, "lib" | "main")).then(|| first.to_owned())
}

/// Tells whether the parent module of this file is the crate itself.
fn is_shallow(file: &str) -> bool {
    file.strip_prefix("src/")
        .is_some_and(|inside| inside.trim_end_matches("/mod.rs").matches('/').count() == 0)
}

/// The files below `src/` that are compiled when nothing is tested.
fn shipped_files() -> Vec<String> {
    let mut reached = BTreeSet::new();
    for root in ROOTS {
        reach(Path::new(root), false, &mut reached);
    }
    reached.into_iter().map(|file| file.to_string_lossy().into_owned()).collect()
}

/// Collects the files that the `mod` lines of `file`, and of what they name, lead to; with
/// `tests`, those under `#[cfg(test)]` too.
fn reach(file: &Path, tests: bool, reached: &mut BTreeSet<PathBuf>) {
    reached.insert(file.to_owned());
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = file.parent().unwrap_or(Path::new(""));
    let root = matches!(stem.as_str(), "lib" | "main" | "mod");
    let folder = if root { folder.to_owned() } else { folder.join(stem) };
    let text = read(&file.to_string_lossy());
    let code = scan::code_only(&text);
    let code = if tests { code } else { scan::without_tests(&code) };
    // A path of its own is for tests alone; the compiler has seen that it leads somewhere.
    let named: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix(PATH)).collect();
    if tests {
        let file_of = |name: &str| file.with_file_name(name.trim_end_matches("\"]"));
        reached.extend(named.iter().map(|name| file_of(name)));
    }
    for module in scan::modules(&code) {
        let path = module.iter().fold(folder.clone(), |path, name| path.join(name));
        let found = [path.with_extension("rs"), path.join("mod.rs")];
        match found.into_iter().find(|path| top().join(path).is_file()) {
            Some(path) => reach(&path, tests, reached),
            None if !named.is_empty() => {}
            None => panic!("{}: `mod {}` leads nowhere", file.display(), module.join("::")),
        }
    }
}

/// Where links lead, without the part after `#`.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(|link| link.split('#').next().unwrap_or_default()).collect()
}

/// What stands between single backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .collect()
}

fn rust_files(folder: &str) -> Vec<String> {
    files_below(Path::new(folder), "rs")
}

/// Every file with this extension below `folder`, as paths from the top of the repository.
fn files_below(folder: &Path, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        fs::read_dir(top().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let inside = folder.join(path.file_name().unwrap());
        if path.is_dir() {
            found.extend(files_below(&inside, extension));
        } else if path.extension().is_some_and(|ext| ext == extension) {
            found.push(inside.to_string_lossy().into_owned());
        }
    }
    found
}

fn read(file: &str) -> String {
    fs::read_to_string(top().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
