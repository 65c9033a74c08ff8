//! Metrics.

use super::text;
use crate::{Error, Result, limits, messages::service::Metric, number};

/// Checks a metric: its name, the length of the name, and its timestamp. `path` is the position in the request, such as
/// `metrics[3]`, or empty.
pub fn metric(metric: &Metric, path: &str) -> Result<()> {
    let key = metric.key();
    let timestamp = metric.timestamp.unwrap_or_default();
    if let Err(error) = text::entity_name("", key) {
        // Building the path allocates, which valid metrics avoid.
        return Err(text::entity_name(&text::join(path, "name"), key).err().unwrap_or(error));
    }
    if timestamp < 0 {
        let value = number::float_repr(metric.value.unwrap_or_default());
        return Err(Error::invalid(text::invalid_value(
            &text::join(path, "timestamp"),
            &timestamp.into(),
            Some(&format!("metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) ")),
        )));
    }
    text::length("Metric name", limits::ENTITY_KEY, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, value: f64, timestamp: i64) -> Metric {
        Metric { key: Some(key.into()), value: Some(value), timestamp: Some(timestamp), ..Metric::default() }
    }

    #[test]
    fn a_metric_has_a_plain_name_and_a_time() {
        for name in ["loss", "val/loss", "a b.c-d:e_f", "точность", "a\n", ".b", "a/.b"] {
            assert_eq!(metric(&of(name, 1.0, 0), ""), Ok(()), "{name:?}");
        }
        assert_eq!(
            metric(&of("a$b", 1.0, 0), "metrics[2]").unwrap_err().message,
            "Invalid value \"a$b\" for parameter 'metrics[2].name' supplied: Names may only contain alphanumerics, \
             underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        );
        assert_eq!(
            metric(&of("./é", 1.0, 0), "").unwrap_err().message,
            "Invalid value \"./\\u00e9\" for parameter 'name' supplied: Names may be treated as files in certain \
             cases, and must not resolve to other names when treated as such. This name would resolve to 'é'"
        );
        assert_eq!(
            metric(&of("loss", 1e-7, -1), "metrics[0]").unwrap_err().message,
            "Invalid value -1 for parameter 'metrics[0].timestamp' supplied: metric 'loss' (value=1e-07). \
             Timestamp must be a nonnegative long (64-bit integer) "
        );
        assert_eq!(
            metric(&of(&"a".repeat(251), 1.0, 0), "").unwrap_err().message,
            "'Metric name' exceeds the maximum length of 250 characters"
        );
    }

    #[test]
    fn a_name_that_is_another_path_is_refused() {
        for name in ["", ".", "..", "/a", "a/", "a//b", "./a", "../a", "a/../b", "..a", "..."] {
            assert!(metric(&of(name, 1.0, 0), "").is_err(), "{name:?}");
        }
    }
}
