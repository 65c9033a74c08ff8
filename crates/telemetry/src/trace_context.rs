//! W3C Trace Context: the headers `traceparent` and `tracestate` (<https://www.w3.org/TR/trace-context/>).

/// Maximum length of a `tracestate` that is passed on, in bytes: what the standard asks for.
const STATE: usize = 512;

/// What a client says about the trace that its request belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span of the client.
    pub span: u64,
    /// Whether the client records the trace.
    pub is_sampled: bool,
    /// `tracestate`, if it is short and printable.
    pub state: Option<Box<str>>,
}

impl TraceParent {
    /// Reads the two headers; `None` without a valid `traceparent`.
    #[must_use]
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let parent = parent.trim();
        let mut parts = parent.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have further parts; this one has four.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        hex(version, 2)?;
        let trace = hex(trace, 32)?;
        let span = u64::try_from(hex(span, 16)?).ok()?;
        let flags = hex(flags, 2)?;
        if trace == 0 || span == 0 {
            return None;
        }
        let is_plain = |text: &&str| text.len() <= STATE && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        let state = state.map(str::trim).filter(|text| !text.is_empty()).filter(is_plain).map(Into::into);
        Some(Self { trace, span, is_sampled: flags & 1 == 1, state })
    }
}

/// A number of exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_hex)).then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_header_names_trace_and_span() {
        let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = TraceParent::parse(header, Some("vendor=1")).unwrap();
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span, parent.is_sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(parent.state.as_deref(), Some("vendor=1"));
        assert!(!TraceParent::parse(&header.replace("-01", "-00"), None).unwrap().is_sampled);
        assert!(TraceParent::parse(&header.replace("00-0", "cc-0"), None).is_some(), "a later version");
        assert!(TraceParent::parse(&format!("cc{}-extra", &header[2..]), None).is_some());
    }

    #[test]
    fn other_headers_are_ignored() {
        for header in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(header, None), None, "{header}");
        }
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for state in ["", "a=\u{e9}", &"x".repeat(513)] {
            assert_eq!(TraceParent::parse(parent, Some(state)).unwrap().state, None);
        }
    }
}
