//! Label schemas.

use super::{
    Check::{Integer, Required, Text, Within},
    Rule, Validated,
};
use crate::{
    limits,
    messages::label_schemas::{
        CreateLabelSchema, DeleteLabelSchema, GetLabelSchema, GetLabelSchemaByName, ListLabelSchemas, UpdateLabelSchema,
    },
};

impl Validated for CreateLabelSchema {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validated for GetLabelSchema {
    const RULES: &'static [Rule] = &[("schema_id", &[Required, Text])];
}

impl Validated for GetLabelSchemaByName {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validated for ListLabelSchemas {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("max_results", &[Integer, Within(1, limits::SEARCH_RESULTS)])];
}

impl Validated for UpdateLabelSchema {
    const RULES: &'static [Rule] = &[("schema_id", &[Required, Text])];
}

impl Validated for DeleteLabelSchema {
    const RULES: &'static [Rule] = &[("schema_id", &[Required, Text])];
}
