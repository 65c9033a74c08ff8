//! The families of a proto file with the calls of many resources: each has a module of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::Surface;

/// Whether the messages of a proto file are in one module per family.
pub(super) fn is_split(file: &str) -> bool {
    file == "service.proto"
}

/// The family of a call: the first segment of its path below `/mlflow/`, for calls of the gateway the second one too.
fn family(path: &str) -> String {
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).collect();
    let family = match segments.as_slice() {
        ["gateway", of, ..] => format!("gateway_{of}"),
        ["unified-traces" | "get-online-trace-details", ..] => "traces".to_owned(),
        ["traces", rest @ ..] if rest.contains(&"assessments") => "assessments".to_owned(),
        [first, ..] => (*first).to_owned(),
        [] => String::new(),
    };
    family.replace('-', "_")
}

impl Surface {
    /// The families of `items`. A message belongs to the first call that contains it, in the order of the proto file.
    pub(super) fn families<'a>(&self, mut items: BTreeSet<&'a str>) -> Result<BTreeMap<String, BTreeSet<&'a str>>> {
        let mut families: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for call in &self.calls {
            let Some(route) = call.routes.first() else { continue };
            let mut reached = BTreeSet::new();
            self.reach(&call.request, &mut reached);
            self.reach(&call.response, &mut reached);
            let own: BTreeSet<&str> = items.iter().copied().filter(|name| reached.contains(name)).collect();
            items.retain(|name| !own.contains(name));
            if !own.is_empty() {
                families.entry(family(&route.path)).or_default().extend(own);
            }
        }
        ensure!(items.is_empty(), "no call contains {items:?}");
        Ok(families)
    }

    /// Adds the messages and enums that a message contains, and itself.
    fn reach<'a>(&'a self, full_name: &'a str, reached: &mut BTreeSet<&'a str>) {
        if !reached.insert(full_name) {
            return;
        }
        let fields = self.messages.get(full_name).into_iter().flat_map(|message| &message.fields);
        for kind in fields.filter_map(|field| field.kind.as_deref()) {
            self.reach(kind, reached);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn a_path_names_the_family() {
        for (path, expected) in [
            ("/mlflow/runs/create", "runs"),
            ("mlflow/experiments/search-datasets", "experiments"),
            ("/mlflow/logged-models/{model_id}", "logged_models"),
            ("/mlflow/gateway/model-definitions/get", "gateway_model_definitions"),
            ("/mlflow/unified-traces", "traces"),
            ("/mlflow/traces/{assessment.trace_id}/assessments", "assessments"),
        ] {
            assert_eq!(family(path), expected, "{path}");
        }
    }
}
