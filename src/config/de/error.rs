//! A mistake in a value, with its place as soon as that is known.

use std::fmt;

use serde::de::{Deserializer, Visitor};

use crate::config::de::Path;
use crate::config::node::{Mark, Node};
use crate::config::problem::Problem;

/// Why a section cannot be read.
#[derive(Debug)]
pub(crate) struct Error(Box<Inner>);

#[derive(Debug, Default)]
struct Inner {
    message: String,
    hint: Option<String>,
    place: Option<(Mark, String)>,
    fields: &'static [&'static str],
    missing: Option<&'static str>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Inner { message: message.into(), ..Inner::default() }))
    }

    pub(super) fn with_hint(mut self, hint: String) -> Self {
        self.0.hint = Some(hint);
        self
    }

    pub(super) fn is_placed(&self) -> bool {
        self.0.place.is_some()
    }

    /// Gives it a place, unless it has one: the innermost is the right one.
    pub(super) fn at(mut self, node: &Node, path: &Path<'_>) -> Self {
        if self.0.place.is_none() {
            let mark = match self.0.missing {
                Some(key) => node.mark_of(key),
                None => &node.mark,
            };
            self.0.place = Some((mark.clone(), path.to_string()));
        }
        self
    }

    pub(super) fn into_problem(self, node: &Node, path: &str) -> Problem {
        let inner = self.at(node, &Path::Root(path)).0;
        let (mark, path) = inner.place.unwrap_or_else(|| (node.mark.clone(), path.to_owned()));
        let problem = Problem::error(&mark, &path, inner.message);
        match inner.hint {
            Some(hint) => problem.with_hint(hint),
            None => problem,
        }
    }

    pub(super) fn fields(&self) -> &'static [&'static str] {
        self.0.fields
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(format!("`{field}` is missing"));
        error.0.missing = Some(field);
        error
    }
}

/// A deserialiser that has nothing but asks a struct for its fields.
pub(super) struct FieldNames;

impl<'de> Deserializer<'de> for FieldNames {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::new("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        Err(Error(Box::new(Inner { fields, ..Inner::default() })))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
