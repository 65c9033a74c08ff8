//! The prices of the corpus.

use ferroflow_otlp::{Prices, Rates};
use serde_json::Value;

/// Reads `../data/prices.json`, which has the form of the reference's catalogue.
pub(crate) fn prices() -> Prices {
    let catalogue: Value = serde_json::from_str(include_str!("../data/prices.json")).unwrap();
    let mut prices = Prices::default();
    for (provider, models) in catalogue.as_object().unwrap() {
        for (model, entry) in models.as_object().unwrap() {
            let price = |name: &str| entry["pricing"][name].as_f64().map(|price| price / 1e6);
            let rates = Rates {
                input: price("input_per_million_tokens"),
                output: price("output_per_million_tokens"),
                cache_read: price("cache_read_per_million_tokens"),
                cache_write: price("cache_write_per_million_tokens"),
                cache_write_1h: price("cache_write_1hr_per_million_tokens"),
            };
            prices.insert(provider, model, rates);
        }
    }
    prices
}
