//! The resources that a request names: ids and names in its message, its path and its query.

mod extract;

use std::any::Any;

use ferroflow_model::{Error, Result, messages::service::LogBatch, wire::Rpc};
use serde_json::{Map, Value};

use crate::app::Cx;

/// Maximum characters of a text, and items of a list, in a line of a log.
const LONGEST_SHOWN: usize = 256;
const MOST_SHOWN: usize = 20;

/// The ids and names in a request, from every place that may hold one. A handler reads an id from one place; the rules
/// check all of them, so that an id in another place grants nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    message: Map<String, Value>,
    others: Vec<(String, String)>,
    is_message: bool,
}

impl Named {
    /// Those of a message and the path.
    pub(crate) fn of_message<T: Rpc>(cx: &Cx, message: &T) -> Self {
        let others = cx.path.clone();
        if let Some(batch) = (message as &dyn Any).downcast_ref::<LogBatch>() {
            return Self { message: of_batch(batch), others, is_message: true };
        }
        Self { message: extract::named(message), others, is_message: true }
    }

    /// Those of the path and the query.
    pub(crate) fn of_query(cx: &Cx) -> Self {
        let query = cx.query.as_deref().unwrap_or_default();
        let parameters = form_urlencoded::parse(query.as_bytes()).into_owned();
        let others = cx.path.iter().cloned().chain(parameters).collect();
        Self { message: Map::new(), others, is_message: false }
    }

    /// Those of parameters that have been read already.
    pub(crate) fn of_parameters(message: Map<String, Value>) -> Self {
        Self { message, others: Vec::new(), is_message: true }
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
        let mut found = self.all(&[name]);
        if found.len() > 1 {
            return Err(Error::invalid(format!("Parameter '{name}' must be given once.")));
        }
        Ok(found.pop())
    }

    /// Every non-empty text with one of these names, also in lists, without duplicates.
    pub(crate) fn all(&self, names: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for name in names {
            match self.message.get(*name) {
                Some(Value::String(text)) => found.push(text.clone()),
                Some(Value::Array(items)) => {
                    found.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                }
                _ => {}
            }
            found.extend(self.others.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()));
        }
        found.retain(|text| !text.is_empty());
        found.sort();
        found.dedup();
        found
    }

    /// The value with a name, truncated for a line of a log.
    pub(crate) fn shown(&self, name: &str) -> Option<Value> {
        let short = |text: &str| Value::String(text.chars().take(LONGEST_SHOWN).collect());
        match self.message.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(short(text)),
            Some(Value::Array(items)) if !items.is_empty() => {
                Some(items.iter().filter_map(Value::as_str).take(MOST_SHOWN).map(short).collect())
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) => Some(value.clone()),
            _ => self.others.iter().find(|(other, _)| other == name).map(|(_, value)| short(value)),
        }
    }

    /// The logged models that metrics, inputs or outputs refer to.
    pub(crate) fn models(&self) -> Vec<String> {
        let lists = ["metrics", "models"].iter().filter_map(|name| self.message.get(*name)?.as_array()).flatten();
        let mut found: Vec<String> =
            lists.filter_map(|item| item.get("model_id")?.as_str()).map(str::to_owned).collect();
        found.extend(self.all(&["model_id"]));
        found.retain(|id| !id.is_empty());
        found.sort();
        found.dedup();
        found
    }
}

/// The ids in a batch, without building a JSON tree of all its metrics.
fn of_batch(batch: &LogBatch) -> Map<String, Value> {
    let models = batch.metrics.iter().filter_map(|metric| metric.model_id.as_deref()).filter(|id| !id.is_empty());
    let models: Vec<Value> = models.map(|id| serde_json::json!({ "model_id": id })).collect();
    let mut message = Map::new();
    message.insert("run_id".into(), batch.run_id.clone().unwrap_or_default().into());
    message.insert("metrics".into(), models.into());
    message
}
