//! GraphQL, as far as the UI and the SDK use it: a small executor on top of the handlers of the REST API.

mod execute;
mod safety;
mod schema;

#[cfg(test)]
use std::collections::BTreeSet;
use std::{collections::HashMap, pin::Pin, sync::Arc};

use axum::{extract::Request, response::Response};
use ferroflow_model::{
    Error, ErrorCode, Result,
    limits::{RequestSize, memory},
    request::check_values,
    wire::Rpc,
};
use ferroflow_store::{ModelVersionSearch, Scope};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use self::execute::{Operation, RootField};
pub use self::safety::Limits;
use crate::{
    access::{self, Needs, Refs, Resource},
    app::Cx,
    rpc,
};

/// Maximum number of model versions in a response, for all its runs together.
const MAX_MODEL_VERSIONS: i64 = 10_000;

#[derive(Deserialize)]
struct Query {
    query: Option<String>,
    variables: Option<Map<String, Value>>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
}

/// The calls that fields of the schema correspond to. The router's table adds them with the handler and the permission
/// of their rows.
#[derive(Default)]
pub(crate) struct Calls(HashMap<&'static str, Resolver>);

/// Makes the value of a field from its argument `input`; null if the caller lacks the permission.
type Resolver = Box<dyn Fn(Cx, Map<String, Value>) -> Resolved + Send + Sync>;

type Resolved = Pin<Box<dyn Future<Output = Result<Value>> + Send>>;

impl Calls {
    /// Adds the field of a call with a permission.
    pub(crate) fn add<T, F, Fut>(&mut self, field: &'static str, handler: F, needs: Needs)
    where
        T: Rpc + DeserializeOwned,
        F: Fn(Cx, T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        let resolver: Resolver = Box::new(move |cx, input| {
            let handler = handler.clone();
            Box::pin(async move {
                let message = message::<T>(field, input)?;
                if !access::check(&cx, needs, || Refs::from_message(&cx.path, &message)).await? {
                    return Ok(Value::Null);
                }
                to_json(&handler(cx, message).await?)
            })
        });
        self.0.insert(field, resolver);
    }

    /// Adds the field of a call that lists resources of a kind.
    pub(crate) fn add_list<T, F, Fut>(&mut self, field: &'static str, handler: F, listed: Resource)
    where
        T: Rpc + DeserializeOwned,
        F: Fn(Cx, Scope, T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<T::Response>> + Send + 'static,
    {
        let resolver: Resolver = Box::new(move |cx, input| {
            let handler = handler.clone();
            Box::pin(async move {
                let scope = cx.scope(listed).await?;
                to_json(&handler(cx, scope, message::<T>(field, input)?).await?)
            })
        });
        self.0.insert(field, resolver);
    }

    /// The value of a root field.
    async fn resolve(&self, cx: &Cx, root: &RootField<'_>) -> Result<Value> {
        let Some(resolver) = self.0.get(root.name) else {
            return Err(Error::internal(format!("The field '{}' has no resolver.", root.name)));
        };
        let Some(Value::Object(input)) = root.arguments.get("input") else {
            return Err(Error::invalid(format!("The field '{}' needs an argument 'input'.", root.name)));
        };
        resolver(cx.clone(), input.clone()).await
    }
}

/// `POST /graphql`
pub(crate) async fn post(cx: Cx, calls: Arc<Calls>, request: Request) -> Result<Response> {
    let content_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    ferroflow_model::request::check_content_type(content_type)?;
    let (parts, body) = request.into_parts();
    let RequestSize { bytes, values } = RequestSize::SMALL;
    let body = cx.app.bodies.read(&parts.headers, body, bytes).await?;
    check_values(&body.bytes, values)?;
    // `_permit` holds the memory until the response is ready.
    let _permit = cx.app.bodies.acquire(&body, body.bytes.len() * memory::PER_GRAPHQL_BYTE).await?;
    let length = body.bytes.len();
    let query: Query = serde_json::from_slice(&body.bytes)
        .map_err(|_| Error::bad_request("The body of a GraphQL request is a JSON object with a 'query'."))?;
    drop(body);
    let text = query.query.ok_or_else(|| Error::bad_request("The request has no 'query'."))?;
    if let Err(error) = safety::check_text(&text, length) {
        return answer(Value::Null, vec![error]);
    }
    let document = graphql_parser::parse_query::<String>(&text)
        .map(graphql_parser::query::Document::into_static)
        .map_err(|error| Error::bad_request(format!("Syntax Error: {error}")))?;
    if let Err(error) = safety::check(&document, cx.app.config.graphql) {
        return answer(Value::Null, vec![error]);
    }
    let operation =
        match Operation::prepare(&document, query.operation_name.as_deref(), query.variables.unwrap_or_default()) {
            Ok(operation) => operation,
            Err(errors) => return answer(Value::Null, errors),
        };
    let mut data = Map::new();
    let mut errors = Vec::new();
    for root in operation.root_fields(&mut data) {
        let value = match resolve(&cx, &calls, &operation, &root).await {
            // Without permission the field is null, not an empty object.
            Ok(Value::Null) => Value::Null,
            Ok(value) => operation.project(&root, &value),
            Err(error) => {
                errors.push(error.message);
                Value::Null
            }
        };
        data.insert(root.key, value);
    }
    answer(Value::Object(data), errors)
}

fn answer(data: Value, errors: Vec<String>) -> Result<Response> {
    let errors = if errors.is_empty() { Value::Null } else { json!(errors) };
    rpc::json(&json!({ "data": data, "errors": errors }))
}

/// The value of a root field; null if the caller lacks the permission.
async fn resolve(cx: &Cx, calls: &Calls, operation: &Operation<'_>, root: &RootField<'_>) -> Result<Value> {
    match root.name {
        "mlflowGetRun" => {
            let mut answer = calls.resolve(cx, root).await?;
            let run: Vec<&mut Value> = answer.get_mut("run").into_iter().collect();
            add_related(cx, operation, root, "run", run).await?;
            Ok(answer)
        }
        "mlflowSearchRuns" => {
            let mut answer = calls.resolve(cx, root).await?;
            let runs = answer.get_mut("runs").and_then(Value::as_array_mut);
            add_related(cx, operation, root, "runs", runs.into_iter().flatten().collect()).await?;
            Ok(answer)
        }
        "mlflowSearchModelVersions" => match calls.resolve(cx, root).await {
            Err(error) if error.code == ErrorCode::PermissionDenied => Ok(Value::Null),
            other => other,
        },
        "test" | "testMutation" => Ok(json!({ "output": root.arguments.get("inputString") })),
        _ => calls.resolve(cx, root).await,
    }
}

/// Adds related objects to runs, if the query selects them.
async fn add_related(
    cx: &Cx,
    operation: &Operation<'_>,
    root: &RootField<'_>,
    field: &str,
    mut runs: Vec<&mut Value>,
) -> Result<()> {
    if operation.wants(root, &[field, "experiment"]) {
        add_experiments(cx, runs.iter_mut().map(|run| &mut **run).collect()).await?;
    }
    if operation.wants(root, &[field, "modelVersions"]) {
        add_model_versions(cx, runs).await?;
    }
    Ok(())
}

/// Adds its experiment to each run; each experiment is fetched once.
async fn add_experiments(cx: &Cx, runs: Vec<&mut Value>) -> Result<()> {
    let mut known: HashMap<String, Value> = HashMap::new();
    for run in runs {
        let id = run.pointer("/info/experiment_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let experiment = match known.get(&id) {
            Some(experiment) => experiment.clone(),
            None => to_json(&cx.store().get_experiment(&id).await?)?,
        };
        run["experiment"] = experiment.clone();
        known.insert(id, experiment);
    }
    Ok(())
}

/// Adds the model versions that a run has produced to it, with one search for all runs.
async fn add_model_versions(cx: &Cx, runs: Vec<&mut Value>) -> Result<()> {
    let id_of = |run: &Value| run.pointer("/info/run_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let run_ids: Vec<String> = runs.iter().map(|run| id_of(run)).collect();
    if run_ids.is_empty() {
        return Ok(());
    }
    let scope = cx.scope(Resource::ModelVersion).await?;
    let search =
        ModelVersionSearch { run_ids: Some(run_ids), max_results: MAX_MODEL_VERSIONS, ..ModelVersionSearch::default() };
    let (versions, _) = cx.store().search_model_versions(&scope, search).await?;
    let mut by_run: HashMap<String, Vec<Value>> = HashMap::new();
    for version in versions {
        let run_id = version.run_id().to_owned();
        let mut shown = [version];
        cx.redact_versions(&mut shown);
        by_run.entry(run_id).or_default().push(to_json(&shown[0])?);
    }
    for run in runs {
        let found = by_run.remove(&id_of(run)).unwrap_or_default();
        run["model_versions"] = Value::Array(found);
    }
    Ok(())
}

fn to_json<T: Serialize>(answer: &T) -> Result<Value> {
    serde_json::to_value(answer).map_err(|error| Error::internal(format!("The response cannot be serialized: {error}")))
}

/// The message of a field's argument `input`.
fn message<T: DeserializeOwned>(field: &str, input: Map<String, Value>) -> Result<T> {
    let fields = input.into_iter().map(|(name, value)| (execute::snake_case(&name), value)).collect();
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Error::invalid(format!("The input of '{field}' is not valid: {error}")))
}

#[cfg(test)]
impl Calls {
    /// The root fields of the schema that have no call, and the calls that have no field.
    pub(crate) fn mismatches(&self) -> Vec<&'static str> {
        let fields: BTreeSet<&str> = [&schema::QUERY, &schema::MUTATION]
            .into_iter()
            .flat_map(|root| root.fields.iter().map(|(name, _)| *name))
            .filter(|name| !["test", "testMutation"].contains(name))
            .collect();
        let calls: BTreeSet<&str> = self.0.keys().copied().collect();
        fields.symmetric_difference(&calls).copied().collect()
    }
}
