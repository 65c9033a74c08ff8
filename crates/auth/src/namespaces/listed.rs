//! The namespaces that a label selector names, read with the server's own account, which may list namespaces and nothing
//! else.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use ferroflow_model::{Error, Result};
use form_urlencoded::Serializer;
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{check_name, reviews::FAILURE_TIME};
use crate::tokens::api_server::{ApiServer, message};

const PATH: &str = "/api/v1/namespaces";

/// Their metadata only.
const ACCEPT: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=1,application/json";

/// Namespaces in a response, maximum number of responses, and maximum size of one in bytes.
const PAGE: usize = 500;
const MAX_PAGES: usize = 40;
const MAX_RESPONSE: usize = 16 * 1024 * 1024;

/// The annotation with the description of a workspace.
const DESCRIPTION: &str = "mlflow.kubeflow.org/workspace-description";

/// Names and descriptions.
type Names = BTreeMap<String, Option<String>>;

pub(super) struct Listed {
    api: ApiServer,
    selector: String,
    cache: Duration,
    /// The last list, or `None` after a failure, and when it was asked for.
    last: Mutex<Option<(Instant, Option<Arc<Names>>)>>,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize, Default)]
struct ListMetadata {
    #[serde(rename = "continue", default)]
    more: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "deletionTimestamp")]
    deleted: Option<String>,
}

impl Listed {
    pub(super) fn new(api: ApiServer, selector: &str, cache: Duration) -> Self {
        Self { api, selector: selector.to_owned(), cache, last: Mutex::default() }
    }

    /// The description of a namespace, if it is a workspace.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Option<String>>> {
        Ok(self.all().await?.get(name).cloned())
    }

    /// All of them. Requests that come together share one list.
    pub(super) async fn all(&self) -> Result<Arc<Names>> {
        let mut last = self.last.lock().await;
        let time = |found: &Option<_>| if found.is_some() { self.cache } else { FAILURE_TIME };
        if let Some((_, found)) = last.as_ref().filter(|(at, found)| at.elapsed() < time(found)) {
            return found.clone().ok_or_else(unavailable);
        }
        let asked = Instant::now();
        let found = match self.list().await {
            Ok(found) => Some(Arc::new(found)),
            Err(reason) => {
                tracing::error!(reason, "the namespaces cannot be listed");
                None
            }
        };
        // A failure is remembered from its end: it may have taken longer than that.
        let at = if found.is_some() { asked } else { Instant::now() };
        *last = Some((at, found.clone()));
        found.ok_or_else(unavailable)
    }

    async fn list(&self) -> Result<Names, String> {
        let (mut found, mut more) = (Names::new(), String::new());
        for _ in 0..MAX_PAGES {
            let query = Serializer::new(String::new())
                .append_pair("labelSelector", &self.selector)
                .append_pair("limit", &PAGE.to_string())
                .extend_pairs((!more.is_empty()).then_some(("continue", more.as_str())))
                .finish();
            let list = match self.api.read(PATH, &query, ACCEPT, MAX_RESPONSE).await? {
                (StatusCode::OK, value) => {
                    List::deserialize(value).map_err(|error| format!("the response is invalid: {error}"))?
                }
                (status, value) => {
                    return Err(format!(
                        "the Kubernetes API server answered {status}: {} (the server's account needs list on namespaces)",
                        message(&value)
                    ));
                }
            };
            for Item { metadata: Metadata { name, mut annotations, deleted } } in list.items {
                if deleted.is_none() && check_name(&name).is_ok() {
                    found.insert(name, annotations.remove(DESCRIPTION));
                }
            }
            more = list.metadata.more;
            if more.is_empty() {
                return Ok(found);
            }
        }
        Err(format!("more than {} namespaces have the labels {}", PAGE * MAX_PAGES, self.selector))
    }
}

fn unavailable() -> Error {
    Error::unavailable("The Kubernetes API server cannot list the workspaces now. Try again later.")
}
