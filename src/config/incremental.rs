//! `incremental: calendar`, or `incremental: {max_level: 7}` and the like.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use crate::base::PENDING;

/// How increments build on one another, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Incremental {
    /// By years, months, decades and days.
    Calendar,
    /// By levels.
    Levels(Levels),
}

/// Levels that are counted from a full copy, which is level 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// Levels 0 to this one, then 0 again: one run more than the number says in each cycle.
    pub max_level: Option<u16>,
    /// Levels up to this one, which is repeated then, each time against the newest below it.
    pub always_level: Option<u16>,
    /// A full copy once the last one is older than so many days.
    pub restart_days: Option<u32>,
}

impl Levels {
    /// Returns the last level, and whether it is repeated.
    ///
    /// Errors: words when neither or both of `max_level` and `always_level` are set, or too high.
    pub fn last(&self) -> Result<(u16, bool), &'static str> {
        match (self.max_level, self.always_level) {
            (Some(HIGHEST..), None) | (None, Some(HIGHEST..)) => {
                Err("a level is at most 98: every restore reads all levels up to it")
            }
            (Some(last), None) => Ok((last, false)),
            (None, Some(last)) => Ok((last, true)),
            (Some(_), Some(_)) => Err("either `max_level` or `always_level`, not both"),
            (None, None) => Err("levels need `max_level` or `always_level`"),
        }
    }
}

impl<'de> Deserialize<'de> for Incremental {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrLevels)
    }
}

struct WordOrLevels;

impl<'de> Visitor<'de> for WordOrLevels {
    type Value = Incremental;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`calendar`, or a mapping of `max_level` or `always_level` and `restart_days`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Incremental, E> {
        match text.trim().to_lowercase().as_str() {
            "calendar" | PENDING => Ok(Incremental::Calendar),
            _ => Err(E::custom(format!(
                "`{text}` is no way to build increments: `calendar`, or levels such as \
                 {{max_level: 7}}"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Incremental, A::Error> {
        let levels = Levels::deserialize(MapAccessDeserializer::new(map))?;
        levels.last().map_err(de::Error::custom)?;
        Ok(Incremental::Levels(levels))
    }
}

impl JsonSchema for Incremental {
    fn schema_name() -> Cow<'static, str> {
        "Incremental".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let levels = generator.subschema_for::<Levels>();
        json_schema!({ "anyOf": [{ "const": "calendar" }, levels] })
    }
}

/// The first level that is too high.
const HIGHEST: u16 = 99;
