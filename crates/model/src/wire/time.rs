//! The well-known protobuf types that are strings in JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the range of `google.protobuf.Timestamp`.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// 10,000 years, the range of `google.protobuf.Duration`.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;

/// `google.protobuf.Timestamp`: a point in time, with nanosecond precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// 0 to 999,999,999, added to `seconds`.
    pub nanos: u32,
}

impl Timestamp {
    /// The time `millis` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Self { seconds: millis.div_euclid(1000), nanos }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub fn to_millis(self) -> i64 {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }

    /// Parses RFC 3339, with `Z` or an offset.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_once('T')?;
        let mut date = date.splitn(3, '-');
        let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
        let zone = rest.find(['Z', '+', '-'])?;
        let (clock, zone) = rest.split_at(zone);
        let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(c, f)| (c, Some(f)));
        let mut clock = clock.splitn(3, ':');
        let (hour, minute, second) = (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
        if year == 0
            || !(1..=12).contains(&month)
            || !(1..=days_in_month(year, month)).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let offset = if zone == "Z" {
            0
        } else {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = digits(hours, 2)? * 3600 + digits(minutes, 2)? * 60;
            if zone.starts_with('-') { -offset } else { offset }
        };
        let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        let nanos = u32::try_from(fraction.map_or(Some(0), parse_fraction)?).ok()?;
        TIMESTAMP_SECONDS.contains(&seconds).then_some(Self { seconds, nanos })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        write_fraction(f, self.nanos)?;
        f.write_str("Z")
    }
}

/// `google.protobuf.Duration`, with nanosecond precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    /// The duration in nanoseconds; 10,000 years do not fit into 64 bits.
    pub nanos: i128,
}

impl Duration {
    /// A duration of `millis` milliseconds.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self { nanos: i128::from(millis) * 1_000_000 }
    }

    /// The duration in milliseconds, rounded towards zero.
    #[must_use]
    pub fn to_millis(self) -> i64 {
        i64::try_from(self.nanos / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Parses `1.5s`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('s')?;
        let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
        let seconds: i64 = if whole.bytes().all(|b| b.is_ascii_digit()) { whole.parse().ok()? } else { return None };
        if seconds > MAX_DURATION_SECONDS {
            return None;
        }
        let nanos =
            i128::from(seconds) * i128::from(NANOS_PER_SECOND) + i128::from(fraction.map_or(Some(0), parse_fraction)?);
        Some(Self { nanos: if negative { -nanos } else { nanos } })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let (nanos, second) = (self.nanos.unsigned_abs(), u128::from(NANOS_PER_SECOND.unsigned_abs()));
        write!(f, "{}", nanos / second)?;
        // A remainder of a division by 10^9 fits 32 bits.
        write_fraction(f, u32::try_from(nanos % second).unwrap_or(0))?;
        f.write_str("s")
    }
}

/// `google.protobuf.FieldMask`: field names. In JSON they are camel-case, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldMask {
    /// The names as in the proto file; a nested one is written `outer.inner`.
    pub paths: Vec<String>,
}

impl FieldMask {
    /// Parses `assessmentName,value.stringValue`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('_') {
            return None;
        }
        let snake = |path: &str| {
            path.chars().fold(String::new(), |mut name, c| {
                if c.is_uppercase() {
                    name.push('_');
                }
                name.extend(c.to_lowercase());
                name
            })
        };
        Some(Self { paths: text.split(',').filter(|path| !path.is_empty()).map(snake).collect() })
    }
}

impl fmt::Display for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.paths.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let mut words = path.split('_');
            f.write_str(words.next().unwrap_or_default())?;
            for word in words {
                let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
                write!(f, "{}{rest}", first.to_uppercase())?;
            }
        }
        Ok(())
    }
}

macro_rules! as_text {
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom($expected))
            }
        }
    };
}

as_text!(Timestamp, "not a timestamp such as 1972-01-01T10:00:20.021Z");
as_text!(Duration, "not a duration such as 1.5s");
as_text!(FieldMask, "not names of fields in camel case");

/// Parses a number of exactly `width` digits.
fn digits(text: &str, width: usize) -> Option<i64> {
    (text.len() == width && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// The nanoseconds in 1 to 9 digits after a decimal point.
fn parse_fraction(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{text:0<9}").parse().ok()
}

/// Writes nothing, or a decimal point and 3, 6 or 9 digits.
fn write_fraction(f: &mut fmt::Formatter<'_>, nanos: u32) -> fmt::Result {
    match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(f, ".{:03}", n / 1_000_000),
        n if n % 1000 == 0 => write!(f, ".{:06}", n / 1000),
        n => write!(f, ".{n:09}"),
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, counting years from March so that the leap day is last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_epoch`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timestamps_are_written_as_protobuf_writes_them() {
        assert_eq!(Timestamp::from_millis(1_744_793_358_699).to_string(), "2025-04-16T08:49:18.699Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::parse("2024-02-29T01:00:00+01:30").map(Timestamp::to_millis), Some(1_709_163_000_000));
        for wrong in ["2023-02-29T00:00:00Z", "2024-01-01", "2024-01-01T25:00:00Z", "yesterday", "2024-01-01T00:00:00"]
        {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_as_protobuf_writes_them() {
        assert_eq!(Duration::from_millis(1500).to_string(), "1.500s");
        assert_eq!(Duration::from_millis(-20).to_string(), "-0.020s");
        assert_eq!(Duration::parse("3s").map(Duration::to_millis), Some(3000));
        for wrong in ["3", "s3", "1.s", "+1s", "999999999999s"] {
            assert_eq!(Duration::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_field_mask_is_in_camel_case_on_the_wire() {
        let mask = FieldMask::parse("assessmentName,value.stringValue").unwrap();
        assert_eq!(mask.paths, ["assessment_name", "value.string_value"]);
        assert_eq!(mask.to_string(), "assessmentName,value.stringValue");
        assert_eq!(FieldMask::parse("assessment_name"), None);
    }

    proptest! {
        #[test]
        fn a_timestamp_reads_back(millis in TIMESTAMP_SECONDS.start() * 1000..TIMESTAMP_SECONDS.end() * 1000) {
            let timestamp = Timestamp::from_millis(millis);
            prop_assert_eq!(timestamp.to_millis(), millis);
            prop_assert_eq!(Timestamp::parse(&timestamp.to_string()), Some(timestamp));
        }

        #[test]
        fn a_duration_reads_back(millis in -1_000_000_000_000_i64..1_000_000_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(Duration::parse(&duration.to_string()), Some(duration));
        }
    }
}
