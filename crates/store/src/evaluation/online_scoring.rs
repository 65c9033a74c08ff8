//! Online scoring of experiments: which of their new traces a scorer is to look at.

use std::collections::HashMap;

use ferroflow_model::{
    Error, Result,
    evaluation::{
        online_scoring::{OnlineScoring, check_sample_rate},
        scorers::Scorer,
    },
};
use ferroflow_search::traces::parse_filter;

use crate::{
    Scoped,
    db::{DbError, Op, Row, Statement},
    evaluation::{keys::ScorerKey, scorers::not_found},
    statements::statements,
    tracking::{
        experiments::{active_experiment, id_of},
        keys::ExperimentKey,
    },
    workspace::Workspace,
};

statements! {
    static OF_SCORERS: Workspace =
        "SELECT c.online_scoring_config_id, c.scorer_id, c.sample_rate, c.experiment_id, c.filter_string \
         FROM online_scoring_configs c WHERE c.scorer_id {in $1} AND {ws of c} ORDER BY c.online_scoring_config_id";
    /// Locked, because a scorer has one configuration, which is replaced.
    static LATEST: ExperimentKey =
        "SELECT s.scorer_id, v.serialized_scorer FROM scorers s \
         LEFT JOIN scorer_versions v ON v.scorer_id = s.scorer_id \
         WHERE s.experiment_id = $1 AND s.scorer_name = $2 ORDER BY v.scorer_version DESC LIMIT 1 \
         {FOR NO KEY UPDATE OF s}";
    static DELETE: ScorerKey = "DELETE FROM online_scoring_configs WHERE scorer_id = $1";
    static INSERT: ScorerKey =
        "INSERT INTO online_scoring_configs (online_scoring_config_id, scorer_id, sample_rate, experiment_id, \
         filter_string) VALUES ($2, $1, $3, $4, $5)";
}

impl Scoped<'_> {
    /// The configurations of scorers, in the order of their ids in `scorer_ids`.
    ///
    /// # Errors
    /// Database errors only.
    pub async fn online_scoring(&self, scorer_ids: &[String]) -> Result<Vec<OnlineScoring>> {
        if scorer_ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = Statement::within(self.workspace, &OF_SCORERS, vec![scorer_ids.into()]);
        let mut found = self.store.db.query(statement, from_row).await?;
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (place, id) in scorer_ids.iter().enumerate() {
            places.entry(id).or_insert(place);
        }
        found.sort_by_key(|config| places.get(config.scorer_id()).copied());
        Ok(found)
    }

    /// Sets the configuration of a scorer of an active experiment: the fraction of traces, and the filter that they
    /// must match.
    ///
    /// # Errors
    /// The fraction or the filter is not valid, there is no such experiment or scorer, or the scorer cannot look at
    /// traces by itself: its model is not an endpoint of the gateway, or it needs expectations.
    pub async fn set_online_scoring(
        &self,
        experiment_id: &str,
        name: &str,
        sample_rate: f64,
        filter: Option<&str>,
    ) -> Result<OnlineScoring> {
        check_sample_rate(sample_rate)?;
        parse_filter(filter.unwrap_or_default())?;
        let experiment = id_of(experiment_id)?;
        let id = &uuid::Uuid::new_v4().simple().to_string();
        self.store
            .db
            .transaction(|tx| async move {
                let found = ExperimentKey::find(self.workspace, &tx, experiment).await?;
                let experiment_key = active_experiment(experiment, found)?;
                let latest = Statement::of(&experiment_key, &LATEST, vec![name.into()]);
                let latest = tx.query_opt(latest, |row| Ok((row.get::<String>(0)?, row.get::<Option<String>>(1)?)));
                let (scorer_id, serialized) = latest.await?.ok_or_else(|| not_found(experiment_id, name, None))?;
                if sample_rate > 0.0
                    && let Some(serialized) = serialized
                {
                    check_scorer(name, &serialized)?;
                }
                let key = ScorerKey::found(scorer_id.clone());
                let values = vec![id.into(), sample_rate.into(), experiment.into(), filter.map(str::to_owned).into()];
                tx.run(vec![
                    Op::Execute(Statement::of(&key, &DELETE, Vec::new())),
                    Op::Execute(Statement::of(&key, &INSERT, values)),
                ])
                .await?;
                Ok(OnlineScoring {
                    online_scoring_config_id: Some(id.clone()),
                    scorer_id: Some(scorer_id),
                    sample_rate: Some(sample_rate),
                    experiment_id: Some(experiment.to_string()),
                    filter_string: filter.map(str::to_owned),
                })
            })
            .await
    }
}

/// Refuses a scorer that cannot look at traces by itself.
fn check_scorer(name: &str, serialized: &str) -> Result<()> {
    let scorer = Scorer::from_stored(serialized);
    if scorer.as_ref().and_then(Scorer::endpoint).is_none() {
        return Err(Error::invalid(format!(
            "Scorer '{name}' does not use a gateway model. Automatic evaluation is only supported for scorers that use \
             gateway models."
        )));
    }
    if scorer.is_some_and(|scorer| scorer.requires_expectations()) {
        return Err(Error::invalid(format!(
            "Scorer '{name}' requires expectations, but scorers with expectations are not currently supported for \
             automatic evaluation."
        )));
    }
    Ok(())
}

fn from_row(row: &Row<'_>) -> Result<OnlineScoring, DbError> {
    Ok(OnlineScoring {
        online_scoring_config_id: row.get(0)?,
        scorer_id: row.get(1)?,
        sample_rate: row.get(2)?,
        experiment_id: Some(row.get::<i64>(3)?.to_string()),
        filter_string: row.get(4)?,
    })
}
