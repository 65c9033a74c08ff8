//! A duration in the format of `mlflow gc`.

/// Such as `1d2h3m4s` or `1.5h`.
#[derive(Debug, Clone, PartialEq)]
pub struct Age {
    /// The original text.
    pub text: String,
    /// Milliseconds.
    pub ms: i64,
}

impl Age {
    /// Parses it.
    ///
    /// # Errors
    /// It is no duration; the message is the reference's.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut seconds = 0.0;
        let mut rest = text;
        for (unit, factor) in [('d', 86_400.0), ('h', 3_600.0), ('m', 60.0), ('s', 1.0)] {
            let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
            if let Some(after) = rest[end..].strip_prefix(unit) {
                seconds += rest[..end].parse::<f64>().map_err(|_| unclear(text))? * factor;
                rest = after;
            }
        }
        if !rest.is_empty() || text.is_empty() {
            return Err(unclear(text));
        }
        #[allow(clippy::cast_possible_truncation, reason = "a time beyond any date is the latest one")]
        Ok(Self { text: text.to_owned(), ms: (seconds * 1000.0) as i64 })
    }
}

fn unclear(text: &str) -> String {
    format!("Could not parse any time information from '{text}'. Examples of valid strings: '8h', '2d8h5m20s', '2m4s'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_the_reference() {
        for (text, ms) in
            [("30d", 2_592_000_000), ("1d2h3m4s", 93_784_000), ("1.5h", 5_400_000), (".5s", 500), ("0s", 0)]
        {
            assert_eq!(Age::parse(text).map(|age| age.ms), Ok(ms), "{text}");
        }
        for text in ["", "5", "d", "h1", "1h1d", "1w", "-1d", "1 d", "1.2.3s", "1d1d"] {
            assert!(Age::parse(text).is_err(), "{text}");
        }
    }
}
