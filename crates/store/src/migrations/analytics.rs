//! Revision 75868b020152: moves values of traces, spans and assessments from JSON and key-value rows into columns.
//! Reads rows in pages by key, so that memory use does not depend on the size of the tables.

use serde_json::Value as Json;

use ferroflow_model::number::parse_float;

use super::{
    apply::Failure,
    events::{Event, Progress},
};
use crate::db::{DbError, Direct, Row, Statement, Upkeep, Value};

/// Rows per page.
const PAGE: usize = 1000;

const NAME_LENGTH: usize = 4096;
const SESSION_LENGTH: usize = 250;
const MODEL_LENGTH: usize = 500;

/// Token counts: keys in the metadata and the metrics of a trace, and names of the columns.
const TOKENS: [&str; 6] = [
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];

/// Costs: keys in the metadata of a trace and the metrics of a span, and names of the columns.
const COSTS: [&str; 3] = ["input_cost", "output_cost", "total_cost"];

const MODEL: &str = "mlflow.llm.model";
const PROVIDER: &str = "mlflow.llm.provider";

/// Fills the new columns.
pub(super) async fn fill(direct: &Direct, progress: &mut Progress<'_>) -> Result<(), Failure> {
    check_dimensions(direct).await?;
    traces(direct, progress).await?;
    spans(direct, progress).await?;
    Ok(assessments(direct, progress).await?)
}

/// A trace, and whether a new column already has a value: the reference has a command that fills them in advance.
struct Trace {
    id: String,
    name: Option<String>,
    session: Option<String>,
    usage: Option<String>,
    cost: Option<String>,
    /// The metric of each token count.
    metrics: Vec<Metric>,
    filled: bool,
}

/// A metric of a trace.
enum Metric {
    Missing,
    /// A row. It takes precedence over the metadata, even if its value is NULL.
    Row(Option<f64>),
}

const UPDATE_TRACE: &str = "UPDATE trace_info SET trace_name = $2, session_id = $3, input_tokens = $4, \
     output_tokens = $5, total_tokens = $6, cache_read_input_tokens = $7, cache_creation_input_tokens = $8, \
     cache_creation_input_tokens_above_1hr = $9, input_cost = $10, output_cost = $11, total_cost = $12 \
     WHERE request_id = $1";

async fn traces(direct: &Direct, progress: &mut Progress<'_>) -> Result<(), DbError> {
    let total = direct.number("SELECT COUNT(*) FROM trace_info").await?;
    let metrics = TOKENS.map(|key| format!(", {key}_m.value, {key}_m.key IS NOT NULL")).concat();
    let joins = TOKENS
        .map(|key| {
            format!(
                " LEFT JOIN trace_metrics AS {key}_m ON {key}_m.request_id = t.request_id AND {key}_m.key = '{key}'"
            )
        })
        .concat();
    let columns = TOKENS.iter().chain(&COSTS).copied().chain(["trace_name", "session_id"]);
    let filled: Vec<String> = columns.map(|column| format!("t.{column} IS NOT NULL")).collect();
    let sql = format!(
        "SELECT t.request_id, n.value, s.value, u.value, c.value, {}{metrics} \
         FROM (SELECT * FROM trace_info WHERE request_id > $1 ORDER BY request_id LIMIT {PAGE}) AS t \
         LEFT JOIN trace_tags AS n ON n.request_id = t.request_id AND n.key = 'mlflow.traceName' \
         LEFT JOIN trace_request_metadata AS s ON s.request_id = t.request_id AND s.key = 'mlflow.trace.session' \
         LEFT JOIN trace_request_metadata AS u ON u.request_id = t.request_id AND u.key = 'mlflow.trace.tokenUsage' \
         LEFT JOIN trace_request_metadata AS c ON c.request_id = t.request_id AND c.key = 'mlflow.trace.cost'{joins} \
         ORDER BY t.request_id",
        filled.join(" OR ")
    );
    let mut after = String::new();
    let mut done = 0;
    loop {
        let page = direct
            .query(Statement::unscoped(Upkeep::Migration, sql.clone(), vec![after.as_str().into()]), read_trace)
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.id);
        done += page.len();
        let updates = page.iter().filter_map(trace_update).collect();
        direct.execute_each(|row| Statement::unscoped(Upkeep::Migration, UPDATE_TRACE, row), updates).await?;
        progress.report(Event::Rows { table: "trace_info", done: rows(done), total: total.unsigned_abs() });
    }
}

fn read_trace(row: &Row<'_>) -> Result<Trace, DbError> {
    let metrics = (0..TOKENS.len())
        .map(|place| {
            let value = row.get::<Option<f64>>(6 + 2 * place)?;
            Ok(if row.get::<bool>(7 + 2 * place)? { Metric::Row(value) } else { Metric::Missing })
        })
        .collect::<Result<_, DbError>>()?;
    Ok(Trace {
        id: row.get(0)?,
        name: row.get(1)?,
        session: row.get(2)?,
        usage: row.get(3)?,
        cost: row.get(4)?,
        filled: row.get(5)?,
        metrics,
    })
}

/// The parameters of [`UPDATE_TRACE`]; `None` if nothing needs to be written.
fn trace_update(trace: &Trace) -> Option<Vec<Value>> {
    let usage = object(trace.usage.as_deref());
    let cost = object(trace.cost.as_deref());
    let mut values: Vec<Value> = vec![trace.id.as_str().into()];
    values.push(cut(trace.name.as_deref(), NAME_LENGTH).into());
    values.push(cut(trace.session.as_deref(), SESSION_LENGTH).into());
    for (key, metric) in TOKENS.iter().zip(&trace.metrics) {
        let count = match metric {
            Metric::Row(value) => value.and_then(count_of_float),
            Metric::Missing => usage.as_ref().and_then(|usage| usage.get(*key)).and_then(count),
        };
        values.push(count.into());
    }
    values.extend(COSTS.map(|key| cost.as_ref().and_then(|cost| cost.get(key)).and_then(finite).into()));
    (trace.filled || values[1..].iter().any(|value| *value != Value::Null)).then_some(values)
}

/// A span: its key, its dimensions as JSON, its costs, and whether a new column already has a value.
struct Span {
    trace: String,
    id: String,
    dimensions: Option<String>,
    costs: [Option<f64>; 3],
    filled: bool,
}

const UPDATE_SPAN: &str = "UPDATE spans SET input_cost = $3, output_cost = $4, total_cost = $5, model_name = $6, \
     model_provider = $7 WHERE trace_id = $1 AND span_id = $2";

async fn spans(direct: &Direct, progress: &mut Progress<'_>) -> Result<(), Failure> {
    let total = direct.number("SELECT COUNT(*) FROM spans").await?;
    let sql = "SELECT s.trace_id, s.span_id, CAST(s.dimension_attributes AS TEXT), i.value, o.value, t.value, \
         s.input_cost IS NOT NULL OR s.output_cost IS NOT NULL OR s.total_cost IS NOT NULL \
         OR s.model_name IS NOT NULL OR s.model_provider IS NOT NULL \
         FROM (SELECT * FROM spans WHERE (trace_id, span_id) > ($1, $2) ORDER BY trace_id, span_id LIMIT 1000) AS s \
         LEFT JOIN span_metrics AS i ON i.trace_id = s.trace_id AND i.span_id = s.span_id AND i.key = 'input_cost' \
         LEFT JOIN span_metrics AS o ON o.trace_id = s.trace_id AND o.span_id = s.span_id AND o.key = 'output_cost' \
         LEFT JOIN span_metrics AS t ON t.trace_id = s.trace_id AND t.span_id = s.span_id AND t.key = 'total_cost' \
         ORDER BY s.trace_id, s.span_id";
    let mut after = (String::new(), String::new());
    let mut done = 0;
    loop {
        let key = vec![after.0.as_str().into(), after.1.as_str().into()];
        let page = direct.query(Statement::unscoped(Upkeep::Migration, sql.to_owned(), key), read_span).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.trace.clone(), last.id.clone());
        done += page.len();
        let mut updates = Vec::new();
        for span in &page {
            updates.extend(span_update(span)?);
        }
        direct.execute_each(|row| Statement::unscoped(Upkeep::Migration, UPDATE_SPAN, row), updates).await?;
        progress.report(Event::Rows { table: "spans", done: rows(done), total: total.unsigned_abs() });
    }
}

fn read_span(row: &Row<'_>) -> Result<Span, DbError> {
    Ok(Span {
        trace: row.get(0)?,
        id: row.get(1)?,
        dimensions: row.get(2)?,
        costs: [row.get(3)?, row.get(4)?, row.get(5)?],
        filled: row.get(6)?,
    })
}

fn span_update(span: &Span) -> Result<Option<Vec<Value>>, Failure> {
    let (model, provider) = dimensions(span.dimensions.as_deref(), &span.trace, &span.id)?;
    let mut values: Vec<Value> = vec![span.trace.as_str().into(), span.id.as_str().into()];
    values.extend(span.costs.map(|cost| cost.filter(|cost| cost.is_finite()).into()));
    values.push(cut(model.as_deref(), MODEL_LENGTH).into());
    values.push(cut(provider.as_deref(), MODEL_LENGTH).into());
    Ok((span.filled || values[2..].iter().any(|value| *value != Value::Null)).then_some(values))
}

/// Refuses dimensions without a column, before anything is written.
async fn check_dimensions(direct: &Direct) -> Result<(), Failure> {
    let sql = "SELECT trace_id, span_id, CAST(dimension_attributes AS TEXT) FROM spans \
         WHERE dimension_attributes IS NOT NULL AND (trace_id, span_id) > ($1, $2) \
         ORDER BY trace_id, span_id LIMIT 1000";
    let mut after = (String::new(), String::new());
    loop {
        let key = vec![after.0.as_str().into(), after.1.as_str().into()];
        let page = direct
            .query(Statement::unscoped(Upkeep::Migration, sql.to_owned(), key), |row| {
                Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<Option<String>>(2)?))
            })
            .await?;
        let Some((trace, span, _)) = page.last() else { return Ok(()) };
        after = (trace.clone(), span.clone());
        for (trace, span, text) in &page {
            dimensions(text.as_deref(), trace, span)?;
        }
    }
}

/// The model and the provider in the dimensions of a span.
fn dimensions(text: Option<&str>, trace: &str, span: &str) -> Result<(Option<String>, Option<String>), Failure> {
    let refused = |what: String| {
        Failure::Refused(format!("spans.dimension_attributes of the span {span} of the trace {trace} has {what}"))
    };
    let Some(text) = text else { return Ok((None, None)) };
    let malformed = |_| refused("JSON that cannot be read".to_owned());
    let mut value: Json = serde_json::from_str(text).map_err(malformed)?;
    // JSON encoded as a JSON string is decoded too.
    if let Json::String(inner) = &value {
        value = serde_json::from_str(inner).map_err(malformed)?;
    }
    let map = match value {
        Json::Null => return Ok((None, None)),
        Json::Object(map) => map,
        other => return Err(refused(format!("{other} instead of an object"))),
    };
    let mut found = (None, None);
    for (key, value) in map {
        let place = match key.as_str() {
            MODEL => &mut found.0,
            PROVIDER => &mut found.1,
            _ => return Err(refused(format!("the key {key}, for which there is no column"))),
        };
        match value {
            Json::Null => {}
            Json::String(text) => *place = Some(text),
            _ => return Err(refused(format!("a {key} that is not text"))),
        }
    }
    Ok(found)
}

const UPDATE_ASSESSMENT: &str = "UPDATE assessments SET experiment_id = $2, trace_timestamp_ms = $3, \
     aggregate_value = $4, is_numeric_value = $5 WHERE assessment_id = $1";

async fn assessments(direct: &Direct, progress: &mut Progress<'_>) -> Result<(), DbError> {
    let total = direct.number("SELECT COUNT(*) FROM assessments").await?;
    let sql = "SELECT a.assessment_id, a.value, t.experiment_id, t.timestamp_ms \
         FROM (SELECT assessment_id, trace_id, value FROM assessments WHERE assessment_id > $1 \
         ORDER BY assessment_id LIMIT 1000) AS a \
         JOIN trace_info AS t ON t.request_id = a.trace_id ORDER BY a.assessment_id";
    let mut after = String::new();
    let mut done = 0;
    loop {
        let page = direct
            .query(Statement::unscoped(Upkeep::Migration, sql.to_owned(), vec![after.as_str().into()]), |row| {
                let (number, numeric) = aggregate(row.str(1)?);
                let keys = (row.get::<i64>(2)?, row.get::<i64>(3)?);
                Ok((row.get::<String>(0)?, keys, number, numeric))
            })
            .await?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after.clone_from(last);
        done += page.len();
        let updates = page
            .into_iter()
            .map(|(id, (experiment, time), number, numeric)| {
                vec![id.into(), experiment.into(), time.into(), number.into(), Value::Bool(numeric)]
            })
            .collect();
        direct.execute_each(|row| Statement::unscoped(Upkeep::Migration, UPDATE_ASSESSMENT, row), updates).await?;
        progress.report(Event::Rows { table: "assessments", done: rows(done), total: total.unsigned_abs() });
    }
}

/// The numeric value of an assessment, and whether it is a JSON number: true and yes are 1, false and no are 0.
fn aggregate(text: &str) -> (Option<f64>, bool) {
    match serde_json::from_str(text) {
        Ok(Json::Bool(value)) => (Some(f64::from(u8::from(value))), false),
        Ok(Json::Number(number)) => match number.as_f64().filter(|number| number.is_finite()) {
            Some(number) => (Some(number), true),
            None => (None, false),
        },
        Ok(Json::String(word)) => (yes_or_no(&word), false),
        Ok(_) => (None, false),
        Err(_) => (yes_or_no(text), false),
    }
}

fn yes_or_no(word: &str) -> Option<f64> {
    match word.trim().to_lowercase().as_str() {
        "yes" => Some(1.0),
        "no" => Some(0.0),
        _ => None,
    }
}

/// Parses a JSON object as Python does, which accepts NaN, infinities and numbers out of range. These become null,
/// since none of them is migrated.
fn object(text: Option<&str>) -> Option<serde_json::Map<String, Json>> {
    let text = text?;
    let value = serde_json::from_str(text).or_else(|_| serde_json::from_str(&without_infinities(text))).ok()?;
    if let Json::Object(map) = value { Some(map) } else { None }
}

fn without_infinities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut rest) = (false, text);
    while let Some(c) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        if !quoted && (c == '-' || c.is_ascii_digit()) {
            let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            out.push_str(if number.parse::<f64>().is_ok_and(f64::is_infinite) { "null" } else { number });
            rest = after;
            continue;
        }
        let mut length = c.len_utf8();
        if c == '"' {
            quoted = !quoted;
        } else if quoted && c == '\\' {
            length += rest[length..].chars().next().map_or(0, char::len_utf8);
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// A cost: a finite number, or a text that Python's `float` accepts.
fn finite(value: &Json) -> Option<f64> {
    let number = match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => parse_float(text),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A count: a 64-bit integer, as a number or as a text that Python's `Decimal` accepts.
fn count(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(count_of_float)),
        Json::String(text) => whole(text.trim()),
        _ => None,
    }
}

fn count_of_float(number: f64) -> Option<i64> {
    // The shortest decimal representation counts, as in Python's `repr`, also beyond 2^53.
    number.is_finite().then(|| whole(&format!("{number:e}"))).flatten()
}

/// `12`, `1_000`, `12.0`, `1.2e1` as an integer.
fn whole(text: &str) -> Option<i64> {
    let text = text.replace('_', "");
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{integer}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = all.trim_end_matches('0');
    // The value is `significant` followed by this many zeros.
    let zeros = i64::from(exponent) - i64::try_from(fraction.len()).ok()?
        + i64::try_from(all.len() - significant.len()).ok()?;
    if significant.trim_start_matches('0').is_empty() {
        return Some(0);
    }
    if !(0..=19).contains(&zeros) {
        return None;
    }
    let number: i128 = significant.parse().ok()?;
    let number = number.checked_mul(10_i128.checked_pow(u32::try_from(zeros).ok()?)?)?;
    i64::try_from(if negative { -number } else { number }).ok()
}

fn cut(text: Option<&str>, length: usize) -> Option<String> {
    text.map(|text| text.chars().take(length).collect())
}

fn rows(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_numbers_however_they_are_written() {
        for (text, expected) in [
            ("12", Some(12)),
            ("\"12\"", Some(12)),
            ("\" 1_000 \"", Some(1000)),
            ("12.0", Some(12)),
            ("\"1.2e1\"", Some(12)),
            ("\"1.25e1\"", None),
            ("12.5", None),
            ("-0.0", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1e20", None),
            ("true", None),
            ("\"NaN\"", None),
            ("[]", None),
        ] {
            assert_eq!(count(&serde_json::from_str(text).unwrap()), expected, "{text}");
        }
        assert_eq!(count_of_float(5.0), Some(5));
        assert_eq!(count_of_float(0.5), None);
        assert_eq!(count_of_float(f64::NAN), None);
    }

    #[test]
    fn an_assessment_is_numeric_if_it_is_a_number_or_a_boolean() {
        assert_eq!(aggregate("true"), (Some(1.0), false));
        assert_eq!(aggregate("0.25"), (Some(0.25), true));
        assert_eq!(aggregate("\" Yes \""), (Some(1.0), false));
        assert_eq!(aggregate("no"), (Some(0.0), false));
        for text in ["\"maybe\"", "null", "[1]", "NaN", "1e400", "{"] {
            assert_eq!(aggregate(text), (None, false), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_left_out_and_the_others_kept() {
        let found = object(Some(
            r#"{"input_cost": NaN, "output_cost": -Infinity, "total_cost": 0.5, "a\"NaN": "NaN", "b": -1e400}"#,
        ));
        let found = found.unwrap();
        assert_eq!(found["total_cost"], 0.5);
        assert_eq!(found["a\"NaN"], "NaN");
        assert_eq!(finite(&found["input_cost"]), None);
        assert_eq!(finite(&found["b"]), None);
        assert!(object(Some("[]")).is_none() && object(Some("{")).is_none() && object(None).is_none());
    }

    #[test]
    fn dimensions_without_a_column_are_refused() {
        assert!(matches!(dimensions(Some("null"), "t", "s"), Ok((None, None))));
        let both = r#"{"mlflow.llm.model": "m", "mlflow.llm.provider": null}"#;
        assert!(matches!(dimensions(Some(both), "t", "s"), Ok((Some(model), None)) if model == "m"));
        for bad in [r#"{"other": "x"}"#, r#"{"mlflow.llm.model": 1}"#, "[]", "{"] {
            assert!(matches!(dimensions(Some(bad), "t", "s"), Err(Failure::Refused(_))), "{bad}");
        }
    }
}
