//! The sample data as it is written in `data.json` and `view.json`.

use ferroflow_model::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

const DATA: &str = include_str!("data.json");
const VIEW: &str = include_str!("view.json");

/// The number of versions of the agent.
pub(super) const VERSIONS: usize = 2;

#[derive(Debug, Deserialize)]
pub(super) struct Data {
    /// The description of the experiment.
    pub(super) note: String,
    /// The first message of each conversation with a model.
    pub(super) system: String,
    pub(super) models: Vec<Model>,
    pub(super) prompts: Vec<Prompt>,
    pub(super) traces: Vec<Item>,
    pub(super) scorers: Vec<Scorer>,
    pub(super) judges: Vec<Judge>,
    pub(super) issues: Vec<IssueOfScorer>,
    pub(super) label_schemas: Vec<Question>,
    pub(super) queue: Queue,
    pub(super) saved_view: SavedView,
    /// A PNG in base64.
    picture: String,
    /// A WAV in base64.
    sound: String,
}

/// A model, with prices in US dollars for a million tokens.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) provider: String,
    /// The name of spans of its calls.
    pub(super) span: String,
    pub(super) input_price: f64,
    pub(super) output_price: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Prompt {
    pub(super) name: String,
    pub(super) versions: Vec<PromptVersion>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PromptVersion {
    pub(super) alias: String,
    pub(super) message: String,
    pub(super) template: Template,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Template {
    Text(String),
    Chat(Vec<Message>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) role: String,
    pub(super) content: String,
}

/// What is asked of the agent: a trace of each of its versions.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) query: String,
    pub(super) answers: [String; VERSIONS],
    pub(super) expected: String,
    /// The scorers that each answer fails.
    pub(super) failed: [Vec<String>; VERSIONS],
    #[serde(default)]
    pub(super) tools: Vec<Tool>,
    #[serde(default)]
    pub(super) documents: Value,
    /// The name of the root span of a call with pictures or sound.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) inputs: Value,
    #[serde(default)]
    pub(super) outputs: Value,
    #[serde(default)]
    pub(super) prompt: String,
    #[serde(default)]
    pub(super) variables: Map<String, Value>,
    #[serde(default)]
    pub(super) session: String,
    #[serde(default)]
    pub(super) user: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Documents are retrieved.
    Rag,
    /// Tools are called.
    Agent,
    /// A prompt of the registry is filled in.
    Prompt,
    /// One call with pictures or sound.
    Media,
    /// A part of a conversation.
    Session,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rag => "rag",
            Self::Agent => "agent",
            Self::Prompt => "prompt",
            Self::Media => "multimodal",
            Self::Session => "session",
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) inputs: Value,
    pub(super) outputs: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Scorer {
    pub(super) name: String,
    /// Why an answer passes.
    pub(super) passed: String,
    /// Why it fails.
    pub(super) failed: String,
}

/// A judge of the registry.
#[derive(Debug, Deserialize)]
pub(super) struct Judge {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) instructions: String,
}

/// The review queue of all reviewers.
#[derive(Debug, Deserialize)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) reviewers: Vec<String>,
}

/// An issue, which the traces that fail a scorer have.
#[derive(Debug, Deserialize)]
pub(super) struct IssueOfScorer {
    pub(super) scorer: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) severity: String,
    pub(super) categories: Vec<String>,
    pub(super) root_causes: Vec<String>,
}

/// A label schema. Its answers are one of some options, one of two labels, or else a text.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    pub(super) name: String,
    /// `FEEDBACK` or `EXPECTATION`.
    pub(super) kind: String,
    pub(super) instruction: String,
    pub(super) enable_comment: bool,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default)]
    pub(super) pass_fail: Option<[String; 2]>,
}

/// A view of the table of traces.
#[derive(Debug, Deserialize)]
pub(super) struct SavedView {
    pub(super) id: String,
    pub(super) name: String,
    /// The state as the UI stores it: `deflate;` and the base64 of JSON compressed with zlib.
    pub(super) state: String,
}

impl Data {
    /// Reads the file.
    ///
    /// # Errors
    /// None: a test reads it.
    pub(super) fn read() -> Result<Self> {
        let mut data: Self = parse(DATA)?;
        for item in &mut data.traces {
            for value in [&mut item.inputs, &mut item.outputs] {
                let text = value.to_string().replace("{{picture}}", &data.picture).replace("{{sound}}", &data.sound);
                *value = parse(&text)?;
            }
        }
        Ok(data)
    }
}

/// The view of one trace: its id, and it as JSON.
///
/// # Errors
/// None: a test reads it.
pub(super) fn view() -> Result<(String, String)> {
    let view: Value = parse(VIEW)?;
    Ok((view["id"].as_str().unwrap_or_default().to_owned(), view.to_string()))
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::internal(format!("The sample data cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_data_refers_to_is_in_it() {
        let data = Data::read().unwrap();
        let scorers: Vec<&str> = data.scorers.iter().map(|scorer| scorer.name.as_str()).collect();
        let prompts: Vec<&str> = data.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        for item in &data.traces {
            assert!(item.failed.iter().flatten().all(|name| scorers.contains(&name.as_str())), "{}", item.query);
            assert_eq!(item.kind == Kind::Prompt, prompts.contains(&item.prompt.as_str()), "{}", item.query);
            assert_eq!(item.kind == Kind::Session, !item.session.is_empty(), "{}", item.query);
            assert_eq!(item.kind == Kind::Media, !item.name.is_empty(), "{}", item.query);
            assert!(!item.inputs.to_string().contains("{{"), "{}", item.query);
        }
        assert!(data.issues.iter().all(|issue| scorers.contains(&issue.scorer.as_str())));
        assert!(data.prompts.iter().all(|prompt| prompt.versions.len() == 2 * VERSIONS));
        assert_eq!(view().unwrap().0, "demo-step-check");
    }
}
