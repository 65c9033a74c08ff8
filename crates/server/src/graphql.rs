//! GraphQL, as far as the UI and the SDK use it: a small executor on top of the handlers of the REST API.

mod execute;
mod safety;
mod schema;

use std::collections::HashMap;

use axum::{extract::Request, response::Response};
use ferroflow_model::{
    Error, ErrorCode, Result,
    limits::{RequestSize, memory},
    messages::service::GetMetricHistoryBulkInterval,
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
    api::{
        registry::model_versions,
        storage::artifacts,
        tracking::{experiments, inputs, metrics, runs},
    },
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

/// `POST /graphql`
pub(crate) async fn post(cx: Cx, request: Request) -> Result<Response> {
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
        let value = match resolve(&cx, &operation, &root).await {
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

/// The REST response behind a root field; null if the caller lacks the permission.
async fn resolve(cx: &Cx, operation: &Operation<'_>, root: &RootField<'_>) -> Result<Value> {
    match root.name {
        "mlflowGetExperiment" => call(cx, root, Needs::Read(Resource::Experiment), experiments::get).await,
        "mlflowGetMetricHistoryBulkInterval" => {
            call::<GetMetricHistoryBulkInterval, _, _>(cx, root, Needs::Read(Resource::Run), metrics::bulk_interval)
                .await
        }
        "mlflowGetRun" => {
            let mut answer = call(cx, root, Needs::Read(Resource::Run), runs::get).await?;
            let run: Vec<&mut Value> = answer.get_mut("run").into_iter().collect();
            add_related(cx, operation, root, "run", run).await?;
            Ok(answer)
        }
        "mlflowSearchRuns" => {
            let mut answer = list(cx, root, Resource::Run, runs::search).await?;
            let runs = answer.get_mut("runs").and_then(Value::as_array_mut);
            add_related(cx, operation, root, "runs", runs.into_iter().flatten().collect()).await?;
            Ok(answer)
        }
        "mlflowListArtifacts" => call(cx, root, Needs::Read(Resource::Run), artifacts::list).await,
        "mlflowSearchDatasets" => call(cx, root, Needs::Read(Resource::Experiment), inputs::search_datasets).await,
        "mlflowSearchModelVersions" => match list(cx, root, Resource::ModelVersion, model_versions::search).await {
            Err(error) if error.code == ErrorCode::PermissionDenied => Ok(Value::Null),
            other => other,
        },
        "test" | "testMutation" => Ok(json!({ "output": root.arguments.get("inputString") })),
        other => Err(Error::internal(format!("The field '{other}' has no resolver."))),
    }
}

/// The response of a call that lists resources of a kind.
async fn list<T, F, Fut>(cx: &Cx, root: &RootField<'_>, listed: Resource, handler: F) -> Result<Value>
where
    T: Rpc + DeserializeOwned,
    F: FnOnce(Cx, Scope, T) -> Fut,
    Fut: Future<Output = Result<T::Response>>,
{
    to_json(&handler(cx.clone(), cx.scope(listed).await?, input::<T>(root)?).await?)
}

/// The response of a call, or null if the caller lacks the permission.
async fn call<T, F, Fut>(cx: &Cx, root: &RootField<'_>, needs: Needs, handler: F) -> Result<Value>
where
    T: Rpc + DeserializeOwned,
    F: FnOnce(Cx, T) -> Fut,
    Fut: Future<Output = Result<T::Response>>,
{
    let message = input::<T>(root)?;
    if !access::check(cx, needs, || Refs::from_message(cx, &message)).await? {
        return Ok(Value::Null);
    }
    to_json(&handler(cx.clone(), message).await?)
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

/// The message in the argument `input`.
fn input<T: DeserializeOwned>(root: &RootField<'_>) -> Result<T> {
    let Some(Value::Object(fields)) = root.arguments.get("input") else {
        return Err(Error::invalid(format!("The field '{}' needs an argument 'input'.", root.name)));
    };
    let message: Map<String, Value> =
        fields.iter().map(|(name, value)| (execute::snake_case(name), value.clone())).collect();
    serde_json::from_value(Value::Object(message))
        .map_err(|error| Error::invalid(format!("The input of '{}' is not valid: {error}", root.name)))
}
