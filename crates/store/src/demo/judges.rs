//! The judges of the sample data: scorers of the registry, which are shown and not run.

use ferroflow_model::{Result, evaluation::scorers::Scorer as Serialized};
use serde_json::json;

use super::{
    PROMPT_PREFIX,
    data::{Data, Judge},
};
use crate::{Scope, Scoped};

/// The model that judges are made for.
const MODEL: &str = "openai:/gpt-4o-mini";

impl Scoped<'_> {
    pub(super) async fn create_demo_judges(&self, data: &Data, experiment_id: &str) -> Result<()> {
        for judge in &data.judges {
            let name = format!("{}{}", prefix(), judge.name);
            let text = serialized(judge, &name);
            self.register_scorer(experiment_id, &name, &text, &Serialized::parse(&text)?).await?;
        }
        Ok(())
    }

    /// The names of the judges of the sample data.
    pub(super) async fn demo_judges(&self, experiment_id: &str) -> Result<Vec<String>> {
        let found = self.list_scorers(&Scope::everything(), experiment_id).await?;
        let names = found.into_iter().filter_map(|scorer| scorer.scorer_name);
        Ok(names.filter(|name| name.starts_with(&prefix())).collect())
    }

    pub(super) async fn delete_demo_judges(&self, experiment_id: &str) -> Result<()> {
        for name in self.demo_judges(experiment_id).await? {
            self.delete_scorer(experiment_id, &name, None).await?;
        }
        Ok(())
    }
}

/// The beginning of the names of judges.
fn prefix() -> String {
    format!("{PROMPT_PREFIX}.judges.")
}

/// A judge as the SDK serializes one that is made of instructions.
fn serialized(judge: &Judge, name: &str) -> String {
    json!({
        "name": name,
        "aggregations": [],
        "description": judge.description,
        "is_session_level_scorer": false,
        "timeout": 0,
        "mlflow_version": "3.17.2",
        "serialization_version": 1,
        "builtin_scorer_class": null,
        "builtin_scorer_pydantic_data": null,
        "call_source": null,
        "call_signature": null,
        "original_func_name": null,
        "instructions_judge_pydantic_data": {
            "instructions": judge.instructions,
            "model": MODEL,
            "feedback_value_type": { "title": "Result", "type": "string" },
        },
        "memory_augmented_judge_data": null,
        "third_party_scorer_data": null,
        "ensemble_scorer_data": null,
    })
    .to_string()
}
