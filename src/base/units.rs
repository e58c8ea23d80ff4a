//! Sizes, durations and numbers of things as people write them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::base::PENDING;

/// A number of bytes: `512`, `64MiB`, `10G` (1024 each), `10GB` (1000 each), `1.5T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// A length of time: `90` (seconds), `5m`, `1h30m`, `2d`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Size {
    /// Reads a size.
    ///
    /// Errors: a sentence that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size such as `512K`, `64MiB` or `10G`");
        let trimmed = text.trim();
        let end = trimmed.find(|ch: char| !(ch.is_ascii_digit() || ch == '.'));
        let (number, unit) = trimmed.split_at(end.unwrap_or(trimmed.len()));
        let unit = unit.trim().to_ascii_lowercase();
        let unit = unit.strip_suffix("/s").unwrap_or(&unit);
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let bytes = match number.split_once('.') {
            None => number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)),
            Some(_) => fraction(number, *factor),
        };
        bytes.map(Self).ok_or_else(wrong)
    }
}

impl Span {
    /// Reads a duration.
    ///
    /// Errors: a sentence that says what is possible.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration such as `90s`, `5m` or `1h30m`");
        let mut rest = text.trim();
        if let Ok(seconds) = rest.parse::<u32>() {
            return Ok(Self(Duration::from_secs(seconds.into())));
        }
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|ch: char| !ch.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(digits);
            let end = tail.find(|ch: char| !ch.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let number: u32 = number.parse().map_err(|_| wrong())?;
            let (_, one) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            let part = one.checked_mul(number).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
            rest = tail.trim_start();
        }
        if total > LONGEST { Err(wrong()) } else { Ok(Self(total)) }
    }
}

/// Spells a number of things: `1 copy`, `2 copies`.
pub fn count<N: fmt::Display + PartialEq + From<u8>>(n: N, one: &str, many: &str) -> String {
    let things = if n == N::from(1) { one } else { many };
    format!("{n} {things}")
}

fn fraction(number: &str, factor: u64) -> Option<u64> {
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    (bytes.is_finite() && bytes < 9e18).then_some(bytes as u64)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
            .into_iter()
            .find(|(_, bits)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        match unit {
            Some((name, bits)) => write!(f, "{}{name}", self.0 >> bits),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        if seconds == 0 && millis == 0 {
            return f.write_str("0s");
        }
        let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        if millis > 0 { write!(f, "{millis}ms") } else { Ok(()) }
    }
}

macro_rules! written_as_text {
    ($type:ident, $pending:expr, $name:literal, $pattern:literal, $about:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($about)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        match text {
                            PENDING => Ok($pending),
                            text => $type::parse(text).map_err(E::custom),
                        }
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": $about,
                    "type": ["string", "integer"],
                    "pattern": $pattern,
                    "minimum": 0
                })
            }
        }
    };
}

written_as_text!(
    Size,
    Size(1 << 30),
    "Size",
    r"^[0-9.]+ *([KMGTkmgt]?([iI]?[bB])?)(/s)?$",
    "bytes, or a number with K, M, G, T (1024) or KB, MB, GB, TB (1000)"
);
written_as_text!(
    Span,
    Span(Duration::from_secs(1)),
    "Duration",
    r"^([0-9]+ *(ms|s|m|h|d|w)? *)+$",
    "seconds, or a duration such as 90s, 5m or 1h30m"
);

const SIZES: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];
const TIMES: [(&str, Duration); 6] = [
    ("ms", Duration::from_millis(1)),
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
    ("d", Duration::from_secs(86_400)),
    ("w", Duration::from_secs(604_800)),
];
/// A hundred years: what is longer is a typing mistake and would overflow dates.
const LONGEST: Duration = Duration::from_secs(36_525 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("0", 0),
            ("512", 512),
            ("64MiB", 64 << 20),
            ("10G", 10 << 30),
            ("10GB", 10_000_000_000),
            ("1.5k", 1536),
            ("5 M", 5 << 20),
            ("5M/s", 5 << 20),
        ];
        for (text, bytes) in cases {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "x", "-1", "10X", "1.2.3M", ".", "99999999999T", "1e3", "ten"] {
            assert!(Size::parse(bad).is_err(), "{bad} was taken");
        }
        assert_eq!(Size(64 << 20).to_string(), "64MiB");
        assert_eq!(Size(1000).to_string(), "1000");
    }

    #[test]
    fn one_thing_is_not_many() {
        assert_eq!(count(1_u64, "copy", "copies"), "1 copy");
        assert_eq!(count(0_usize, "copy", "copies"), "0 copies");
        assert_eq!(count(2_usize, "copy", "copies"), "2 copies");
    }

    #[test]
    fn durations() {
        let cases =
            [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800)];
        for (text, seconds) in cases {
            assert_eq!(Span::parse(text), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        for bad in ["", "m", "5x", "-5", "1h30", "5 minutes", "4000000000w", "200000d"] {
            assert!(Span::parse(bad).is_err(), "{bad} was taken");
        }
        assert_eq!(Span(Duration::from_secs(5400)).to_string(), "1h30m");
        assert_eq!(Span(Duration::from_millis(1500)).to_string(), "1s500ms");
    }
}
