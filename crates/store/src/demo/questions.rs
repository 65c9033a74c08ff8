//! What reviewers of the sample data are asked: label schemas.

use ferroflow_model::{
    Error, ErrorCode, Result,
    evaluation::label_schemas::Input,
    messages::label_schemas::{InputCategorical, InputPassFail, InputText, LabelSchemaType},
    wire::Enum as _,
};

use super::data::{Data, Question};
use crate::{NewLabelSchema, Scoped};

/// The names of the reference's schemas, which are deleted too.
const SCHEMAS_OF_REFERENCE: [&str; 3] = ["response_quality", "is_helpful", "correct_answer"];

impl Scoped<'_> {
    /// Creates the schemas, and returns their ids.
    pub(super) async fn create_demo_questions(&self, data: &Data, experiment_id: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for question in &data.label_schemas {
            let new = NewLabelSchema {
                experiment_id: experiment_id.to_owned(),
                name: question.name.clone(),
                kind: LabelSchemaType::from_name(&question.kind),
                input: input(question),
                instruction: Some(question.instruction.clone()),
                enable_comment: question.enable_comment,
            };
            match self.create_label_schema(new).await {
                Ok(created) => ids.extend(created.schema_id),
                // A user's schema of this name is left as it is.
                Err(Error { code: ErrorCode::ResourceAlreadyExists, .. }) => {
                    ids.extend(self.demo_schema(experiment_id, &question.name).await?);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    pub(super) async fn delete_demo_questions(&self, data: &Data, experiment_id: &str) -> Result<()> {
        let own = data.label_schemas.iter().map(|question| question.name.as_str());
        for name in own.chain(SCHEMAS_OF_REFERENCE) {
            if let Some(schema_id) = self.demo_schema(experiment_id, name).await? {
                self.delete_label_schema(&schema_id).await?;
            }
        }
        Ok(())
    }

    /// The id of a schema.
    async fn demo_schema(&self, experiment_id: &str, name: &str) -> Result<Option<String>> {
        match self.get_label_schema_by_name(experiment_id, name).await {
            Ok(found) => Ok(found.schema_id),
            Err(Error { code: ErrorCode::ResourceDoesNotExist, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn input(question: &Question) -> Input {
    if let Some([positive, negative]) = &question.pass_fail {
        let (positive_label, negative_label) = (Some(positive.clone()), Some(negative.clone()));
        Input::PassFail(InputPassFail { positive_label, negative_label })
    } else if question.options.is_empty() {
        Input::Text(InputText::default())
    } else {
        Input::Categorical(InputCategorical { options: question.options.clone(), multi_select: Some(false) })
    }
}
