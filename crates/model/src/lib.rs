//! The protocol: messages, entities, limits, validation and error codes. Pure: no I/O, and no state of the process but
//! the system's clock ([`clock`]).

// The derives name this crate as others see it.
extern crate self as ferroflow_model;

pub mod address;
pub mod archived_trace;
pub mod cache;
pub mod clock;
pub mod environment;
pub mod error;
pub mod evaluation;
pub mod host_policy;
pub mod limits;
pub mod messages;
pub mod model_source;
pub mod model_uri;
pub mod names;
pub mod number;
pub mod permission;
pub mod promptlab;
pub mod prompts;
pub mod python;
pub mod python_json;
pub mod quotas;
pub mod request;
pub mod rules;
pub mod trace_archival;
pub mod uri;
pub mod validation;
pub mod webhook;
pub mod wire;

pub use environment::Environment;
pub use error::{Error, ErrorClass, ErrorCode, Result};
