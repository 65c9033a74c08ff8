//! Online scoring: which traces a scorer is to look at as they arrive. The reference has no proto messages for these
//! calls; the ones here are written by hand.

use crate::{
    Error, Result, number,
    rules::{
        Check::{List, Required, Text, Texts},
        Rule, Validate,
    },
    wire::{Message, Rpc},
};

/// Sets the configuration of a scorer.
#[derive(Debug, Clone, Default, PartialEq, Message, Rpc)]
#[route(PUT, 3, "/mlflow/scorers/online-config")]
pub struct SetOnlineScoring {
    /// The experiment of the scorer.
    pub experiment_id: Option<String>,
    /// The name of the scorer.
    pub name: Option<String>,
    /// The fraction of traces, from 0 to 1.
    pub sample_rate: Option<f64>,
    /// A filter that traces must match.
    pub filter_string: Option<String>,
}

/// The configuration that was set.
#[derive(Debug, Clone, Default, PartialEq, Message)]
pub struct SetOnlineScoringResponse {
    /// It.
    pub config: Option<OnlineScoring>,
}

/// Returns the configurations of scorers.
#[derive(Debug, Clone, Default, PartialEq, Message, Rpc)]
#[route(GET, 3, "/mlflow/scorers/online-configs")]
pub struct GetOnlineScoring {
    /// The ids of the scorers.
    #[field(refers_to = Scorer)]
    pub scorer_ids: Vec<String>,
}

/// Those of the scorers that have one.
#[derive(Debug, Clone, Default, PartialEq, Message)]
pub struct GetOnlineScoringResponse {
    /// The configurations.
    pub configs: Vec<OnlineScoring>,
}

/// A configuration.
#[derive(Debug, Clone, Default, PartialEq, Message)]
pub struct OnlineScoring {
    /// Its id.
    pub online_scoring_config_id: Option<String>,
    /// The id of the scorer.
    #[field(refers_to = Scorer)]
    pub scorer_id: Option<String>,
    /// The fraction of traces, from 0 to 1.
    pub sample_rate: Option<f64>,
    /// The experiment of the traces.
    pub experiment_id: Option<String>,
    /// A filter that traces must match.
    pub filter_string: Option<String>,
}

impl Validate for SetOnlineScoring {
    const RULES: &'static [Rule] = &[
        ("experiment_id", &[Required, Text]),
        ("name", &[Required, Text]),
        ("sample_rate", &[Required]),
        ("filter_string", &[Text]),
    ];
}

impl Validate for GetOnlineScoring {
    const RULES: &'static [Rule] = &[("scorer_ids", &[Required, List, Texts])];
}

/// Checks a fraction of traces.
///
/// # Errors
/// It is not between 0 and 1.
pub fn check_sample_rate(rate: f64) -> Result<()> {
    if (0.0..=1.0).contains(&rate) {
        return Ok(());
    }
    Err(Error::invalid(format!("sample_rate must be between 0.0 and 1.0, got {}", number::float_repr(rate))))
}
