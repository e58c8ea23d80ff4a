//! `extra_keys`: options of a tool as one line of shell words or as a list, checked by whole names.
//!
//! The tools take `-` and `_` as the same, unambiguous beginnings of names, and letters of short
//! options in one word: all of them are seen through here.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::base::PENDING;

/// Options for a tool, one a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraKeys(pub Vec<String>);

/// What a tool's options must not be, and how they are read.
pub struct Rules {
    /// Long names that are refused, with the reason.
    pub refused: &'static [(&'static [&'static str], &'static str)],
    /// Short options and the long name of each.
    pub short: &'static [(char, &'static str)],
    /// Long names whose value may stand in the next word.
    pub with_value: &'static [&'static str],
}

/// One option as its tool would understand it.
#[derive(Debug, PartialEq, Eq)]
pub struct Given<'a> {
    /// Its long name, without `skip-` and the like taken away.
    pub name: String,
    /// Its value, where it has one.
    pub value: Option<&'a str>,
}

impl ExtraKeys {
    /// Says which of them are refused by `rules`.
    pub fn problems(&self, rules: &Rules) -> Vec<String> {
        let (given, stray) = self.given(rules);
        let refused = given.iter().filter_map(|one| {
            let (name, why) = rules.refuses(&one.name)?;
            let written =
                if one.name == name { name.to_owned() } else { format!("{} ({name})", one.name) };
            Some(format!("`--{written}` is not possible here: {why}"))
        });
        let stray = stray.into_iter().map(|word| {
            format!("`{word}` is no option: it would be taken as the name of a database or table")
        });
        refused.chain(stray).collect()
    }

    /// Returns the options that are given, in their order, and the words that belong to none.
    pub fn given(&self, rules: &Rules) -> (Vec<Given<'_>>, Vec<&str>) {
        let (mut given, mut stray) = (Vec::new(), Vec::new());
        let mut words =
            self.0.iter().map(String::as_str).filter(|word| *word != PENDING).peekable();
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--").filter(|long| !long.is_empty()) {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (normal(name), Some(value)),
                    None => (normal(long), None),
                };
                let takes = value.is_none() && rules.with_value.contains(&name.as_str());
                let next = words.next_if(|next| takes && !next.starts_with('-'));
                given.push(Given { name, value: value.or(next) });
            } else if let Some(letters) =
                word.strip_prefix('-').filter(|rest| !rest.is_empty() && *rest != "-")
            {
                if rules.letters(letters, &mut given) {
                    words.next();
                }
            } else {
                stray.push(word);
            }
        }
        (given, stray)
    }

    /// Tells whether an option of that long name is given.
    pub fn has(&self, name: &str, rules: &Rules) -> bool {
        self.given(rules).0.iter().any(|one| one.name == name)
    }
}

impl Rules {
    /// Returns the refused option that `name` is, or is the beginning of.
    fn refuses(&self, name: &str) -> Option<(&'static str, &'static str)> {
        let names =
            self.refused.iter().flat_map(|(names, why)| names.iter().map(move |one| (*one, *why)));
        let mut near = names.filter(|(refused, _)| refused.starts_with(name));
        let first = near.next();
        near.find(|(refused, _)| *refused == name).or(first)
    }

    /// Reads the letters of one word; tells whether the next word is the value of the last one.
    fn letters<'a>(&self, letters: &'a str, given: &mut Vec<Given<'a>>) -> bool {
        for (at, letter) in letters.char_indices() {
            let name = self.short.iter().find(|(short, _)| *short == letter).map(|(_, name)| *name);
            let Some(name) = name else {
                given.push(Given { name: letter.to_string(), value: None });
                continue;
            };
            let rest = &letters[at + letter.len_utf8()..];
            let takes = self.with_value.contains(&name);
            let value = (takes && !rest.is_empty()).then_some(rest);
            given.push(Given { name: name.to_owned(), value });
            if takes {
                return rest.is_empty();
            }
        }
        false
    }
}

/// Spells a name with dashes and without prefixes that change nothing.
fn normal(name: &str) -> String {
    let name = name.replace('_', "-");
    let bare = ["loose-", "enable-"]
        .iter()
        .fold(name.as_str(), |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
    bare.to_owned()
}

impl<'de> Deserialize<'de> for ExtraKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = ExtraKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("options in one line, or a list of them")
    }

    fn visit_str<E: de::Error>(self, line: &str) -> Result<ExtraKeys, E> {
        let words = shell_words::split(line);
        words.map(ExtraKeys).map_err(|_| E::custom("a quote in it is not closed"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ExtraKeys, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = items.next_element()? {
            words.push(word);
        }
        Ok(ExtraKeys(words))
    }
}

impl JsonSchema for ExtraKeys {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ExtraKeys".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::dump::RULES;

    fn problems(line: &str) -> Vec<String> {
        ExtraKeys(shell_words::split(line).unwrap()).problems(&RULES)
    }

    #[test]
    fn options_that_change_the_destination_or_the_database_are_refused_however_they_are_spelled() {
        for line in [
            "-B",
            "--databases",
            "-A",
            "--all-databases",
            "-r f",
            "--result-file=f",
            "-T d",
            "--tab=d",
            "--all_databases",
            "--datab",
            "-qB",
            "--loose-tab=x",
            "--res",
            "-pgeheim",
            "--password=x",
            "--defaults-file=/x",
            "--host x",
            "-X",
            "--login-path=a",
            "shop",
            "--quick shop",
            "--system=all",
        ] {
            assert_eq!(problems(line).len(), 1, "{line}: {:?}", problems(line));
        }
    }

    #[test]
    fn what_2_x_wrote_and_what_is_harmless_passes() {
        for line in [
            "--opt --add-drop-database --routines --comments --create-options --quote-names \
             --order-by-primary --hex-blob",
            "-w 'id < 5' --where 'a = 1' --ignore-table shop.log -qQ --dump-date --triggers=0",
            "/not-fetched",
            "--max-allowed-packet 64M --tables --ssl-ca /x",
            "",
        ] {
            assert_eq!(problems(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_written_and_why() {
        let said = problems("--datab");
        assert_eq!(
            said,
            ["`--datab (databases)` is not possible here: each database is one backup of its own"]
        );
    }
}
