//! Webhooks: the types of events, and the request bodies.
//!
//! Facts of the reference: `mlflow/entities/webhook.py`, `mlflow/webhooks/types.py` and `delivery.py`.

use crate::{
    Error, Result,
    messages::webhooks::{WebhookAction as Action, WebhookEntity as Entity, WebhookEvent},
    prompts::{self, Tag},
    python,
    wire::{Enum as _, Timestamp},
};

/// A type of event that a webhook can subscribe to, such as `model_version.created`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType {
    entity: Entity,
    action: Action,
}

/// All events that a webhook can subscribe to.
const EVENTS: &[(Entity, &[Action])] = &[
    (Entity::RegisteredModel, &[Action::Created]),
    (Entity::ModelVersion, &[Action::Created]),
    (Entity::ModelVersionTag, &[Action::Deleted, Action::Set]),
    (Entity::ModelVersionAlias, &[Action::Created, Action::Deleted]),
    (Entity::Prompt, &[Action::Created]),
    (Entity::PromptVersion, &[Action::Created]),
    (Entity::PromptTag, &[Action::Deleted, Action::Set]),
    (Entity::PromptVersionTag, &[Action::Deleted, Action::Set]),
    (Entity::PromptAlias, &[Action::Created, Action::Deleted]),
    (Entity::BudgetPolicy, &[Action::Exceeded]),
];

impl EventType {
    /// Parses an event type of a request.
    ///
    /// # Errors
    /// The entity or action is missing, or the entity has no such action.
    pub fn from_message(event: &WebhookEvent) -> Result<Self> {
        let missing =
            |what| Error::invalid(format!("A webhook event needs an entity and an action: no {what} is given."));
        let entity = event.entity.filter(|entity| *entity != Entity::EntityUnspecified);
        let entity = entity.ok_or_else(|| missing("entity"))?;
        let action = event.action.filter(|action| *action != Action::ActionUnspecified);
        let action = action.ok_or_else(|| missing("action"))?;
        let (_, valid) = EVENTS.iter().find(|(found, _)| *found == entity).unwrap_or(&EVENTS[0]);
        if !valid.contains(&action) {
            let names: Vec<String> = valid.iter().map(|action| lower(action.name())).collect();
            return Err(Error::invalid(format!(
                "Invalid action '{}' for entity '{}'. Valid actions are: {}",
                lower(action.name()),
                lower(entity.name()),
                python::repr_list(&names)
            )));
        }
        Ok(Self { entity, action })
    }

    /// Parses a stored event type. `None` if another release stored one that this one does not know.
    #[must_use]
    pub fn from_stored(entity: &str, action: &str) -> Option<Self> {
        let entity = Entity::from_name(&entity.to_ascii_uppercase())?;
        let action = Action::from_name(&action.to_ascii_uppercase())?;
        Self::from_message(&WebhookEvent { entity: Some(entity), action: Some(action) }).ok()
    }

    /// The event type as a message, for responses.
    #[must_use]
    pub fn to_message(self) -> WebhookEvent {
        WebhookEvent { entity: Some(self.entity), action: Some(self.action) }
    }

    /// The entity as it is stored and sent, such as `model_version`.
    #[must_use]
    pub fn entity(self) -> String {
        lower(self.entity.name())
    }

    /// The action as it is stored and sent, such as `created`.
    #[must_use]
    pub fn action(self) -> String {
        lower(self.action.name())
    }

    /// The example event that testing a webhook sends.
    #[must_use]
    pub fn example(self) -> Event {
        use Registry::{Model, Prompt};
        let (key, value, version, alias) = ("example_key", "example_value", "1", "example_alias");
        let tags = &[(key, value)];
        let (model, prompt) = ("example_model", "example_prompt");
        match (self.entity, self.action) {
            (Entity::ModelVersion, _) => {
                let (source, run, text) = ("models:/123", Some("abcd1234abcd5678"), "An example model version");
                Event::version_of(Model, model, version, source, run, tags, Some(text))
            }
            (Entity::PromptVersion, _) => {
                let tags = &[tags[0], (prompts::TEXT_TAG, "Hello {{name}}!")];
                Event::version_of(Prompt, prompt, version, "", None, tags, Some("An example prompt version"))
            }
            (Entity::Prompt, _) => Event::registered_as(Prompt, prompt, tags, "An example prompt"),
            (Entity::PromptTag, Action::Set) => Event::prompt_tag_set(prompt, key, value),
            (Entity::PromptTag, _) => Event::prompt_tag_deleted(prompt, key),
            (Entity::ModelVersionTag, Action::Set) => Event::version_tag_set(Model, model, version, key, value),
            (Entity::PromptVersionTag, Action::Set) => Event::version_tag_set(Prompt, prompt, version, key, value),
            (Entity::ModelVersionTag, _) => Event::version_tag_deleted(Model, model, version, key),
            (Entity::PromptVersionTag, _) => Event::version_tag_deleted(Prompt, prompt, version, key),
            (Entity::ModelVersionAlias, Action::Created) => Event::alias_created(Model, model, alias, version),
            (Entity::PromptAlias, Action::Created) => Event::alias_created(Prompt, prompt, alias, version),
            (Entity::ModelVersionAlias, _) => Event::alias_deleted(Model, model, alias),
            (Entity::PromptAlias, _) => Event::alias_deleted(Prompt, prompt, alias),
            (Entity::BudgetPolicy, _) => budget_example(),
            (Entity::RegisteredModel | Entity::EntityUnspecified, _) => {
                Event::registered_as(Model, model, tags, "An example registered model")
            }
        }
    }
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether a registered model is a model or a prompt: each has its own events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registry {
    /// A registered model.
    Model,
    /// A prompt.
    Prompt,
}

impl Registry {
    const fn pick(self, model: Entity, prompt: Entity) -> Entity {
        match self {
            Self::Model => model,
            Self::Prompt => prompt,
        }
    }
}

/// An event with the data that webhooks receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    kind: EventType,
    /// A JSON object.
    data: String,
}

impl Event {
    fn new(entity: Entity, action: Action, data: &[(&str, String)]) -> Self {
        Self { kind: EventType { entity, action }, data: object(data) }
    }

    /// `registered_model.created`, or `prompt.created` if the tags mark a prompt.
    #[must_use]
    pub fn registered<T: Tag>(name: &str, tags: &[T], description: &str) -> Self {
        let registry = if prompts::is_prompt(tags) { Registry::Prompt } else { Registry::Model };
        Self::registered_as(registry, name, tags, description)
    }

    fn registered_as<T: Tag>(registry: Registry, name: &str, tags: &[T], description: &str) -> Self {
        let hidden: &[&str] = match registry {
            Registry::Model => &[],
            Registry::Prompt => &[prompts::IS_PROMPT_TAG, prompts::TYPE_TAG],
        };
        let data = [("name", text(name)), ("tags", self::tags(tags, hidden)), ("description", text(description))];
        Self::new(registry.pick(Entity::RegisteredModel, Entity::Prompt), Action::Created, &data)
    }

    /// `model_version.created`, or `prompt_version.created` if the tags mark a prompt version.
    #[must_use]
    pub fn version_created<T: Tag>(
        name: &str,
        version: &str,
        source: &str,
        run_id: Option<&str>,
        tags: &[T],
        description: Option<&str>,
    ) -> Self {
        let registry = if prompts::is_prompt(tags) { Registry::Prompt } else { Registry::Model };
        Self::version_of(registry, name, version, source, run_id, tags, description)
    }

    fn version_of<T: Tag>(
        registry: Registry,
        name: &str,
        version: &str,
        source: &str,
        run_id: Option<&str>,
        tags: &[T],
        description: Option<&str>,
    ) -> Self {
        let mut data = vec![("name", text(name)), ("version", text(version))];
        let hidden: &[&str] = match registry {
            Registry::Model => {
                data.extend([("source", text(source)), ("run_id", optional(run_id))]);
                &[]
            }
            Registry::Prompt => {
                let template = tags.iter().map(Tag::pair).rev().find(|(key, _)| *key == prompts::TEXT_TAG);
                data.push(("template", optional(template.map(|(_, template)| template))));
                &[prompts::TEXT_TAG, prompts::IS_PROMPT_TAG, prompts::TYPE_TAG]
            }
        };
        data.extend([("tags", self::tags(tags, hidden)), ("description", optional(description))]);
        Self::new(registry.pick(Entity::ModelVersion, Entity::PromptVersion), Action::Created, &data)
    }

    /// `prompt_tag.set`. There is no such event for models.
    #[must_use]
    pub fn prompt_tag_set(name: &str, key: &str, value: &str) -> Self {
        let data = [("name", text(name)), ("key", text(key)), ("value", text(value))];
        Self::new(Entity::PromptTag, Action::Set, &data)
    }

    /// `prompt_tag.deleted`
    #[must_use]
    pub fn prompt_tag_deleted(name: &str, key: &str) -> Self {
        Self::new(Entity::PromptTag, Action::Deleted, &[("name", text(name)), ("key", text(key))])
    }

    /// `model_version_tag.set` or `prompt_version_tag.set`
    #[must_use]
    pub fn version_tag_set(registry: Registry, name: &str, version: &str, key: &str, value: &str) -> Self {
        let data = [("name", text(name)), ("version", text(version)), ("key", text(key)), ("value", text(value))];
        Self::new(registry.pick(Entity::ModelVersionTag, Entity::PromptVersionTag), Action::Set, &data)
    }

    /// `model_version_tag.deleted` or `prompt_version_tag.deleted`
    #[must_use]
    pub fn version_tag_deleted(registry: Registry, name: &str, version: &str, key: &str) -> Self {
        let data = [("name", text(name)), ("version", text(version)), ("key", text(key))];
        Self::new(registry.pick(Entity::ModelVersionTag, Entity::PromptVersionTag), Action::Deleted, &data)
    }

    /// `model_version_alias.created` or `prompt_alias.created`. Also used when an alias moves to another version.
    #[must_use]
    pub fn alias_created(registry: Registry, name: &str, alias: &str, version: &str) -> Self {
        let data = [("name", text(name)), ("alias", text(alias)), ("version", text(version))];
        Self::new(registry.pick(Entity::ModelVersionAlias, Entity::PromptAlias), Action::Created, &data)
    }

    /// `model_version_alias.deleted` or `prompt_alias.deleted`
    #[must_use]
    pub fn alias_deleted(registry: Registry, name: &str, alias: &str) -> Self {
        let data = [("name", text(name)), ("alias", text(alias))];
        Self::new(registry.pick(Entity::ModelVersionAlias, Entity::PromptAlias), Action::Deleted, &data)
    }

    /// The type of the event.
    #[must_use]
    pub fn kind(&self) -> EventType {
        self.kind
    }

    /// The request body: JSON in the form of Python's `json.dumps`. `micros` is the time of the event, in microseconds
    /// since 1970, and `workspace` the name of the webhook's workspace, if the server has workspaces.
    #[must_use]
    pub fn body(&self, micros: i64, workspace: Option<&str>) -> String {
        let second = Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 }.to_string();
        let fraction = match micros.rem_euclid(1_000_000) {
            0 => String::new(),
            fraction => format!(".{fraction:06}"),
        };
        let mut fields = vec![
            ("entity", text(&self.kind.entity())),
            ("action", text(&self.kind.action())),
            ("timestamp", text(&format!("{}{fraction}+00:00", second.trim_end_matches('Z')))),
            ("data", self.data.clone()),
        ];
        fields.extend(workspace.map(|workspace| ("workspace", text(workspace))));
        object(&fields)
    }
}

fn budget_example() -> Event {
    let data = [
        ("budget_policy_id", text("bp-abc123")),
        ("budget_unit", text("USD")),
        ("budget_amount", "100.0".to_owned()),
        ("current_spend", "105.5".to_owned()),
        ("duration_unit", text("MONTHS")),
        ("duration_value", "1".to_owned()),
        ("target_scope", text("ENDPOINT")),
        ("workspace", text("default")),
        ("target_value", text("ep-abc123")),
        ("window_start", "1704067200000".to_owned()),
    ];
    Event::new(Entity::BudgetPolicy, Action::Exceeded, &data)
}

fn text(text: &str) -> String {
    python::json_dumps(&text.into())
}

fn optional(value: Option<&str>) -> String {
    value.map_or_else(|| "null".to_owned(), text)
}

/// A Python dictionary: a repeated key keeps its position and gets the last value.
fn tags<T: Tag>(tags: &[T], hidden: &[&str]) -> String {
    let mut fields: Vec<(&str, String)> = Vec::with_capacity(tags.len());
    for (key, value) in tags.iter().map(Tag::pair).filter(|(key, _)| !hidden.contains(key)) {
        match fields.iter_mut().find(|(found, _)| *found == key) {
            Some((_, found)) => *found = text(value),
            None => fields.push((key, text(value))),
        }
    }
    object(&fields)
}

/// A JSON object of JSON-encoded fields, in their order.
fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}: {value}", text(name))).collect();
    format!("{{{}}}", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_equals_that_of_the_reference() {
        let tags = [("größe", "1"), ("b", "2"), ("größe", "\"3\"\n")];
        let event = Event::version_created("m", "7", "models:/x", None, &tags, Some("d"));
        assert_eq!(
            event.body(1_753_950_452_080_217, None),
            "{\"entity\": \"model_version\", \"action\": \"created\", \
             \"timestamp\": \"2025-07-31T08:27:32.080217+00:00\", \"data\": {\"name\": \"m\", \"version\": \"7\", \
             \"source\": \"models:/x\", \"run_id\": null, \
             \"tags\": {\"gr\\u00f6\\u00dfe\": \"\\\"3\\\"\\n\", \"b\": \"2\"}, \"description\": \"d\"}}"
        );
        assert!(event.body(1_753_950_452_000_000, None).contains("\"2025-07-31T08:27:32+00:00\""));
        assert!(event.body(0, Some("team")).ends_with("\"description\": \"d\"}, \"workspace\": \"team\"}"));
    }

    #[test]
    fn internal_tags_of_a_prompt_are_omitted() {
        let tags = [
            ("a", "1"),
            ("mlflow.prompt.is_prompt", "True"),
            ("mlflow.prompt.text", "Hi"),
            ("_mlflow_prompt_type", "text"),
        ];
        let event = Event::version_created("p", "1", "dummy-source", None, &tags, None);
        assert_eq!((event.kind().entity().as_str(), event.kind().action().as_str()), ("prompt_version", "created"));
        assert_eq!(
            event.data,
            r#"{"name": "p", "version": "1", "template": "Hi", "tags": {"a": "1"}, "description": null}"#
        );
        let event = Event::registered("p", &tags[..2], "");
        assert_eq!(event.kind().entity(), "prompt");
        assert_eq!(event.data, r#"{"name": "p", "tags": {"a": "1"}, "description": ""}"#);
    }

    #[test]
    fn every_event_has_an_example_and_a_stored_form() {
        let mut count = 0;
        for (entity, actions) in EVENTS {
            for action in *actions {
                let kind = EventType { entity: *entity, action: *action };
                assert_eq!(EventType::from_message(&kind.to_message()), Ok(kind));
                assert_eq!(EventType::from_stored(&kind.entity(), &kind.action()), Some(kind));
                assert_eq!(kind.example().kind(), kind);
                serde_json::from_str::<serde_json::Value>(&kind.example().body(0, None)).unwrap();
                count += 1;
            }
        }
        assert_eq!(count, 15);
        assert_eq!(EventType::from_stored("registered_model", "deleted"), None);
        assert_eq!(EventType::from_stored("moon", "created"), None);
    }

    #[test]
    fn an_action_that_the_entity_does_not_have_is_refused() {
        let event = |entity, action| EventType::from_message(&WebhookEvent { entity, action }).unwrap_err().message;
        assert_eq!(
            event(Some(Entity::ModelVersionTag), Some(Action::Updated)),
            "Invalid action 'updated' for entity 'model_version_tag'. Valid actions are: ['deleted', 'set']"
        );
        assert!(event(None, Some(Action::Created)).contains("no entity"));
        assert!(event(Some(Entity::Prompt), None).contains("no action"));
        assert!(event(Some(Entity::EntityUnspecified), Some(Action::Set)).contains("no entity"));
    }
}
