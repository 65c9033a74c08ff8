//! What a message refers to.

use super::FieldType;

/// A reference in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ref<'a> {
    /// The kind of what it names.
    pub kind: RefKind,
    /// The field that has it, by its proto name.
    pub field: &'static str,
    /// The id or name; not empty.
    pub text: &'a str,
    /// Whether the field is a list.
    pub is_listed: bool,
    /// Whether it is the field of a message within the message.
    pub is_nested: bool,
}

impl Ref<'_> {
    /// Calls `visit` for each text of a field, unless it is empty.
    pub fn visit<'a, T: Reference>(kind: RefKind, field: &'static str, value: &'a T, visit: &mut dyn FnMut(Ref<'a>)) {
        for text in value.texts().iter().filter(|text| !text.is_empty()) {
            visit(Ref { kind, field, text, is_listed: T::IS_LIST, is_nested: false });
        }
    }

    /// Calls `visit` for each reference in the messages of a field.
    pub fn visit_nested<'a, T: FieldType>(value: &'a T, visit: &mut dyn FnMut(Ref<'a>)) {
        value.refs(&mut |found| visit(Ref { is_nested: true, ..found }));
    }
}

/// The kind of a resource, or of a part of one, that a field names.
///
/// The derive of a message knows the kinds by the names of the fields (`names.rs` of `ferroflow-model-derive`); names of
/// models, and ids that belong to another system, are marked by the generator. Parts are known in calls only.
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
    /// The name that something has or gets: an experiment, a logged model, a webhook, a scorer.
    Name,
    /// The version of a registered model or a prompt.
    Version,
    /// The alias of a version.
    Alias,
    /// The stage of a version.
    Stage,
    /// The key of a tag, a parameter or a metric.
    Key,
    /// The path of an artifact.
    ArtifactPath,
}

/// The type of a field that may refer to a resource: one text or a list of them.
pub trait Reference {
    /// Whether it is a list.
    const IS_LIST: bool;

    /// The texts.
    fn texts(&self) -> &[String];
}

impl Reference for Option<String> {
    const IS_LIST: bool = false;

    fn texts(&self) -> &[String] {
        self.as_slice()
    }
}

impl Reference for Vec<String> {
    const IS_LIST: bool = true;

    fn texts(&self) -> &[String] {
        self
    }
}
