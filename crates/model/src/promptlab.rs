//! Runs of the UI's prompt lab: the request, and the files of a run.
//!
//! The request has no message: the reference reads it as a dictionary, and so a value may be a number where a text is
//! stored.

mod files;

pub use self::files::PromptlabModel;

use crate::{
    Error, Result,
    messages::service::{Param, RunTag},
    python_json::{Json, Text},
};

/// A request for a run of the prompt lab.
#[derive(Debug, Clone)]
pub struct PromptlabRun {
    /// The experiment's id.
    pub experiment_id: String,
    /// The name; empty for a generated one.
    pub run_name: String,
    /// Tags.
    pub tags: Vec<RunTag>,
    /// The prompt, with its parameters in braces.
    pub prompt_template: String,
    /// The values of its parameters.
    pub prompt_parameters: Vec<(String, String)>,
    /// The gateway's endpoint.
    pub model_route: String,
    /// What the endpoint was called with besides the prompt.
    pub model_parameters: Vec<(String, String)>,
    /// The prompt with the values.
    pub model_input: Json,
    /// The answer.
    pub model_output: Json,
    /// What the endpoint said about its answer.
    pub model_output_parameters: Vec<(String, String)>,
    /// The user.
    pub user_id: String,
    /// Milliseconds since 1970; `None` for the time of the request.
    pub start_time: Option<i64>,
}

impl PromptlabRun {
    /// Parses a request of at most `values` values.
    ///
    /// # Errors
    /// It is no JSON object, or a field is missing or not valid.
    pub fn parse(body: &[u8], values: usize) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| Error::invalid("The body of the request is not UTF-8."))?;
        let request = Json::parse(text, values).map_err(|refusal| refusal.of("request"))?;
        if request.object().is_none() {
            return Err(Error::invalid("The body of the request is not a JSON object."));
        }
        let required = |name: &str| {
            let missing = || Error::invalid(format!("CreatePromptlabRun request must specify {name}."));
            request.get(name).filter(|value| value.is_truthy()).ok_or_else(missing)
        };
        let pairs = |name: &str| request.get(name).map_or(Ok(Vec::new()), |value| pairs(name, value));
        let experiment_id = string("experiment_id", required("experiment_id")?)?;
        let prompt_template = text_of("prompt_template", required("prompt_template")?)?;
        required("prompt_parameters")?;
        let prompt_parameters = pairs("prompt_parameters")?;
        let model_route = text_of("model_route", required("model_route")?)?;
        let model_parameters = pairs("model_parameters")?;
        let model_input = required("model_input")?.clone();
        required("mlflow_version")?;
        let optional = |name: &str| match request.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => text_of(name, value).map(Some),
        };
        let tag = |(key, value)| RunTag { key: Some(key), value: Some(value) };
        Ok(Self {
            experiment_id,
            run_name: optional("run_name")?.unwrap_or_default(),
            tags: pairs("tags")?.into_iter().map(tag).collect(),
            prompt_template,
            prompt_parameters,
            model_route,
            model_parameters,
            model_input,
            model_output: request.get("model_output").cloned().unwrap_or(Json::Null),
            model_output_parameters: pairs("model_output_parameters")?,
            user_id: optional("user_id")?.unwrap_or_else(|| "unknown".to_owned()),
            start_time: match request.get("start_time") {
                None | Some(Json::Null) => None,
                Some(Json::Int(digits)) => Some(digits.parse().map_err(|_| wrong("start_time", "is too large"))?),
                Some(_) => return Err(wrong("start_time", "is not an integer")),
            },
        })
    }

    /// The params of the run.
    #[must_use]
    pub fn params(&self) -> Vec<Param> {
        let own = [("model_route", &self.model_route), ("prompt_template", &self.prompt_template)];
        let of_model = self.model_parameters.iter().map(|(key, value)| (key.as_str(), value));
        of_model.chain(own).map(|(key, value)| Param { key: Some(key.into()), value: Some(value.clone()) }).collect()
    }

    /// The tags by which the UI finds the table of the run.
    #[must_use]
    pub fn result_tags() -> Vec<RunTag> {
        let table = format!(r#"[{{"path": "{}", "type": "table"}}]"#, files::TABLE);
        [("mlflow.loggedArtifacts", table.as_str()), ("mlflow.runSourceType", "PROMPT_ENGINEERING")]
            .map(|(key, value)| RunTag { key: Some(key.into()), value: Some(value.into()) })
            .into()
    }
}

/// The keys and values of a list of pairs.
fn pairs(name: &str, value: &Json) -> Result<Vec<(String, String)>> {
    let items = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Array(items) => items,
        _ => return Err(wrong(name, "is not a list")),
    };
    let pair = |item: &Json| {
        let key = item.get("key").and_then(Json::text).and_then(Text::decode);
        let key = key.ok_or_else(|| wrong(name, "has an item without a text as its key"))?;
        Ok((key, string(name, item.get("value").unwrap_or(&Json::Null))?))
    };
    items.iter().map(pair).collect()
}

/// `str(value)`
fn string(name: &str, value: &Json) -> Result<String> {
    value.to_str().ok_or_else(|| wrong(name, "has an unpaired surrogate"))
}

fn text_of(name: &str, value: &Json) -> Result<String> {
    let text = value.text().ok_or_else(|| wrong(name, "is not a text"))?;
    text.decode().ok_or_else(|| wrong(name, "has an unpaired surrogate"))
}

fn wrong(name: &str, reason: &str) -> Error {
    Error::invalid(format!("Invalid value for parameter '{name}' supplied: it {reason}."))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request() -> Value {
        json!({
            "experiment_id": "1",
            "prompt_template": "Say {{ word }}",
            "prompt_parameters": [{ "key": "word", "value": "hi" }],
            "model_route": "chat",
            "model_input": "Say hi",
            "mlflow_version": "2.7.1",
        })
    }

    fn parse(request: &Value) -> Result<PromptlabRun> {
        PromptlabRun::parse(request.to_string().as_bytes(), 100)
    }

    #[test]
    fn each_required_field_is_named_when_it_is_missing_or_empty() {
        let names =
            ["experiment_id", "prompt_template", "prompt_parameters", "model_route", "model_input", "mlflow_version"];
        for name in names {
            for value in [Value::Null, json!(""), json!([]), json!(0)] {
                let mut request = request();
                request[name] = value;
                let message = parse(&request).unwrap_err().message;
                assert_eq!(message, format!("CreatePromptlabRun request must specify {name}."));
            }
        }
    }

    #[test]
    fn values_become_texts_as_in_python() {
        let mut request = request();
        request["experiment_id"] = json!(1);
        request["model_parameters"] =
            json!([{ "key": "temperature", "value": 0.01 }, { "key": "stream", "value": true }, { "key": "stop" }]);
        let run = parse(&request).unwrap();
        assert_eq!(run.experiment_id, "1");
        let params = run.params();
        let params: Vec<_> = params.iter().map(|param| (param.key(), param.value())).collect();
        assert_eq!(
            params,
            [
                ("temperature", "0.01"),
                ("stream", "True"),
                ("stop", "None"),
                ("model_route", "chat"),
                ("prompt_template", "Say {{ word }}")
            ]
        );
    }

    #[test]
    fn what_is_of_another_type_is_refused() {
        for (name, value) in [
            ("prompt_parameters", json!("word")),
            ("prompt_parameters", json!(["word"])),
            ("model_parameters", json!([{ "value": 1 }])),
            ("tags", json!({ "a": "b" })),
            ("run_name", json!(7)),
            ("start_time", json!("now")),
            ("prompt_template", json!(7)),
        ] {
            let mut request = request();
            request[name] = value;
            let message = parse(&request).unwrap_err().message;
            assert!(message.starts_with(&format!("Invalid value for parameter '{name}'")), "{message}");
        }
        for body in ["", "[1]", "{"] {
            assert!(PromptlabRun::parse(body.as_bytes(), 100).is_err(), "{body}");
        }
    }
}
