//! Fuzzing: no body makes the decoders panic, and what they accept is stored as readable JSON.

use std::sync::LazyLock;

use ferroflow_otlp::{Encoding, Limits, response};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use crate::{encode, read_within, reference};

/// All requests of the corpus.
static REQUESTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let cases = reference::corpus().into_iter().flat_map(|(_, cases)| cases);
    cases.flat_map(|(_, requests)| requests).collect()
});

fn read(body: &[u8], encoding: Encoding) {
    if let Ok(batch) = read_within(body, encoding, Limits::default()) {
        for span in &batch.spans {
            assert!(serde_json::from_str::<Value>(&span.content.replace("NaN", "0")).is_ok(), "{}", span.content);
        }
        for trace in batch.traces.values() {
            let _ = (trace.usage(), trace.cost(), trace.duration_ms());
        }
        let _ = response(batch.rejected, &batch.message(), encoding);
    }
}

proptest! {
    #[test]
    fn damaged_protobuf_is_read_or_refused(which: Index, damage in vec((any::<Index>(), any::<u8>()), 1..4), end: Index) {
        let mut body = encode::request(&REQUESTS[which.index(REQUESTS.len())]);
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        read(&body, Encoding::Protobuf);
        body.truncate(end.index(body.len() + 1));
        read(&body, Encoding::Protobuf);
    }

    #[test]
    fn damaged_json_is_read_or_refused(which: Index, damage in vec((any::<Index>(), "[\\[\\]{}\",:0-9a-z\\\\]"), 1..4)) {
        let mut body = REQUESTS[which.index(REQUESTS.len())].to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte.as_bytes()[0];
        }
        read(&body, Encoding::Json);
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in vec(any::<u8>(), 0..64)) {
        read(&body, Encoding::Protobuf);
        read(&body, Encoding::Json);
    }
}
