//! Scorers.

use super::{
    Check::{Integer, List, Required, Text, Texts},
    Rule, Validate,
};
use crate::messages::service::{DeleteScorer, GetScorer, ListScorerVersions, ListScorers, RegisterScorer};

impl Validate for RegisterScorer {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("name", &[Required, Text]), ("serialized_scorer", &[Required, Text])];
}

impl Validate for ListScorers {
    const RULES: &'static [Rule] = &[("experiment_id", &[Text]), ("experiment_ids", &[List, Texts])];
}

impl Validate for ListScorerVersions {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validate for GetScorer {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("name", &[Required, Text]), ("version", &[Integer])];
}

impl Validate for DeleteScorer {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("name", &[Required, Text]), ("version", &[Integer])];
}
