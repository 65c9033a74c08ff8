//! The content of a span as the database holds it: JSON, byte for byte as the reference writes it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    attributes::Attributes,
    message::{Code, Link, Span},
    text,
};

/// Writes a span with its translated attributes.
pub(crate) fn content(span: &Span<'_>, attributes: &Attributes<'_>, size: usize) -> String {
    let mut out = String::with_capacity(size);
    let mut scratch = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"trace_id": "{}", "span_id": "{}", "parent_span_id": "#,
        STANDARD.encode(span.trace.0.to_be_bytes()),
        STANDARD.encode(span.id.0.to_be_bytes()),
    );
    match span.parent {
        Some(parent) => drop(write!(out, r#""{}""#, STANDARD.encode(parent.0.to_be_bytes()))),
        None => out.push_str("null"),
    }
    out.push_str(r#", "name": "#);
    text::quoted(&span.name, &mut out);
    let _ = write!(out, r#", "start_time_unix_nano": {}, "end_time_unix_nano": {}, "events": ["#, span.start, span.end);
    for (index, event) in span.events.iter().enumerate() {
        out.push_str(if index == 0 { r#"{"name": "# } else { r#", {"name": "# });
        text::quoted(&event.name, &mut out);
        let _ = write!(out, r#", "time_unix_nano": {}, "attributes": "#, event.time);
        text::map(&event.attributes, &mut out, text::any);
        out.push('}');
    }
    let _ = write!(out, r#"], "status": {{"code": "STATUS_CODE_{}", "message": "#, span.status.code.name());
    // Only errors have a message.
    text::quoted(if span.status.code == Code::Error { &span.status.message } else { "" }, &mut out);
    out.push_str(r#"}, "attributes": "#);
    attributes.write(&mut scratch, &mut out);
    out.push_str(r#", "links": ["#);
    for (index, found) in span.links.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        link(found, &mut out);
    }
    out.push_str("]}");
    out
}

fn link(link: &Link<'_>, out: &mut String) {
    out.push_str(r#"{"trace_id": "tr-"#);
    hex(&link.trace, 32, out);
    out.push_str(r#"", "span_id": ""#);
    hex(&link.span, 16, out);
    out.push_str(r#"", "attributes": "#);
    if link.attributes.is_empty() {
        out.push_str("null");
    } else {
        text::link_attributes(&link.attributes, out);
    }
    out.push('}');
}

/// Writes an id as a number with at least `width` digits.
fn hex(id: &[u8], width: usize, out: &mut String) {
    let start = id.iter().position(|byte| *byte != 0).unwrap_or(id.len());
    let digits = id[start..].iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    // A leading zero is none of the number's digits.
    let digits = digits.strip_prefix('0').unwrap_or(&digits);
    let _ = write!(out, "{digits:0>width$}");
}
