//! The lines of a listing: MLSD, whose facts have names, and LIST as Unix and DOS write it.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// What lies in a folder under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    File {
        bytes: u64,
        modified: Option<Timestamp>,
    },
    Folder,
    /// A link or something stranger: no object.
    Other,
}

/// Reads a line of MLSD; `None` for the folder itself and for what is no such line.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc3659#section-7.2>
pub(super) fn mlsd(line: &str) -> Option<Entry> {
    let (facts, name) = line.split_once(' ')?;
    let fact = |wanted: &str| {
        let facts = facts.split(';').filter_map(|fact| fact.split_once('='));
        { facts }.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let what = match fact("type")?.to_ascii_lowercase().as_str() {
        "file" => What::File { bytes: fact("size")?.parse().ok()?, modified: time(fact("modify")) },
        "dir" => What::Folder,
        "cdir" | "pdir" => return None,
        _ => What::Other,
    };
    entry(name, what)
}

/// Reads a line of LIST; `now` tells the year of a line that has none.
pub(super) fn list(line: &str, now: Timestamp) -> Option<Entry> {
    match line.as_bytes().first()? {
        b'0'..=b'9' => dos(line),
        _ => unix(line, now),
    }
}

/// Tells whether a line that could not be read was meant to name a file or a folder: without it
/// the folder would look emptier than it is.
pub(super) fn names_something(line: &str) -> bool {
    let line = line.trim_end();
    let is_dot = line.ends_with(" .") || line.ends_with(" ..");
    let lower = line.to_ascii_lowercase();
    let facts = lower.split(' ').next().unwrap_or_default();
    let of_mlsd = facts.split(';').any(|fact| fact == "type=file" || fact == "type=dir");
    let is_mode =
        |word: &str| word.len() >= 10 && word.bytes().all(|byte| b"-dlrwxst+.@".contains(&byte));
    let is_date = |word: &str| word.len() >= 8 && word.split('-').count() == 3;
    let of_unix = line.starts_with(['-', 'd']) && is_mode(facts);
    let of_dos = line.starts_with(|ch: char| ch.is_ascii_digit()) && is_date(facts);
    !is_dot && (of_mlsd || of_unix || of_dos)
}

/// Reads the time of a fact or of an answer to MDTM: `YYYYMMDDHHMMSS`, in UTC, with or without a
/// fraction.
pub(super) fn time(text: Option<&str>) -> Option<Timestamp> {
    let digits = text?.get(..14)?;
    DateTime::strptime("%Y%m%d%H%M%S", digits).ok().and_then(in_utc)
}

/// `-rw-r--r--  1 user group  5 Nov 21 03:00 a name`, where the group may be missing and the time
/// may be a year.
fn unix(line: &str, now: Timestamp) -> Option<Entry> {
    let words = words(line);
    let number = |word: &str| word.parse::<u64>();
    // A user or group may be called as a month; only the month stands between size, day and time.
    let is_month = |at: &usize| {
        let time =
            words.get(at + 2).is_some_and(|(_, word)| word.contains(':') || number(word).is_ok());
        let beside = time && number(words[at - 1].1).is_ok() && number(words[at + 1].1).is_ok();
        beside && Month::from_str(words[*at].1).is_ok()
    };
    let at = (3..words.len().min(7)).find(is_month)?;
    let bytes = number(words[at - 1].1);
    let (start, last) = words[at + 2];
    // Exactly one space ends the time: the name may begin with more.
    let name = line.get(start + last.len() + 1..)?;
    let what = match line.as_bytes()[0] {
        b'-' => {
            let modified = unix_time(words[at].1, words[at + 1].1, last, now);
            What::File { bytes: bytes.ok()?, modified }
        }
        b'd' => What::Folder,
        b'l' => return entry(name.split(" -> ").next()?, What::Other),
        b'b' | b'c' | b'p' | b's' => What::Other,
        _ => return None,
    };
    entry(name, what)
}

fn unix_time(month: &str, day: &str, last: &str, now: Timestamp) -> Option<Timestamp> {
    let (Month(month), day) = (month.parse().ok()?, day.parse().ok()?);
    let Some((hour, minute)) = last.split_once(':') else {
        return in_utc(Date::new(last.parse().ok()?, month, day).ok()?.at(0, 0, 0, 0));
    };
    let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
    // A time without a year is of the last twelve months; a day more for clocks that differ.
    let latest = now.to_zoned(TimeZone::UTC).checked_add(Span::new().days(1)).ok()?.datetime();
    let of = |year| {
        let time = Date::new(year, month, day).ok()?;
        time.at(0, 0, 0, 0).with().hour(hour).minute(minute).build().ok()
    };
    let years = [latest.year(), latest.year() - 1, latest.year() - 2];
    years.into_iter().filter_map(of).find(|time| *time <= latest).and_then(in_utc)
}

/// `11-21-26  03:00AM  <DIR>  a name`, where a size may stand for `<DIR>`.
fn dos(line: &str) -> Option<Entry> {
    let words = words(line);
    let (start, size) = *words.get(2)?;
    let name = line.get(start + size.len()..)?.trim_start();
    if size.eq_ignore_ascii_case("<DIR>") {
        return entry(name, What::Folder);
    }
    let when = format!("{} {}", words[0].1, words[1].1);
    let formats = ["%m-%d-%y %I:%M%p", "%m-%d-%Y %I:%M%p", "%m-%d-%y %H:%M", "%m-%d-%Y %H:%M"];
    let parsed = formats.iter().find_map(|format| DateTime::strptime(format, &when).ok());
    entry(name, What::File { bytes: size.parse().ok()?, modified: parsed.and_then(in_utc) })
}

fn entry(name: &str, what: What) -> Option<Entry> {
    let odd = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
    (!odd).then(|| Entry { name: name.to_owned(), what })
}

/// Splits at spaces, and tells where each word begins.
fn words(line: &str) -> Vec<(usize, &str)> {
    let place = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
    line.split_ascii_whitespace().map(|word| (place(word), word)).collect()
}

fn in_utc(time: DateTime) -> Option<Timestamp> {
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

struct Month(i8);

impl FromStr for Month {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let names = "jan feb mar apr may jun jul aug sep oct nov dec";
        let at = names.split(' ').position(|name| name.eq_ignore_ascii_case(word)).ok_or(())?;
        Ok(Self(at as i8 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: u64, modified: &str) -> Option<Entry> {
        let modified = Some(modified.parse().unwrap());
        Some(Entry { name: name.to_owned(), what: What::File { bytes, modified } })
    }

    fn other(name: &str, what: What) -> Option<Entry> {
        Some(Entry { name: name.to_owned(), what })
    }

    #[test]
    fn mlsd_tells_files_from_folders() {
        let line = "modify=20261121030005;perm=adfrw;size=12;type=file;UNIX.mode=0644; a  b ";
        assert_eq!(mlsd(line), file("a  b ", 12, "2026-11-21T03:00:05Z"));
        let line = "Type=file;Size=0;Modify=19990101000000.123; x;y=z";
        assert_eq!(mlsd(line), file("x;y=z", 0, "1999-01-01T00:00:00Z"));
        assert_eq!(mlsd("type=dir;modify=20260101000000; d"), other("d", What::Folder));
        assert_eq!(mlsd("type=OS.unix=symlink; l"), other("l", What::Other));
        for none in ["type=cdir; .", "type=pdir; ..", "type=file; no-size", "rubbish", ""] {
            assert_eq!(mlsd(none), None, "{none}");
        }
    }

    #[test]
    fn a_line_in_a_form_that_is_not_known_is_not_passed_over() {
        let lost = [
            "modify=20261121030005;type=file; no-size",
            "-rw-r--r-- 1 u g 20 2026-11-21 03:00 iso",
            "drwxr-xr-x 2 u g 4096 21. M\u{e4}rz 03:00 localised",
            "21-11-2026 03:00 1.234 thousands",
        ];
        for line in lost {
            let read = mlsd(line).or_else(|| list(line, Timestamp::UNIX_EPOCH));
            assert!(read.is_none() && names_something(line), "{line}: {read:?}");
        }
        let others =
            ["total 12", "type=cdir; .", "drwxr-xr-x 2 0 0 4096 Jan 01 00:00 ..", "", "data"];
        for line in others {
            assert!(!names_something(line), "{line}");
        }
    }

    #[test]
    fn unix_lines_keep_every_name() {
        let now = "2026-03-01T10:00:00Z".parse().unwrap();
        let list = |line: &str| list(line, now);
        let line = "-rw-------    1 61001    61001          20 Feb 28 03:07 n ame  x ";
        assert_eq!(list(line), file("n ame  x ", 20, "2026-02-28T03:07:00Z"));
        let line = "-rw-r--r--   1 u g 5 Nov 21 23:59  lead";
        assert_eq!(list(line), file(" lead", 5, "2025-11-21T23:59:00Z"));
        let line = "-rw-r--r--   1 owner 5000000000 Nov 21  2019 may 5 2020";
        assert_eq!(list(line), file("may 5 2020", 5_000_000_000, "2019-11-21T00:00:00Z"));
        let line = "-rw-r--r--   1 jan feb 7 Mar  2 09:00 tomorrow's";
        assert_eq!(list(line), file("tomorrow's", 7, "2026-03-02T09:00:00Z"));
        assert_eq!(list("drwxr-xr-x 2 0 0 4096 Jan 01 00:00 d"), other("d", What::Folder));
        assert_eq!(list("lrwxrwxrwx 1 0 0 1 Jan 01 00:00 l -> d"), other("l", What::Other));
        for none in ["total 12", "drwxr-xr-x 2 0 0 4096 Jan 01 00:00 ..", "", "-rw-r--r--"] {
            assert_eq!(list(none), None, "{none}");
        }
    }

    #[test]
    fn dos_lines_are_read_too() {
        let list = |line: &str| list(line, Timestamp::UNIX_EPOCH);
        let line = "11-21-26  03:00PM                 1234 a name";
        assert_eq!(list(line), file("a name", 1234, "2026-11-21T15:00:00Z"));
        assert_eq!(list("11-21-2026  03:00AM   <DIR>  d d"), other("d d", What::Folder));
    }
}
