//! The well-known protobuf types that are strings in JSON.

use std::fmt;

use jiff::{
    SignedDuration,
    civil::{DateTime, date},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// 1970-01-01T00:00:00.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

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
        let (local, rest) = text.split_at_checked("1972-01-01T10:00:20".len())?;
        let (fraction, zone) = rest.split_at(rest.find(['Z', '+', '-'])?);
        // jiff reads other forms of ISO 8601, too, and leap seconds.
        let is_rfc3339 = local.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            17 => matches!(byte, b'0'..=b'5'),
            _ => byte.is_ascii_digit(),
        });
        let local: DateTime = if is_rfc3339 { local.parse().ok()? } else { return None };
        let offset = if zone == "Z" {
            0
        } else {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = digits(hours, 2)? * 3600 + digits(minutes, 2)? * 60;
            if zone.starts_with('-') { -offset } else { offset }
        };
        let seconds = local.duration_since(EPOCH).as_secs() - offset;
        let fraction = fraction.strip_prefix('.').map_or_else(|| fraction.is_empty().then_some(0), parse_fraction)?;
        let nanos = u32::try_from(fraction).ok()?;
        (local.year() > 0 && TIMESTAMP_SECONDS.contains(&seconds)).then_some(Self { seconds, nanos })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Times beyond the years that can be written are the first or the last of them.
        let seconds = self.seconds.clamp(*TIMESTAMP_SECONDS.start(), *TIMESTAMP_SECONDS.end());
        write!(f, "{}", EPOCH.saturating_add(SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%S"))?;
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
        let last = "9999-12-31T23:59:59.999999999Z";
        assert_eq!(Timestamp::parse(last).map(|time| time.to_string()).as_deref(), Some(last));
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.807Z", "it is the last second");
        for wrong in [
            "2023-02-29T00:00:00Z",
            "2024-01-01",
            "2024-01-01T25:00:00Z",
            "yesterday",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-01-01t00:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00x1Z",
            "2024-01-01T00:00:00Z[UTC]",
            "2024-01-01T00:00:00+1:00",
            "0000-01-01T00:00:00Z",
            "-001-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "2024-01-01T00:00:0é",
        ] {
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
