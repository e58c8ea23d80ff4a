//! What the options of a user say, read as `getopt_long` reads them, and which of them a program
//! must not get: whole names, their abbreviations and bundled letters alike.

use crate::base::PENDING;

/// An option that a program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// Its name, without dashes.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// It takes a value.
    pub takes: bool,
    /// Why it cannot be given, as the end of a sentence.
    pub refused: Option<&'static str>,
}

/// An option as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The known option; `None` for one that only a later version may know.
    pub option: Option<Opt>,
    /// Its value.
    pub value: Option<String>,
    /// As it was written: `-Fc`, `--format=c`.
    pub written: String,
}

impl Opt {
    /// Describes an option without a value.
    pub const fn flag(long: &'static str) -> Self {
        Self { long, short: None, takes: false, refused: None }
    }

    /// Describes an option with a value.
    pub const fn value(long: &'static str) -> Self {
        Self { long, short: None, takes: true, refused: None }
    }

    /// Adds its letter.
    #[must_use]
    pub const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Says why it is refused.
    #[must_use]
    pub const fn refused(mut self, why: &'static str) -> Self {
        self.refused = Some(why);
        self
    }
}

/// Reads `words` by the options that a program knows.
///
/// Errors: a sentence for each word that is refused, or that is no option at all.
pub fn read_options(words: &[String], known: &[Opt]) -> Result<Vec<Given>, Vec<String>> {
    let (mut given, mut wrong) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
            given.push(read_long(word, long, known, &mut words));
        } else if word.len() > 1 && word.starts_with('-') && word != "--" {
            read_letters(word, known, &mut words, &mut given);
        } else if word != PENDING {
            wrong.push(format!("`{word}` is no option: write values as --option=value"));
        }
    }
    for one in &given {
        if let Some(why) = one.option.and_then(|option| option.refused) {
            wrong.push(format!("`{}` cannot be given: {why}", one.written));
        }
    }
    if wrong.is_empty() { Ok(given) } else { Err(wrong) }
}

fn read_long<'a>(
    word: &str,
    long: &str,
    known: &[Opt],
    rest: &mut impl Iterator<Item = &'a String>,
) -> Given {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let exact = known.iter().find(|option| option.long == name);
    let begins = || known.iter().filter(|option| option.long.starts_with(name));
    // What may mean a refused option is taken for it, whatever else it may mean.
    let option = exact
        .or_else(|| begins().find(|option| option.refused.is_some()))
        .or_else(|| begins().next())
        .copied();
    let mut given = Given { option, value, written: word.to_owned() };
    take_value(&mut given, rest);
    given
}

fn read_letters<'a>(
    word: &str,
    known: &[Opt],
    rest: &mut impl Iterator<Item = &'a String>,
    given: &mut Vec<Given>,
) {
    let letters = &word[1..];
    for (at, letter) in letters.char_indices() {
        let option = known.iter().find(|option| option.short == Some(letter)).copied();
        let after = &letters[at + letter.len_utf8()..];
        let takes = option.is_some_and(|option| option.takes);
        let value = (takes && !after.is_empty()).then(|| after.to_owned());
        let mut one = Given { option, value, written: word.to_owned() };
        if takes {
            take_value(&mut one, rest);
            return given.push(one);
        }
        given.push(one);
    }
}

/// Takes the next word as the value where the option needs one.
fn take_value<'a>(given: &mut Given, rest: &mut impl Iterator<Item = &'a String>) {
    if given.value.is_none() && given.option.is_some_and(|option| option.takes) {
        given.value = rest.next().cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Opt] = &[
        Opt::flag("clean").short('c'),
        Opt::flag("create").short('C').refused("it would switch"),
        Opt::value("file").short('f').refused("it would write elsewhere"),
        Opt::value("format").short('F'),
        Opt::value("table").short('t'),
    ];

    fn read(words: &[&str]) -> Result<Vec<Given>, Vec<String>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        read_options(&words, KNOWN)
    }

    #[test]
    fn a_refused_option_is_found_in_every_spelling() {
        let all: &[&[&str]] = &[
            &["-C"],
            &["-cC"],
            &["--create"],
            &["--cr"],
            &["-f", "x"],
            &["-fx"],
            &["-cfx"],
            &["--file", "x"],
            &["--file=x"],
            &["--fi=x"],
            &["--f=x"],
        ];
        for words in all {
            let wrong = read(words).unwrap_err();
            assert!(
                wrong.len() == 1 && wrong[0].contains("cannot be given"),
                "{words:?} {wrong:?}"
            );
        }
    }

    #[test]
    fn a_value_is_no_option_even_if_it_looks_like_one() {
        assert_eq!(read(&["-t", "-C"]).unwrap()[0].value.as_deref(), Some("-C"));
        assert_eq!(read(&["-tC"]).unwrap()[0].value.as_deref(), Some("C"));
        assert_eq!(read(&["--table", "--file"]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for words in [&["other_db"][..], &["--", "x"], &["-"], &[""], &["-c", "x"]] {
            assert!(read(words).unwrap_err()[0].contains("is no option"), "{words:?}");
        }
    }

    #[test]
    fn an_option_of_a_later_version_passes() {
        let given = read(&["--new-thing=5", "--other"]).unwrap();
        assert!(given.iter().all(|one| one.option.is_none()));
    }
}
