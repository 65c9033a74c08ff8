//! The experiments that a search is restricted to.

use crate::{db::dialect::Dialect, query::select::Select};

/// The experiments of a search that are in its workspace, as a bound value. The list is compared with the workspace once,
/// not with each row. Made by [`Select::of_experiments`].
pub(crate) struct Experiments {
    /// The ids as they are bound: one, or a list.
    place: String,
    is_one: bool,
    /// The workspace as a value in SQL, if the server has several.
    workspace: Option<String>,
    dialect: Dialect,
}

impl Experiments {
    /// Binds the ids. Those beyond the range of the column are no experiment's.
    pub(crate) fn bind(select: &mut Select, dialect: Dialect, workspace: Option<String>, mut ids: Vec<i64>) -> Self {
        ids.retain(|id| i32::try_from(*id).is_ok());
        ids.sort_unstable();
        ids.dedup();
        let is_one = ids.len() == 1;
        // An index has the rows of one experiment in order; those of several need to be sorted.
        let place = if is_one { select.bind(ids[0]) } else { select.bind(ids) };
        Self { place, is_one, workspace, dialect }
    }

    /// Whether it is a single one.
    pub(crate) fn is_one(&self) -> bool {
        self.is_one
    }

    /// A single one, as a value in SQL; NULL if it is not in the workspace.
    pub(crate) fn one(&self) -> Option<String> {
        self.is_one.then(|| self.own().map_or_else(|| self.place.clone(), |own| format!("({own})")))
    }

    /// The experiments as rows `e` with a column `id`.
    pub(crate) fn rows(&self) -> String {
        let place = &self.place;
        match (self.own(), self.dialect) {
            (Some(own), _) => format!("({own}) e"),
            _ if self.is_one => format!("(SELECT {place} AS id) e"),
            (None, Dialect::Postgres) => format!("unnest({place}::bigint[]) AS e(id)"),
            (None, Dialect::Sqlite) => format!("(SELECT value AS id FROM json_each({place})) e"),
        }
    }

    /// The query for those in the workspace, if the server has several.
    fn own(&self) -> Option<String> {
        let workspace = self.workspace.as_ref()?;
        let ids = self.listed("own.experiment_id");
        Some(format!("SELECT own.experiment_id AS id FROM experiments own WHERE {ids} AND own.workspace = {workspace}"))
    }

    /// The condition that a row is in one of the experiments.
    pub(crate) fn contain(&self, alias: &str) -> String {
        let Some(own) = self.own() else { return self.contain_child(alias) };
        match (self.is_one, self.dialect) {
            (true, _) => format!("{alias}.experiment_id = ({own})"),
            (false, Dialect::Postgres) => format!("{alias}.experiment_id = ANY(ARRAY({own}))"),
            (false, Dialect::Sqlite) => format!("{alias}.experiment_id IN ({own})"),
        }
    }

    /// The condition that a row is in one of the experiments, if it belongs to a row that meets [`Self::contain`].
    pub(crate) fn contain_child(&self, alias: &str) -> String {
        self.listed(&format!("{alias}.experiment_id"))
    }

    fn listed(&self, column: &str) -> String {
        if self.is_one { format!("{column} = {}", self.place) } else { self.dialect.any(column, &self.place) }
    }
}
