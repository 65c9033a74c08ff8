//! The answer to a request: `ExportTraceServiceResponse`.

use crate::{Batch, Encoding};

/// Encodes the answer. Without refused spans it is empty, which means success.
#[must_use]
pub fn response(batch: &Batch, encoding: Encoding) -> Vec<u8> {
    let message = batch.fault.map(|fault| fault.to_string()).unwrap_or_default();
    match encoding {
        Encoding::Json if batch.rejected == 0 => b"{}".to_vec(),
        Encoding::Json => {
            let mut out = format!(r#"{{"partialSuccess":{{"rejectedSpans":"{}","errorMessage":"#, batch.rejected);
            crate::text::quoted(&message, &mut out);
            out.push_str("}}");
            out.into_bytes()
        }
        Encoding::Protobuf if batch.rejected == 0 => Vec::new(),
        Encoding::Protobuf => {
            let mut partial = vec![1 << 3];
            varint(batch.rejected, &mut partial);
            partial.push(2 << 3 | 2);
            bytes(message.as_bytes(), &mut partial);
            let mut out = vec![1 << 3 | 2];
            bytes(&partial, &mut out);
            out
        }
    }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(0x80 | u8::try_from(value & 0x7f).unwrap_or_default());
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}
