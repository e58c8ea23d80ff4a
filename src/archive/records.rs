//! PAX records as an archive carries them: `length key=value`, each with a line end.

use crate::archive::meta::Time;

/// Splits `data` into keys and values; `None` when it is not made of records.
pub(crate) fn split(mut data: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !data.is_empty() {
        let space = data.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&data[..space]).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        data = &data[length..];
    }
    Some(records)
}

/// Reads a whole number.
pub(crate) fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Reads seconds with any number of decimals.
pub(crate) fn time(value: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000000000".chars()).take(9).collect();
    let (secs, nanos): (i64, u32) = (whole.parse().ok()?, part.parse().ok()?);
    Some(match text.starts_with('-') && nanos > 0 {
        true => Time { secs: secs.checked_sub(1)?, nanos: 1_000_000_000 - nanos },
        false => Time { secs, nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::header::decimal;

    #[test]
    fn times_are_read_as_they_are_written() {
        for secs in [-5, -1, 0, 1, 1_700_000_000] {
            for nanos in [0, 1, 500_000_000, 999_999_999] {
                let moment = Time { secs, nanos };
                assert_eq!(time(decimal(moment).as_bytes()), Some(moment));
            }
        }
        assert_eq!(time(b"1.12345678999"), Some(Time { secs: 1, nanos: 123_456_789 }));
        assert_eq!(time(b"x"), None);
    }

    #[test]
    fn records_that_lie_about_their_length_are_refused() {
        assert_eq!(split(b"6 a=b\n").unwrap(), [(b"a".to_vec(), b"b".to_vec())]);
        for bad in [b"7 a=b\n".as_slice(), b"5 a=b\n", b"99 a=b\n", b"6 ab!\n", b"x", b"0 ", b"1 "]
        {
            assert!(split(bad).is_none(), "{bad:?} was taken");
        }
    }
}
