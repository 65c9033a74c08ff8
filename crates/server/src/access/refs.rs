//! The resources that a request names: ids and names in its message, its path and its query.

mod extract;

use std::any::Any;

use ferroflow_model::{Error, Result, messages::service::LogBatch, wire::Rpc};
use serde_json::{Map, Value};

use crate::app::Cx;

/// Maximum characters of a text, and items of a list, in a line of a log.
const MAX_LOGGED_CHARS: usize = 256;
const MAX_LOGGED_ITEMS: usize = 20;

/// The ids and names in a request, from every place that may hold one. A handler reads an id from one place; the rules
/// check all of them, so that an id in another place grants nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refs {
    message: Map<String, Value>,
    params: Vec<(String, String)>,
    is_message: bool,
}

impl Refs {
    /// Those of a message and the path.
    pub(crate) fn from_message<T: Rpc>(cx: &Cx, message: &T) -> Self {
        let params = cx.path.clone();
        if let Some(batch) = (message as &dyn Any).downcast_ref::<LogBatch>() {
            return Self { message: refs_of_batch(batch), params, is_message: true };
        }
        Self { message: extract::refs(message), params, is_message: true }
    }

    /// Those of the path and the query.
    pub(crate) fn from_query(cx: &Cx) -> Self {
        let query = cx.query.as_deref().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
        let params = cx.path.iter().cloned().chain(parameters).collect();
        Self { message: Map::new(), params, is_message: false }
    }

    /// Those of parameters that have been read already.
    pub(crate) fn from_params(message: Map<String, Value>) -> Self {
        Self { message, params: Vec::new(), is_message: true }
    }

    /// Whether a message was read, rather than the query alone.
    pub(crate) fn is_message(&self) -> bool {
        self.is_message
    }

    /// A field of the message.
    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.message.get(name)
    }

    /// The one non-empty text with a name.
    ///
    /// # Errors
    /// There are several: the result must not depend on which one the handler uses.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>> {
        let mut found = self.values(&[name]);
        if found.len() > 1 {
            return Err(Error::invalid(format!("Parameter '{name}' must be given once.")));
        }
        Ok(found.pop())
    }

    /// Every non-empty text with one of these names, also in lists, without duplicates.
    pub(crate) fn values(&self, names: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for name in names {
            match self.message.get(*name) {
                Some(Value::String(text)) => found.push(text.clone()),
                Some(Value::Array(items)) => {
                    found.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                _ => {}
            }
            found.extend(self.params.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()));
        }
        found.retain(|text| !text.is_empty());
        found.sort();
        found.dedup();
        found
    }

    /// The value with a name, truncated for a line of a log.
    pub(crate) fn audit_value(&self, name: &str) -> Option<Value> {
        let short = |text: &str| Value::String(text.chars().take(MAX_LOGGED_CHARS).collect());
        match self.message.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(short(text)),
            Some(Value::Array(items)) if !items.is_empty() => {
                Some(items.iter().filter_map(Value::as_str).take(MAX_LOGGED_ITEMS).map(short).collect())
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.clone()),
            _ => self.params.iter().find(|(other, _)| other == name).map(|(_, value)| short(value)),
        }
    }

    /// The logged models that metrics, inputs or outputs refer to.
    pub(crate) fn model_ids(&self) -> Vec<String> {
        let lists = ["metrics", "models"].iter().filter_map(|name| self.message.get(*name)?.as_array()).flatten();
        let mut found: Vec<String> =
            lists.filter_map(|item| item.get("model_id")?.as_str()).map(str::to_owned).collect();
        found.extend(self.values(&["model_id"]));
        found.retain(|id| !id.is_empty());
        found.sort();
        found.dedup();
        found
    }
}

/// The ids in a batch, without building a JSON tree of all its metrics.
fn refs_of_batch(batch: &LogBatch) -> Map<String, Value> {
    let models = batch.metrics.iter().filter_map(|metric| metric.model_id.as_deref()).filter(|id| !id.is_empty());
    let models: Vec<Value> = models.map(|id| serde_json::json!({ "model_id": id })).collect();
    let mut message = Map::new();
    message.insert("run_id".into(), batch.run_id.clone().unwrap_or_default().into());
    message.insert("metrics".into(), models.into());
    message
}
