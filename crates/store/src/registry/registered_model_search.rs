//! Searching registered models and prompts.

use ferroflow_model::{Error, Result, limits, messages::model_registry::RegisteredModel, prompts::IS_PROMPT_TAG};
use ferroflow_search::{
    KeyValue, OrderBy, PageToken, QueryId, TextTest,
    registered_models::{self, Column, Condition},
};

use crate::{
    Scoped,
    db::{Plan, dialect::Dialect},
    query::{
        compare,
        scope::Scope,
        select::{KeyKind, Page, Parts, Select, load_children},
        visible::{Visible, either},
    },
    registry::{
        prompt_split::{self, Split},
        registered_model_children::{Latest, load},
        registered_models::{COLUMNS, from_row},
    },
    schema::own_indexes::{HIDDEN_WORKSPACE, LAST_UPDATED, OwnIndex, indexed},
    workspace::Workspace,
};

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 4;

/// A search for registered models.
#[derive(Debug, Clone, Default)]
pub struct RegisteredModelSearch {
    /// Filter expression; empty for all. Excludes prompts unless it has a condition for them.
    pub filter: String,
    /// Maximum number of models per page.
    pub max_results: i64,
    /// `ORDER BY` clauses; ties are ordered by name.
    pub order_by: Vec<String>,
    /// Page token; `None` for the first page.
    pub page_token: Option<String>,
}

impl Scoped<'_> {
    /// A page of registered models with their children, and the token of the next page.
    ///
    /// # Errors
    /// The filter, order, token or size of the page is not valid.
    pub async fn search_registered_models(
        &self,
        scope: &Scope,
        search: RegisteredModelSearch,
    ) -> Result<(Vec<RegisteredModel>, Option<String>)> {
        self.store.db.replicated(|| self.read_registered_models(scope, &search)).await
    }

    async fn read_registered_models(
        &self,
        scope: &Scope,
        search: &RegisteredModelSearch,
    ) -> Result<(Vec<RegisteredModel>, Option<String>)> {
        let page = self.registered_model_page(scope, search)?;
        let conn = self.store.db.reader().await?;
        let mut found = page.read(&conn, COLUMN_COUNT, from_row).await?;
        let names = found.rows().map(|model| model.name().to_owned()).collect();
        let latest = Latest::of(self.store);
        let (children, count) = load_children(&conn, names, |names| load(self.workspace, &conn, latest, names)).await?;
        found.truncate(count);
        let (models, next) = found.finish();
        let children = children.into_iter().flatten();
        Ok((models.into_iter().zip(children).map(|(model, children)| children.attach(model)).collect(), next))
    }

    /// The query plan of a search for registered models, one line per step.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_registered_model_search(
        &self,
        scope: &Scope,
        search: &RegisteredModelSearch,
    ) -> Result<Vec<String>> {
        let page = self.registered_model_page(scope, search)?;
        Ok(self.store.db.explain(page.statement).await?)
    }

    fn registered_model_page(&self, scope: &Scope, search: &RegisteredModelSearch) -> Result<Page> {
        let max = search.max_results;
        if max < 0 {
            return Err(Error::invalid(format!(
                "Invalid value for max_results. It must be a positive integer, but got {max}"
            )));
        }
        if max > limits::REGISTERED_MODELS {
            return Err(Error::invalid(format!(
                "Invalid value for request parameter max_results. It must be at most {}, but got value {max}",
                limits::REGISTERED_MODELS
            )));
        }
        let conditions = registered_models::parse_filter(&search.filter)?;
        let order = registered_models::parse_order_by(&search.order_by)?;
        let query = self.workspace.query([search.filter.as_str()], &[search.order_by.as_slice()]);
        let token = PageToken::decode_of(search.page_token.as_deref().unwrap_or_default(), query)?;
        let dialect = self.store.db.dialect();

        let tags = conditions.iter().filter_map(|condition| match condition {
            Condition::Tag { key, test } => Some((key.as_str(), test)),
            Condition::Name(_) => None,
        });
        let Split { prompts, mut first, mut others } = prompt_split::split(tags.collect());
        let by_name = order.first().filter(|clause| clause.column == Column::Name);
        let names: Vec<&TextTest> = conditions
            .iter()
            .filter_map(|condition| match condition {
                Condition::Name(test) => Some(test),
                Condition::Tag { .. } => None,
            })
            .collect();
        // A list of names drives the query.
        let are_listed = names.iter().any(|test| matches!(test, TextTest::Equal(_) | TextTest::In(_)))
            || matches!((&scope.models, &scope.prompts), (Visible::Only(_), Visible::Only(_)));
        // An index has all models and prompts in this order: nearly every row of it is on some page.
        let is_walk = is_last_updated_first(&order)
            && !are_listed
            && first.is_none_or(|(key, _)| key == IS_PROMPT_TAG)
            && self.store.own_indexes.is_there(OwnIndex::RegisteredModelsPage);
        if is_walk {
            others.extend(first.take());
        }
        // The primary key has the names, so that only the models with a name like that are read.
        let matched = by_name.filter(|_| {
            dialect == Dialect::Postgres
                && first.is_none()
                && !are_listed
                && names.iter().any(|test| matches!(test, TextTest::Like(_) | TextTest::ILike(_)))
        });
        let mut select = Select::new(self.workspace, "registered_models", "m");
        select.of_query(query);
        if is_walk {
            let workspace = HIDDEN_WORKSPACE.replace("workspace", "m.workspace");
            select.filter(select.in_workspace("m").replace("m.workspace", &workspace));
        }
        // A required tag drives the query: the primary key of tags has its rows together, by name. SQLite never
        // reorders CROSS JOIN. With the prompt tag, as with no tag, nearly every row is on some page, so an index scan
        // in order is best. Another tag may have few rows, and sorting them is less work than finding them in order.
        let value = first.and_then(|(key, test)| match test {
            TextTest::Equal(value) if key != IS_PROMPT_TAG && by_name.is_some() => Some(value),
            _ => None,
        });
        // The index of values has the names of each in order.
        let value = value.filter(|_| self.store.own_indexes.is_there(OwnIndex::ModelTagValue));
        let many = value.is_some() || first.is_none_or(|(key, _)| key == IS_PROMPT_TAG);
        let name = if let Some(clause) = matched {
            read_matching(&mut select, dialect, &names, !clause.ascending, &token);
            "n.name"
        } else if let Some((key, test)) = first {
            select.driven_by("registered_model_tags", "d");
            let key = select.bind(key);
            if let Some(value) = value {
                let beginning = select.bind(indexed(value));
                select.filter(format!("substr(d.value, 1, 200) = {beginning}"));
                if dialect == Dialect::Postgres {
                    // The fence keeps PostgreSQL from reading all models by name.
                    select.read_from(format!(
                        "registered_model_tags d CROSS JOIN LATERAL (SELECT * FROM registered_models x WHERE {} \
                         AND x.name = d.name OFFSET 0) m",
                        select.in_workspace("x")
                    ));
                }
            }
            select.filter(format!("d.key = {key} AND m.name = d.name"));
            // With `=`, SQLite would replace the column in the expression of the index by the value.
            let test = match value {
                Some(value) => compare::text(&mut select, dialect, "d.value", &TextTest::In(vec![value.clone()])),
                None => compare::text(&mut select, dialect, "d.value", test),
            };
            select.filter(test);
            "d.name"
        } else {
            "m.name"
        };
        if matched.is_none() {
            for test in names {
                let test = compare::column(&mut select, dialect, name, test);
                select.filter(test);
            }
        }
        for (key, test) in others {
            let key = select.bind(key);
            let value = tag_value(&select, &key, name);
            let test = compare::text(&mut select, dialect, &value, test);
            select.filter(test);
        }
        if !prompts {
            let value = tag_value(&select, "'mlflow.prompt.is_prompt'", name);
            select.filter(format!("COALESCE({value}, '') <> 'true'"));
        }
        let value = tag_value(&select, "'mlflow.prompt.is_prompt'", name);
        let (of_models, of_prompts) = (&scope.models, &scope.prompts);
        if let Some(condition) = either(&mut select, dialect, name, &value, of_models, of_prompts) {
            select.filter(condition);
        }
        // Every condition that restricts the search has bound a parameter.
        if let Some(clause) = by_name.filter(|_| !prompts && !select.has_values()) {
            let query = self.workspace.parameter().map(|_| query);
            return models_by_name(self.workspace, dialect, !clause.ascending, max, token, query);
        }
        if is_walk || (many && by_name.is_some()) {
            select.plan(Plan::IndexOrder);
        }
        for clause in &order {
            match clause.column {
                Column::Name => select.order_by(name, !clause.ascending, KeyKind::Text),
                // The key of ferroflow's own index.
                Column::LastUpdatedTime if !clause.ascending => {
                    let key = LAST_UPDATED.replace("last_updated_time", "m.last_updated_time");
                    select.order_by(key, true, KeyKind::Int);
                }
                Column::LastUpdatedTime => {
                    select.nulls_last("m.last_updated_time");
                    select.order_by("m.last_updated_time", !clause.ascending, KeyKind::Int);
                }
            }
        }
        select.page(COLUMNS, max, token)
    }
}

/// Whether it is the order of [`OwnIndex::RegisteredModelsPage`].
fn is_last_updated_first(order: &[OrderBy<Column>]) -> bool {
    let keys = order.iter().map(|clause| (clause.column, clause.ascending));
    keys.eq([(Column::LastUpdatedTime, false), (Column::Name, true)])
}

/// PostgreSQL only: reads the names `n` that pass all tests, in order, from the primary key alone, and then their models.
fn read_matching(select: &mut Select, dialect: Dialect, names: &[&TextTest], descending: bool, token: &PageToken) {
    let mut tests = vec![select.in_workspace("x")];
    for test in names {
        tests.push(compare::column(select, dialect, "x.name", test));
    }
    let (order, after) = if descending { (" DESC", '<') } else { ("", '>') };
    if let PageToken::Key(values) = token
        && let [KeyValue::Text(last)] = values.as_slice()
    {
        tests.push(format!("x.name {after} {}", select.bind(last)));
    }
    select.read_from(format!(
        "(SELECT x.name FROM registered_models x WHERE {} ORDER BY x.name{order} OFFSET 0) n \
         CROSS JOIN LATERAL (SELECT * FROM registered_models y WHERE {} AND y.name = n.name OFFSET 0) m",
        tests.join(" AND "),
        select.in_workspace("y")
    ));
}

/// All models by name, as the UI lists them initially: a merge join of the index of models and that of the prompt tag.
/// There may be many prompts before the first model, so they are skipped without a lookup for each.
fn models_by_name(
    workspace: &Workspace,
    dialect: Dialect,
    descending: bool,
    max: i64,
    token: PageToken,
    query: Option<QueryId>,
) -> Result<Page> {
    let mut select = Select::new(workspace, "registered_models", "m");
    select.of_query(query);
    select.order_by("name", descending, KeyKind::Text);
    select.plan(Plan::MergeJoin);
    let in_workspace = select.in_workspace("m");
    select.page_of(max, token, |Parts { conditions, order, limit, .. }| {
        let prompts = format!(
            "SELECT m.name FROM registered_model_tags m WHERE m.key = 'mlflow.prompt.is_prompt' AND m.value = 'true' \
             AND {conditions}"
        );
        match dialect {
            Dialect::Postgres => format!(
                "SELECT {COLUMNS}, m.name FROM registered_models m WHERE {conditions} \
                 AND NOT EXISTS (SELECT 1 FROM ({prompts} ORDER BY {order} OFFSET 0) p WHERE p.name = m.name) \
                 ORDER BY m.{order}{limit}"
            ),
            Dialect::Sqlite => format!(
                "SELECT {COLUMNS}, m.name FROM (SELECT m.name FROM registered_models m \
                 WHERE {conditions} EXCEPT {prompts} ORDER BY {order}{limit}) p \
                 CROSS JOIN registered_models m WHERE {in_workspace} AND m.name = p.name ORDER BY m.{order}"
            ),
        }
    })
}

/// The value of a tag of a model, or NULL. A scalar subquery, one lookup by primary key, which PostgreSQL does not turn
/// into a join: without statistics it would expect few tags and read all of them for one page.
fn tag_value(select: &Select, key: &str, name: &str) -> String {
    let in_workspace = select.in_workspace("t");
    format!("(SELECT t.value FROM registered_model_tags t WHERE {in_workspace} AND t.key = {key} AND t.name = {name})")
}
