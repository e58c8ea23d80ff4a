//! Makes a web tree that looks like the real thing to a backup program: many small sources, fewer
//! images, a few archives and large logs, deep folders, links.
//!
//! The same seed and sizes give the same tree, whatever the number of threads; only the times of
//! symbolic links differ. Uses the standard library only, so that `rustc -O benches/webtree/main.rs` is enough to build it.

mod plan;
mod random;
mod text;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::plan::{folders, plans};
use crate::random::Random;
use crate::text::Words;
use crate::write::{YEARS, age, empty_tree, links, noise_file};

const USAGE: &str =
    "webtree --out DIR [--seed 1] [--bytes 2147483648] [--files 100000] [--threads 2]
webtree --out DIR --empty COUNT      empty files only, a thousand in a folder
webtree --out FILE --noise BYTES     one file of bytes that no compressor makes smaller";

fn main() -> ExitCode {
    let options = match Options::from_args(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => return fail(&format!("{wrong}\n{USAGE}")),
    };
    let made = match (options.empty, options.noise) {
        (Some(count), _) => empty_tree(&options.out, count),
        (_, Some(bytes)) => noise_file(&options.out, options.seed, bytes),
        _ => web_tree(&options),
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{}: {error}", options.out.display())),
    }
}

fn fail(words: &str) -> ExitCode {
    writeln!(io::stderr(), "webtree: {words}").ok();
    ExitCode::from(2)
}

struct Options {
    out: PathBuf,
    seed: u64,
    bytes: u64,
    files: usize,
    threads: usize,
    empty: Option<usize>,
    noise: Option<u64>,
}

impl Options {
    fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given = HashMap::new();
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(name) = args.next() {
            let known =
                ["--out", "--seed", "--bytes", "--files", "--threads", "--empty", "--noise"];
            if !known.contains(&name.as_str()) {
                return Err(format!("{name} is not an option"));
            }
            let value = args.next().ok_or(format!("{name} wants a value"))?;
            given.insert(name, value);
        }
        let number = |name: &str| {
            let Some(text) = given.get(name) else { return Ok(None) };
            text.parse::<u64>().map(Some).map_err(|_| format!("{name} {text}: not a number"))
        };
        let count = |name: &str| number(name).map(|n| n.map(|n| n as usize));
        Ok(Self {
            out: given.get("--out").ok_or("--out is missing")?.into(),
            seed: number("--seed")?.unwrap_or(1),
            bytes: number("--bytes")?.unwrap_or(2 << 30),
            files: count("--files")?.unwrap_or(100_000),
            threads: count("--threads")?.unwrap_or(2).max(1),
            empty: count("--empty")?,
            noise: number("--noise")?,
        })
    }
}

fn web_tree(options: &Options) -> io::Result<()> {
    let mut random = Random::new(options.seed);
    let folders = folders(&mut random, options.files);
    for folder in &folders {
        fs::create_dir_all(options.out.join(folder))?;
    }
    let plans = plans(&mut random, options.bytes, options.files, &folders);
    let words = Words::new(options.seed);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> io::Result<()> {
            while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                plan.write(&options.out, &words)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..options.threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a writer panicked"))
    })?;
    links(&mut random, &options.out, &plans)?;
    // Nothing is made any more: the times of folders stay now.
    for folder in folders.iter().flat_map(|folder| folder.ancestors()).collect::<BTreeSet<_>>() {
        age(&options.out.join(folder), random.below(YEARS))?;
    }
    Ok(())
}
