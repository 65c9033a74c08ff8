//! The artifacts of a run of the prompt lab: the table that the UI and `mlflow.load_table` read, and a model in MLflow's
//! format that `mlflow.pyfunc.load_model` reads with the loader in the package `mlflow`.

use std::{collections::BTreeMap, fmt::Write as _, time::SystemTime};

use jiff::Timestamp;

use super::PromptlabRun;
use crate::{
    python,
    python_json::{Json, Text},
};

/// The artifact with the table.
pub(super) const TABLE: &str = "eval_results_table.json";

/// The directory with the model.
const MODEL: &str = "model";

/// The package that loads the model, in the version of the reference.
const MLFLOW: &str = "3.17.2";

/// The Python of the model's environment: the oldest line that this version of the package supports. The reference
/// writes the one that it runs on.
const PYTHON: &str = "3.10.18";

/// The model of a run.
#[derive(Debug, Clone)]
pub struct PromptlabModel<'a> {
    run_id: &'a str,
    uuid: String,
    /// As `2026-01-31 12:30:00.000000` in UTC.
    created: String,
}

impl<'a> PromptlabModel<'a> {
    /// A model of a run, with an id of its own.
    #[must_use]
    pub fn new(run_id: &'a str, uuid: String, created: SystemTime) -> Self {
        let created = Timestamp::try_from(created).unwrap_or_default();
        Self { run_id, uuid, created: created.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string() }
    }

    /// The entry in the history of models that old clients keep in a tag.
    #[must_use]
    pub fn history_entry(&self) -> serde_json::Value {
        serde_json::json!({
            "run_id": self.run_id,
            "artifact_path": MODEL,
            "utc_time_created": self.created,
            "model_uuid": self.uuid,
            "flavors": {},
        })
    }
}

impl PromptlabRun {
    /// The artifacts of the run, each a path and a text.
    #[must_use]
    pub fn files(&self, model: &PromptlabModel<'_>) -> Vec<(String, String)> {
        let in_model = [
            ("MLmodel", self.description(model)),
            ("parameters.yaml", self.parameters()),
            ("input_example.json", self.example().dumps()),
            ("serving_input_example.json", self.serving_example()),
            ("requirements.txt", format!("mlflow[gateway]=={MLFLOW}")),
            ("python_env.yaml", python_env()),
            ("conda.yaml", conda_env()),
        ];
        let in_model = in_model.into_iter().map(|(name, text)| (format!("{MODEL}/{name}"), text));
        in_model.chain([(TABLE.to_owned(), self.table().dumps())]).collect()
    }

    /// A row with the parameters, the prompt, the answer, and what was said about it.
    fn table(&self) -> Json {
        let text = |text: &String| Json::Text(Text::new(text));
        let mut columns: Vec<Json> = self.prompt_parameters.iter().map(|(key, _)| text(key)).collect();
        columns.extend(["prompt", "output"].map(|name| Json::Text(Text::new(name))));
        columns.extend(self.model_output_parameters.iter().map(|(key, _)| text(key)));
        let mut row: Vec<Json> = self.prompt_parameters.iter().map(|(_, value)| text(value)).collect();
        row.extend([self.model_input.clone(), self.model_output.clone()]);
        row.extend(self.model_output_parameters.iter().map(|(_, value)| text(value)));
        object([("columns", Json::Array(columns)), ("data", Json::Array(vec![Json::Array(row)]))])
    }

    /// The values of the parameters as an input of the model.
    fn example(&self) -> Json {
        let values = self.prompt_parameters.iter().map(|(_, value)| Json::Text(Text::new(value)));
        object([("inputs", Json::Array(values.collect()))])
    }

    /// The body of a request to a served model.
    fn serving_example(&self) -> String {
        let values: Vec<String> = self
            .prompt_parameters
            .iter()
            .map(|(_, value)| format!("      {}", Json::Text(Text::new(value)).dumps()))
            .collect();
        format!("{{\n  \"inputs\": {{\n    \"inputs\": [\n{}\n    ]\n  }}\n}}", values.join(",\n"))
    }

    /// `parameters.yaml`, which the loader reads.
    fn parameters(&self) -> String {
        let map = |out: &mut String, name: &str, pairs: &[(String, String)]| {
            // Of several values of a key the last one counts.
            let pairs: BTreeMap<&str, &str> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
            out.push_str(name);
            out.push_str(if pairs.is_empty() { ": {}\n" } else { ":\n" });
            for (key, value) in pairs {
                // Writing to a string cannot fail.
                let _ = writeln!(out, "  {}: {}", yaml(key), yaml(value));
            }
        };
        let mut out = String::new();
        map(&mut out, "model_parameters", &self.model_parameters);
        let _ = writeln!(out, "model_route: {}", yaml(&self.model_route));
        map(&mut out, "prompt_parameters", &self.prompt_parameters);
        let _ = writeln!(out, "prompt_template: {}", yaml(&self.prompt_template));
        out
    }

    /// `MLmodel`
    fn description(&self, model: &PromptlabModel<'_>) -> String {
        let column = |name: &str| {
            let name = python::json_dumps(&name.into());
            format!(r#"{{"type": "string", "name": {name}, "required": true}}"#)
        };
        let inputs: Vec<String> = self.prompt_parameters.iter().map(|(key, _)| column(key)).collect();
        let PromptlabModel { run_id, uuid, created } = model;
        format!(
            "artifact_path: {MODEL}\n\
             flavors:\n\
             \x20 python_function:\n\
             \x20   env:\n\
             \x20     conda: conda.yaml\n\
             \x20     virtualenv: python_env.yaml\n\
             \x20   loader_module: mlflow.prompt.promptlab_model\n\
             \x20   parameters_path: parameters.yaml\n\
             \x20   python_version: {PYTHON}\n\
             is_signature_from_type_hint: false\n\
             mlflow_version: {MLFLOW}\n\
             model_id: null\n\
             model_uuid: {}\n\
             prompts: null\n\
             run_id: {}\n\
             saved_input_example_info:\n\
             \x20 artifact_path: input_example.json\n\
             \x20 serving_input_path: serving_input_example.json\n\
             \x20 type: json_object\n\
             signature:\n\
             \x20 inputs: {}\n\
             \x20 outputs: {}\n\
             \x20 params: null\n\
             type_hint_from_example: false\n\
             utc_time_created: {}\n",
            yaml(uuid),
            yaml(run_id),
            yaml(&format!("[{}]", inputs.join(", "))),
            yaml(&format!("[{}]", column("output"))),
            yaml(created),
        )
    }
}

fn python_env() -> String {
    format!(
        "python: {PYTHON}\nbuild_dependencies:\n- pip\n- setuptools\n- wheel\ndependencies:\n- -r requirements.txt\n"
    )
}

fn conda_env() -> String {
    format!(
        "channels:\n- conda-forge\ndependencies:\n- python={PYTHON}\n- pip\n- pip:\n  - mlflow[gateway]=={MLFLOW}\n\
         name: mlflow-env\n"
    )
}

fn object<const N: usize>(pairs: [(&str, Json); N]) -> Json {
    Json::Object(pairs.into_iter().map(|(name, value)| (Text::new(name), value)).collect())
}

/// A text as a scalar of YAML in double quotes. All but printable ASCII is escaped, which every parser reads alike.
fn yaml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        // Writing to a string cannot fail.
        let _ = match char {
            '"' | '\\' => write!(out, "\\{char}"),
            '\n' => write!(out, "\\n"),
            ' '..='~' => write!(out, "{char}"),
            '\0'..='\u{ff}' => write!(out, "\\x{:02x}", u32::from(char)),
            '\u{100}'..='\u{ffff}' => write!(out, "\\u{:04x}", u32::from(char)),
            _ => write!(out, "\\U{:08x}", u32::from(char)),
        };
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_one_scalar_of_printable_ascii() {
        assert_eq!(yaml("a: \"b\" # c\\"), r#""a: \"b\" # c\\""#);
        assert_eq!(yaml("ü\n\u{2028}\u{7f}雪🦀"), r#""\xfc\n\u2028\x7f\u96ea\U0001f980""#);
    }

    #[test]
    fn a_time_is_written_as_python_writes_it() {
        let created = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_769_862_600_000_070);
        assert_eq!(PromptlabModel::new("r", String::new(), created).created, "2026-01-31 12:30:00.000070");
    }

    #[test]
    fn the_last_value_of_a_key_is_the_parameter() {
        let body = r#"{"experiment_id": "1", "prompt_template": "{{ a }}", "model_route": "r", "model_input": "i",
            "mlflow_version": "2", "prompt_parameters": [{"key": "a", "value": 1}, {"key": "a", "value": "- 2"}]}"#;
        let run = PromptlabRun::parse(body.as_bytes(), 100).unwrap();
        assert_eq!(
            run.parameters(),
            "model_parameters: {}\nmodel_route: \"r\"\nprompt_parameters:\n  \"a\": \"- 2\"\nprompt_template: \"{{ a }}\"\n"
        );
        assert_eq!(
            run.table().dumps(),
            r#"{"columns": ["a", "a", "prompt", "output"], "data": [["1", "- 2", "i", null]]}"#
        );
    }
}
