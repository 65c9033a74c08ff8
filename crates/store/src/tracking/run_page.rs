//! The statement for a page of runs.

use ferroflow_model::Result;
use ferroflow_search::{
    TextTest,
    runs::{Condition, TextAttribute},
};

use super::{
    run_access::{Access, is_newest_first},
    run_filter::{Joined, condition_of_order, condition_sql, driving_condition, order_by},
    run_search::Query,
    run_window::First,
    runs::COLUMNS,
};
use crate::{
    Scoped,
    db::{Plan, dialect::Dialect},
    query::{
        compare::{self, Approach},
        experiments::Experiments,
        select::{KeyKind, Page, Select},
    },
    schema::own_indexes::{OwnIndex, RUN_NAMES},
};

/// The number of columns in [`COLUMNS`].
pub(super) const COLUMN_COUNT: usize = 9;

/// The run of an owner `d`. Behind fences, PostgreSQL looks up each run by its primary key.
const RUN_OF_OWNER: &str = "LATERAL (SELECT * FROM runs x WHERE x.run_uuid = d.run_uuid OFFSET 0) r";

/// A page of at most `limit` runs.
///
/// # Errors
/// The token belongs to another search.
pub(super) fn page(scoped: &Scoped<'_>, query: &Query, access: &Access, limit: i64) -> Result<Page> {
    let dialect = scoped.store.db.dialect();
    let (mut select, experiments) =
        Select::with_experiments(scoped.workspace, "runs", "r", dialect, query.experiments.clone());
    select.of_query(query.id);
    let indexes = Indexes::of(scoped);
    let joined = restrict(&mut select, dialect, query, access, &experiments, indexes);
    for (index, condition) in query.conditions.iter().enumerate() {
        let approach = match access {
            Access::Few(place) if *place == index && dialect == Dialect::Sqlite => Approach::Drive,
            Access::Few(place) | Access::Listed(place, _) | Access::Named(place) | Access::Whole(place)
                if *place == index =>
            {
                continue;
            }
            Access::Plain if driving_condition(&query.conditions) == Some(index) => Approach::Drive,
            Access::Plain => Approach::LookUp.after(index),
            _ => Approach::FencedLookUp,
        };
        let condition = if let Access::Ordered = access {
            condition_of_order(&mut select, condition)
        } else {
            condition_sql(&mut select, dialect, condition, approach, indexes.pairs)
        };
        select.filter(condition);
    }
    if let Access::Listed(..) = access {
        select.order_by(First::KEY, true, KeyKind::Int);
        select.order_by("r.run_uuid", false, KeyKind::Text);
    } else {
        for (index, clause) in query.order.iter().enumerate() {
            order_by(&mut select, dialect, index, &clause.column, !clause.ascending, joined);
        }
    }
    select.page(COLUMNS, limit, query.token.clone())
}

/// The indexes of values that there are.
#[derive(Debug, Clone, Copy)]
struct Indexes {
    /// Those of params and tags.
    pairs: bool,
    /// That of metrics.
    metrics: bool,
}

impl Indexes {
    fn of(scoped: &Scoped<'_>) -> Self {
        let is_there = |index| scoped.store.own_indexes.is_there(index);
        Self {
            pairs: is_there(OwnIndex::ParamValue) && is_there(OwnIndex::RunTagValue),
            metrics: is_there(OwnIndex::MetricValue),
        }
    }

    /// The ids of the runs that meet a condition, as its index has them.
    fn owners(self, select: &mut Select, dialect: Dialect, condition: &Condition) -> String {
        let owners = condition_sql(select, dialect, condition, Approach::Owners, self.pairs);
        // The order of its index tells it from the primary key.
        let is_metric = self.metrics && matches!(condition, Condition::Metric { .. });
        format!("{owners}{}", if is_metric { " ORDER BY value" } else { "" })
    }
}

/// Restricts a search to the rows that it reads, and returns how the values of its order are read.
fn restrict(
    select: &mut Select,
    dialect: Dialect,
    query: &Query,
    access: &Access,
    experiments: &Experiments,
    indexes: Indexes,
) -> Joined {
    let stages = query.stages();
    let in_stages = |alias: &str| format!("{alias}.lifecycle_stage IN {}", crate::stages(query.view));
    match access {
        Access::Plain => {
            // The runs of a driving condition are looked up by their ids: a sign hides the experiment from indexes.
            let is_hidden = driving_condition(&query.conditions).is_some() || query.by_id();
            select.filter(format!("{}{}", if is_hidden { "+" } else { "" }, experiments.contain("r")));
            select.filter(in_stages("r"));
            if query.by_id() {
                select.plan(Plan::NoTableScan);
            } else if query.is_direct() {
                select.plan(Plan::IndexOrder);
            }
            return Joined::Free;
        }
        Access::Few(place) => {
            select.filter(format!("+{}", experiments.contain("r")));
            select.filter(in_stages("r"));
            if dialect == Dialect::Postgres {
                let owners = indexes.owners(select, dialect, &query.conditions[*place]);
                select.read_from(format!("({owners} OFFSET 0) d CROSS JOIN {RUN_OF_OWNER}"));
                select.plan(Plan::IndexScan);
            }
        }
        Access::Small => {
            select.filter(experiments.contain("r"));
            select.filter(in_stages("r"));
            select.plan(Plan::NoTableScan);
        }
        Access::Listed(place, first) => {
            first.restrict(select, experiments, stages);
            let owners = indexes.owners(select, dialect, &query.conditions[*place]);
            select.filter(First::is_among(&owners));
        }
        Access::Time(part) => part.restrict(select, dialect, experiments, stages, is_newest_first(&query.order)),
        Access::Value(part) => return part.restrict(select, dialect, experiments, stages),
        Access::Ordered => {
            select.filter(experiments.contain("r"));
            select.filter(in_stages("r"));
            select.plan(Plan::HashJoin);
            return Joined::Free;
        }
        Access::Named(place) => {
            select.filter(format!("+{}", experiments.contain("r")));
            select.filter(in_stages("r"));
            let owners = with_name(select, dialect, &query.conditions[*place]);
            select.read_from(format!("({owners} OFFSET 0) d CROSS JOIN {RUN_OF_OWNER}"));
            select.plan(Plan::NoTableScan);
        }
        Access::Whole(place) => {
            let owners = condition_sql(select, dialect, &query.conditions[*place], Approach::Owners, indexes.pairs);
            // Behind a fence, so that other conditions are looked up for the runs of this one only.
            select.read_from(format!(
                "(SELECT x.* FROM ({owners} OFFSET 0) d JOIN runs x ON x.run_uuid = d.run_uuid WHERE {} AND {} OFFSET 0) r",
                experiments.contain("x"),
                in_stages("x")
            ));
            select.plan(Plan::HashJoin);
            return Joined::Free;
        }
    }
    Joined::ByRun
}

/// The ids of the runs whose name matches a pattern, as [`OwnIndex::RunNameTrigrams`] has them: no other index serves its
/// condition.
fn with_name(select: &mut Select, dialect: Dialect, condition: &Condition) -> String {
    let Condition::Text { column: TextAttribute::RunName, test: test @ (TextTest::Like(_) | TextTest::ILike(_)) } =
        condition
    else {
        return condition_sql(select, dialect, condition, Approach::Owners, false);
    };
    let test = compare::text(select, dialect, "value", test);
    format!("SELECT run_uuid FROM tags WHERE {RUN_NAMES} AND {test}")
}
