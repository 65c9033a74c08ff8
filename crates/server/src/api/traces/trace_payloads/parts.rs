//! The spans of a trace in parts: a large trace is never in memory as a whole.

use std::{io, pin::Pin};

use bytes::Bytes;
use ferroflow_model::Result;
use ferroflow_otlp::ArchivedTrace;
use ferroflow_store::SpanPlace;
use futures_util::{Stream, StreamExt as _, stream};

use super::archive::Permit;
use crate::app::Cx;

/// Maximum size of the spans of a part, in bytes, if there are several.
const PART_SIZE: usize = 1024 * 1024;

/// Maximum number of spans of a part.
const PART_SPANS: usize = 500;

/// Spans in the JSON form in which they are stored.
pub(in crate::api::traces) type SpanParts = Pin<Box<dyn Stream<Item = io::Result<Vec<String>>> + Send>>;

/// No spans.
pub(in crate::api::traces) fn none() -> SpanParts {
    stream::empty().boxed()
}

/// Spans that are in memory.
pub(super) fn of(spans: Vec<String>, permit: Permit) -> SpanParts {
    let parts = stream::iter([Ok(spans)]);
    parts.chain(until_end(permit)).boxed()
}

/// Spans of an archive, decoded one by one.
pub(super) fn of_archive(trace: ArchivedTrace, permit: Permit) -> SpanParts {
    let parts = stream::iter(trace.into_json().map(|span| Ok(vec![span.map_err(io::Error::other)?])));
    parts.chain(until_end(permit)).boxed()
}

/// Holds the memory of a payload until its last span is sent: others wait for it.
fn until_end(permit: Permit) -> impl Stream<Item = io::Result<Vec<String>>> {
    stream::once(async move { drop(permit) }).filter_map(|()| std::future::ready(None))
}

/// Spans in the database; `None` if some have been archived or deleted since their places were read. That is known
/// before the answer begins for the first part, and later ends the connection.
pub(in crate::api::traces) async fn of_database(
    cx: &Cx,
    trace_id: &str,
    places: &[SpanPlace],
) -> Result<Option<SpanParts>> {
    let mut parts = split(places).into_iter();
    let Some(ids) = parts.next() else { return Ok(None) };
    let first = cx.store().span_contents(trace_id, &ids).await?;
    if first.len() < ids.len() {
        return Ok(None);
    }
    let state = (cx.clone(), trace_id.to_owned(), parts);
    let rest = stream::unfold(state, |(cx, trace_id, mut parts)| async move {
        let ids = parts.next()?;
        let part = match cx.store().span_contents(&trace_id, &ids).await {
            Ok(part) if part.len() == ids.len() => Ok(part),
            Ok(_) => Err(io::Error::other("spans were archived or deleted while they were read")),
            Err(error) => Err(io::Error::other(error.message)),
        };
        Some((part, (cx, trace_id, parts)))
    });
    Ok(Some(stream::iter([Ok(first)]).chain(rest).boxed()))
}

/// The ids of the spans of each part.
fn split(places: &[SpanPlace]) -> Vec<Vec<String>> {
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut size = 0;
    for place in places {
        size += place.size;
        match parts.last_mut() {
            Some(part) if size <= PART_SIZE && part.len() < PART_SPANS => part.push(place.id.clone()),
            _ => {
                parts.push(vec![place.id.clone()]);
                size = place.size;
            }
        }
    }
    parts
}

/// The spans as elements of a JSON list, each as `write` converts it; it may leave one out. `open` comes before the first
/// element and `close` behind the last one, if there are any.
pub(in crate::api::traces) fn list(
    spans: SpanParts,
    (open, close): (&'static str, &'static str),
    write: impl Fn(String) -> Option<String> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let parts = spans.map(Some).chain(stream::iter([None]));
    parts.scan(true, move |is_empty, part| {
        let mut out = String::new();
        match part {
            Some(Ok(spans)) => {
                for span in spans.into_iter().filter_map(&write) {
                    out.push_str(if std::mem::take(is_empty) { open } else { "," });
                    out.push_str(&span);
                }
            }
            Some(Err(error)) => return std::future::ready(Some(Err(error))),
            None if *is_empty => {}
            None => out.push_str(close),
        }
        std::future::ready(Some(Ok(Bytes::from(out))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: usize, size: usize) -> SpanPlace {
        SpanPlace { id: id.to_string(), size }
    }

    #[test]
    fn a_part_is_bounded_by_size_and_number() {
        let lengths = |places: &[SpanPlace]| split(places).iter().map(Vec::len).collect::<Vec<_>>();
        assert!(split(&[]).is_empty());
        assert_eq!(lengths(&[place(1, 3 * PART_SIZE), place(2, 1), place(3, PART_SIZE)]), [1, 1, 1]);
        assert_eq!(lengths(&[place(1, PART_SIZE / 2), place(2, PART_SIZE / 2), place(3, 1)]), [2, 1]);
        let many: Vec<SpanPlace> = (0..1201).map(|id| place(id, 1)).collect();
        assert_eq!(lengths(&many), [500, 500, 201]);
        assert_eq!(split(&many).concat(), many.iter().map(|place| place.id.clone()).collect::<Vec<_>>());
    }

    async fn text(parts: SpanParts) -> String {
        let bytes: Vec<io::Result<Bytes>> =
            list(parts, ("[", "]"), |span| (span != "x").then_some(span)).collect().await;
        let bytes: Vec<u8> = bytes.into_iter().flat_map(std::result::Result::unwrap).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn elements_are_separated_across_parts() {
        let part = |spans: &[&str]| Ok(spans.iter().map(|span| (*span).to_owned()).collect());
        let parts = stream::iter([part(&["1", "x", "2"]), part(&["x"]), part(&["3"])]).boxed();
        assert_eq!(text(parts).await, "[1,2,3]");
        assert_eq!(text(stream::iter([part(&["x"]), part(&[])]).boxed()).await, "");
        assert_eq!(text(none()).await, "");
    }
}
