//! The file of an archived trace, whose content `ferroflow-otlp` reads and writes.

/// Its name.
pub const FILE: &str = "traces.pb";

/// Maximum size of a payload, in bytes, for reading and writing.
pub const MAX_PAYLOAD: usize = 128 * 1024 * 1024;
