//! Rust names of the items in a proto file.

/// The module of a proto file: `opentelemetry/proto/trace/v1/trace.proto` becomes `trace`.
pub(super) fn module(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file).trim_end_matches(".proto")
}

/// The Rust name of a message or enum: `mlflow.CreateRun.Response` becomes `CreateRunResponse`.
pub(super) fn type_name(full_name: &str) -> String {
    full_name.split('.').filter(|part| part.starts_with(|c: char| c.is_ascii_uppercase())).collect()
}

/// `LOGGED_MODEL_READY` becomes `LoggedModelReady`.
pub(super) fn variant(name: &str) -> String {
    let capitalise = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + &chars.as_str().to_ascii_lowercase()
        })
    };
    name.split('_').map(capitalise).collect()
}

/// The name of a value that the derive gives a variant: `LoggedModelReady` becomes `LOGGED_MODEL_READY`.
pub(super) fn value_name(variant: &str) -> String {
    let mut out = String::new();
    for char in variant.chars() {
        if char.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(char.to_ascii_uppercase());
    }
    out
}

/// The spelling of a field in JSON that the derive gives it: `run_view_type` becomes `runViewType`.
pub(super) fn json_name(name: &str) -> String {
    let words = variant(name);
    words.chars().take(1).map(|first| first.to_ascii_lowercase()).chain(words.chars().skip(1)).collect()
}

pub(super) fn ident(name: &str) -> String {
    if matches!(name, "type" | "ref" | "match" | "in" | "use" | "as" | "fn" | "impl" | "loop" | "move") {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}

/// Whether `body` contains `name` as a whole word.
pub(super) fn uses(body: &str, name: &str) -> bool {
    body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

/// 200000 becomes `200_000`.
pub(super) fn separated(number: i64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}
