//! Scorers.

use super::{
    Check::{Integer, List, Required, Text, Texts},
    Rule, Validated,
};
use crate::messages::service::{DeleteScorer, GetScorer, ListScorerVersions, ListScorers, RegisterScorer};

impl Validated for RegisterScorer {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("name", &[Required, Text]), ("serialized_scorer", &[Required, Text])];
}

impl Validated for ListScorers {
    const RULES: &'static [Rule] = &[("experiment_id", &[Text]), ("experiment_ids", &[List, Texts])];
}

impl Validated for ListScorerVersions {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validated for GetScorer {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("name", &[Required, Text]), ("version", &[Integer])];
}

impl Validated for DeleteScorer {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("name", &[Required, Text]), ("version", &[Integer])];
}
