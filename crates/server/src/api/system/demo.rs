//! Sample data, which the home page of the UI offers.

use axum::{extract::Request, response::Response};
use ferroflow_model::{
    Error, Result,
    python_json::{Json, Text},
};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    api::traces::traces,
    app::Cx,
    params::is_json,
    rpc::{self, Document},
};

/// A request for sample data.
#[derive(Debug)]
pub(crate) struct Generate {
    /// The names of the features; `None` for all.
    features: Option<Vec<String>>,
}

impl Document for Generate {
    fn parse(headers: &HeaderMap, body: &[u8], values: usize) -> Result<Self> {
        let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        // As in the reference, a body that is no JSON is ignored: the UI sends none.
        let body = std::str::from_utf8(body).ok().filter(|_| is_json(content_type));
        let features = match body.and_then(|body| Json::parse(body, values).ok()) {
            Some(request) if request.is_truthy() => {
                request.object().ok_or_else(|| Error::invalid("The body of the request is not a JSON object."))?;
                request.get("features").cloned().unwrap_or(Json::Null)
            }
            _ => Json::Null,
        };
        let invalid = || Error::invalid("Invalid value for parameter 'features' supplied: it is not a list of texts.");
        let features = match features {
            Json::Null => None,
            Json::Array(items) => {
                let names = items.iter().map(|item| item.text().and_then(Text::decode));
                Some(names.collect::<Option<Vec<_>>>().ok_or_else(invalid)?)
            }
            _ => return Err(invalid()),
        };
        Ok(Self { features })
    }

    fn experiment_id(&self) -> Option<&str> {
        None
    }
}

pub(crate) async fn generate(cx: Cx, request: Generate) -> Result<Value> {
    cx.follow_artifact_root().await?;
    let generated = cx.store().generate_demo(request.features.as_deref()).await?;
    // The experiment may be new.
    cx.invalidate_owners().await;
    let id = generated.experiment_id;
    let page = id.as_ref().map_or_else(|| "/experiments".to_owned(), |id| format!("/experiments/{id}"));
    let features: Vec<&str> = generated.features.iter().map(|feature| feature.name()).collect();
    Ok(json!({
        "status": if generated.existed { "exists" } else { "created" },
        "experiment_id": id,
        "features_generated": features,
        "navigation_url": page,
    }))
}

pub(crate) async fn delete(cx: Cx, _: Request) -> Result<Response> {
    let deleted = cx.store().delete_demo().await?;
    for (id, location) in deleted.archived {
        traces::delete_archived(&cx, &id, location.as_deref()).await?;
    }
    let features: Vec<&str> = deleted.features.iter().map(|feature| feature.name()).collect();
    rpc::json(&json!({ "status": "deleted", "features_deleted": features }))
}
