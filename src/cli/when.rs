//! Moments as people write them: `2026-11-20`, `2026-11-20 03:00`, `yesterday`, `3 days ago`.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan, Zoned};

use crate::cli::failure::Failure;

/// Reads a moment: the last one that fits what is written.
///
/// A day means its last moment, a minute and a second too, so that `--at` takes in all of them:
/// backups begin at fractions of seconds that nobody types. Of an hour that comes twice the
/// later one is meant.
pub(crate) fn parse(text: &str, now: &Zoned) -> Result<Timestamp, Failure> {
    let text = text.trim();
    absolute(text, now.time_zone()).or_else(|| relative(text, now)).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no moment"))
            .hint("Write 2026-11-20, '2026-11-20 03:00', 2026-11-20T03:00:00Z, yesterday or '3 days ago'.")
    })
}

fn absolute(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let Some(rest) = rest_of_unit(text) else {
        if let Ok(zoned) = text.parse::<Zoned>() {
            return end_of(zoned.date(), zoned.time_zone());
        }
        return end_of(text.parse().ok()?, zone);
    };
    let zoned = text.parse::<Zoned>().map(|zoned| zoned.timestamp()).ok();
    let moment = zoned.or_else(|| text.parse().ok());
    let moment = moment.or_else(|| later(text.parse::<DateTime>().ok()?, zone))?;
    moment.checked_add(rest).ok()
}

/// Tells how much of the unit that was written last lies behind its first moment: a second, a
/// minute, an hour, or nothing of a fraction; `None` where no time of day is written.
fn rest_of_unit(text: &str) -> Option<SignedDuration> {
    let (_, clock) = text.split_once(['T', 't', ' '])?;
    let (mut digits, mut exact) = (0, false);
    for letter in clock.chars() {
        match letter {
            '0'..='9' => digits += 1,
            ':' => {}
            '.' | ',' => exact = true,
            _ => break,
        }
    }
    let secs = match digits {
        _ if exact => return Some(SignedDuration::ZERO),
        0 => return None,
        1..=2 => 3600,
        3..=4 => 60,
        _ => 1,
    };
    Some(SignedDuration::from_secs(secs) - SignedDuration::from_nanos(1))
}

fn relative(text: &str, now: &Zoned) -> Option<Timestamp> {
    let day = |days: i64| end_of(now.date().checked_sub(days.days()).ok()?, now.time_zone());
    match text {
        "now" => return Some(now.timestamp()),
        "today" => return day(0),
        "yesterday" => return day(1),
        _ => {}
    }
    let (count, unit) = text.strip_suffix(" ago")?.trim().split_once(' ')?;
    let count: i64 = count.parse().ok().filter(|count| (0..100_000).contains(count))?;
    let span = match unit.trim().trim_end_matches('s') {
        "minute" => Span::new().minutes(count),
        "hour" => Span::new().hours(count),
        "day" => Span::new().days(count),
        "week" => Span::new().weeks(count),
        "month" => Span::new().months(count),
        "year" => Span::new().years(count),
        _ => return None,
    };
    now.checked_sub(span).map(|zoned| zoned.timestamp()).ok()
}

fn end_of(day: Date, zone: &TimeZone) -> Option<Timestamp> {
    later(day.at(23, 59, 59, 999_999_999), zone)
}

/// Finds when the clock on the wall shows `moment`: the second time where it does so twice.
fn later(moment: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(moment).later().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let now: Zoned = "2026-11-21T12:00:00+00:00[UTC]".parse().unwrap();
        let cases = [
            ("2026-11-20", "2026-11-20T23:59:59.999999999Z"),
            ("2026-11-20 03", "2026-11-20T03:59:59.999999999Z"),
            ("2026-11-20 03:00", "2026-11-20T03:00:59.999999999Z"),
            ("2026-11-20T03:00:01", "2026-11-20T03:00:01.999999999Z"),
            ("2026-11-20 03:00:01.25", "2026-11-20T03:00:01.25Z"),
            ("2026-11-20T03:00:00+01:00", "2026-11-20T02:00:00.999999999Z"),
            ("2026-11-20T03:00+01:00[Europe/Berlin]", "2026-11-20T02:00:59.999999999Z"),
            ("2026-11-20[Europe/Berlin]", "2026-11-20T22:59:59.999999999Z"),
            ("2026-11-20T03:00:00Z", "2026-11-20T03:00:00.999999999Z"),
            ("2026-11-20T03:00:00.123456789Z", "2026-11-20T03:00:00.123456789Z"),
            ("yesterday", "2026-11-20T23:59:59.999999999Z"),
            ("3 days ago", "2026-11-18T12:00:00Z"),
            ("1 hour ago", "2026-11-21T11:00:00Z"),
        ];
        for (text, moment) in cases {
            assert_eq!(parse(text, &now).unwrap(), moment.parse().unwrap(), "{text}");
        }
        for bad in ["", "soon", "2026-13-01", "x days ago", "3 fortnights ago"] {
            assert!(parse(bad, &now).is_err(), "{bad:?} was taken");
        }
    }
    #[test]
    fn the_hour_that_comes_twice_means_the_later_one() {
        let now: Zoned = "2026-11-21T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let cases = [
            ("2026-10-25 02:30:00", "2026-10-25T01:30:00.999999999Z"),
            ("2026-10-25 02:30:00+02:00[Europe/Berlin]", "2026-10-25T00:30:00.999999999Z"),
            ("2026-03-29 02:30:00", "2026-03-29T01:30:00.999999999Z"),
        ];
        for (text, moment) in cases {
            assert_eq!(parse(text, &now).unwrap(), moment.parse().unwrap(), "{text}");
        }
    }
}
