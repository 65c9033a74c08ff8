//! Searching registered models, and prompts.

use ferroflow_model::{Error, Result, limits, messages::model_registry::RegisteredModel, prompts::IS_PROMPT_TAG};
use ferroflow_search::{
    PageToken,
    registered_models::{self, Column, Condition},
};

use crate::{
    Store, compare,
    db::Plan,
    dialect::Dialect,
    prompt_split::{self, Split},
    registered_model_children::load,
    registered_models::{COLUMNS, from_row},
    select::{KeyKind, Page, Parts, Select},
    visible::{Visible, either},
};

/// The number of columns in [`COLUMNS`].
const COLUMN_COUNT: usize = 4;

/// A search for registered models.
#[derive(Debug, Clone, Default)]
pub struct RegisteredModelSearch {
    /// What a model must fulfil, in the language of filters. Prompts are left out unless it asks for them.
    pub filter: String,
    /// Models on a page at the most.
    pub max_results: i64,
    /// In which order; then by name.
    pub order_by: Vec<String>,
    /// Where the page begins.
    pub page_token: Option<String>,
    /// Which models its caller may see.
    pub visible: Visible,
    /// Which prompts its caller may see.
    pub visible_prompts: Visible,
}

impl Store {
    /// A page of registered models with all that hangs on them, and the token of the next one.
    ///
    /// # Errors
    /// The filter, order, token or size of the page is not valid.
    pub async fn search_registered_models(
        &self,
        search: RegisteredModelSearch,
    ) -> Result<(Vec<RegisteredModel>, Option<String>)> {
        let page = self.registered_model_page(&search)?;
        let conn = self.db.reader().await?;
        let rows = conn.query(page.statement.clone(), page.mapping(COLUMN_COUNT, from_row)).await?;
        let (models, next) = page.finish(rows);
        let names = models.iter().map(|model| model.name().to_owned()).collect();
        let children = load(&conn, self.db.dialect(), names).await?;
        Ok((models.into_iter().zip(children).map(|(model, children)| children.attach(model)).collect(), next))
    }

    /// How the database runs a search for registered models, a line for each step.
    ///
    /// # Errors
    /// The search is not valid, or the database failed.
    pub async fn explain_registered_model_search(&self, search: &RegisteredModelSearch) -> Result<Vec<String>> {
        let page = self.registered_model_page(search)?;
        Ok(self.db.explain(page.statement).await?)
    }

    fn registered_model_page(&self, search: &RegisteredModelSearch) -> Result<Page> {
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
        let token = PageToken::decode(search.page_token.as_deref().unwrap_or_default())?;
        let dialect = self.db.dialect();

        let tags = conditions.iter().filter_map(|condition| match condition {
            Condition::Tag { key, test } => Some((key.as_str(), test)),
            Condition::Name(_) => None,
        });
        let Split { prompts, first, others } = prompt_split::split(tags.collect());
        let mut select = Select::default();
        // A tag that a model must have comes first: its rows are together in the key of the tags, by name. SQLite never
        // reorders CROSS JOIN.
        // Nearly every row is on some page then. Of those with another tag there may be few, and sorting them is less
        // work than looking for them in their order.
        let many = first.is_none_or(|(key, _)| key == IS_PROMPT_TAG);
        let (from, name) = if let Some((key, test)) = first {
            let key = select.bind(key);
            select.filter(format!(
                "d.workspace = 'default' AND d.key = {key} AND m.workspace = 'default' AND m.name = d.name"
            ));
            let test = compare::text(&mut select, dialect, "d.value", test);
            select.filter(test);
            ("registered_model_tags d CROSS JOIN registered_models m", "d.name")
        } else {
            select.filter("m.workspace = 'default'".to_owned());
            ("registered_models m", "m.name")
        };
        for condition in &conditions {
            if let Condition::Name(test) = condition {
                let test = compare::text(&mut select, dialect, name, test);
                select.filter(test);
            }
        }
        for (key, test) in others {
            let key = select.bind(key);
            let test = compare::text(&mut select, dialect, &tag_value(&key, name), test);
            select.filter(test);
        }
        if !prompts {
            let value = tag_value("'mlflow.prompt.is_prompt'", name);
            select.filter(format!("COALESCE({value}, '') <> 'true'"));
        }
        let value = tag_value("'mlflow.prompt.is_prompt'", name);
        let (of_models, of_prompts) = (&search.visible, &search.visible_prompts);
        if let Some(condition) = either(&mut select, dialect, name, &value, of_models, of_prompts) {
            select.filter(condition);
        }
        let by_name = order.first().filter(|clause| clause.column == Column::Name);
        // Whatever narrows the search has bound a value.
        if let Some(clause) = by_name.filter(|_| !prompts && !select.has_values()) {
            return models_by_name(dialect, !clause.ascending, max, token);
        }
        if many && by_name.is_some() {
            select.plan(Plan::IndexOrder);
        }
        for clause in &order {
            match clause.column {
                Column::Name => select.order_by(name, !clause.ascending, KeyKind::Text),
                Column::LastUpdatedTime => {
                    select.nulls_last("m.last_updated_time");
                    select.order_by("m.last_updated_time", !clause.ascending, KeyKind::Int);
                }
            }
        }
        select.page(COLUMNS, from, max, token)
    }
}

/// All models by name, as the UI lists them first: one walk through the keys of the models and of the prompt tag side
/// by side. Prompts may be many and stand before all models, so they are passed over without a lookup for each.
fn models_by_name(dialect: Dialect, descending: bool, max: i64, token: PageToken) -> Result<Page> {
    let mut select = Select::default();
    select.order_by("name", descending, KeyKind::Text);
    select.plan(Plan::MergeJoin);
    select.page_of(max, token, |Parts { conditions, order, limit, .. }| {
        let prompts = format!(
            "SELECT name FROM registered_model_tags WHERE workspace = 'default' AND key = 'mlflow.prompt.is_prompt' \
             AND value = 'true' AND {conditions}"
        );
        match dialect {
            Dialect::Postgres => format!(
                "SELECT {COLUMNS}, m.name FROM registered_models m WHERE workspace = 'default' AND {conditions} \
                 AND NOT EXISTS (SELECT 1 FROM ({prompts} ORDER BY {order} OFFSET 0) p WHERE p.name = m.name) \
                 ORDER BY m.{order}{limit}"
            ),
            Dialect::Sqlite => format!(
                "SELECT {COLUMNS}, m.name FROM (SELECT name FROM registered_models \
                 WHERE workspace = 'default' AND {conditions} EXCEPT {prompts} ORDER BY {order}{limit}) p \
                 CROSS JOIN registered_models m WHERE m.workspace = 'default' AND m.name = p.name ORDER BY m.{order}"
            ),
        }
    })
}

/// The value of a tag of the model with a name, or NULL. One lookup in the primary key, which PostgreSQL does not turn
/// into a join: without statistics it would expect few tags, and read them all for one page.
fn tag_value(key: &str, name: &str) -> String {
    format!(
        "(SELECT t.value FROM registered_model_tags t \
         WHERE t.workspace = 'default' AND t.key = {key} AND t.name = {name})"
    )
}
