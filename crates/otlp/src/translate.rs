//! Adds MLflow's attributes to those of a span, from what the dialects find, in the order of the reference.

use crate::{
    attributes::{Attributes, Found},
    dialects,
    json::Json,
    keys,
    message::Event,
    price::Prices,
    text,
    usage::{Cost, Usage},
};

/// What a span adds to its trace, besides its times.
pub(crate) struct Facts {
    pub(crate) usage: Option<Usage>,
    pub(crate) cost: Option<Cost>,
}

/// Translates a span's attributes.
pub(crate) fn translate(attributes: &mut Attributes<'_>, events: &[Event<'_>], prices: &Prices) -> Facts {
    if is_untyped(attributes)
        && let Some(found) = dialects::span_type(attributes)
    {
        attributes.set(keys::SPAN_TYPE, Found::Text(format!("\"{found}\"")));
    }
    if !attributes.has(keys::INPUTS)
        && let Some(found) = dialects::inputs(attributes, events)
    {
        attributes.set(keys::INPUTS, found);
    }
    if !attributes.has(keys::OUTPUTS)
        && let Some(found) = dialects::outputs(attributes, events)
    {
        attributes.set(keys::OUTPUTS, found);
    }
    let usage = usage(attributes);
    if !attributes.has(keys::FORMAT)
        && let Some(found) = dialects::format(attributes)
    {
        attributes.set(keys::FORMAT, Found::Text(format!("\"{found}\"")));
    }
    if !attributes.has(keys::TOOLS)
        && let Some(index) = dialects::tools(attributes)
    {
        attributes.set(keys::TOOLS, Found::At(index));
    }
    if !attributes.has(keys::MODEL)
        && let Some(found) = model(attributes)
    {
        attributes.set(keys::MODEL, found);
    }
    if !attributes.has(keys::PROVIDER)
        && let Some(index) = dialects::provider(attributes)
    {
        attributes.set(keys::PROVIDER, encoded(attributes, index));
    }
    let cost = cost(attributes, usage.as_ref(), prices);
    Facts { usage, cost }
}

/// Whether a span has no type of MLflow.
fn is_untyped(attributes: &Attributes<'_>) -> bool {
    let Some(index) = attributes.find(keys::SPAN_TYPE) else { return true };
    match attributes.string(index) {
        Some(found) => found == "UNKNOWN",
        None => attributes.text(index) == "null",
    }
}

fn usage(attributes: &mut Attributes<'_>) -> Option<Usage> {
    if let Some(index) = attributes.find(keys::USAGE) {
        return Usage::parse(&attributes.text(index));
    }
    let found = dialects::usage(attributes)?;
    attributes.set(keys::USAGE, Found::Text(found.json()));
    Some(found)
}

fn cost(attributes: &mut Attributes<'_>, usage: Option<&Usage>, prices: &Prices) -> Option<Cost> {
    if let Some(index) = attributes.find(keys::COST) {
        return Cost::parse(&attributes.text(index));
    }
    let by_price = || {
        let model = attributes.string_of(keys::MODEL)?;
        let provider = attributes.string_of(keys::PROVIDER);
        prices.cost(&model, provider.as_deref(), usage?)
    };
    let found = by_price().or_else(|| dialects::cost(attributes))?;
    attributes.set(keys::COST, Found::Text(found.json()));
    Some(found)
}

/// The value of an attribute, encoded once.
fn encoded(attributes: &Attributes<'_>, index: usize) -> Found {
    let Some(found) = attributes.string(index) else { return Found::At(index) };
    let mut out = String::with_capacity(found.len() + 2);
    text::quoted(&found, &mut out);
    Found::Text(out)
}

/// The model in the attributes of a dialect, else in the inputs, else in the outputs.
fn model(attributes: &Attributes<'_>) -> Option<Found> {
    if let Some(index) = dialects::model(attributes) {
        return Some(encoded(attributes, index));
    }
    for key in [keys::INPUTS, keys::OUTPUTS] {
        let Some(index) = attributes.find(key) else { continue };
        let value = attributes.text(index);
        if !value.contains("\"model\"") {
            continue;
        }
        let Some(value) = Json::parse(&value) else { continue };
        match value.get("model") {
            Some(Json::Text(name)) if !name.is_empty() => {
                let mut out = String::new();
                text::quoted(name, &mut out);
                return Some(Found::Text(out));
            }
            // The reference does not look further.
            Some(other) if other.is_truthy() => return None,
            _ => {}
        }
    }
    dialects::more_model(attributes).map(|index| encoded(attributes, index))
}
