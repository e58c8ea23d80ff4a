//! `compress: gzip` or `compress: {type: gzip, level: 9}`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use crate::base::PENDING;
use crate::config::problem::nearest;

/// How artefacts are compressed, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compress {
    /// The format.
    pub format: Format,
    /// Its level; the format's usual one unless set.
    pub level: Option<i32>,
}

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Long {
    /// The format.
    #[serde(rename = "type")]
    format: Format,
    /// 1 to 12 for gzip, 1 to 22 for zstd.
    level: Option<i32>,
}

impl Compress {
    fn new(format: Format, level: Option<i32>) -> Result<Self, String> {
        let (word, levels) = match format {
            Format::None => ("none", 0..=0),
            Format::Gzip => ("gzip", 1..=12),
            Format::Zstd => ("zstd", 1..=22),
        };
        match level {
            Some(level) if !levels.contains(&level) => {
                let (low, high) = levels.into_inner();
                Err(format!("level {level} is outside {low} to {high}, the levels of {word}"))
            }
            level => Ok(Self { format, level }),
        }
    }
}

impl Serialize for Compress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut map = serializer.serialize_struct("Compress", 2)?;
        map.serialize_field("type", &self.format)?;
        map.serialize_field("level", &self.level)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Compress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortOrLong)
    }
}

struct ShortOrLong;

impl<'de> Visitor<'de> for ShortOrLong {
    type Value = Compress;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`none`, `gzip`, `zstd` or a mapping of `type` and `level`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Compress, E> {
        let format = match text.trim().to_lowercase().as_str() {
            "none" | "no" | "off" | "false" | PENDING => Format::None,
            "gzip" | "gz" => Format::Gzip,
            "zstd" | "zst" => Format::Zstd,
            other => {
                let near = nearest(other, ["none", "gzip", "zstd"]);
                let near = near.map(|near| format!(", did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| ": one of none, gzip, zstd".to_owned());
                return Err(E::custom(format!("`{text}` is not a compression{near}")));
            }
        };
        Compress::new(format, None).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Compress, A::Error> {
        let long = Long::deserialize(MapAccessDeserializer::new(map))?;
        Compress::new(long.format, long.level).map_err(de::Error::custom)
    }
}

impl JsonSchema for Compress {
    fn schema_name() -> Cow<'static, str> {
        "Compress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let short = generator.subschema_for::<Format>();
        let long = generator.subschema_for::<Long>();
        json_schema!({ "anyOf": [short, long, { "const": false }] })
    }
}
