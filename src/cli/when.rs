//! Moments as people write them: `2026-11-20`, `2026-11-20 03:00`, `yesterday`, `3 days ago`.

use jiff::civil::{Date, DateTime};
use jiff::{Span, Timestamp, ToSpan, Zoned};

use crate::cli::failure::Failure;

/// Reads a moment. A day means its last second, so that `--at` takes in all of that day.
pub(crate) fn parse(text: &str, now: &Zoned) -> Result<Timestamp, Failure> {
    let text = text.trim();
    let moment = absolute(text, now).or_else(|| relative(text, now));
    moment.map(|zoned| zoned.timestamp()).or_else(|| text.parse().ok()).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no moment"))
            .hint("Write 2026-11-20, '2026-11-20 03:00', 2026-11-20T03:00:00Z, yesterday or '3 days ago'.")
    })
}

fn absolute(text: &str, now: &Zoned) -> Option<Zoned> {
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Some(zoned);
    }
    if text.parse::<Timestamp>().is_ok() {
        return None;
    }
    let moment = match text.parse::<Date>() {
        Ok(day) if text.len() <= "2026-11-20".len() => end_of(day),
        _ => text.parse::<DateTime>().ok()?,
    };
    moment.to_zoned(now.time_zone().clone()).ok()
}

fn relative(text: &str, now: &Zoned) -> Option<Zoned> {
    let day = |days: i64| {
        let date = now.date().checked_sub(days.days()).ok()?;
        end_of(date).to_zoned(now.time_zone().clone()).ok()
    };
    match text {
        "now" => return Some(now.clone()),
        "today" => return day(0),
        "yesterday" => return day(1),
        _ => {}
    }
    let (count, unit) = text.strip_suffix(" ago")?.trim().split_once(' ')?;
    let count: i64 = count.parse().ok().filter(|count| (0..100_000).contains(count))?;
    match unit.trim().trim_end_matches('s') {
        "minute" => now.checked_sub(Span::new().minutes(count)).ok(),
        "hour" => now.checked_sub(Span::new().hours(count)).ok(),
        "day" => now.checked_sub(Span::new().days(count)).ok(),
        "week" => now.checked_sub(Span::new().weeks(count)).ok(),
        "month" => now.checked_sub(Span::new().months(count)).ok(),
        "year" => now.checked_sub(Span::new().years(count)).ok(),
        _ => None,
    }
}

fn end_of(day: Date) -> DateTime {
    day.at(23, 59, 59, 999_999_999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        let now: Zoned = "2026-11-21T12:00:00+00:00[UTC]".parse().unwrap();
        let cases = [
            ("2026-11-20", "2026-11-20T23:59:59.999999999Z"),
            ("2026-11-20 03:00", "2026-11-20T03:00:00Z"),
            ("2026-11-20T03:00:01", "2026-11-20T03:00:01Z"),
            ("2026-11-20T03:00:00+01:00", "2026-11-20T02:00:00Z"),
            ("2026-11-20T03:00:00Z", "2026-11-20T03:00:00Z"),
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
}
