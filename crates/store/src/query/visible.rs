//! Restricts a search to the rows visible to its caller.

use crate::{db::dialect::Dialect, query::select::Select};

/// A set of ids or names, bound as one list: filtering in the query keeps pages full, whatever the caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Everything.
    All,
    /// Only these.
    Only(Vec<String>),
    /// Everything but these.
    Except(Vec<String>),
}

impl Visible {
    /// The empty set.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Only(Vec::new())
    }

    /// Whether an id or name is in the set.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.iter().any(|other| other == id),
            Self::Except(ids) => ids.iter().all(|other| other != id),
        }
    }

    /// The condition that a text column is in the set; `None` if it is always true.
    pub(crate) fn names(&self, select: &mut Select, dialect: Dialect, column: &str) -> Option<String> {
        match self {
            Self::All => None,
            Self::Only(names) => {
                let place = select.bind(names.as_slice());
                Some(dialect.any(column, &place))
            }
            Self::Except(names) if names.is_empty() => None,
            Self::Except(names) => {
                let place = select.bind(names.as_slice());
                Some(format!("NOT ({})", dialect.any(column, &place)))
            }
        }
    }

    /// The same for an integer column. Texts that are no integers match no row.
    pub(crate) fn ids(&self, select: &mut Select, dialect: Dialect, column: &str) -> Option<String> {
        let numbers = |ids: &[String]| ids.iter().filter_map(|id| id.parse::<i64>().ok()).collect::<Vec<_>>();
        match self {
            Self::All => None,
            Self::Only(ids) => {
                let place = select.bind(numbers(ids));
                Some(dialect.any(column, &place))
            }
            Self::Except(ids) => {
                let ids = numbers(ids);
                if ids.is_empty() {
                    return None;
                }
                let place = select.bind(ids);
                Some(format!("NOT ({})", dialect.any(column, &place)))
            }
        }
    }
}

/// The condition on rows that are models or prompts, distinguished by the `value` of the prompt tag.
pub(crate) fn either(
    select: &mut Select,
    dialect: Dialect,
    column: &str,
    value: &str,
    models: &Visible,
    prompts: &Visible,
) -> Option<String> {
    // If few rows are visible, this drives the query, which then does not scan all rows.
    let driving = match (models, prompts) {
        (Visible::Only(models), Visible::Only(prompts)) => {
            let names: Vec<String> = models.iter().chain(prompts).cloned().collect();
            Visible::Only(names).names(select, dialect, column)
        }
        _ => None,
    };
    let of_models = models.names(select, dialect, column);
    let of_prompts = prompts.names(select, dialect, column);
    if of_models.is_none() && of_prompts.is_none() {
        return None;
    }
    let [of_models, of_prompts] = [of_models, of_prompts].map(|test| test.unwrap_or_else(|| "TRUE".to_owned()));
    let test = format!("CASE WHEN lower(COALESCE({value}, '')) = 'true' THEN {of_prompts} ELSE {of_models} END");
    Some(driving.map_or_else(|| test.clone(), |driving| format!("{driving} AND {test}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_knows_what_is_in_it() {
        let ids = || vec!["1".to_owned(), "2".to_owned()];
        assert!(Visible::All.has("1") && Visible::Only(ids()).has("2") && Visible::Except(ids()).has("3"));
        assert!(!Visible::nothing().has("1") && !Visible::Only(ids()).has("3") && !Visible::Except(ids()).has("1"));
    }
}
