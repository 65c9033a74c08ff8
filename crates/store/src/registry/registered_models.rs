//! Registered models: lifecycle, tags and aliases. Searching them is in `registered_model_search`.
//!
//! Every write to a model, its versions, tags and aliases first locks the model's row, so that concurrent writers are
//! serialized and do not deadlock.

use std::collections::BTreeMap;

use ferroflow_model::{
    Error, Result,
    messages::model_registry::{ModelVersion, RegisteredModel, RegisteredModelTag},
    prompts::{IS_PROMPT_TAG, Tag},
    python, validation,
    validation::Stage,
    webhook::{Event, Registry},
};

use crate::{
    Scoped,
    db::{Conn, DbError, Insert, Op, Row, Statement, Tx, Value, clock::now_ms, count, text},
    registry::{
        model_versions::{number, version_not_found},
        registered_model_children::{self as children, Latest},
    },
    statements::statements,
    workspace::Workspace,
};

/// The columns of a registered model, in the order [`from_row`] reads them.
pub(crate) const COLUMNS: &str = "m.name, m.creation_time, m.last_updated_time, m.description";

statements! {
    static BY_NAME: Workspace = "SELECT ", COLUMNS, " FROM registered_models m WHERE {ws:m} AND m.name = $1";
    static LOCK: Workspace = "SELECT 1 FROM registered_models m WHERE {ws:m} AND m.name = $1 {FOR NO KEY UPDATE}";
    static LOCK_NAMES: Workspace =
        "SELECT m.name FROM registered_models m WHERE {ws:m} AND m.name IN ($1, $2) \
         {postgres:ORDER BY m.name FOR UPDATE}";
    static INSERT: Workspace =
        "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time, description) \
         VALUES ({ws}, $1, $2, $2, $3) ON CONFLICT DO NOTHING";
    static UPDATE: Workspace =
        "UPDATE registered_models AS m SET description = $2, last_updated_time = $3 WHERE {ws:m} AND m.name = $1";
    static TOUCH: Workspace =
        "UPDATE registered_models AS m SET last_updated_time = $2 WHERE {ws:m} AND m.name = $1";
    static RENAME: Workspace =
        "UPDATE registered_models AS m SET name = $2, last_updated_time = $3 WHERE {ws:m} AND m.name = $1";
    static TOUCH_VERSIONS: Workspace =
        "UPDATE model_versions AS v SET last_updated_time = $2 WHERE {ws:v} AND v.name = $1";
    static DELETE_VERSION_TAGS: Workspace = "DELETE FROM model_version_tags AS t WHERE {ws:t} AND t.name = $1";
    static DELETE_VERSIONS: Workspace = "DELETE FROM model_versions AS v WHERE {ws:v} AND v.name = $1";
    static DELETE_TAGS: Workspace = "DELETE FROM registered_model_tags AS t WHERE {ws:t} AND t.name = $1";
    static DELETE_ALIASES: Workspace = "DELETE FROM registered_model_aliases AS a WHERE {ws:a} AND a.name = $1";
    static DELETE: Workspace = "DELETE FROM registered_models AS m WHERE {ws:m} AND m.name = $1";
    static HAS_TAG: Workspace = "SELECT 1 FROM registered_model_tags t WHERE {ws:t} AND t.name = $1 AND t.key = $2";
    static SET_TAG: Workspace =
        "INSERT INTO registered_model_tags (workspace, name, key, value) \
         SELECT {ws}, m.name, CAST($2 AS TEXT), CAST($3 AS TEXT) FROM registered_models m \
         WHERE {ws:m} AND m.name = $1 ON CONFLICT (workspace, key, name) DO UPDATE SET value = excluded.value";
    static DELETE_TAG: Workspace =
        "DELETE FROM registered_model_tags AS t WHERE {ws:t} AND t.name = $1 AND t.key = $2";
    static SET_ALIAS: Workspace =
        "INSERT INTO registered_model_aliases (workspace, name, alias, version) \
         SELECT {ws}, v.name, CAST($2 AS TEXT), v.version FROM model_versions v \
         WHERE {ws:v} AND v.name = $1 AND v.version = $3 AND v.current_stage <> 'Deleted_Internal' \
         ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version";
    static DELETE_ALIAS: Workspace =
        "DELETE FROM registered_model_aliases AS a WHERE {ws:a} AND a.name = $1 AND a.alias = $2";
}

impl Scoped<'_> {
    /// Creates a registered model, or a prompt if a tag says so. The last tag of a key wins.
    ///
    /// # Errors
    /// The name or a tag is not valid, or the name is taken.
    pub async fn create_registered_model(
        &self,
        name: &str,
        description: &str,
        tags: &[RegisteredModelTag],
    ) -> Result<RegisteredModel> {
        validation::model_name(name)?;
        for tag in tags {
            validation::registered_model_tag(tag.key(), tag.value())?;
        }
        let last = last_of_each_key(tags);
        let is_prompt = last.contains_key(IS_PROMPT_TAG);
        let (now, given, workspace) = (now_ms(), &last, self.workspace.name());
        self.creating(|tx, _| async move {
            let values = vec![name.into(), now.into(), description.into()];
            if tx.execute(Statement::within(self.workspace, &INSERT, values)).await? == 0 {
                let prompt_tag = Statement::within(self.workspace, &HAS_TAG, vec![name.into(), IS_PROMPT_TAG.into()]);
                let taken_by_prompt = tx.query_opt(prompt_tag, |_| Ok(())).await?.is_some();
                return Err(name_taken(name, taken_by_prompt, is_prompt));
            }
            let columns = &const { [text("workspace"), text("name"), text("key"), text("value")] };
            let row =
                |(key, value): (&&str, &&str)| vec![workspace.into(), name.into(), (*key).into(), (*value).into()];
            let rows: Vec<Vec<Value>> = given.iter().map(row).collect();
            tx.insert(Insert { table: "registered_model_tags", columns, only_if: None, on_conflict: "", rows }).await?;
            self.enqueue(&tx, &Event::registered(name, tags, description));
            Ok(())
        })
        .await?;
        let tags = last
            .into_iter()
            .map(|(key, value)| RegisteredModelTag { key: Some(key.into()), value: Some(value.into()) })
            .collect();
        Ok(RegisteredModel {
            name: Some(name.into()),
            creation_timestamp: Some(now),
            last_updated_timestamp: Some(now),
            description: shown(Some(description.into())),
            tags,
            ..RegisteredModel::default()
        })
    }

    /// A registered model with the latest version of each stage, its tags and its aliases.
    ///
    /// # Errors
    /// The name is not valid, or no model has it.
    pub async fn get_registered_model(&self, name: &str) -> Result<RegisteredModel> {
        validation::model_name(name)?;
        let conn = self.store.db.reader().await?;
        one(self, &conn, name).await?.ok_or_else(|| not_found(name))
    }

    /// Sets the description of a registered model.
    ///
    /// # Errors
    /// The name is not valid, or no model has it.
    pub async fn update_registered_model(&self, name: &str, description: &str) -> Result<RegisteredModel> {
        validation::model_name(name)?;
        self.store
            .db
            .transaction(|tx| async move {
                let values = vec![name.into(), description.into(), now_ms().into()];
                tx.execute(Statement::within(self.workspace, &UPDATE, values)).await?;
                one(self, tx.conn()?, name).await?.ok_or_else(|| not_found(name))
            })
            .await
    }

    /// Renames a registered model, with its versions, tags and aliases.
    ///
    /// # Errors
    /// A name is not valid, no model has the old one, or the new one is taken.
    pub async fn rename_registered_model(&self, name: &str, new_name: &str) -> Result<RegisteredModel> {
        validation::model_new_name(new_name)?;
        validation::model_name(name)?;
        let taken = || Error::already_exists(format!("Registered Model (name={new_name}) already exists."));
        self.store
            .db
            .transaction(|tx| async move {
                let names = vec![name.into(), new_name.into()];
                let lock = Statement::within(self.workspace, &LOCK_NAMES, names);
                let found: Vec<String> = tx.query(lock, |row| row.get(0)).await?;
                if !found.iter().any(|found| found == name) {
                    return Err(not_found(name));
                }
                if found.len() > 1 {
                    return Err(taken());
                }
                let now = now_ms();
                match tx
                    .execute(Statement::within(self.workspace, &RENAME, vec![name.into(), new_name.into(), now.into()]))
                    .await
                {
                    // Another transaction has just created it.
                    Err(DbError::Unique(_)) => return Err(taken()),
                    outcome => outcome?,
                };
                tx.execute(Statement::within(self.workspace, &TOUCH_VERSIONS, vec![new_name.into(), now.into()]))
                    .await?;
                one(self, tx.conn()?, new_name).await?.ok_or_else(|| not_found(new_name))
            })
            .await
    }

    /// Deletes a registered model with its versions, tags and aliases.
    ///
    /// # Errors
    /// The name is not valid, or no model has it.
    pub async fn delete_registered_model(&self, name: &str) -> Result<()> {
        validation::model_name(name)?;
        self.store
            .db
            .transaction(|tx| async move {
                let lock = Statement::within(self.workspace, &LOCK_NAMES, vec![name.into(), name.into()]);
                if tx.query(lock, |_| Ok(())).await?.is_empty() {
                    return Err(not_found(name));
                }
                let delete = |sql| Op::Execute(Statement::within(self.workspace, sql, vec![name.into()]));
                let from = [&DELETE_VERSION_TAGS, &DELETE_VERSIONS, &DELETE_TAGS, &DELETE_ALIASES, &DELETE];
                tx.run(from.map(delete).into()).await?;
                Ok(())
            })
            .await
    }

    /// The latest version in each of `stages`; in all stages if `stages` is empty.
    ///
    /// # Errors
    /// The name or a stage is not valid, or no model has the name.
    pub async fn get_latest_versions(&self, name: &str, stages: &[String]) -> Result<Vec<ModelVersion>> {
        let model = self.get_registered_model(name).await?;
        let stages = stages.iter().map(|stage| Stage::parse(stage)).collect::<Result<Vec<_>>>()?;
        let is_wanted = |version: &ModelVersion| {
            Stage::ALL
                .into_iter()
                .filter(|stage| stages.is_empty() || stages.contains(stage))
                .any(|stage| stage.name() == version.current_stage())
        };
        let mut versions: Vec<ModelVersion> = model.latest_versions.into_iter().filter(is_wanted).collect();
        for version in &mut versions {
            let own = model.aliases.iter().filter(|alias| alias.version == version.version);
            version.aliases = own.map(|alias| alias.alias().to_owned()).collect();
        }
        Ok(versions)
    }

    /// Sets a tag of a registered model.
    ///
    /// # Errors
    /// The name or the tag is not valid, or no model has the name.
    pub async fn set_registered_model_tag(&self, name: &str, key: &str, value: &str) -> Result<()> {
        validation::model_name(name)?;
        validation::registered_model_tag(key, value)?;
        self.store
            .db
            .transaction(|tx| async move {
                let set = Statement::within(self.workspace, &SET_TAG, vec![name.into(), key.into(), value.into()]);
                if locked(self.workspace, &tx, name, set).await? == 0 {
                    return Err(not_found(name));
                }
                let event = |registry| (registry == Registry::Prompt).then(|| Event::prompt_tag_set(name, key, value));
                self.enqueue_of(&tx, name, event);
                Ok(())
            })
            .await
    }

    /// Deletes a tag of a registered model, if it exists.
    ///
    /// # Errors
    /// The name or the key is not valid, or no model has the name.
    pub async fn delete_registered_model_tag(&self, name: &str, key: &str) -> Result<()> {
        validation::model_name(name)?;
        validation::registry_tag_key(key)?;
        self.store
            .db
            .transaction(|tx| async move {
                lock(self.workspace, &tx, name).await?;
                tx.execute(Statement::within(self.workspace, &DELETE_TAG, vec![name.into(), key.into()])).await?;
                let event = |registry| (registry == Registry::Prompt).then(|| Event::prompt_tag_deleted(name, key));
                self.enqueue_of(&tx, name, event);
                Ok(())
            })
            .await
    }

    /// Sets an alias to a version, removing it from the version that had it.
    ///
    /// # Errors
    /// The name or the alias is not valid, the alias is reserved, or there is no such version.
    pub async fn set_registered_model_alias(&self, name: &str, alias: &str, version: &str) -> Result<()> {
        validation::model_name(name)?;
        validation::model_alias(alias)?;
        validation::model_alias_not_reserved(alias)?;
        let (as_given, version) = (version, number(name, version)?);
        self.store
            .db
            .transaction(|tx| async move {
                let set =
                    Statement::within(self.workspace, &SET_ALIAS, vec![name.into(), alias.into(), version.into()]);
                if locked(self.workspace, &tx, name, set).await? == 0 {
                    return Err(version_not_found(name, version));
                }
                let event = |registry| Some(Event::alias_created(registry, name, alias, as_given));
                self.enqueue_of(&tx, name, event);
                Ok(())
            })
            .await
    }

    /// Deletes an alias, if it exists.
    ///
    /// # Errors
    /// The name or the alias is not valid, or no model has the name.
    pub async fn delete_registered_model_alias(&self, name: &str, alias: &str) -> Result<()> {
        validation::model_name(name)?;
        validation::model_alias(alias)?;
        self.store
            .db
            .transaction(|tx| async move {
                lock(self.workspace, &tx, name).await?;
                tx.execute(Statement::within(self.workspace, &DELETE_ALIAS, vec![name.into(), alias.into()])).await?;
                self.enqueue_of(&tx, name, |registry| Some(Event::alias_deleted(registry, name, alias)));
                Ok(())
            })
            .await
    }
}

/// Locks a registered model's row until the transaction ends.
pub(crate) async fn lock(workspace: &Workspace, tx: &Tx, name: &str) -> Result<()> {
    let locked = tx.query_opt(Statement::within(workspace, &LOCK, vec![name.into()]), |_| Ok(())).await?;
    locked.ok_or_else(|| not_found(name))
}

/// Locks a registered model's row, if it exists, and runs a statement. Returns the number of rows it changed.
pub(crate) async fn locked(workspace: &Workspace, tx: &Tx, name: &str, statement: Statement) -> Result<i64, DbError> {
    let lock = Statement::within(workspace, &LOCK, vec![name.into()]);
    let answers = tx.run(vec![Op::Query(lock), Op::Execute(statement)]).await?;
    Ok(answers.last().map_or(0, count))
}

/// Sets the time of the last update of a registered model, which also locks its row.
pub(crate) fn touch(workspace: &Workspace, name: &str, now: i64) -> Op {
    Op::Execute(Statement::within(workspace, &TOUCH, vec![name.into(), now.into()]))
}

/// A registered model with its children.
async fn one(here: &Scoped<'_>, conn: &Conn, name: &str) -> Result<Option<RegisteredModel>, DbError> {
    let (found, loaded) = tokio::join!(
        conn.query_opt(Statement::within(here.workspace, &BY_NAME, vec![name.into()]), from_row),
        children::load(here.workspace, conn, Latest::of(here.store), vec![name.to_owned()]),
    );
    let (found, mut loaded) = (found?, loaded?);
    Ok(found.zip(loaded.pop()).map(|(model, children)| children.attach(model)))
}

/// Reads [`COLUMNS`].
pub(crate) fn from_row(row: &Row<'_>) -> Result<RegisteredModel, DbError> {
    Ok(RegisteredModel {
        name: row.get(0)?,
        creation_timestamp: row.get(1)?,
        last_updated_timestamp: row.get::<Option<i64>>(2)?.filter(|time| *time != 0),
        description: shown(row.get(3)?),
        ..RegisteredModel::default()
    })
}

/// An empty description is `None`.
fn shown(description: Option<String>) -> Option<String> {
    description.filter(|text| !text.is_empty())
}

pub(crate) fn not_found(name: &str) -> Error {
    Error::not_found(format!("Registered Model with name={name} not found"))
}

fn name_taken(name: &str, by_prompt: bool, for_prompt: bool) -> Error {
    let entity = |is_prompt| if is_prompt { "Prompt" } else { "Registered Model" };
    let (old, new) = (entity(by_prompt), entity(for_prompt));
    Error::already_exists(if by_prompt == for_prompt {
        format!("{new} (name={name}) already exists.")
    } else {
        format!(
            "Tried to create a {} with name {}, but the name is already taken by a {}. MLflow does not allow creating \
             a model and a prompt with the same name.",
            new.to_lowercase(),
            python::repr(name),
            old.to_lowercase()
        )
    })
}

/// The tags by key, sorted; the last one of a key wins.
pub(crate) fn last_of_each_key<T: Tag>(tags: &[T]) -> BTreeMap<&str, &str> {
    tags.iter().map(Tag::pair).collect()
}
