//! Which kinds of resources a search for traces reveals something about.

use super::{AssessmentKind, Column, Condition, MODEL_METADATA, RUN_METADATA, parse_filter, parse_order_by};

/// Kinds of resources besides traces that a search selects or sorts by: its result tells their values, even where they
/// are left out of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tiers {
    /// Assessments.
    pub assessments: bool,
    /// Runs.
    pub runs: bool,
    /// Logged models.
    pub models: bool,
}

impl Tiers {
    const ALL: Self = Self { assessments: true, runs: true, models: true };

    fn or(self, other: Self) -> Self {
        Self {
            assessments: self.assessments || other.assessments,
            runs: self.runs || other.runs,
            models: self.models || other.models,
        }
    }

    fn of_metadata(key: &str) -> Self {
        Self { assessments: false, runs: key == RUN_METADATA, models: key == MODEL_METADATA }
    }

    fn of_condition(condition: &Condition) -> Self {
        match condition {
            Condition::Assessment { kind: AssessmentKind::Feedback | AssessmentKind::Expectation, .. }
            | Condition::Issue(_) => Self { assessments: true, ..Self::default() },
            Condition::Run(_) => Self { runs: true, ..Self::default() },
            Condition::Metadata { key, .. } => Self::of_metadata(key),
            _ => Self::default(),
        }
    }
}

/// The kinds that filters and an order refer to; all of them if one is not valid.
#[must_use]
pub fn tiers<S: AsRef<str>>(filters: &[&str], order_by: &[S]) -> Tiers {
    let mut tiers = Tiers::default();
    for filter in filters {
        let Ok(conditions) = parse_filter(filter) else { return Tiers::ALL };
        tiers = conditions.iter().map(Tiers::of_condition).fold(tiers, Tiers::or);
    }
    let Ok(order) = parse_order_by(order_by) else { return Tiers::ALL };
    let of_column = |column: &Column| match column {
        Column::Metadata(key) => Tiers::of_metadata(key),
        _ => Tiers::default(),
    };
    order.iter().map(|clause| of_column(&clause.column)).fold(tiers, Tiers::or)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_needs_the_kinds_that_it_names() {
        let of = |filter: &str, order: &[&str]| {
            let Tiers { assessments, runs, models } = tiers(&[filter], order);
            [assessments, runs, models]
        };
        assert_eq!(of("tags.a = 'x' AND span.name = 'y'", &["status"]), [false; 3]);
        assert_eq!(of("feedback.a = 'x'", &[]), [true, false, false]);
        assert_eq!(of("run_id = 'x'", &[]), [false, true, false]);
        assert_eq!(of("metadata.mlflow.sourceRun LIKE 'x'", &[]), [false, true, false]);
        assert_eq!(of("", &["run_id DESC"]), [false, true, false]);
        assert_eq!(of("metadata.mlflow.modelId = 'x'", &[]), [false, false, true]);
        assert_eq!(of("nonsense", &[]), [true; 3]);
        assert_eq!(of("", &["nonsense"]), [true; 3]);
    }
}
