//! Options of a user for a program: one text of shell words, or a list of words.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use crate::base::PENDING;

/// Words for a command line: `--rate 5 "a b"`, or a list with one word an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Written);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Text(String),
    List(Vec<String>),
}

impl Default for Written {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Words {
    /// Takes one text, as a shell would read it.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Written::Text(text.into()))
    }

    /// Returns the words; none for a value that was not fetched.
    ///
    /// Errors: a text whose quotes do not end.
    pub fn split(&self) -> Result<Vec<String>, String> {
        match &self.0 {
            Written::Text(text) if text == PENDING => Ok(Vec::new()),
            Written::Text(text) => shell_words::split(text).map_err(|error| error.to_string()),
            Written::List(words) => Ok(words.clone()),
        }
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadWords)
    }
}

struct ReadWords;

impl<'de> Visitor<'de> for ReadWords {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("options in one text, or a list of them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Words, E> {
        Ok(Words::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = list.next_element()? {
            words.push(word);
        }
        Ok(Words(Written::List(words)))
    }
}

impl JsonSchema for Words {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "array"], "items": { "type": "string" } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_a_shell_would_and_a_list_as_it_is() {
        let text: Words = serde_json::from_str(r#""--a 'b c' --d=\"e f\"""#).unwrap();
        assert_eq!(text.split().unwrap(), ["--a", "b c", "--d=e f"]);
        let list: Words = serde_json::from_str(r#"["--a", "b 'c"]"#).unwrap();
        assert_eq!(list.split().unwrap(), ["--a", "b 'c"]);
        assert!(Words::text("'open").split().is_err());
        assert_eq!(Words::text(PENDING).split().unwrap(), [] as [&str; 0]);
    }
}
