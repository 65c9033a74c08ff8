//! The prompts of the sample data.

use ferroflow_model::{
    Result,
    messages::model_registry::{ModelVersionTag, RegisteredModelTag},
    prompts::{IS_PROMPT_TAG, TEXT_TAG, TYPE_TAG},
};
use serde_json::{Map, Value, json};

use super::{
    PROMPT_PREFIX,
    data::{Data, Template},
};
use crate::{NewModelVersion, RegisteredModelSearch, Scope, Scoped};

/// The tag of a prompt with the experiments that list it, each between commas.
const EXPERIMENTS_TAG: &str = "_mlflow_experiment_ids";

/// The source that versions of prompts have.
const SOURCE: &str = "dummy-source";

/// The maximum number of prompts that are deleted.
const MOST: i64 = 100;

impl Scoped<'_> {
    pub(super) async fn create_demo_prompts(&self, data: &Data, experiment_id: &str) -> Result<()> {
        for prompt in &data.prompts {
            let name = full_name(&prompt.name);
            let tags = [
                (IS_PROMPT_TAG, "true".to_owned()),
                (EXPERIMENTS_TAG, format!(",{experiment_id},")),
                ("demo", "true".to_owned()),
            ];
            let tags = tags.map(|(key, value)| RegisteredModelTag { key: Some(key.into()), value: Some(value) });
            self.create_registered_model(&name, "", &tags).await?;
            for version in &prompt.versions {
                let (kind, text) = version.template.stored();
                let tags = [(IS_PROMPT_TAG, "true"), (TYPE_TAG, kind), (TEXT_TAG, text.as_str()), ("demo", "true")];
                let tag =
                    |(key, value): (&str, &str)| ModelVersionTag { key: Some(key.into()), value: Some(value.into()) };
                let new = NewModelVersion {
                    name: name.clone(),
                    source: SOURCE.to_owned(),
                    description: version.message.clone(),
                    tags: tags.map(tag).into(),
                    ..NewModelVersion::default()
                };
                let created = self.create_model_version(new).await?;
                self.set_registered_model_alias(&name, &version.alias, created.version()).await?;
            }
        }
        Ok(())
    }

    /// The names of the prompts of the sample data, at most so many.
    pub(super) async fn demo_prompts(&self, most: i64) -> Result<Vec<String>> {
        let filter = format!("name LIKE '{PROMPT_PREFIX}.%' AND tags.`{IS_PROMPT_TAG}` = 'true'");
        let search = RegisteredModelSearch { filter, max_results: most, ..RegisteredModelSearch::default() };
        let (found, _) = self.search_registered_models(&Scope::everything(), search).await?;
        Ok(found.into_iter().map(|model| model.name.unwrap_or_default()).collect())
    }

    pub(super) async fn delete_demo_prompts(&self) -> Result<()> {
        for name in self.demo_prompts(MOST).await? {
            self.delete_registered_model(&name).await?;
        }
        Ok(())
    }
}

/// The name of a prompt in the registry.
pub(super) fn full_name(name: &str) -> String {
    format!("{PROMPT_PREFIX}.prompts.{name}")
}

impl Template {
    /// The type and the text of its tags.
    fn stored(&self) -> (&'static str, String) {
        match self {
            Self::Text(text) => ("text", text.clone()),
            Self::Chat(messages) => {
                let message =
                    |message: &super::data::Message| json!({ "role": message.role, "content": message.content });
                ("chat", Value::Array(messages.iter().map(message).collect()).to_string())
            }
        }
    }

    /// The messages with the values of the variables.
    pub(super) fn filled(&self, variables: &Map<String, Value>) -> Vec<Value> {
        let fill = |text: &str| {
            variables.iter().fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default())
            })
        };
        match self {
            Self::Text(text) => vec![json!({ "role": "user", "content": fill(text) })],
            Self::Chat(messages) => messages
                .iter()
                .map(|message| json!({ "role": message.role, "content": fill(&message.content) }))
                .collect(),
        }
    }

    /// It as spans show it.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Chat(messages) => {
                messages.iter().map(|message| json!({ "role": message.role, "content": message.content })).collect()
            }
        }
    }
}
