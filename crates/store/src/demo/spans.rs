//! The spans of a trace of the sample data, as a client of OpenTelemetry sends them.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    data::{Data, Item, Kind, Model, Prompt, Tool},
    prompts::full_name,
};

/// A conversation so far, by the version of the agent and the session.
pub(super) type Conversations<'a> = HashMap<&'a str, Vec<Value>>;

/// A span that is not placed in time yet.
struct Step {
    name: String,
    kind: &'static str,
    inputs: Value,
    outputs: Value,
    /// Attributes about the call of a model.
    call: Vec<Value>,
    /// Its share of the time.
    weight: u64,
}

/// A trace that is not stored yet.
pub(super) struct Draft {
    /// 32 hexadecimal digits.
    pub(super) id: String,
    pub(super) name: String,
    /// The spans, in OTLP's JSON.
    pub(super) spans: Vec<Value>,
    /// The version of the registry's prompt that it uses, with its name.
    pub(super) prompt: Option<(String, i128)>,
}

/// When a trace begins and how long it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    pub(super) start_ms: i64,
    pub(super) duration_ms: i64,
}

/// The trace of an item by a version of the agent. `turn` is the number of items of the same prompt or session before it.
pub(super) fn draft<'a>(
    data: &'a Data,
    item: &'a Item,
    version: usize,
    turn: usize,
    before: &mut Conversations<'a>,
    time: Time,
) -> Draft {
    let answer = &item.answers[version];
    let question = json!({ "role": "user", "content": item.query });
    let (name, kind, steps, prompt) = match item.kind {
        Kind::Rag => ("answer_question", "CHAIN", rag(data, item, answer), None),
        Kind::Agent => ("desk_agent", "AGENT", agent(data, item, answer, &[], 1), None),
        Kind::Session => {
            let said = before.entry(item.session.as_str()).or_default();
            let steps = agent(data, item, answer, said, turn);
            said.extend([question.clone(), json!({ "role": "assistant", "content": answer })]);
            ("desk_agent", "AGENT", steps, None)
        }
        Kind::Prompt => {
            // The first version of the agent uses the first half of the versions, the other one the second half.
            let number = version * 2 + turn % 2;
            let prompt = data.prompts.iter().find(|prompt| prompt.name == item.prompt);
            let steps = prompt.map_or_else(Vec::new, |prompt| filled(data, item, answer, prompt, number));
            let used = (full_name(&item.prompt), i128::try_from(number + 1).unwrap_or(1));
            ("fill_in_and_ask", "CHAIN", steps, Some(used))
        }
        Kind::Media => (item.name.as_str(), "CHAT_MODEL", Vec::new(), None),
    };
    let root = match item.kind {
        Kind::Media => Step {
            name: name.to_owned(),
            kind,
            inputs: item.inputs.clone(),
            outputs: if item.outputs.is_null() { said(answer) } else { item.outputs.clone() },
            call: [
                vec![attribute("mlflow.message.format", &json!("openai"))],
                usage(&data.models[0], 210, tokens(answer)),
            ]
            .concat(),
            weight: 1,
        },
        _ => Step {
            name: name.to_owned(),
            kind,
            inputs: json!({ "messages": [question] }),
            outputs: said(answer),
            call: Vec::new(),
            weight: 1,
        },
    };
    let id = uuid::Uuid::new_v4().simple().to_string();
    Draft { spans: placed(&id, root, steps, time), id, name: name.to_owned(), prompt }
}

/// The root span and its steps, one after the other.
fn placed(trace: &str, root: Step, steps: Vec<Step>, time: Time) -> Vec<Value> {
    let start = u64::try_from(time.start_ms).unwrap_or_default() * 1_000_000;
    let duration = u64::try_from(time.duration_ms).unwrap_or_default() * 1_000_000;
    let root_id = span_id();
    let mut spans = vec![span(trace, &root_id, None, root, start, start + duration)];
    let total: u64 = steps.iter().map(|step| step.weight).sum();
    // The agent itself takes the first and the last hundredth.
    let (mut at, rest) = (start + duration / 100, duration / 100 * 98);
    for step in steps {
        let end = at + rest / total * step.weight;
        spans.push(span(trace, &span_id(), Some(&root_id), step, at, end));
        at = end;
    }
    spans
}

fn span(trace: &str, id: &str, parent: Option<&str>, step: Step, start: u64, end: u64) -> Value {
    let mut attributes = vec![
        attribute("mlflow.spanType", &json!(step.kind)),
        attribute("mlflow.spanInputs", &step.inputs),
        attribute("mlflow.spanOutputs", &step.outputs),
    ];
    attributes.extend(step.call);
    json!({
        "traceId": trace,
        "spanId": id,
        "parentSpanId": parent.unwrap_or_default(),
        "name": step.name,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes,
        "status": { "code": 1 },
    })
}

/// A random id of 8 bytes in hexadecimal digits.
fn span_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..16].to_owned()
}

/// An attribute, whose value is sent as a text of JSON unless it is a text itself.
fn attribute(key: &str, value: &Value) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    json!({ "key": key, "value": { "stringValue": text } })
}

/// The question is embedded, rules are retrieved, and a model reads them.
fn rag(data: &Data, item: &Item, answer: &str) -> Vec<Step> {
    let documents: Vec<Value> = item
        .documents
        .as_array()
        .into_iter()
        .flatten()
        .map(|document| {
            json!({
                "id": document["id"],
                "page_content": document["title"],
                "metadata": { "doc_uri": document["id"], "score": document["score"] },
            })
        })
        .collect();
    let step = |name: &str, kind, inputs, outputs, weight| Step {
        name: name.to_owned(),
        kind,
        inputs,
        outputs,
        call: Vec::new(),
        weight,
    };
    let embedding = json!({ "dimensions": 384, "embedding": [0.021, -0.147, 0.083, 0.302, -0.054] });
    let mut messages = opening(data, &[], &item.query);
    messages.push(json!({ "role": "user", "content": format!("Rules: {}", item.documents) }));
    vec![
        step("embed_question", "EMBEDDING", json!({ "text": item.query }), embedding, 1),
        step("search_rules", "RETRIEVER", json!({ "query": item.query, "top_k": 3 }), json!(documents), 2),
        call(&data.models[0], &messages, &item.tools, said(answer), tokens(answer)),
    ]
}

/// A model decides about each tool before it is called, and answers at the end.
fn agent(data: &Data, item: &Item, answer: &str, before: &[Value], turn: usize) -> Vec<Step> {
    let model = &data.models[turn % data.models.len()];
    let mut messages = opening(data, before, &item.query);
    let mut steps = Vec::new();
    for (index, tool) in item.tools.iter().enumerate() {
        let id = format!("call-{}", index + 1);
        let function = json!({ "name": tool.name, "arguments": tool.inputs.to_string() });
        let decision = json!({
            "role": "assistant",
            "content": null,
            "tool_calls": [{ "id": id, "type": "function", "function": function }],
        });
        let outputs = json!({ "choices": [{ "message": decision, "finish_reason": "tool_calls" }] });
        steps.push(call(model, &messages, &item.tools, outputs, tokens(&function.to_string())));
        steps.push(Step {
            name: tool.name.clone(),
            kind: "TOOL",
            inputs: tool.inputs.clone(),
            outputs: tool.outputs.clone(),
            call: Vec::new(),
            weight: 2,
        });
        messages.push(decision);
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": tool.outputs.to_string() }));
    }
    steps.push(call(model, &messages, &item.tools, said(answer), tokens(answer)));
    steps
}

/// A version of a prompt is filled in, and a model is asked.
fn filled(data: &Data, item: &Item, answer: &str, prompt: &Prompt, number: usize) -> Vec<Step> {
    let template = &prompt.versions[number].template;
    let messages = template.filled(&item.variables);
    vec![
        Step {
            name: "fill_in".to_owned(),
            kind: "CHAIN",
            inputs: json!({ "template": template.shown(), "variables": item.variables }),
            outputs: json!({ "messages": messages }),
            call: Vec::new(),
            weight: 1,
        },
        call(&data.models[2], &messages, &[], said(answer), tokens(answer)),
    ]
}

/// The messages before an answer.
fn opening(data: &Data, before: &[Value], query: &str) -> Vec<Value> {
    let mut messages = vec![json!({ "role": "system", "content": data.system })];
    messages.extend_from_slice(before);
    messages.push(json!({ "role": "user", "content": query }));
    messages
}

/// A model's answer, as of a chat completion.
fn said(answer: &str) -> Value {
    json!({ "choices": [{ "message": { "role": "assistant", "content": answer }, "finish_reason": "stop" }] })
}

/// The call of a model.
fn call(model: &Model, messages: &[Value], tools: &[Tool], outputs: Value, output_tokens: u32) -> Step {
    let mut inputs = json!({ "model": model.name, "messages": messages });
    let input_tokens = tokens(&inputs.to_string());
    if !tools.is_empty() {
        inputs["tools"] = tools.iter().map(described).collect();
    }
    Step {
        name: model.span.clone(),
        kind: "LLM",
        inputs,
        outputs,
        call: usage(model, input_tokens, output_tokens),
        weight: 5,
    }
}

/// The description of a tool for a model.
fn described(tool: &Tool) -> Value {
    let kind = |value: &Value| match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) | Value::Null => "string",
    };
    let parameters = tool.inputs.as_object().into_iter().flatten();
    let parameters: serde_json::Map<String, Value> =
        parameters.map(|(name, value)| (name.clone(), json!({ "type": kind(value) }))).collect();
    json!({
        "type": "function",
        "function": { "name": tool.name, "parameters": { "type": "object", "properties": parameters } },
    })
}

/// The attributes with the model, the tokens of a call and what they cost.
fn usage(model: &Model, input: u32, output: u32) -> Vec<Value> {
    let price = |tokens: u32, price: f64| f64::from(tokens) * price / 1_000_000.0;
    let (input_cost, output_cost) = (price(input, model.input_price), price(output, model.output_price));
    let cost = json!({ "input_cost": input_cost, "output_cost": output_cost, "total_cost": input_cost + output_cost });
    let tokens = json!({ "input_tokens": input, "output_tokens": output, "total_tokens": input + output });
    vec![
        attribute("mlflow.llm.model", &json!(model.name)),
        attribute("mlflow.llm.provider", &json!(model.provider)),
        attribute("mlflow.chat.tokenUsage", &tokens),
        attribute("mlflow.llm.cost", &cost),
    ]
}

/// About the number of tokens of a text.
fn tokens(text: &str) -> u32 {
    u32::try_from(text.len() / 4).unwrap_or(u32::MAX).max(1)
}
