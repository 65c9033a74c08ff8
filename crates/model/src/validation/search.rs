//! Searches.

use crate::{Error, Result, limits};

/// Checks a page size.
pub fn max_results(max_results: i64) -> Result<()> {
    let must = if max_results < 1 {
        "a positive integer".to_owned()
    } else if max_results > limits::SEARCH_RESULTS {
        format!("at most {}", limits::SEARCH_RESULTS)
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("Invalid value {max_results} for parameter 'max_results' supplied. It must be {must}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_to_fifty_thousand_rows() {
        assert_eq!((max_results(1), max_results(50_000)), (Ok(()), Ok(())));
        assert_eq!(
            max_results(0).unwrap_err().message,
            "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"
        );
        assert_eq!(
            max_results(50_001).unwrap_err().message,
            "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"
        );
    }
}
