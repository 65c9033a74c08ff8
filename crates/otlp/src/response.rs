//! The answer to a request: `ExportTraceServiceResponse`, or `google.rpc.Status`.

use crate::Encoding;

/// Encodes the answer: the number of refused spans, and why the first of them is refused. Without any it is empty, which
/// means success.
#[must_use]
pub fn response(rejected: u64, message: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json if rejected == 0 => b"{}".to_vec(),
        Encoding::Json => {
            let mut out = format!(r#"{{"partialSuccess":{{"rejectedSpans":"{rejected}","errorMessage":"#);
            crate::text::quoted(message, &mut out);
            out.push_str("}}");
            out.into_bytes()
        }
        Encoding::Protobuf if rejected == 0 => Vec::new(),
        Encoding::Protobuf => {
            let mut partial = vec![1 << 3];
            varint(rejected, &mut partial);
            partial.push(2 << 3 | 2);
            bytes(message.as_bytes(), &mut partial);
            let mut out = vec![1 << 3 | 2];
            bytes(&partial, &mut out);
            out
        }
    }
}

/// Encodes an error, `google.rpc.Status`. `code` is one of gRPC, below 128.
#[must_use]
pub fn status(code: u8, message: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let mut out = format!(r#"{{"code":{code},"message":"#);
            crate::text::quoted(message, &mut out);
            out.push('}');
            out.into_bytes()
        }
        Encoding::Protobuf => {
            let mut out = vec![1 << 3, code, 2 << 3 | 2];
            bytes(message.as_bytes(), &mut out);
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
