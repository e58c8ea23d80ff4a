//! From a marked tree to structs: serde over [`Node`].
//!
//! It reports every unknown key of every mapping and goes on; any other mistake ends the section
//! that is being read, with the place of the value that is to blame. It is lenient where the
//! meaning is plain: numbers may be quoted, `yes` is true, blank is 'not set', one value may stand
//! for a list of one. It never quotes a value that is secret.

mod access;
mod chosen;
mod error;

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};

use access::{Fields, Items, Variant};
use chosen::Chosen;
use error::Error;

use crate::base::PENDING;
use crate::config::mask;
use crate::config::node::{Node, Value};
use crate::config::problem::{Problem, Problems, nearest};

/// Reads `node`, which is at `path` in the tree, as a `T`.
///
/// Returns `None` when that is impossible; what is wrong goes to `problems` either way. Keys in
/// `also` belong to another struct of the same mapping: they are passed by and may be suggested.
pub(crate) fn read<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    also: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    read_by(|de| T::deserialize(de), node, path, also, problems)
}

/// Reads `node` as the variant `kind` of `T`, like [`read`].
pub(crate) fn read_kind<T: DeserializeOwned>(
    kind: &'static str,
    node: &Node,
    path: &str,
    also: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    read_by(|inner| T::deserialize(Chosen { word: kind, inner }), node, path, also, problems)
}

fn read_by<T>(
    deserialize: impl FnOnce(De<'_>) -> Result<T, Error>,
    node: &Node,
    path: &str,
    also: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    let unknown = RefCell::new(Vec::new());
    let got = deserialize(De { node, path: Path::Root(path), also, unknown: &unknown });
    problems.extend(unknown.into_inner());
    match got {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(error.into_problem(node, path));
            None
        }
    }
}

/// Returns the names of a struct's fields.
pub(crate) fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(error::FieldNames) {
        Err(error) => error.fields(),
        Ok(_) => &[],
    }
}

/// Returns the names of the fields of the variant `kind` of an enum.
pub(crate) fn fields_of<T: DeserializeOwned>(kind: &'static str) -> &'static [&'static str] {
    match T::deserialize(Chosen { word: kind, inner: error::FieldNames }) {
        Err(error) => error.fields(),
        Ok(_) => &[],
    }
}

/// A way from a root to a value, spelled only when it is needed.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root(&'a str),
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(root) => f.write_str(root),
            Self::Key(Path::Root(""), key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    fn is_secret(&self) -> bool {
        match self {
            Self::Root(_) => false,
            Self::Key(_, key) => mask::is_secret(key),
            Self::Item(parent, _) => parent.is_secret(),
        }
    }
}

/// Deserialises one node.
#[derive(Clone, Copy)]
struct De<'a> {
    node: &'a Node,
    path: Path<'a>,
    also: &'a [&'a str],
    unknown: &'a RefCell<Vec<Problem>>,
}

impl<'a> De<'a> {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(message).at(self.node, &self.path)
    }

    /// Returns the text of a scalar, or the word that stands for what was not fetched.
    fn text(&self, wanted: &str) -> Result<&'a str, Error> {
        match &self.node.value {
            Value::Scalar(_) if self.node.is_pending() => Ok(PENDING),
            Value::Scalar(text) => Ok(text),
            _ => Err(self.error(format!("{wanted} is expected here, not {}", self.node.kind()))),
        }
    }

    /// Quotes the value for a message, unless it is a secret.
    fn quoted(&self) -> String {
        match &self.node.value {
            Value::Scalar(text) if !self.node.secret && !self.path.is_secret() => {
                format!("`{}`", mask::url(text))
            }
            Value::Scalar(_) => "the value".to_owned(),
            _ => self.node.kind().to_owned(),
        }
    }

    fn boolean(&self) -> Result<bool, Error> {
        if self.node.is_pending() {
            return Ok(true);
        }
        match self.text("`yes` or `no`")?.trim().to_lowercase().as_str() {
            "true" | "yes" | "on" | "y" => Ok(true),
            "false" | "no" | "off" | "n" => Ok(false),
            _ => Err(self.error(format!("{} is neither `yes` nor `no`", self.quoted()))),
        }
    }

    fn whole<N: std::str::FromStr + Default>(&self) -> Result<N, Error> {
        if self.node.is_pending() {
            return Ok("1".parse().unwrap_or_default());
        }
        let text = self.text("a whole number")?.trim();
        let digits = text.trim_start_matches(['-', '+']).bytes().all(|ch| ch.is_ascii_digit());
        text.parse().map_err(|_| match digits && !text.is_empty() {
            true => self.error(format!("{} is outside what is possible here", self.quoted())),
            false => self.error(format!("{} is not a whole number", self.quoted())),
        })
    }

    /// Gives an error of a visitor its place, and takes the value out of it if that is secret.
    fn place(&self, error: Error) -> Error {
        if !error.is_placed() && (self.node.secret || self.path.is_secret()) {
            return self.error("the value does not fit here; it is secret and not shown");
        }
        error.at(self.node, &self.path)
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.whole::<$type>()?).map_err(|error| self.place(error))
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar(_) => self.deserialize_str(visitor),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.boolean()?).map_err(|error| self.place(error))
    }

    numbers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text("a single value")?).map_err(|error| self.place(error))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_blank() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match &self.node.value {
            Value::List(items) => items.as_slice(),
            Value::Scalar(_) => std::slice::from_ref(self.node),
            Value::Map(_) => return Err(self.error("a list is expected here, not a mapping")),
        };
        visitor.visit_seq(Items::new(self, items)).map_err(|error| self.place(error))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Map(entries) => {
                let fields = Fields::new(self, entries.iter().collect());
                visitor.visit_map(fields).map_err(|error| self.place(error))
            }
            _ => Err(self.error(format!("a mapping is expected here, not {}", self.node.kind()))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Map(entries) = &self.node.value else {
            return self.deserialize_map(visitor);
        };
        let mut known = Vec::new();
        for entry in entries {
            if fields.contains(&entry.key.as_str()) {
                known.push(entry);
            } else if !self.also.contains(&entry.key.as_str()) {
                let valid = fields.iter().chain(self.also).copied();
                let problem = unknown_key(entry, &self.path.to_string(), valid);
                self.unknown.borrow_mut().push(problem);
            }
        }
        visitor.visit_map(Fields::new(self, known)).map_err(|error| self.place(error))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = self.text("a single word")?.trim();
        let word = if self.node.is_pending() { variants.first().unwrap_or(&text) } else { text };
        if !variants.contains(&word) {
            let near = nearest(word, variants.iter().copied());
            let near = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
            let message = format!("{} is not possible here{near}", self.quoted());
            return Err(self.error(message).with_hint(format!("one of: {}", variants.join(", "))));
        }
        visitor.visit_enum(Variant::new(word)).map_err(|error| self.place(error))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

/// Says that a key is unknown, with the nearest of the valid ones, or all of them.
pub(crate) fn unknown_key<'a>(
    entry: &crate::config::node::Entry,
    path: &str,
    valid: impl Iterator<Item = &'a str> + Clone,
) -> Problem {
    let near = nearest(&entry.key, valid.clone());
    let word = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
    let problem = Problem::error(&entry.mark, path, format!("unknown key `{}`{word}", entry.key));
    if near.is_some() {
        return problem;
    }
    let mut valid: Vec<_> = valid.collect();
    valid.sort_unstable();
    problem.with_hint(format!("valid here: {}", valid.join(", ")))
}

impl<'de> IntoDeserializer<'de, Error> for De<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests;
