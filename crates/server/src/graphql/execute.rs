//! Executes a checked query: selects the fields of the result from responses of the REST API.

use std::collections::HashMap;

use ferroflow_model::limits;
use graphql_parser::query::{
    Definition, Directive, Document, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet, Value,
};
use serde_json::{Map, Value as Json, json};

use super::{
    safety,
    schema::{self, Object, Type},
};

type Set = SelectionSet<'static, String>;

/// An operation of a document, with its fragments and variables.
pub(super) struct Operation<'d> {
    set: &'d Set,
    root: &'static Object,
    fragments: HashMap<&'d str, &'d FragmentDefinition<'static, String>>,
    variables: Map<String, Json>,
}

/// A root field to resolve: its response key, type and arguments.
pub(super) struct RootField<'d> {
    /// The response key.
    pub(super) key: String,
    /// The field's name, such as `mlflowGetRun`.
    pub(super) name: &'d str,
    /// Its arguments, with variables substituted.
    pub(super) arguments: Map<String, Json>,
    field: &'d Field<'static, String>,
    ty: Type,
}

impl<'d> Operation<'d> {
    /// Finds the operation to run and checks that all its fields exist.
    ///
    /// # Errors
    /// Messages for the client.
    pub(super) fn prepare(
        document: &'d Document<'static, String>,
        name: Option<&str>,
        variables: Map<String, Json>,
    ) -> Result<Self, Vec<String>> {
        let mut fragments = HashMap::new();
        let mut operations = Vec::new();
        for definition in &document.definitions {
            match definition {
                Definition::Fragment(fragment) => {
                    fragments.insert(fragment.name.as_str(), fragment);
                }
                Definition::Operation(operation) => operations.push(operation),
            }
        }
        let operation = match name {
            Some(name) => operations
                .into_iter()
                .find(|operation| operation_name(operation) == Some(name))
                .ok_or_else(|| vec![format!("Unknown operation named '{name}'.")])?,
            None if operations.len() > 1 => {
                return Err(vec!["Must provide operation name if query contains multiple operations.".into()]);
            }
            None => operations.first().ok_or_else(|| vec!["Must provide an operation.".to_owned()])?,
        };
        let (root, defaults) = match operation {
            OperationDefinition::Mutation(mutation) => (&schema::MUTATION, mutation.variable_definitions.as_slice()),
            OperationDefinition::Query(query) => (&schema::QUERY, query.variable_definitions.as_slice()),
            OperationDefinition::SelectionSet(_) => (&schema::QUERY, [].as_slice()),
            OperationDefinition::Subscription(_) => {
                return Err(vec!["Schema is not configured to execute subscription operation.".into()]);
            }
        };
        let mut variables = variables;
        for definition in defaults {
            if !variables.contains_key(&definition.name)
                && let Some(default) = &definition.default_value
            {
                variables.insert(definition.name.clone(), json_of(default, &Map::new()));
            }
        }
        let operation = Self { set: safety::root(operation), root, fragments, variables };
        let mut errors = Vec::new();
        operation.validate(operation.set, operation.root, &mut Vec::new(), &mut errors);
        if errors.is_empty() { Ok(operation) } else { Err(errors) }
    }

    fn validate(&self, set: &'d Set, object: &'static Object, path: &mut Vec<&'d str>, errors: &mut Vec<String>) {
        for selection in &set.items {
            // Errors of a fragment repeat with every spread.
            if errors.len() >= limits::GRAPHQL_ERRORS {
                return;
            }
            match selection {
                Selection::Field(field) if field.name == "__typename" => {}
                Selection::Field(field) => {
                    let Some(ty) = object.field(&field.name) else {
                        errors.push(format!("Cannot query field '{}' on type '{}'.", field.name, object.name));
                        continue;
                    };
                    let selected = !field.selection_set.items.is_empty();
                    match ty.object() {
                        Some(inner) if selected => self.validate(&field.selection_set, inner, path, errors),
                        Some(_) => errors.push(format!(
                            "Field '{0}' of type '{1}' must have a selection of subfields. Did you mean '{0} {{ ... }}'?",
                            field.name,
                            ty.name()
                        )),
                        None if selected => errors.push(format!(
                            "Field '{}' must not have a selection since type '{}' has no subfields.",
                            field.name,
                            ty.name()
                        )),
                        None => {}
                    }
                }
                Selection::InlineFragment(inline) => self.validate(&inline.selection_set, object, path, errors),
                Selection::FragmentSpread(spread) => match self.fragments.get(spread.fragment_name.as_str()) {
                    None => errors.push(format!("Unknown fragment '{}'.", spread.fragment_name)),
                    Some(_) if path.contains(&spread.fragment_name.as_str()) => {
                        errors.push(format!("Cannot spread fragment '{}' within itself.", spread.fragment_name));
                    }
                    Some(fragment) => {
                        path.push(&spread.fragment_name);
                        self.validate(&fragment.selection_set, object, path, errors);
                        path.pop();
                    }
                },
            }
        }
    }

    /// The root fields in the order of the query. `__typename` is resolved at once, into `out`.
    pub(super) fn root_fields(&self, out: &mut Map<String, Json>) -> Vec<RootField<'d>> {
        let mut roots: Vec<RootField<'d>> = Vec::new();
        for (key, field) in self.fields(self.set) {
            if field.name == "__typename" {
                out.insert(key, self.root.name.into());
            } else if let Some(ty) = self.root.field(&field.name)
                && roots.iter().all(|root| root.key != key)
            {
                let arguments =
                    field.arguments.iter().map(|(name, value)| (name.clone(), json_of(value, &self.variables)));
                roots.push(RootField { key, name: &field.name, arguments: arguments.collect(), field, ty });
            }
        }
        roots
    }

    /// Whether a nested field is selected, so that only what is needed is fetched.
    pub(super) fn wants(&self, root: &RootField<'d>, path: &[&str]) -> bool {
        self.wants_in(&root.field.selection_set, path)
    }

    fn wants_in(&self, set: &'d Set, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return true };
        self.fields(set)
            .into_iter()
            .any(|(_, field)| field.name.as_str() == *first && self.wants_in(&field.selection_set, rest))
    }

    /// The part of a REST response that a root field selects.
    pub(super) fn project(&self, root: &RootField<'d>, answer: &Json) -> Json {
        self.value(root.ty, Some(answer), &root.field.selection_set)
    }

    fn value(&self, ty: Type, value: Option<&Json>, set: &'d Set) -> Json {
        let value = value.filter(|value| !value.is_null());
        match ty {
            Type::String => value.cloned().unwrap_or_else(|| "".into()),
            Type::Long => match value {
                Some(Json::String(text)) => text.as_str().into(),
                Some(number) => number.to_string().into(),
                None => "0".into(),
            },
            // JSON has no NaN.
            Type::Float => {
                value.map_or_else(|| json!(0.0), |value| if value.is_number() { value.clone() } else { Json::Null })
            }
            Type::Boolean => value.cloned().unwrap_or(Json::Bool(false)),
            Type::Enum(_, "") => value.cloned().unwrap_or_default(),
            Type::Enum(_, default) => value.cloned().unwrap_or_else(|| default.into()),
            Type::Strings => value.cloned().unwrap_or_else(|| json!([])),
            Type::AlwaysNull(_) => Json::Null,
            Type::Object(object) => self.object(object, value, set),
            Type::Objects(object) => match value {
                Some(Json::Array(items)) => items.iter().map(|item| self.object(object, Some(item), set)).collect(),
                _ => json!([]),
            },
        }
    }

    fn object(&self, object: &'static Object, value: Option<&Json>, set: &'d Set) -> Json {
        let mut out = Map::new();
        for (key, field) in self.fields(set) {
            let answer = if field.name == "__typename" {
                object.name.into()
            } else {
                let Some(ty) = object.field(&field.name) else { continue };
                self.value(ty, value.and_then(|value| value.get(snake_case(&field.name))), &field.selection_set)
            };
            match out.get_mut(&key) {
                // The same field, selected twice with different subfields.
                Some(existing) => merge(existing, answer),
                None => {
                    out.insert(key, answer);
                }
            }
        }
        Json::Object(out)
    }

    /// The fields of a selection set with their response keys: fragments are expanded, and `@skip` and `@include` are
    /// applied.
    fn fields(&self, set: &'d Set) -> Vec<(String, &'d Field<'static, String>)> {
        let mut fields = Vec::new();
        for selection in &set.items {
            match selection {
                Selection::Field(field) if self.included(&field.directives) => {
                    fields.push((field.alias.as_ref().unwrap_or(&field.name).clone(), field));
                }
                Selection::InlineFragment(inline) if self.included(&inline.directives) => {
                    fields.extend(self.fields(&inline.selection_set));
                }
                Selection::FragmentSpread(spread) if self.included(&spread.directives) => {
                    if let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()) {
                        fields.extend(self.fields(&fragment.selection_set));
                    }
                }
                _ => {}
            }
        }
        fields
    }

    fn included(&self, directives: &[Directive<'static, String>]) -> bool {
        directives.iter().all(|directive| {
            let condition = directive.arguments.iter().find(|(name, _)| name == "if");
            let condition = condition.map(|(_, value)| json_of(value, &self.variables) == Json::Bool(true));
            match (directive.name.as_str(), condition) {
                ("skip", Some(condition)) => !condition,
                ("include", Some(condition)) => condition,
                _ => true,
            }
        })
    }
}

fn operation_name<'o>(operation: &'o OperationDefinition<'static, String>) -> Option<&'o str> {
    match operation {
        OperationDefinition::SelectionSet(_) => None,
        OperationDefinition::Query(query) => query.name.as_deref(),
        OperationDefinition::Mutation(mutation) => mutation.name.as_deref(),
        OperationDefinition::Subscription(subscription) => subscription.name.as_deref(),
    }
}

fn merge(existing: &mut Json, answer: Json) {
    match (existing, answer) {
        (Json::Object(existing), Json::Object(answer)) => {
            for (key, value) in answer {
                match existing.get_mut(&key) {
                    Some(field) => merge(field, value),
                    None => {
                        existing.insert(key, value);
                    }
                }
            }
        }
        (Json::Array(existing), Json::Array(answer)) => {
            for (item, other) in existing.iter_mut().zip(answer) {
                merge(item, other);
            }
        }
        (existing, answer) => *existing = answer,
    }
}

/// A value of the query as JSON, with variables substituted.
fn json_of(value: &Value<'static, String>, variables: &Map<String, Json>) -> Json {
    match value {
        Value::Variable(name) => variables.get(name).cloned().unwrap_or(Json::Null),
        Value::Int(number) => number.as_i64().map_or(Json::Null, Json::from),
        Value::Float(number) => json!(number),
        Value::String(text) => text.as_str().into(),
        Value::Boolean(bool) => Json::Bool(*bool),
        Value::Null => Json::Null,
        Value::Enum(name) => name.as_str().into(),
        Value::List(items) => items.iter().map(|item| json_of(item, variables)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), json_of(field, variables))).collect::<Map<_, _>>().into()
        }
    }
}

/// `lastUpdateTime` → `last_update_time`.
pub(super) fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(char.to_ascii_lowercase());
    }
    out
}
