//! Label schemas.

use super::{
    Check::{Integer, Required, Text, Within},
    Rule, Validate,
};
use crate::{
    limits,
    messages::label_schemas::{
        CreateLabelSchema, DeleteLabelSchema, GetLabelSchema, GetLabelSchemaByName, ListLabelSchemas, UpdateLabelSchema,
    },
};

impl Validate for CreateLabelSchema {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validate for GetLabelSchema {
    const RULES: &'static [Rule] = &[("schema_id", &[Required, Text])];
}

impl Validate for GetLabelSchemaByName {
    const RULES: &'static [Rule] = &[("experiment_id", &[Required, Text]), ("name", &[Required, Text])];
}

impl Validate for ListLabelSchemas {
    const RULES: &'static [Rule] =
        &[("experiment_id", &[Required, Text]), ("max_results", &[Integer, Within(1, limits::SEARCH_RESULTS)])];
}

impl Validate for UpdateLabelSchema {
    const RULES: &'static [Rule] = &[("schema_id", &[Required, Text])];
}

impl Validate for DeleteLabelSchema {
    const RULES: &'static [Rule] = &[("schema_id", &[Required, Text])];
}
