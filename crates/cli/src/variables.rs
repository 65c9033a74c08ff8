//! Settings that are environment variables and no flags. An empty variable is unset.

use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use ferroflow_model::Environment;

/// The value of a boolean variable.
///
/// # Errors
/// The value is neither true nor false.
pub(crate) fn flag(environment: &Environment, name: &str) -> Result<Option<bool>> {
    match environment.get(name).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("false" | "0") => Ok(Some(false)),
        Some("true" | "1") => Ok(Some(true)),
        Some(other) => bail!("{name}={other} is not one of true, false, 1, 0"),
    }
}

/// The value of a variable that is a number.
///
/// # Errors
/// The value is not a number of the type.
pub(crate) fn number<T: FromStr>(environment: &Environment, name: &str) -> Result<Option<T>> {
    let Some(text) = environment.get(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| anyhow!("{name}={text} is not a number in range"))
}
