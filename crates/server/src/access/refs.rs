//! What a request names: references in its message, its path and its query.

use std::{any::Any, borrow::Cow};

use ferroflow_model::{
    Error, Result,
    wire::{Ref, RefKind, Rpc},
};

use http::HeaderMap;

use crate::{api::traces::span_log, params::Params};

/// What the parameters of endpoints without a message name, in the path and the query.
const PARAMETERS: [(&str, RefKind); 10] = [
    ("experiment_id", RefKind::Experiment),
    ("run_id", RefKind::Run),
    ("run_uuid", RefKind::Run),
    ("model_id", RefKind::LoggedModel),
    ("trace_id", RefKind::Trace),
    ("request_id", RefKind::Trace),
    ("name", RefKind::RegisteredModel),
    ("version", RefKind::Version),
    ("path", RefKind::ArtifactPath),
    ("artifact_path", RefKind::ArtifactPath),
];

/// What the headers of OpenTelemetry's clients name, with the names of messages.
const HEADERS: [(&str, &str, RefKind); 2] =
    [(span_log::EXPERIMENT, "experiment_id", RefKind::Experiment), (span_log::RUN, "run_id", RefKind::Run)];

/// The references in a request, from every place that may hold one. A handler reads an id from one place; the rules
/// check all of them, so that an id in another place grants nothing.
#[derive(Debug)]
pub(crate) struct Refs<'a> {
    message: Vec<Ref<'a>>,
    /// Those of the path, then those of the query.
    url: Vec<Parameter<'a>>,
    input: Input<'a>,
}

/// A reference in the path or the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    kind: RefKind,
    pub(super) name: &'static str,
    pub(super) text: Cow<'a, str>,
}

/// What an endpoint reads.
#[derive(Debug, Clone, Copy)]
enum Input<'a> {
    Message(&'a (dyn Any + Send + Sync)),
    Params(&'a Params),
    /// The path and the query alone.
    Url,
}

impl<'a> Refs<'a> {
    /// Those of a message and the path.
    pub(crate) fn from_message<T: Rpc>(path: &'a [(String, String)], message: &'a T) -> Self {
        let mut found: Vec<Ref<'a>> = Vec::new();
        message.refs(&mut |reference| {
            // The metrics of a batch usually have the same logged model.
            if !reference.is_nested || found.last() != Some(&reference) {
                found.push(reference);
            }
        });
        let path = path.iter().map(|(name, value)| (name, Cow::from(value)));
        Self { message: found, url: parameters(path, T::PATH_REFS), input: Input::Message(message) }
    }

    /// Those of the path and the query.
    pub(crate) fn from_url(path: &'a [(String, String)], query: Option<&'a str>) -> Self {
        let query = query.unwrap_or_default();
        let path = path.iter().map(|(name, value)| (Cow::from(name), Cow::from(value)));
        let all = path.chain(form_urlencoded::parse(query.as_bytes()));
        Self { message: Vec::new(), url: parameters(all, &PARAMETERS), input: Input::Url }
    }

    /// Those of the headers of OpenTelemetry's clients.
    pub(crate) fn from_headers(headers: &'a HeaderMap) -> Self {
        let named = |(header, name, kind): &(&str, &'static str, RefKind)| {
            let text = headers.get(*header)?.to_str().ok()?.trim();
            (!text.is_empty()).then_some(Parameter { kind: *kind, name, text: Cow::from(text) })
        };
        Self { message: Vec::new(), url: HEADERS.iter().filter_map(named).collect(), input: Input::Url }
    }

    /// An experiment that a request refers to indirectly, or in a document; none if the id is empty.
    pub(crate) fn from_experiment(id: &'a str) -> Self {
        let experiment = Parameter { kind: RefKind::Experiment, name: "experiment_id", text: Cow::from(id) };
        let url = if id.is_empty() { Vec::new() } else { vec![experiment] };
        Self { message: Vec::new(), url, input: Input::Url }
    }

    /// Those of an endpoint with parameters, which its rule reads itself.
    pub(crate) fn from_params(params: &'a Params) -> Self {
        Self { message: Vec::new(), url: Vec::new(), input: Input::Params(params) }
    }

    /// Whether a message was read, rather than the URL alone.
    pub(super) fn is_message(&self) -> bool {
        matches!(self.input, Input::Message(_))
    }

    /// The message, if it is of this type.
    pub(super) fn message<T: Rpc>(&self) -> Option<&'a T> {
        match self.input {
            Input::Message(message) => message.downcast_ref(),
            _ => None,
        }
    }

    /// The parameters of an endpoint that has some.
    pub(super) fn params(&self) -> Option<&'a Params> {
        match self.input {
            Input::Params(params) => Some(params),
            _ => None,
        }
    }

    /// The references in the message.
    pub(super) fn in_message(&self) -> &[Ref<'a>] {
        &self.message
    }

    /// The references in the path and the query, in their order.
    pub(super) fn in_url(&self) -> &[Parameter<'a>] {
        &self.url
    }

    /// The first text of a kind in the message.
    pub(super) fn first_in_message(&self, kind: RefKind) -> Option<&'a str> {
        self.message.iter().find(|found| found.kind == kind).map(|found| found.text)
    }

    /// The first text of a kind in the path, or else in the query.
    pub(super) fn first_in_url(&self, kind: RefKind) -> Option<&str> {
        self.url.iter().find(|found| found.kind == kind).map(|found| &*found.text)
    }

    /// Every text of a kind, sorted, without duplicates.
    pub(super) fn all(&self, kind: RefKind) -> Vec<String> {
        self.texts(kind).into_iter().map(str::to_owned).collect()
    }

    /// The one text of a kind.
    ///
    /// # Errors
    /// There are several: the result must not depend on which one the handler uses.
    pub(super) fn one(&self, kind: RefKind) -> Result<Option<&str>> {
        let found = self.texts(kind);
        if found.len() > 1 {
            let in_message = self.message.iter().find(|found| found.kind == kind).map(|found| found.field);
            let name = in_message.or_else(|| self.url.iter().find(|found| found.kind == kind).map(|found| found.name));
            return Err(Error::invalid(format!("Parameter '{}' must be given once.", name.unwrap_or_default())));
        }
        Ok(found.first().copied())
    }

    fn texts(&self, kind: RefKind) -> Vec<&str> {
        let in_message = self.message.iter().filter(|found| found.kind == kind).map(|found| found.text);
        let in_url = self.url.iter().filter(|found| found.kind == kind).map(|found| &*found.text);
        let mut found: Vec<&str> = in_message.chain(in_url).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The parameters that are references, by their names; empty ones are left out.
fn parameters<'a>(
    all: impl Iterator<Item = (impl AsRef<str>, Cow<'a, str>)>,
    known: &[(&'static str, RefKind)],
) -> Vec<Parameter<'a>> {
    let reference = |(name, text): (_, Cow<'a, str>)| {
        let name: &str = AsRef::as_ref(&name);
        let (name, kind) = *known.iter().find(|(known, _)| *known == name)?;
        (!text.is_empty()).then_some(Parameter { kind, name, text })
    };
    all.filter_map(reference).collect()
}

#[cfg(test)]
mod tests {
    use ferroflow_model::{
        messages::service::{GetRun, LogBatch},
        request,
    };
    use serde_json::{Value, json};

    use super::*;

    fn message<T: Rpc>(json: &Value) -> T {
        request::parse_json(json.to_string()).unwrap()
    }

    fn path(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.into(), value.into())]
    }

    #[test]
    fn every_place_counts_and_one_id_has_one_value() {
        let run: GetRun = message(&json!({ "run_id": "r1", "run_uuid": "r2" }));
        let refs = Refs::from_message(&[], &run);
        assert_eq!(refs.all(RefKind::Run), ["r1", "r2"]);
        let error = refs.one(RefKind::Run).unwrap_err();
        assert_eq!(error.message, "Parameter 'run_id' must be given once.");
        let same: GetRun = message(&json!({ "run_id": "r1", "run_uuid": "r1" }));
        assert_eq!(Refs::from_message(&[], &same).one(RefKind::Run).unwrap(), Some("r1"));

        let path = path("model_id", "m-1");
        let refs = Refs::from_url(&path, Some("model_id=m-2&run_id=&name=a&name=b&other=m-3"));
        assert_eq!(refs.all(RefKind::LoggedModel), ["m-1", "m-2"]);
        assert_eq!(refs.first_in_url(RefKind::LoggedModel), Some("m-1"));
        assert!(refs.all(RefKind::Run).is_empty());
        assert_eq!(refs.one(RefKind::RegisteredModel).unwrap_err().message, "Parameter 'name' must be given once.");
    }

    #[test]
    fn the_models_of_a_batch_count_and_each_is_kept_once() {
        let metrics: Vec<Value> = (0..100)
            .map(|step| json!({ "key": "a", "value": 1, "timestamp": 0, "model_id": "m-1", "step": step }))
            .collect();
        let batch: LogBatch = message(&json!({ "run_id": "r", "metrics": metrics }));
        let refs = Refs::from_message(&[], &batch);
        assert_eq!((refs.all(RefKind::Run), refs.all(RefKind::LoggedModel)), (vec!["r".into()], vec!["m-1".into()]));
        assert_eq!(refs.in_message().len(), 2);
    }
}
