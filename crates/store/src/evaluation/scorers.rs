//! Scorers of experiments, and their versions.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    evaluation::scorers::{Scorer as Serialized, check_name},
    messages::service::Scorer,
};

use crate::{
    Scope, Scoped,
    db::{Conn, DbError, Op, Row, Statement, Tx, Value, clock::now_ms},
    evaluation::keys::ScorerKey,
    query::select::Select,
    statements::statements,
    tracking::{
        experiments::{active_experiment, id_of},
        keys::ExperimentKey,
    },
    workspace::Workspace,
};

/// The columns of a version, in the order [`from_row`] reads them.
const COLUMNS: &str =
    "s.experiment_id, s.scorer_name, v.scorer_version, v.serialized_scorer, v.creation_time, s.scorer_id";

/// The versions of a scorer in an experiment.
const VERSIONS_OF: &str = " FROM scorers s JOIN scorer_versions v ON v.scorer_id = s.scorer_id \
                           WHERE s.experiment_id = $1 AND s.scorer_name = $2";

/// Maximum length of a name in the binding of an endpoint.
const DISPLAY_NAME: usize = 255;

statements! {
    /// Creates the scorer, or locks the one that exists: the numbers of its versions are given one after another.
    static ENSURE: ExperimentKey =
        "INSERT INTO scorers (experiment_id, scorer_name, scorer_id) VALUES ($1, $2, $3) \
         ON CONFLICT (experiment_id, scorer_name) DO UPDATE SET scorer_name = excluded.scorer_name \
         RETURNING scorer_id";
    static LAST_VERSION: ScorerKey = "SELECT MAX(scorer_version) FROM scorer_versions WHERE scorer_id = $1";
    static INSERT_VERSION: ScorerKey =
        "INSERT INTO scorer_versions (scorer_id, scorer_version, serialized_scorer, creation_time) \
         VALUES ($1, $2, $3, $4)";

    static ALL_VERSIONS: ExperimentKey = "SELECT ", COLUMNS, VERSIONS_OF, " ORDER BY v.scorer_version";
    static LATEST: ExperimentKey = "SELECT ", COLUMNS, VERSIONS_OF, " ORDER BY v.scorer_version DESC LIMIT 1";
    static VERSION: ExperimentKey = "SELECT ", COLUMNS, VERSIONS_OF, " AND v.scorer_version = $3";

    static FIND: ExperimentKey =
        "SELECT scorer_id FROM scorers WHERE experiment_id = $1 AND scorer_name = $2 {FOR UPDATE}";
    static DELETE_VERSION: ScorerKey = "DELETE FROM scorer_versions WHERE scorer_id = $1 AND scorer_version = $2";
    static DELETE_VERSIONS: ScorerKey = "DELETE FROM scorer_versions WHERE scorer_id = $1";
    /// Its configuration for online scoring is deleted with it.
    static DELETE: ScorerKey = "DELETE FROM scorers WHERE scorer_id = $1";

    static ENDPOINT: Workspace = "SELECT g.endpoint_id FROM endpoints g WHERE {ws:g} AND g.name = $1";
    static ENDPOINT_NAMES: Workspace =
        "SELECT g.endpoint_id, g.name FROM endpoints g WHERE g.endpoint_id {in $1} AND g.name IS NOT NULL AND {ws:g}";
    static BIND: ScorerKey =
        "INSERT INTO endpoint_bindings (endpoint_id, resource_type, resource_id, display_name, created_at, \
         last_updated_at) VALUES ($2, 'scorer', $1, $3, $4, $4)";
    static UNBIND: ScorerKey =
        "DELETE FROM endpoint_bindings WHERE resource_id = $1 AND resource_type = 'scorer'";
}

/// A scorer of which a version was registered.
#[derive(Debug, Clone, PartialEq)]
pub struct RegisteredScorer {
    /// The version.
    pub version: Scorer,
    /// Whether the scorer is new.
    pub is_new: bool,
}

impl Scoped<'_> {
    /// Registers a version of a scorer of an active experiment. `text` is the scorer as the client sent it, which is
    /// stored so, unless its model is an endpoint of the gateway: a name becomes an id.
    ///
    /// # Errors
    /// The name or the model is not valid, or the experiment or the endpoint does not exist.
    pub async fn register_scorer(
        &self,
        experiment_id: &str,
        name: &str,
        text: &str,
        scorer: &Serialized,
    ) -> Result<RegisteredScorer> {
        check_name(name)?;
        let experiment = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let found = ExperimentKey::find(self.workspace, &tx, experiment).await?;
                let experiment_key = active_experiment(experiment, found)?;
                scorer.check_model()?;
                let endpoint = match scorer.endpoint() {
                    Some(name) => Some((self.endpoint_id(&tx, &name).await?, name)),
                    None => None,
                };
                let (stored, shown) = match &endpoint {
                    Some((id, name)) => (with_endpoint(scorer, Some(id)), with_endpoint(scorer, Some(name))),
                    None => (text.to_owned(), text.to_owned()),
                };
                let new_id = uuid::Uuid::new_v4().to_string();
                let ensure = Statement::of(&experiment_key, &ENSURE, vec![name.into(), new_id.as_str().into()]);
                let id = tx.query_opt(ensure, |row| row.get::<String>(0)).await?.unwrap_or_default();
                let is_new = id == new_id;
                let key = ScorerKey::found(id);
                let last = Statement::of(&key, &LAST_VERSION, Vec::new());
                let last = tx.query_opt(last, |row| row.get::<Option<i64>>(0)).await?.flatten().unwrap_or(0);
                let (number, now) = (last + 1, now_ms());
                let values = vec![number.into(), stored.into(), now.into()];
                let mut ops = vec![Op::Execute(Statement::of(&key, &INSERT_VERSION, values))];
                if let Some((endpoint, _)) = &endpoint {
                    let display_name: String = name.chars().take(DISPLAY_NAME).collect();
                    let binding = vec![endpoint.into(), display_name.into(), now.into()];
                    ops.push(Op::Execute(Statement::of(&key, &UNBIND, Vec::new())));
                    ops.push(Op::Execute(Statement::of(&key, &BIND, binding)));
                }
                tx.run(ops).await?;
                let version = Scorer {
                    experiment_id: i32::try_from(experiment).ok(),
                    scorer_name: Some(name.to_owned()),
                    scorer_version: i32::try_from(number).ok(),
                    serialized_scorer: Some(shown),
                    creation_time: Some(now),
                    scorer_id: Some(key.id().to_owned()),
                };
                Ok(RegisteredScorer { version, is_new })
            })
            .await
    }

    /// The latest versions of the scorers of an active experiment.
    ///
    /// # Errors
    /// The experiment does not exist or is deleted.
    pub async fn list_scorers(&self, scope: &Scope, experiment_id: &str) -> Result<Vec<Scorer>> {
        let experiment = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        active_experiment(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        self.scorers_of(&conn, scope, Some(vec![experiment])).await
    }

    /// The latest versions of the scorers of those of some experiments that are active, or of all experiments.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn list_scorers_across(&self, scope: &Scope, experiments: Option<Vec<i64>>) -> Result<Vec<Scorer>> {
        let conn = self.store.db.reader().await?;
        self.scorers_of(&conn, scope, experiments).await
    }

    async fn scorers_of(&self, conn: &Conn, scope: &Scope, experiments: Option<Vec<i64>>) -> Result<Vec<Scorer>> {
        let dialect = self.store.db.dialect();
        let mut select = Select::new(self.workspace, "scorers", "s");
        select.join("JOIN experiments e ON e.experiment_id = s.experiment_id");
        select.join(
            "JOIN scorer_versions v ON v.scorer_id = s.scorer_id AND v.scorer_version = \
             (SELECT MAX(n.scorer_version) FROM scorer_versions n WHERE n.scorer_id = s.scorer_id)",
        );
        select.filter("e.lifecycle_stage = 'active'".to_owned());
        if let Some(experiments) = experiments {
            let place = select.bind(experiments);
            select.filter(dialect.any("s.experiment_id", &place));
        }
        let visible = scope.experiments.ids(&mut select, dialect, "s.experiment_id");
        let name = "CAST(s.experiment_id AS VARCHAR(20)) || '/' || s.scorer_name";
        let named = scope.scorers.names(&mut select, dialect, &format!("({name})"));
        for condition in [visible, named].into_iter().flatten() {
            select.filter(condition);
        }
        let statement = select.statement(|from, conditions| format!("SELECT {COLUMNS} FROM {from} WHERE {conditions}"));
        let mut found = conn.query(statement, from_row).await?;
        // In the order of code points, whatever the collation of the database is.
        found.sort_by(|one, other| {
            one.experiment_id.cmp(&other.experiment_id).then_with(|| one.scorer_name.cmp(&other.scorer_name))
        });
        self.resolve(conn, &mut found).await?;
        Ok(found)
    }

    /// All versions of a scorer of an active experiment, oldest first.
    ///
    /// # Errors
    /// There is no such experiment or scorer.
    pub async fn list_scorer_versions(&self, experiment_id: &str, name: &str) -> Result<Vec<Scorer>> {
        let experiment = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        let key = active_experiment(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        let mut found = conn.query(Statement::of(&key, &ALL_VERSIONS, vec![name.into()]), from_row).await?;
        if found.is_empty() {
            return Err(not_found(experiment_id, name, None));
        }
        self.resolve(&conn, &mut found).await?;
        Ok(found)
    }

    /// A version of a scorer of an active experiment, or its latest one.
    ///
    /// # Errors
    /// There is no such experiment, scorer or version.
    pub async fn get_scorer(&self, experiment_id: &str, name: &str, version: Option<i32>) -> Result<Scorer> {
        let experiment = id_of(experiment_id)?;
        let conn = self.store.db.reader().await?;
        let key = active_experiment(experiment, ExperimentKey::read(self.workspace, &conn, experiment).await?)?;
        let statement = match version {
            Some(version) => Statement::of(&key, &VERSION, vec![name.into(), version.into()]),
            None => Statement::of(&key, &LATEST, vec![name.into()]),
        };
        let found = conn.query_opt(statement, from_row).await?;
        let mut found = found.ok_or_else(|| not_found(experiment_id, name, version))?;
        // Only a list is written anew where there is nothing to replace, as by the reference.
        let stored = Serialized::from_stored(found.serialized_scorer());
        if stored.is_some_and(|scorer| scorer.endpoint().is_some()) {
            self.resolve(&conn, std::slice::from_mut(&mut found)).await?;
        }
        Ok(found)
    }

    /// Deletes a version of a scorer of an active experiment, or the scorer with all of them.
    ///
    /// # Errors
    /// There is no such experiment, scorer or version, or a guardrail of the gateway uses it.
    pub async fn delete_scorer(&self, experiment_id: &str, name: &str, version: Option<i32>) -> Result<()> {
        let experiment = id_of(experiment_id)?;
        self.store
            .db
            .transaction(|tx| async move {
                let found = ExperimentKey::find(self.workspace, &tx, experiment).await?;
                let experiment_key = active_experiment(experiment, found)?;
                let find = Statement::of(&experiment_key, &FIND, vec![name.into()]);
                let key = tx.query_opt(find, |row| row.get::<String>(0)).await?.map(ScorerKey::found);
                let key = key.ok_or_else(|| not_found(experiment_id, name, None))?;
                let delete = match version {
                    Some(version) => Statement::of(&key, &DELETE_VERSION, vec![version.into()]),
                    None => Statement::of(&key, &DELETE_VERSIONS, Vec::new()),
                };
                let deleted = match tx.execute(delete).await {
                    Err(DbError::ForeignKey(_)) => {
                        return Err(Error::bad_request(format!(
                            "The scorer '{name}' is used by a guardrail of the gateway."
                        )));
                    }
                    outcome => outcome?,
                };
                if deleted == 0 {
                    return Err(not_found(experiment_id, name, version));
                }
                if version.is_none() {
                    tx.run(vec![
                        Op::Execute(Statement::of(&key, &UNBIND, Vec::new())),
                        Op::Execute(Statement::of(&key, &DELETE, Vec::new())),
                    ])
                    .await?;
                }
                Ok(())
            })
            .await
    }

    /// The id of an endpoint of the gateway.
    async fn endpoint_id(&self, tx: &Tx, name: &str) -> Result<String> {
        let statement = Statement::within(self.workspace, &ENDPOINT, vec![name.into()]);
        let found = tx.query_opt(statement, |row| row.get::<String>(0)).await?;
        found.ok_or_else(|| Error::not_found(format!("GatewayEndpoint not found (name='{name}')")))
    }

    /// Writes scorers as the reference does, with the names of their endpoints. The model of one whose endpoint was
    /// deleted is null.
    async fn resolve(&self, conn: &Conn, scorers: &mut [Scorer]) -> Result<()> {
        let mut parsed: Vec<Option<Serialized>> =
            scorers.iter().map(|scorer| Serialized::from_stored(scorer.serialized_scorer())).collect();
        let mut ids: Vec<String> = parsed.iter().flatten().filter_map(Serialized::endpoint).collect();
        ids.sort();
        ids.dedup();
        let mut names: HashMap<String, String> = HashMap::new();
        if !ids.is_empty() {
            let statement = Statement::within(self.workspace, &ENDPOINT_NAMES, vec![ids.into()]);
            names.extend(conn.query(statement, |row| Ok((row.get(0)?, row.get(1)?))).await?);
        }
        for (scorer, parsed) in scorers.iter_mut().zip(&mut parsed) {
            let Some(parsed) = parsed else { continue };
            if let Some(id) = parsed.endpoint() {
                parsed.set_endpoint(names.get(&id).map(String::as_str));
            }
            scorer.serialized_scorer = Some(parsed.dumps());
        }
        Ok(())
    }
}

fn with_endpoint(scorer: &Serialized, endpoint: Option<&str>) -> String {
    let mut scorer = scorer.clone();
    scorer.set_endpoint(endpoint);
    scorer.dumps()
}

/// Reads [`COLUMNS`].
fn from_row(row: &Row<'_>) -> Result<Scorer, DbError> {
    let number = |value: Value| match value {
        Value::Int(number) => i32::try_from(number).ok(),
        _ => None,
    };
    Ok(Scorer {
        experiment_id: number(row.get(0)?),
        scorer_name: row.get(1)?,
        scorer_version: number(row.get(2)?),
        serialized_scorer: row.get(3)?,
        creation_time: row.get(4)?,
        scorer_id: row.get(5)?,
    })
}

/// The error for a scorer that an experiment does not have.
pub(in crate::evaluation) fn not_found(experiment_id: &str, name: &str, version: Option<i32>) -> Error {
    let version = version.map_or(String::new(), |version| format!(" and version {version}"));
    Error::not_found(format!("Scorer with name '{name}'{version} not found for experiment {experiment_id}."))
}
