//! Page tokens.
//!
//! A token is opaque to clients. ferroflow's is `base64url(JSON)` without padding and contains the sort keys of the
//! last row (keyset pagination): `{"v":1,"k":[{"i":5},{"r":"0.5"},{"t":"a"},null]}`. A token of the reference is
//! `base64(JSON)` and contains an offset; a client may still hold one from before a migration.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD},
    },
};
use ferroflow_model::{Error, python::repr_bytes};
use serde_json::{Map, Value, json};

use crate::{bounds, syntax::python};

/// The start of a page.
#[derive(Debug, Clone, PartialEq)]
pub enum PageToken {
    /// Skips this number of rows.
    Offset(u64),
    /// Starts after the row with these sort keys.
    Key(Vec<KeyValue>),
}

/// A digest of the texts of a query, to which its page tokens belong. Equal on all replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryId(u64);

impl QueryId {
    /// The id of a query with these texts and lists (64-bit FNV-1a).
    #[must_use]
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>, lists: &[&[String]]) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |text: &str| {
            // The end of a text is a byte that no text has.
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        texts.into_iter().for_each(&mut add);
        for list in lists {
            add(&list.len().to_string());
            list.iter().for_each(|text| add(text));
        }
        Self(hash)
    }

    fn shown(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The value of a sort key.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyValue {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A floating-point number; infinity and NaN are preserved.
    Real(f64),
    /// A text.
    Text(String),
}

/// The version of ferroflow's token format.
const VERSION: u64 = 1;

const PADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl PageToken {
    /// Encodes the token for a client.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Offset(offset) => PADDED.encode(format!("{{\"offset\": {offset}}}")),
            Self::Key(values) => {
                let values: Vec<_> = values.iter().map(KeyValue::to_json).collect();
                URL_SAFE_NO_PAD.encode(json!({ "v": VERSION, "k": values }).to_string())
            }
        }
    }

    /// Encodes the token of a query, for [`Self::decode_of`]. Without a query it is as of [`Self::encode`].
    #[must_use]
    pub fn encode_of(&self, query: impl Into<Option<QueryId>>) -> String {
        match (self, query.into()) {
            (_, None) | (Self::Offset(_), _) => self.encode(),
            (Self::Key(values), Some(query)) => {
                let values: Vec<_> = values.iter().map(KeyValue::to_json).collect();
                URL_SAFE_NO_PAD.encode(json!({ "v": VERSION, "k": values, "q": query.shown() }).to_string())
            }
        }
    }

    /// Decodes a token of this query, or any one without a query.
    ///
    /// # Errors
    /// It is no token, or one of another query.
    pub fn decode_of(token: &str, query: impl Into<Option<QueryId>>) -> Result<Self, Error> {
        if let Some(query) = query.into() {
            Self::check_query(token, query)?;
        }
        Self::decode(token)
    }

    /// Refuses a token of another query. One of the reference, or of an older ferroflow, contains no query.
    ///
    /// # Errors
    /// It is one of another query.
    pub fn check_query(token: &str, query: QueryId) -> Result<(), Error> {
        bounds::check("bytes in its page token", token.len(), bounds::TOKEN)?;
        let fields = own_fields(token);
        let found = fields.as_ref().and_then(|fields| fields.get("q"));
        if found.is_some_and(|found| found.as_str() != Some(&query.shown())) {
            return Err(Error::invalid(
                "Invalid page token: it belongs to a search with another filter, order or list of experiments",
            ));
        }
        Ok(())
    }

    /// Decodes a token of ferroflow or of the reference. The empty token is the first page.
    pub fn decode(token: &str) -> Result<Self, Error> {
        if token.is_empty() {
            return Ok(Self::Offset(0));
        }
        bounds::check("bytes in its page token", token.len(), bounds::TOKEN)?;
        if let Some(key) = own_key(token) {
            return key;
        }
        let decoded =
            decode_base64(token).ok_or_else(|| Error::invalid("Invalid page token, could not base64-decode"))?;
        let invalid = |what: &str, shown: String| Error::invalid(format!("Invalid page token, {what}{shown}"));
        let parsed: Value =
            serde_json::from_slice(&decoded).map_err(|_| invalid("decoded value=", repr_bytes(&decoded)))?;
        let offset = parsed.get("offset").filter(|offset| is_truthy(offset));
        let offset = offset.ok_or_else(|| invalid("parsed value=", python::repr_json(&parsed)))?;
        whole(offset).map(Self::Offset).ok_or_else(|| {
            let shown = offset.as_str().map_or_else(|| python::repr_json(offset), str::to_owned);
            invalid("not stringable ", shown)
        })
    }

    /// Decodes a token of a search for logged models. One of the reference contains the parameters of its search, and
    /// is refused for other ones. `order_by` is the request's list in the form of the reference, or null if it is
    /// empty: objects with `field_name`, `ascending`, `dataset_name` and `dataset_digest`.
    pub fn decode_for_logged_models(
        token: &str,
        experiment_ids: &[String],
        filter: &str,
        order_by: &Value,
    ) -> Result<Self, Error> {
        if token.is_empty() {
            return Ok(Self::Offset(0));
        }
        bounds::check("bytes in its page token", token.len(), bounds::TOKEN)?;
        if let Some(key) = own_key(token) {
            return key;
        }
        let invalid = || Error::invalid(format!("Invalid page token: {token}."));
        let decoded = decode_base64(token).ok_or_else(invalid)?;
        let fields: Map<String, Value> = serde_json::from_slice(&decoded).map_err(|_| invalid())?;
        let field = |name: &str| fields.get(name).filter(|value| is_truthy(value)).unwrap_or(&Value::Null);
        let filter = if filter.is_empty() { Value::Null } else { json!(filter) };
        let experiments = fields.get("experiment_ids").unwrap_or(&Value::Null);
        for (subject, noun, expected, found) in [
            ("Experiment IDs", "experiment IDs", &json!(experiment_ids), experiments),
            ("Filter string", "filter string", &filter, field("filter_string")),
            ("Order by", "order by", order_by, field("order_by")),
        ] {
            if expected != found {
                return Err(Error::invalid(format!(
                    "{subject} in the page token do{} not match the requested {noun}. Expected: {}. Found: {}",
                    if subject == "Experiment IDs" { "" } else { "es" },
                    shown(expected),
                    shown(found),
                )));
            }
        }
        match field("offset") {
            Value::Null => Ok(Self::Offset(0)),
            offset => whole(offset).map(Self::Offset).ok_or_else(invalid),
        }
    }
}

impl KeyValue {
    fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Int(int) => json!({ "i": int }),
            // As text, because JSON has neither infinity nor NaN.
            Self::Real(real) => json!({ "r": format!("{real:?}") }),
            Self::Text(text) => json!({ "t": text }),
        }
    }

    fn from_json(value: &Value) -> Option<Self> {
        if value.is_null() {
            return Some(Self::Null);
        }
        let fields = value.as_object().filter(|fields| fields.len() == 1)?;
        let (kind, value) = fields.iter().next()?;
        match kind.as_str() {
            "i" => value.as_i64().map(Self::Int),
            "r" => value.as_str()?.parse().ok().map(Self::Real),
            "t" => value.as_str().map(|text| Self::Text(text.to_owned())),
            _ => None,
        }
    }
}

/// The fields of a token of ferroflow; `None` for other tokens.
fn own_fields(token: &str) -> Option<Map<String, Value>> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok()?;
    let fields: Map<String, Value> = serde_json::from_slice(&decoded).ok()?;
    fields.contains_key("v").then_some(fields)
}

/// The sort keys in a token of ferroflow; `None` for other tokens.
fn own_key(token: &str) -> Option<Result<PageToken, Error>> {
    let fields = own_fields(token)?;
    let version = fields.get("v")?;
    let key = fields
        .get("k")
        .filter(|_| version.as_u64() == Some(VERSION))
        .and_then(|values| values.as_array()?.iter().map(KeyValue::from_json).collect::<Option<Vec<_>>>());
    Some(key.map(PageToken::Key).ok_or_else(|| {
        Error::invalid("Invalid page token, it was created by another version of this server or was modified")
    }))
}

/// Decodes base64 as the reference does: ignores invalid characters, and whatever follows a complete padding.
fn decode_base64(token: &str) -> Option<Vec<u8>> {
    if !token.is_ascii() {
        return None;
    }
    let mut data = Vec::with_capacity(token.len());
    let mut padding = 0;
    for byte in token.bytes() {
        match byte {
            b'=' if data.len() % 4 >= 2 => {
                padding += 1;
                if data.len() % 4 + padding >= 4 {
                    return PADDED.decode(data).ok();
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                padding = 0;
                data.push(byte);
            }
            _ => {}
        }
    }
    if data.len() % 4 == 0 { PADDED.decode(data).ok() } else { None }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `int(value)`, if the result is a valid offset.
fn whole(value: &Value) -> Option<u64> {
    let int = match value {
        Value::Bool(bool) => i64::from(*bool),
        Value::String(text) => python::int(text)?.value()?,
        Value::Number(number) => match number.as_i64() {
            Some(int) => int,
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
            None => number.as_f64().filter(|real| real.abs() < 9e15)? as i64,
        },
        _ => return None,
    };
    u64::try_from(int).ok()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| python::repr_json(value), str::to_owned)
}
