//! Label schemas: what reviewers are asked, and the form of their answers.

use crate::{
    Error, Result,
    messages::label_schemas::{
        InputCategorical, InputNumeric, InputPassFail, InputText, LabelSchemaInput, LabelSchemaType,
    },
    number, python,
    python_json::{Json, Text},
};

/// The name of the question that every experiment has.
pub const DEFAULT_NAME: &str = "Feedback";
/// Its instruction.
pub const DEFAULT_INSTRUCTION: &str = "Share any feedback on this trace.";

/// Maximum length of a name.
const NAME: usize = 250;
/// Maximum length of an instruction.
const INSTRUCTION: usize = 1000;
/// Maximum length of a label or an option.
const LABEL: usize = 64;
/// Maximum number of options.
const OPTIONS: usize = 10;

/// The type of a schema as it is stored.
///
/// # Errors
/// It is not set.
pub fn type_name(kind: Option<LabelSchemaType>) -> Result<&'static str> {
    match kind {
        Some(LabelSchemaType::Feedback) => Ok("feedback"),
        Some(LabelSchemaType::Expectation) => Ok("expectation"),
        None | Some(LabelSchemaType::LabelSchemaTypeUnspecified) => {
            Err(Error::invalid("Label schema `type` must be one of FEEDBACK or EXPECTATION; got proto enum value 0."))
        }
    }
}

/// The type of a stored schema.
#[must_use]
pub fn type_of(stored: &str) -> Option<LabelSchemaType> {
    match stored {
        "feedback" => Some(LabelSchemaType::Feedback),
        "expectation" => Some(LabelSchemaType::Expectation),
        _ => None,
    }
}

/// Checks a name, which is not that of the default question.
///
/// # Errors
/// It is empty, too long or reserved.
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("Label schema `name` must be a non-empty string; got ''."));
    }
    let length = name.chars().count();
    if length > NAME {
        return Err(Error::invalid(format!("Label schema `name` must be at most {NAME} characters; got {length}.")));
    }
    if name.trim().to_lowercase() == DEFAULT_NAME.to_lowercase() {
        return Err(Error::invalid(format!(
            "`{name}` is reserved for the experiment's default question and cannot be used for another label schema."
        )));
    }
    Ok(())
}

/// Checks an instruction.
///
/// # Errors
/// It is too long.
pub fn check_instruction(instruction: &str) -> Result<()> {
    let length = instruction.chars().count();
    if length > INSTRUCTION {
        return Err(Error::invalid(format!(
            "Label schema `instruction` must be at most {INSTRUCTION} characters; got {length}."
        )));
    }
    Ok(())
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// One of two labels.
    PassFail(InputPassFail),
    /// One or several of some options.
    Categorical(InputCategorical),
    /// A number.
    Numeric(InputNumeric),
    /// A text.
    Text(InputText),
}

impl Input {
    /// The form in a message.
    ///
    /// # Errors
    /// It has none.
    pub fn from_message(message: LabelSchemaInput) -> Result<Self> {
        let LabelSchemaInput { pass_fail, categorical, numeric, text } = message;
        let found = pass_fail
            .map(Self::PassFail)
            .or_else(|| categorical.map(Self::Categorical))
            .or_else(|| numeric.map(Self::Numeric))
            .or_else(|| text.map(Self::Text));
        found.ok_or_else(|| {
            Error::invalid(
                "Label schema `input` must have exactly one of `pass_fail`, `categorical`, `numeric`, or `text` set; \
                 got an empty oneof.",
            )
        })
    }

    /// The form in a message.
    #[must_use]
    pub fn into_message(self) -> LabelSchemaInput {
        let mut message = LabelSchemaInput::default();
        match self {
            Self::PassFail(input) => message.pass_fail = Some(input),
            Self::Categorical(input) => message.categorical = Some(input),
            Self::Numeric(input) => message.numeric = Some(input),
            Self::Text(input) => message.text = Some(input),
        }
        message
    }

    /// The name of its kind in the database.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PassFail(_) => "pass_fail",
            Self::Categorical(_) => "categorical",
            Self::Numeric(_) => "numeric",
            Self::Text(_) => "text",
        }
    }

    /// The name of its kind in messages.
    fn class(&self) -> &'static str {
        match self {
            Self::PassFail(_) => "InputPassFail",
            Self::Categorical(_) => "InputCategorical",
            Self::Numeric(_) => "InputNumeric",
            Self::Text(_) => "InputText",
        }
    }

    /// Its configuration as it is stored.
    #[must_use]
    pub fn config(&self) -> String {
        let text = |text: &str| Json::Text(Text::new(text));
        let real = |number: Option<f64>| number.map_or(Json::Null, Json::Float);
        let fields = match self {
            Self::PassFail(input) => {
                vec![("positive_label", text(input.positive_label())), ("negative_label", text(input.negative_label()))]
            }
            Self::Categorical(input) => vec![
                ("options", Json::Array(input.options.iter().map(|option| text(option)).collect())),
                ("multi_select", Json::Bool(input.multi_select.unwrap_or_default())),
            ],
            Self::Numeric(input) => {
                vec![("min_value", real(input.min_value)), ("max_value", real(input.max_value))]
            }
            Self::Text(input) => {
                let length = input.max_length.map_or(Json::Null, |length| Json::Int(length.to_string().into()));
                vec![("max_length", length)]
            }
        };
        Json::Object(fields.into_iter().map(|(name, value)| (Text::new(name), value)).collect()).dumps()
    }

    /// A stored form; `None` if it cannot be read.
    #[must_use]
    pub fn from_stored(kind: &str, config: &str) -> Option<Self> {
        let config = Json::parse(config, 10_000).ok()?;
        let text = |name: &str| config.get(name).and_then(Json::text).and_then(Text::decode);
        let real = |name: &str| match config.get(name) {
            Some(Json::Float(number)) => Some(*number),
            Some(Json::Int(digits)) => digits.parse().ok(),
            _ => None,
        };
        Some(match kind {
            "pass_fail" => Self::PassFail(InputPassFail {
                positive_label: Some(text("positive_label")?),
                negative_label: Some(text("negative_label")?),
            }),
            "categorical" => {
                let Some(Json::Array(options)) = config.get("options") else { return None };
                Self::Categorical(InputCategorical {
                    options: options.iter().map(|option| option.text()?.decode()).collect::<Option<_>>()?,
                    multi_select: Some(config.get("multi_select") == Some(&Json::Bool(true))),
                })
            }
            "numeric" => Self::Numeric(InputNumeric { min_value: real("min_value"), max_value: real("max_value") }),
            "text" => {
                let length = match config.get("max_length") {
                    Some(Json::Int(digits)) => digits.parse().ok(),
                    _ => None,
                };
                Self::Text(InputText { max_length: length })
            }
            _ => return None,
        })
    }

    /// Checks the form.
    ///
    /// # Errors
    /// A label, option or limit of it is not valid.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::PassFail(input) => pass_fail(input.positive_label(), input.negative_label()),
            Self::Categorical(input) => options(&input.options),
            Self::Numeric(InputNumeric { min_value: Some(min), max_value: Some(max) }) if min >= max => {
                Err(Error::invalid(format!(
                    "`InputNumeric.min_value` must be strictly less than `max_value`; got min={}, max={}.",
                    number::float_repr(*min),
                    number::float_repr(*max)
                )))
            }
            Self::Text(InputText { max_length: Some(length) }) if *length < 1 => {
                Err(Error::invalid(format!("`InputText.max_length` must be at least 1; got {length}.")))
            }
            Self::Numeric(_) | Self::Text(_) => Ok(()),
        }
    }

    /// Checks a form that replaces this one: answers that were given stay valid.
    ///
    /// # Errors
    /// It is of another kind, or allows another number of options.
    pub fn check_replaced_by(&self, new: &Self) -> Result<()> {
        match (self, new) {
            (Self::Categorical(old), Self::Categorical(new)) => {
                if old.multi_select.unwrap_or_default() != new.multi_select.unwrap_or_default() {
                    return Err(Error::invalid("`InputCategorical.multi_select` cannot be changed after creation."));
                }
                Ok(())
            }
            _ if self.kind() == new.kind() => Ok(()),
            _ => Err(Error::invalid(format!(
                "A label schema's input type cannot be changed after creation (existing: {}, got: {}).",
                self.class(),
                new.class()
            ))),
        }
    }
}

fn pass_fail(positive: &str, negative: &str) -> Result<()> {
    for (name, label) in [("positive_label", positive), ("negative_label", negative)] {
        let length = label.chars().count();
        if length == 0 {
            return Err(Error::invalid(format!("`InputPassFail.{name}` must be a non-empty string; got ''.")));
        }
        if length > LABEL {
            return Err(Error::invalid(format!(
                "`InputPassFail.{name}` must be at most {LABEL} characters; got {length}."
            )));
        }
    }
    if positive == negative {
        return Err(Error::invalid(format!(
            "`InputPassFail.positive_label` and `negative_label` must be distinct; got {} for both.",
            python::repr(positive)
        )));
    }
    Ok(())
}

fn options(options: &[String]) -> Result<()> {
    if options.is_empty() {
        return Err(Error::invalid("`InputCategorical.options` must be a non-empty list; got []."));
    }
    if options.len() > OPTIONS {
        return Err(Error::invalid(format!(
            "`InputCategorical.options` must have at most {OPTIONS} entries; got {}.",
            options.len()
        )));
    }
    for (index, option) in options.iter().enumerate() {
        let length = option.chars().count();
        if length == 0 {
            return Err(Error::invalid("`InputCategorical.options` entries must be non-empty strings; got ''."));
        }
        let shown = python::repr(option);
        if length > LABEL {
            return Err(Error::invalid(format!(
                "`InputCategorical.options` entries must be at most {LABEL} characters; got {length} for {shown}."
            )));
        }
        if options[..index].contains(option) {
            return Err(Error::invalid(format!(
                "`InputCategorical.options` must be deduplicated; {shown} appears twice."
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_stored_as_the_reference_stores_it() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (yes, no) = (Some("Ja".to_owned()), Some("Nö".to_owned()));
        for (input, kind, config) in [
            (
                Input::PassFail(InputPassFail { positive_label: yes, negative_label: no }),
                "pass_fail",
                r#"{"positive_label": "Ja", "negative_label": "N\u00f6"}"#,
            ),
            (
                Input::Categorical(InputCategorical { options: texts(&["a", "b"]), multi_select: Some(true) }),
                "categorical",
                r#"{"options": ["a", "b"], "multi_select": true}"#,
            ),
            (
                Input::Numeric(InputNumeric { min_value: Some(1.0), max_value: None }),
                "numeric",
                r#"{"min_value": 1.0, "max_value": null}"#,
            ),
            (Input::Text(InputText { max_length: Some(5) }), "text", r#"{"max_length": 5}"#),
            (Input::Text(InputText { max_length: None }), "text", r#"{"max_length": null}"#),
        ] {
            assert_eq!((input.kind(), input.config().as_str()), (kind, config));
            assert_eq!(Input::from_stored(kind, config).as_ref(), Some(&input));
            assert_eq!(Input::from_message(input.clone().into_message()).unwrap(), input);
            assert_eq!(input.check(), Ok(()));
        }
        assert_eq!(Input::from_stored("other", "{}"), None);
    }
}
