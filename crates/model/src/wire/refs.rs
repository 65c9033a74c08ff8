//! What a message refers to.

/// The kind of a resource that a field refers to by its id or name.
///
/// The derive of a message knows the kinds of ids by the names of the fields (`names.rs` of `ferroflow-model-derive`);
/// names of models, and ids that belong to another system, are marked by the generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefKind {
    /// The id of an experiment.
    Experiment,
    /// The name of an experiment.
    ExperimentName,
    /// The id of a run.
    Run,
    /// The id of a logged model.
    LoggedModel,
    /// The name of a registered model or a prompt.
    RegisteredModel,
    /// The id of a trace.
    Trace,
    /// The id of an assessment, unique within its trace.
    Assessment,
    /// The id of an evaluation dataset.
    Dataset,
    /// The id of a scorer.
    Scorer,
    /// The id of an issue.
    Issue,
    /// The id of a label schema.
    LabelSchema,
    /// The id of a review queue.
    ReviewQueue,
    /// The id of a job.
    Job,
    /// The id of a webhook.
    Webhook,
    /// The name of a workspace.
    Workspace,
    /// The id of a secret of the gateway.
    GatewaySecret,
    /// The id of an endpoint of the gateway.
    GatewayEndpoint,
    /// The id of a model definition of the gateway.
    GatewayModelDefinition,
    /// The id of a budget policy of the gateway.
    GatewayBudgetPolicy,
    /// The id of a guardrail of the gateway.
    GatewayGuardrail,
}

impl RefKind {
    /// Calls `visit` for each text of a field, unless it is empty.
    pub fn visit<T: Reference>(self, field: &T, visit: &mut dyn FnMut(Self, &str)) {
        for text in field.texts().iter().filter(|text| !text.is_empty()) {
            visit(self, text);
        }
    }
}

/// The type of a field that may refer to a resource: one text or a list of them.
pub trait Reference {
    /// The texts.
    fn texts(&self) -> &[String];
}

impl Reference for Option<String> {
    fn texts(&self) -> &[String] {
        self.as_slice()
    }
}

impl Reference for Vec<String> {
    fn texts(&self) -> &[String] {
        self
    }
}
