//! Decodes protobuf without a copy. A derived decoder (prost) builds the whole request with a `String` for each text
//! before anything can be counted; here a text is a slice of the body, and the bounds hold while reading.

use std::borrow::Cow;

use super::{
    Visit,
    budget::{Budget, Stop, id, parent},
};
use crate::{
    Limits, RequestError, SpanError,
    limits::{EVENT_VALUE, MAX_LINK_ID, MAX_MESSAGES, RESOURCE_VALUE, SPAN_VALUE},
    message::{AnyValue, Code, Event, KeyValue, Link, Span, SpanId, Status, TraceId},
};

/// The value of a field, by its wire type.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Wire<'a> {
    fn bytes(self) -> Result<&'a [u8], RequestError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(RequestError::Malformed) }
    }

    fn fixed64(self) -> Result<u64, RequestError> {
        if let Self::Fixed64(number) = self { Ok(number) } else { Err(RequestError::Malformed) }
    }

    fn varint(self) -> Result<u64, RequestError> {
        if let Self::Varint(number) = self { Ok(number) } else { Err(RequestError::Malformed) }
    }

    fn text(self) -> Result<Cow<'a, str>, Stop> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => Err(SpanError::Utf8.into()),
        }
    }
}

/// The fields of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte holds one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => self.take(4).map(|_| Wire::Fixed32)?,
            // Groups, which these messages never had.
            _ => return None,
        };
        (tag >> 3 != 0).then_some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), RequestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() { None } else { Some(self.field().ok_or(RequestError::Malformed)) }
    }
}

/// Visits the spans of an `ExportTraceServiceRequest`.
pub(super) fn spans(body: &[u8], limits: &Limits, visit: Visit<'_>) -> Result<(), RequestError> {
    let mut budget = Budget::new(limits);
    let mut is_empty = true;
    for field in Fields(body) {
        if let (1, value) = field? {
            is_empty = false;
            resource_spans(value.bytes()?, &mut budget, visit)?;
        }
    }
    if is_empty { Err(RequestError::Empty) } else { Ok(()) }
}

fn resource_spans(bytes: &[u8], budget: &mut Budget, visit: Visit<'_>) -> Result<(), RequestError> {
    let mut resource = Ok(Vec::new());
    // The resource may come after the spans.
    for field in Fields(bytes) {
        if let (1, value) = field? {
            budget.resource();
            resource = match attributes(value.bytes()?, 1, RESOURCE_VALUE, budget) {
                Err(Stop::Request(error)) => return Err(error),
                Err(Stop::Span(error)) => Err(error),
                Ok(found) => Ok(found),
            };
        }
    }
    for field in Fields(bytes) {
        let (2, group) = field? else { continue };
        for field in Fields(group.bytes()?) {
            let (2, value) = field? else { continue };
            let value = value.bytes()?;
            budget.span()?;
            let decoded = match span(value, budget) {
                Err(Stop::Request(error)) => return Err(error),
                Err(Stop::Span(error)) => Err(error),
                Ok(span) => Ok(span),
            };
            match &resource {
                Ok(resource) => visit(resource, decoded),
                // A resource that cannot be read is an error of each of its spans.
                Err(error) => visit(&[], decoded.and(Err(*error))),
            }
        }
    }
    Ok(())
}

fn span<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Span<'a>, Stop> {
    let (mut trace, mut own, mut above): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let mut span = Span {
        trace: TraceId(0),
        id: SpanId(0),
        parent: None,
        name: Cow::Borrowed(""),
        start: 0,
        end: 0,
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        status: Status::default(),
    };
    let mut fault = None;
    for field in Fields(bytes) {
        let (number, value) = field?;
        // A fault of the span is reported after the rest, because a fault of the request comes first.
        let mut read = || {
            match number {
                1 => trace = value.bytes()?,
                2 => own = value.bytes()?,
                4 => above = value.bytes()?,
                5 => span.name = value.text()?,
                7 => span.start = value.fixed64()?,
                8 => span.end = value.fixed64()?,
                9 => span.attributes.push(key_value(value.bytes()?, SPAN_VALUE, budget)?),
                11 => span.events.push(event(value.bytes()?, budget)?),
                13 => span.links.push(link(value.bytes()?, budget)?),
                15 => span.status = status(value.bytes()?)?,
                _ => {}
            }
            Ok(())
        };
        match read() {
            Err(Stop::Span(error)) => fault = fault.or(Some(error)),
            other => other?,
        }
    }
    if let Some(error) = fault {
        return Err(error.into());
    }
    span.trace = TraceId(u128::from_be_bytes(id("trace_id", trace)?));
    span.id = SpanId(u64::from_be_bytes(id("span_id", own)?));
    span.parent = parent(above)?.map(SpanId);
    Ok(span)
}

fn event<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Event<'a>, Stop> {
    budget.value()?;
    let mut event = Event { time: 0, name: Cow::Borrowed(""), attributes: Vec::new() };
    for field in Fields(bytes) {
        match field? {
            (1, value) => event.time = value.fixed64()?,
            (2, value) => event.name = value.text()?,
            (3, value) => event.attributes.push(key_value(value.bytes()?, EVENT_VALUE, budget)?),
            _ => {}
        }
    }
    Ok(event)
}

fn link<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Link<'a>, Stop> {
    budget.value()?;
    let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
    let mut attributes = Vec::new();
    for field in Fields(bytes) {
        match field? {
            (1, value) => trace = value.bytes()?,
            (2, value) => span = value.bytes()?,
            (4, value) => attributes.push(key_value(value.bytes()?, EVENT_VALUE, budget)?),
            _ => {}
        }
    }
    if trace.len() > MAX_LINK_ID || span.len() > MAX_LINK_ID {
        return Err(SpanError::Id("the id of a link").into());
    }
    Ok(Link { trace: Cow::Borrowed(trace), span: Cow::Borrowed(span), attributes })
}

fn status(bytes: &[u8]) -> Result<Status<'_>, Stop> {
    let mut status = Status::default();
    for field in Fields(bytes) {
        match field? {
            (2, value) => status.message = value.text()?,
            (3, value) => status.code = Code::of(value.varint()?),
            _ => {}
        }
    }
    Ok(status)
}

/// The attributes in the repeated field `number` of a message.
fn attributes<'a>(bytes: &'a [u8], number: u64, depth: usize, budget: &mut Budget) -> Result<Vec<KeyValue<'a>>, Stop> {
    let mut found = Vec::new();
    for field in Fields(bytes) {
        let (field, value) = field?;
        if field == number {
            found.push(key_value(value.bytes()?, depth, budget)?);
        }
    }
    Ok(found)
}

/// `depth` is that of the value.
fn key_value<'a>(bytes: &'a [u8], depth: usize, budget: &mut Budget) -> Result<KeyValue<'a>, Stop> {
    budget.value()?;
    let mut pair = KeyValue { key: Cow::Borrowed(""), value: AnyValue::Null };
    for field in Fields(bytes) {
        match field? {
            (1, value) => pair.key = value.text()?,
            (2, value) => pair.value = any(value.bytes()?, depth, budget)?,
            _ => {}
        }
    }
    Ok(pair)
}

fn any<'a>(bytes: &'a [u8], depth: usize, budget: &mut Budget) -> Result<AnyValue<'a>, Stop> {
    if depth > MAX_MESSAGES {
        return Err(SpanError::TooDeep.into());
    }
    let mut found = AnyValue::Null;
    for field in Fields(bytes) {
        found = match field? {
            (1, value) => AnyValue::Text(value.text()?),
            (2, value) => AnyValue::Bool(value.varint()? != 0),
            (3, value) => AnyValue::Int(value.varint()?.cast_signed()),
            (4, value) => AnyValue::Double(f64::from_bits(value.fixed64()?)),
            (5, value) => array(value.bytes()?, depth + 2, budget)?,
            (6, value) => AnyValue::Map(attributes(value.bytes()?, 1, depth + 3, budget)?),
            (7, value) => AnyValue::Bytes(Cow::Borrowed(value.bytes()?)),
            _ => continue,
        };
    }
    Ok(found)
}

fn array<'a>(bytes: &'a [u8], depth: usize, budget: &mut Budget) -> Result<AnyValue<'a>, Stop> {
    let mut items = Vec::new();
    for field in Fields(bytes) {
        if let (1, value) = field? {
            budget.value()?;
            items.push(any(value.bytes()?, depth, budget)?);
        }
    }
    Ok(AnyValue::Array(items))
}
