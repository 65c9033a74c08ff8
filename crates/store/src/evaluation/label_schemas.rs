//! Label schemas of experiments.

use ferroflow_model::{
    Error, Result,
    evaluation::label_schemas::{
        DEFAULT_INSTRUCTION, DEFAULT_NAME, Input, check_instruction, check_name, type_name, type_of,
    },
    messages::label_schemas::{InputText, LabelSchema, LabelSchemaType},
    validation,
};
use ferroflow_search::PageToken;

use crate::{
    Scoped,
    db::{DbError, Op, Row, Statement, Value, clock::now_ms},
    query::select::{KeyKind, Select},
    statements::statements,
    tracking::{experiments::id_of, keys::ExperimentKey},
    workspace::Workspace,
};

/// The columns of a schema, in the order [`from_row`] reads them.
const COLUMNS: &str = "l.schema_id, l.experiment_id, l.name, l.type, l.instruction, l.enable_comment, l.input_type, \
                       l.input_config, l.created_by, l.created_time, l.last_update_time, l.is_default";
const COLUMN_COUNT: usize = 12;

statements! {
    static BY_ID: Workspace = "SELECT ", COLUMNS, " FROM label_schemas l WHERE l.schema_id = $1 AND {ws of l}";
    static LOCKED: Workspace =
        "SELECT ", COLUMNS, " FROM label_schemas l WHERE l.schema_id = $1 AND {ws of l} {FOR NO KEY UPDATE}";
    static BY_NAME: ExperimentKey =
        "SELECT ", COLUMNS, " FROM label_schemas l WHERE l.experiment_id = $1 AND l.name = $2";
    static HAS_DEFAULT: ExperimentKey =
        "SELECT 1 FROM label_schemas WHERE experiment_id = $1 AND is_default LIMIT 1";
    static INSERT: ExperimentKey =
        "INSERT INTO label_schemas (schema_id, experiment_id, name, type, instruction, enable_comment, input_type, \
         input_config, created_time, last_update_time, is_default) VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $9, $10)";
    static INSERT_DEFAULT: ExperimentKey =
        "INSERT INTO label_schemas (schema_id, experiment_id, name, type, instruction, enable_comment, input_type, \
         input_config, created_time, last_update_time, is_default) VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $9, $10) \
         ON CONFLICT (experiment_id, name) DO NOTHING";
    /// NULL keeps the value.
    static UPDATE: Workspace =
        "UPDATE label_schemas AS l SET name = COALESCE($2, l.name), instruction = COALESCE($3, l.instruction), \
         enable_comment = COALESCE($4, l.enable_comment), input_type = COALESCE($5, l.input_type), \
         input_config = COALESCE($6, l.input_config), last_update_time = $7 WHERE l.schema_id = $1 AND {ws of l}";
    static DELETE: Workspace = "DELETE FROM label_schemas WHERE schema_id = $1 AND {ws of label_schemas}";
}

/// The fields of a new label schema.
#[derive(Debug, Clone)]
pub struct NewLabelSchema {
    /// The experiment's id.
    pub experiment_id: String,
    /// The name, unique in the experiment.
    pub name: String,
    /// Whether answers are feedback or expectations.
    pub kind: Option<LabelSchemaType>,
    /// The form of answers.
    pub input: Input,
    /// Detailed instructions.
    pub instruction: Option<String>,
    /// Whether reviewers may add a comment.
    pub enable_comment: bool,
}

/// A change of a label schema; `None` keeps a value.
#[derive(Debug, Clone, Default)]
pub struct LabelSchemaChange {
    /// The name.
    pub name: Option<String>,
    /// Detailed instructions.
    pub instruction: Option<String>,
    /// Whether reviewers may add a comment.
    pub enable_comment: Option<bool>,
    /// The form of answers, of the same kind.
    pub input: Option<Input>,
}

impl Scoped<'_> {
    /// Creates a label schema in an active experiment.
    ///
    /// # Errors
    /// A field is not valid, the experiment does not exist or is deleted, or the name is taken.
    pub async fn create_label_schema(&self, new: NewLabelSchema) -> Result<LabelSchema> {
        check_name(&new.name)?;
        let kind = type_name(new.kind)?;
        new.instruction.as_deref().map_or(Ok(()), check_instruction)?;
        new.input.check()?;
        let experiment = id_of(&new.experiment_id)?;
        let schema = LabelSchema {
            schema_id: Some(format!("ls-{}", uuid::Uuid::new_v4().simple())),
            experiment_id: Some(experiment.to_string()),
            name: Some(new.name),
            r#type: new.kind,
            instruction: new.instruction,
            enable_comment: Some(new.enable_comment),
            created_at: Some(now_ms()),
            is_default: Some(false),
            ..LabelSchema::default()
        };
        let (values, schema, given_id) = (&values(&schema, kind, &new.input), &schema, &new.experiment_id);
        self.store
            .db
            .transaction(|tx| async move {
                let key = active(experiment, ExperimentKey::find(self.workspace, &tx, experiment).await?)?;
                match tx.execute(Statement::of(&key, &INSERT, values.clone())).await {
                    Err(DbError::Unique(_)) => Err(taken(schema.name(), given_id)),
                    outcome => Ok(outcome.map(|_| ())?),
                }
            })
            .await?;
        Ok(LabelSchema { last_updated_at: schema.created_at, input: Some(new.input.into_message()), ..schema.clone() })
    }

    /// A label schema.
    ///
    /// # Errors
    /// No schema has the id.
    pub async fn get_label_schema(&self, schema_id: &str) -> Result<LabelSchema> {
        let statement = Statement::within(self.workspace, &BY_ID, vec![schema_id.into()]);
        let found = self.store.db.query(statement, from_row).await?.pop();
        found.ok_or_else(|| not_found(schema_id))
    }

    /// A label schema by its name in an active experiment.
    ///
    /// # Errors
    /// There is no such experiment, or no such schema in it.
    pub async fn get_label_schema_by_name(&self, experiment_id: &str, name: &str) -> Result<LabelSchema> {
        let experiment = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        let key = active(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        let found = conn.query_opt(Statement::of(&key, &BY_NAME, vec![name.into()]), from_row).await?;
        found.ok_or_else(|| {
            Error::not_found(format!("Label schema with name '{name}' not found for experiment '{experiment_id}'."))
        })
    }

    /// A page of the label schemas of an active experiment, newest first, and the token of the next page. Creates the
    /// default question if the experiment has none.
    ///
    /// # Errors
    /// There is no such experiment, or the size or the token of the page is not valid.
    pub async fn list_label_schemas(
        &self,
        experiment_id: &str,
        max_results: i64,
        page_token: Option<&str>,
    ) -> Result<(Vec<LabelSchema>, Option<String>)> {
        validation::max_results(max_results)?;
        let query = self.workspace.list();
        let token = PageToken::decode_of(page_token.unwrap_or_default(), query)?;
        let experiment = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        let key = active(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        let default = conn.query_opt(Statement::of(&key, &HAS_DEFAULT, Vec::new()), |_| Ok(())).await?;
        drop(conn);
        if default.is_none() {
            self.store.db.unit(vec![Op::Execute(Statement::of(&key, &INSERT_DEFAULT, default_values()))]).await?;
        }
        let mut select = Select::new(self.workspace, "label_schemas", "l");
        select.of_query(query);
        let place = select.bind(experiment);
        select.filter(format!("l.experiment_id = {place}"));
        select.order_by("l.created_time", true, KeyKind::Int);
        select.order_by("l.schema_id", false, KeyKind::Text);
        let page = select.page(COLUMNS, max_results, token)?;
        let conn = self.store.db.reader().await?;
        Ok(page.read(&conn, COLUMN_COUNT, from_row).await?.finish())
    }

    /// Changes a label schema, which is not the default question.
    ///
    /// # Errors
    /// No schema has the id, a field is not valid, or the name is taken.
    pub async fn update_label_schema(&self, schema_id: &str, change: &LabelSchemaChange) -> Result<LabelSchema> {
        self.store
            .db
            .transaction(|tx| async move {
                let statement = Statement::within(self.workspace, &LOCKED, vec![schema_id.into()]);
                let stored = tx.query_opt(statement, from_row).await?.ok_or_else(|| not_found(schema_id))?;
                check(&stored, change)?;
                let values = vec![
                    schema_id.into(),
                    change.name.clone().into(),
                    change.instruction.clone().into(),
                    change.enable_comment.into(),
                    change.input.as_ref().map(Input::kind).into(),
                    change.input.as_ref().map(Input::config).into(),
                    now_ms().into(),
                ];
                match tx.execute(Statement::within(self.workspace, &UPDATE, values)).await {
                    Err(DbError::Unique(_)) => {
                        let name = change.name.as_deref().unwrap_or(stored.name());
                        return Err(taken(name, stored.experiment_id()));
                    }
                    outcome => outcome?,
                };
                let statement = Statement::within(self.workspace, &BY_ID, vec![schema_id.into()]);
                tx.query_opt(statement, from_row).await?.ok_or_else(|| not_found(schema_id))
            })
            .await
    }

    /// Deletes a label schema, if it exists. Assessments that were made by it stay.
    ///
    /// # Errors
    /// It is the default question.
    pub async fn delete_label_schema(&self, schema_id: &str) -> Result<()> {
        self.store
            .db
            .transaction(|tx| async move {
                let statement = Statement::within(self.workspace, &LOCKED, vec![schema_id.into()]);
                let Some(stored) = tx.query_opt(statement, from_row).await? else { return Ok(()) };
                if stored.is_default == Some(true) {
                    return Err(Error::invalid("The experiment's default question cannot be deleted."));
                }
                tx.execute(Statement::within(self.workspace, &DELETE, vec![schema_id.into()])).await?;
                Ok(())
            })
            .await
    }
}

/// The key of an experiment that is active; a deleted one is not found.
pub(in crate::evaluation) fn active(experiment: i64, found: Option<(ExperimentKey, String)>) -> Result<ExperimentKey> {
    let key = found.filter(|(_, stage)| stage == "active").map(|(key, _)| key);
    key.ok_or_else(|| Error::not_found(format!("No Experiment with id={experiment} exists")))
}

/// Checks a change of a stored schema.
fn check(stored: &LabelSchema, change: &LabelSchemaChange) -> Result<()> {
    if stored.is_default == Some(true) {
        return Err(Error::invalid("The experiment's default question cannot be edited."));
    }
    change.name.as_deref().map_or(Ok(()), check_name)?;
    change.instruction.as_deref().map_or(Ok(()), check_instruction)?;
    let Some(new) = &change.input else { return Ok(()) };
    new.check()?;
    Input::from_message(stored.input.clone().unwrap_or_default())?.check_replaced_by(new)
}

/// The values of a new row behind its experiment.
fn values(schema: &LabelSchema, kind: &'static str, input: &Input) -> Vec<Value> {
    vec![
        schema.schema_id().into(),
        schema.name().into(),
        kind.into(),
        schema.instruction.clone().into(),
        schema.enable_comment.unwrap_or_default().into(),
        input.kind().into(),
        input.config().into(),
        schema.created_at.into(),
        schema.is_default.unwrap_or_default().into(),
    ]
}

/// Those of the default question.
fn default_values() -> Vec<Value> {
    let schema = LabelSchema {
        schema_id: Some(format!("ls-{}", uuid::Uuid::new_v4().simple())),
        name: Some(DEFAULT_NAME.to_owned()),
        instruction: Some(DEFAULT_INSTRUCTION.to_owned()),
        created_at: Some(now_ms()),
        is_default: Some(true),
        ..LabelSchema::default()
    };
    values(&schema, "feedback", &Input::Text(InputText::default()))
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<LabelSchema, DbError> {
    let schema_id: String = row.get(0)?;
    let input = Input::from_stored(row.str(6)?, row.str(7)?);
    let input = input.ok_or_else(|| DbError::Other(format!("the input of label schema {schema_id} is unreadable")))?;
    Ok(LabelSchema {
        schema_id: Some(schema_id),
        experiment_id: Some(row.get::<i64>(1)?.to_string()),
        name: row.get(2)?,
        r#type: type_of(row.str(3)?),
        instruction: row.get(4)?,
        enable_comment: Some(row.get(5)?),
        input: Some(input.into_message()),
        created_by: row.get(8)?,
        created_at: row.get(9)?,
        last_updated_at: row.get(10)?,
        is_default: Some(row.get(11)?),
    })
}

fn not_found(schema_id: &str) -> Error {
    Error::not_found(format!("Label schema with id '{schema_id}' not found."))
}

fn taken(name: &str, experiment_id: &str) -> Error {
    Error::already_exists(format!("Label schema with name '{name}' already exists for experiment '{experiment_id}'."))
}
