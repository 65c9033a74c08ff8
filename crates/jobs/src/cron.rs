//! Cron expressions with five fields, in UTC: minute, hour, day, month, day of the week. The syntax is that of the
//! reference's scheduler, huey: numbers, `*`, `*/n` (not of days of the week), `a-b`, `a-b/n`, and lists of these. All
//! fields must match.

use jiff::{Timestamp, Unit, civil::DateTime, tz::TimeZone};

/// Maximum number of days until the next time: a leap day comes within eight years, and on each day of the week within
/// forty.
const MAX_DAYS: usize = 366 * 41;

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Numbers,
    hours: Numbers,
    days: Numbers,
    months: Numbers,
    /// 0 is Sunday.
    weekdays: Numbers,
}

/// A set of numbers below 64.
type Numbers = u64;

impl Cron {
    /// Parses an expression. `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else { return None };
        Some(Self {
            minutes: numbers(minute, 0, 59, false)?,
            hours: numbers(hour, 0, 23, false)?,
            days: numbers(day, 1, 31, false)?,
            months: numbers(month, 1, 12, false)?,
            weekdays: numbers(weekday, 0, 7, true)?,
        })
    }

    /// The first time after `ms`, in milliseconds since 1970. `None` if there is none, as for 30 February.
    #[must_use]
    pub fn next(&self, ms: i64) -> Option<i64> {
        let now = Timestamp::from_millisecond(ms).ok()?.to_zoned(TimeZone::UTC).datetime();
        let first = now.checked_add(jiff::Span::new().minutes(1)).ok()?;
        let first = first.round(jiff::civil::DateTimeRound::new().smallest(Unit::Minute).mode(jiff::RoundMode::Trunc));
        let first: DateTime = first.ok()?;
        let mut day = first.date();
        for _ in 0..MAX_DAYS {
            let weekday = day.weekday().to_sunday_zero_offset();
            if has(self.months, day.month()) && has(self.days, day.day()) && has(self.weekdays, weekday) {
                for hour in (0..24).filter(|hour| has(self.hours, *hour)) {
                    for minute in (0..60).filter(|minute| has(self.minutes, *minute)) {
                        let time = day.at(hour, minute, 0, 0);
                        if time >= first {
                            return Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
                        }
                    }
                }
            }
            day = day.tomorrow().ok()?;
        }
        None
    }
}

fn has(numbers: Numbers, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| numbers >> number & 1 == 1)
}

/// The numbers of a field. Of days of the week, 7 is Sunday as well.
fn numbers(field: &str, min: u32, max: u32, is_weekday: bool) -> Option<Numbers> {
    let in_range = |number: u32| (min..=max).contains(&number);
    let mut found = 0;
    for piece in field.split(',') {
        let values: Vec<u32> = if piece == "*" {
            (min..=max).collect()
        } else if let Some(step) = piece.strip_prefix("*/") {
            if is_weekday {
                return None;
            }
            (min..=max).step_by(step_of(step)?).collect()
        } else if let Some((first, rest)) = piece.split_once('-') {
            let (last, step) = rest.split_once('/').unwrap_or((rest, "1"));
            let (first, last) = (number(first)?, number(last)?);
            if !in_range(first) || !in_range(last) {
                return None;
            }
            let step = step_of(step)?;
            if first <= last {
                (first..=last).step_by(step).collect()
            } else {
                let end = if is_weekday { 6 } else { max };
                (first..=end).chain(min..=last).step_by(step).collect()
            }
        } else {
            vec![number(piece).filter(|number| in_range(*number))?]
        };
        for value in values {
            found |= 1 << if is_weekday { value % 7 } else { value };
        }
    }
    Some(found)
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn step_of(text: &str) -> Option<usize> {
    number(text).filter(|step| *step > 0).and_then(|step| usize::try_from(step).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str) -> String {
        let after: Timestamp = after.parse().unwrap();
        let next = Cron::parse(expression).unwrap().next(after.as_millisecond()).unwrap();
        Timestamp::from_millisecond(next).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_later_and_matches_all_fields() {
        // A Friday.
        let now = "2026-01-30T12:34:56.789Z";
        for (expression, expected) in [
            ("* * * * *", "2026-01-30T12:35:00Z"),
            ("0 2 * * *", "2026-01-31T02:00:00Z"),
            ("34 12 * * *", "2026-01-31T12:34:00Z"),
            ("*/20 * * * *", "2026-01-30T12:40:00Z"),
            ("5-50/15 12,13 * * *", "2026-01-30T12:35:00Z"),
            ("0 22-1 * * *", "2026-01-30T22:00:00Z"),
            ("0 0 1 * 0", "2026-02-01T00:00:00Z"),
            ("0 0 * * 7", "2026-02-01T00:00:00Z"),
            ("0 0 * * 5-1", "2026-01-31T00:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            ("0 0 29 2 1", "2044-02-29T00:00:00Z"),
            ("0 0 31 12,1 *", "2026-01-31T00:00:00Z"),
        ] {
            assert_eq!(next(expression, now), expected, "{expression}");
        }
        assert_eq!(next("0 2 * * *", "2026-01-30T02:00:00Z"), "2026-01-31T02:00:00Z");
        assert_eq!(next("0 2 * * *", "2026-01-30T01:59:59Z"), "2026-01-30T02:00:00Z");
        assert_eq!(Cron::parse("0 0 30 2 *").unwrap().next(0), None);
    }

    #[test]
    fn what_huey_refuses_is_refused() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 0 *",
            "* * * 13 *",
            "* * * * 8",
            "* * * * */2",
            "*/0 * * * *",
            "1-5/0 * * * *",
            "x * * * *",
            "1,, * * * *",
            "-1 * * * *",
            "1-99 * * * *",
            "mon * * * *",
            "* * * jan *",
            "@daily",
            "+1 * * * *",
        ] {
            assert_eq!(Cron::parse(text), None, "{text}");
        }
    }
}
