//! Scorers: judges and metrics, registered as JSON that describes them. The server stores and returns that JSON, and
//! never imports or runs what it names.

use crate::{
    Error, Result, python,
    python_json::{Json, Text},
    validation::exceeds_maximum_length,
};

/// Maximum length of a name.
const NAME: usize = 256;
/// Maximum number of values in a serialized scorer.
const VALUES: usize = 100_000;

const INSTRUCTIONS_JUDGE: &str = "instructions_judge_pydantic_data";
const BUILTIN: &str = "builtin_scorer_pydantic_data";
const MEMORY_AUGMENTED: &str = "memory_augmented_judge_data";
const THIRD_PARTY: &str = "third_party_scorer_data";

/// The names of the data of a scorer, in the order in which the reference looks for a model.
const NAMES: [&str; 4] = [INSTRUCTIONS_JUDGE, BUILTIN, MEMORY_AUGMENTED, THIRD_PARTY];

/// The scheme of models that are endpoints of the gateway.
const GATEWAY: &str = "gateway";

/// Options of clients of LLMs that choose where a request is sent, sorted.
const DESTINATIONS: [&str; 5] = ["api_base", "base_url", "custom_llm_provider", "fallbacks", "model_list"];

/// The reference's message for source code.
const SOURCE_CODE: &str = "Custom scorer registration (using @scorer decorator) is disabled by default outside of \
    Databricks tracking environments due to security concerns. Custom scorers require arbitrary code execution during \
    deserialization.\n\nTo use custom scorers:\n1. Configure MLflow to use a Databricks tracking URI, or\n2. Manage your \
    custom scorer code in a source code repository (e.g., GitHub) and import it directly, or\n3. On a self-managed \
    MLflow server (or local environment) that you trust to run the scorer's code, set the \
    MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS environment variable to true, or\n4. Use built-in scorers or make_judge() \
    scorers instead.";

/// Checks the name of a scorer.
///
/// # Errors
/// It is blank or too long.
pub fn check_name(name: &str) -> Result<()> {
    if python::strip(name).is_empty() {
        return Err(Error::invalid("Scorer name cannot be empty or contain only whitespace."));
    }
    if name.chars().count() > NAME {
        return Err(Error::invalid(exceeds_maximum_length("name", NAME)));
    }
    Ok(())
}

/// Whether scorers with source code may be registered (`MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS`). The server stores it, and
/// never runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceCode {
    /// They are refused.
    #[default]
    Refused,
    /// They are stored.
    Accepted,
}

/// A serialized scorer.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorer(Json);

impl Scorer {
    /// Parses one that a client registers.
    ///
    /// # Errors
    /// It is not a JSON object, contains source code, or chooses the host to which a library sends requests.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_with(text, SourceCode::Refused)
    }

    /// [`Scorer::parse`] where source code may be accepted.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(text: &str, source_code: SourceCode) -> Result<Self> {
        let json = Json::parse(text, VALUES).map_err(|_| Error::invalid("serialized_scorer must be valid JSON"))?;
        if source_code == SourceCode::Refused && has_source_code(&json) {
            return Err(Error::invalid(SOURCE_CODE));
        }
        check_destinations(&json)?;
        if json.object().is_none() {
            return Err(Error::invalid(format!("serialized_scorer must be a JSON object, got {}.", json.type_name())));
        }
        Ok(Self(json))
    }

    /// Checks the model, if there is one, and what it is in.
    ///
    /// # Errors
    /// It is not a text, or blank, or the data of the scorer is not an object.
    pub fn check_model(&self) -> Result<()> {
        check_data(&self.0)?;
        match model_of(&self.0) {
            Some(Json::Text(model)) if model.decode().is_some_and(|model| python::strip(&model).is_empty()) => {
                Err(Error::invalid("Scorer model cannot be empty or contain only whitespace."))
            }
            None | Some(Json::Null | Json::Text(_)) => Ok(()),
            Some(other) => Err(Error::invalid(format!("Scorer model must be a string, got {}.", other.type_name()))),
        }
    }

    /// One that is stored; `None` if it cannot be read.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        Json::parse(text, usize::MAX).ok().map(Self)
    }

    /// As Python writes it.
    #[must_use]
    pub fn dumps(&self) -> String {
        self.0.dumps()
    }

    /// The endpoint of the gateway that is its model: a name where a client sends it, an id where it is stored.
    #[must_use]
    pub fn endpoint(&self) -> Option<String> {
        let model = model_of(&self.0)?.text()?.decode()?;
        let (provider, path) = model.split_once(":/")?;
        let path = path.trim_start_matches('/');
        (provider == GATEWAY && !path.is_empty()).then(|| path.to_owned())
    }

    /// Replaces the endpoint by another one, or by none.
    pub fn set_endpoint(&mut self, endpoint: Option<&str>) {
        let model = endpoint.map_or(Json::Null, |endpoint| Json::Text(Text::new(&format!("{GATEWAY}:/{endpoint}"))));
        set_model(&mut self.0, model);
    }

    /// Whether it is a judge whose instructions refer to expectations.
    #[must_use]
    pub fn requires_expectations(&self) -> bool {
        let instructions = self.0.get(INSTRUCTIONS_JUDGE).and_then(|judge| judge.get("instructions"));
        let instructions = instructions.and_then(Json::text).and_then(Text::decode).unwrap_or_default();
        instructions
            .split("{{")
            .skip(1)
            .any(|rest| rest.split_once("}}").is_some_and(|(variable, _)| python::strip(variable) == "expectations"))
    }
}

/// The data of a scorer under one of the names that the reference looks for, if there is some.
fn data_of<'a>(scorer: &'a Json, name: &str) -> Option<&'a Json> {
    scorer.get(name).filter(|data| data.is_truthy())
}

/// The model of a scorer.
fn model_of(scorer: &Json) -> Option<&Json> {
    if let Some(data) = data_of(scorer, INSTRUCTIONS_JUDGE).or_else(|| data_of(scorer, BUILTIN)) {
        return data.get("model");
    }
    if let Some(data) = data_of(scorer, MEMORY_AUGMENTED) {
        return model_of(data.get("base_judge")?);
    }
    data_of(scorer, THIRD_PARTY)?.get("model")
}

/// Refuses data that is not an object, where [`model_of`] would look for a model in it.
fn check_data(scorer: &Json) -> Result<()> {
    let found = NAMES.into_iter().find_map(|name| Some((name, data_of(scorer, name)?)));
    let is_object = |name: &str, data: &Json| match data {
        Json::Object(_) => Ok(()),
        other => Err(Error::invalid(format!("{name} must be a JSON object, got {}.", other.type_name()))),
    };
    match found {
        Some((MEMORY_AUGMENTED, data)) => {
            is_object(MEMORY_AUGMENTED, data)?;
            let Some(judge) = data.get("base_judge") else { return Ok(()) };
            is_object("base_judge", judge)?;
            check_data(judge)
        }
        Some((name, data)) => is_object(name, data),
        None => Ok(()),
    }
}

/// Replaces the model where [`model_of`] finds it.
fn set_model(scorer: &mut Json, model: Json) {
    let Some(name) = NAMES.into_iter().find(|name| data_of(scorer, name).is_some()) else { return };
    let Some(data) = scorer.get_mut(name) else { return };
    match name {
        MEMORY_AUGMENTED => {
            if let Some(judge) = data.get_mut("base_judge") {
                set_model(judge, model);
            }
        }
        // The reference adds no model to one of another library.
        THIRD_PARTY if data.get("model").is_none_or(|found| *found == Json::Null) => {}
        _ => data.set("model", model),
    }
}

/// Whether there is source code anywhere in it.
fn has_source_code(json: &Json) -> bool {
    match json {
        Json::Object(pairs) => {
            pairs.iter().any(|(name, value)| (name.is("call_source") && *value != Json::Null) || has_source_code(value))
        }
        Json::Array(items) => items.iter().any(has_source_code),
        _ => false,
    }
}

/// Refuses arguments for another library's client by which that would send its requests elsewhere.
fn check_destinations(json: &Json) -> Result<()> {
    match json {
        Json::Object(pairs) => {
            if let Some(data) = json.get(THIRD_PARTY)
                && data.object().is_some()
            {
                check_arguments(data.get("kwargs").unwrap_or(&Json::Null))?;
            }
            pairs.iter().try_for_each(|(_, value)| check_destinations(value))
        }
        Json::Array(items) => items.iter().try_for_each(check_destinations),
        _ => Ok(()),
    }
}

fn check_arguments(arguments: &Json) -> Result<()> {
    if !matches!(arguments, Json::Null | Json::Object(_)) {
        return Err(Error::invalid(format!(
            "third_party_scorer_data.kwargs must be a JSON object, got {}.",
            arguments.type_name()
        )));
    }
    let found: Vec<String> =
        DESTINATIONS.iter().filter(|name| names(arguments, name)).map(|name| python::repr(name)).collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "third_party_scorer_data.kwargs must not contain {}: these options choose where the scorer's LLM client sends \
         requests. Configure the judge endpoint on the server instead, for example through a gateway endpoint \
         ('gateway:/<name>') or the provider's environment variables.",
        found.join(", ")
    )))
}

/// Whether arguments have an option with this name: in an object, or in a list of pairs, of which Python makes one.
fn names(arguments: &Json, option: &str) -> bool {
    match arguments {
        Json::Object(pairs) => pairs.iter().any(|(name, value)| name.is(option) || names(value, option)),
        Json::Array(items) => items.iter().any(|item| {
            let is_pair = matches!(item, Json::Array(pair) if matches!(pair.as_slice(), [Json::Text(name), _] if name.is(option)));
            is_pair || names(item, option)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Scorer::parse(text).expect_err(text).message
    }

    #[test]
    fn source_code_is_refused_wherever_it_is() {
        for text in [
            r#"{"call_source": "return 1"}"#,
            r#"{"ensemble_scorer_data": {"scorers": [{"name": "a"}, {"call_source": ""}]}}"#,
            r#"[{"x": {"call_source": 1}}]"#,
            r#"{"call_source": "return 1"}"#,
        ] {
            assert_eq!(message(text), SOURCE_CODE, "{text}");
        }
        assert!(Scorer::parse(r#"{"call_source": null, "name": "call_source"}"#).is_ok());
    }

    #[test]
    fn source_code_alone_is_accepted_where_it_may_be_stored() {
        let code = r#"{"call_source": "return 1", "call_signature": "(outputs)"}"#;
        let parse = |text: &str| Scorer::parse_with(text, SourceCode::Accepted);
        assert_eq!(parse(code).map(|scorer| scorer.dumps()), Ok(code.to_owned()));
        for (text, expected) in [
            (r#"[{"call_source": "x"}]"#, "serialized_scorer must be a JSON object, got list."),
            (
                r#"{"call_source": "x", "third_party_scorer_data": {"kwargs": []}}"#,
                "third_party_scorer_data.kwargs must be a JSON object, got list.",
            ),
            ("{", "serialized_scorer must be valid JSON"),
        ] {
            assert_eq!(parse(text).unwrap_err().message, expected);
        }
    }

    #[test]
    fn arguments_may_not_say_where_requests_are_sent() {
        for (kwargs, found) in [
            (r#"{"api_base": "http://x"}"#, "'api_base'"),
            (r#"{"model_list": null, "base_url": 1}"#, "'base_url', 'model_list'"),
            (r#"{"model_kwargs": {"a": [{"fallbacks": []}]}}"#, "'fallbacks'"),
            (r#"{"completion_kwargs": [["custom_llm_provider", "x"]]}"#, "'custom_llm_provider'"),
        ] {
            let scorer = format!(r#"{{"third_party_scorer_data": {{"kwargs": {kwargs}}}}}"#);
            let nested = format!(r#"{{"memory_augmented_judge_data": {{"base_judge": {scorer}}}}}"#);
            for text in [scorer, nested] {
                let expected = format!("third_party_scorer_data.kwargs must not contain {found}: ");
                assert!(message(&text).starts_with(&expected), "{text}");
            }
        }
        let list = r#"{"third_party_scorer_data": {"kwargs": []}}"#;
        assert_eq!(message(list), "third_party_scorer_data.kwargs must be a JSON object, got list.");
        for good in [
            r#"{"third_party_scorer_data": {"kwargs": {"threshold": 0.5, "a": ["api_base"], "b": ["api_base", 1]}}}"#,
            r#"{"third_party_scorer_data": {"kwargs": null}, "api_base": "x"}"#,
        ] {
            assert!(Scorer::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn an_endpoint_is_replaced_where_the_model_is() {
        for (text, endpoint, replaced) in [
            (
                r#"{"instructions_judge_pydantic_data": {"model": "gateway:/a/b", "x": 1.0}}"#,
                Some("a/b"),
                r#"{"instructions_judge_pydantic_data": {"model": "gateway:/new", "x": 1.0}}"#,
            ),
            (
                r#"{"instructions_judge_pydantic_data": {}, "builtin_scorer_pydantic_data": {"model": "gateway:///e"}}"#,
                Some("e"),
                r#"{"instructions_judge_pydantic_data": {}, "builtin_scorer_pydantic_data": {"model": "gateway:/new"}}"#,
            ),
            (
                r#"{"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": {"model": "gateway:/e"}}}}"#,
                Some("e"),
                r#"{"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": {"model": "gateway:/new"}}}}"#,
            ),
            (
                r#"{"third_party_scorer_data": {"model": "gateway:/e"}}"#,
                Some("e"),
                r#"{"third_party_scorer_data": {"model": "gateway:/new"}}"#,
            ),
            (
                r#"{"builtin_scorer_pydantic_data": {"name": "x"}}"#,
                None,
                r#"{"builtin_scorer_pydantic_data": {"name": "x", "model": "gateway:/new"}}"#,
            ),
            (r#"{"third_party_scorer_data": {"x": 1}}"#, None, r#"{"third_party_scorer_data": {"x": 1}}"#),
            (r#"{"name": "x"}"#, None, r#"{"name": "x"}"#),
        ] {
            let mut scorer = Scorer::parse(text).unwrap();
            assert_eq!(scorer.endpoint().as_deref(), endpoint, "{text}");
            scorer.set_endpoint(Some("new"));
            assert_eq!(scorer.dumps(), replaced);
        }
        for model in ["openai:/gpt", "gateway:/", "gateway", "gateway://", ":/x", "Gateway:/x"] {
            let text = format!(r#"{{"builtin_scorer_pydantic_data": {{"model": "{model}"}}}}"#);
            assert_eq!(Scorer::parse(&text).unwrap().endpoint(), None, "{model}");
        }
        for (model, expected) in [
            ("\" \"", "Scorer model cannot be empty or contain only whitespace."),
            ("1", "Scorer model must be a string, got int."),
            ("[]", "Scorer model must be a string, got list."),
        ] {
            let text = format!(r#"{{"builtin_scorer_pydantic_data": {{"model": {model}}}}}"#);
            assert_eq!(Scorer::parse(&text).unwrap().check_model().unwrap_err().message, expected);
        }
    }

    #[test]
    fn the_data_of_a_scorer_is_an_object() {
        for (text, expected) in [
            (r#"{"third_party_scorer_data": "x"}"#, "third_party_scorer_data must be a JSON object, got str."),
            (r#"{"memory_augmented_judge_data": {"base_judge": []}}"#, "base_judge must be a JSON object, got list."),
            (
                r#"{"memory_augmented_judge_data": {"base_judge": {"builtin_scorer_pydantic_data": 1}}}"#,
                "builtin_scorer_pydantic_data must be a JSON object, got int.",
            ),
        ] {
            assert_eq!(Scorer::parse(text).unwrap().check_model().unwrap_err().message, expected);
        }
        for text in [r#"{"third_party_scorer_data": null}"#, r#"{"memory_augmented_judge_data": {"x": 1}}"#, "{}"] {
            assert_eq!(Scorer::parse(text).unwrap().check_model(), Ok(()));
        }
    }

    #[test]
    fn judges_that_compare_with_expectations_are_known() {
        let judge = |instructions: &str| {
            let text = format!(r#"{{"instructions_judge_pydantic_data": {{"instructions": "{instructions}"}}}}"#);
            Scorer::parse(&text).unwrap().requires_expectations()
        };
        assert!(judge("Is {{outputs}} like {{ expectations }}?") && judge("{{expectations}}"));
        assert!(!judge("Is {{ outputs }} good?") && !judge("expectations") && !judge("{{ expectations.a }}"));
    }
}
