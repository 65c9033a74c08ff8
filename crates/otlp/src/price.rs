//! The cost of a model's call.

use std::collections::HashMap;

use crate::usage::{Cost, Usage};

/// The prices of a model in USD for each token. Absent prices are those of the reference's catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Of the input.
    pub input: Option<f64>,
    /// Of the output.
    pub output: Option<f64>,
    /// Of input that is read from a cache; that of the input if absent.
    pub cache_read: Option<f64>,
    /// Of input that is written to a cache; that of the input if absent.
    pub cache_write: Option<f64>,
    /// Of input that is written to a cache for an hour; `cache_write` if absent.
    pub cache_write_1h: Option<f64>,
}

/// The prices of all models.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    /// By model: its providers in alphabetical order.
    models: HashMap<String, Vec<(String, Rates)>>,
}

/// Names of routes, which are not models.
const ROUTES: [&str; 2] = ["gateway:/", "endpoints:/"];

impl Prices {
    /// Adds a model of a provider, both as in the catalogue.
    pub fn insert(&mut self, provider: &str, model: &str, rates: Rates) {
        let providers = self.models.entry(model.to_owned()).or_default();
        let at = providers.partition_point(|(known, _)| known.as_str() < provider);
        providers.insert(at, (provider.to_owned(), rates));
    }

    /// The prices of a model of this provider, or else of the first provider that has a price for its input.
    fn rates(&self, model: &str, provider: Option<&str>) -> Option<&Rates> {
        let bare = model.split_once('/').map_or(model, |(_, bare)| bare);
        let providers = self.models.get(bare)?;
        let own = provider.map(str::to_lowercase);
        let own = providers.iter().find(|(known, _)| Some(known) == own.as_ref());
        let priced = || providers.iter().find(|(_, rates)| rates.input.is_some_and(|price| price != 0.0));
        own.or_else(priced).or_else(|| providers.first()).map(|(_, rates)| rates)
    }

    /// The cost of a call, as the reference computes it; `None` if the model is unknown or nothing was used.
    #[must_use]
    pub fn cost(&self, model: &str, provider: Option<&str>, usage: &Usage) -> Option<Cost> {
        let [input, output, _, read, written, written_1h] = usage.0.map(|count| count.unwrap_or(0));
        if model.is_empty() || ROUTES.iter().any(|route| model.starts_with(route)) || (input == 0 && output == 0) {
            return None;
        }
        let is_databricks = model.starts_with("databricks-") || model.starts_with("databricks/");
        let provider = provider.filter(|name| !name.is_empty()).or(is_databricks.then_some("databricks"));
        let rates = self.rates(model, provider)?;
        let price = rates.input.unwrap_or(0.0);
        let plain = input.saturating_sub(read).saturating_sub(written).max(0);
        let for_an_hour = written_1h.min(written);
        let for_minutes = written.saturating_sub(for_an_hour);
        let write_price = rates.cache_write.unwrap_or(price);
        let mut input_cost = of(plain, price);
        for (tokens, price) in [
            (read, rates.cache_read.unwrap_or(price)),
            (for_minutes, write_price),
            (for_an_hour, rates.cache_write_1h.unwrap_or(write_price)),
        ] {
            if tokens > 0 {
                input_cost += of(tokens, price);
            }
        }
        let output_cost = of(output, rates.output.unwrap_or(0.0));
        Some(Cost([Some(input_cost), Some(output_cost), Some(input_cost + output_cost)]))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^53")]
fn of(tokens: i64, price: f64) -> f64 {
    tokens as f64 * price
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        let mut prices = Prices::default();
        let rates = Rates { input: Some(2.0), output: Some(3.0), ..Rates::default() };
        prices.insert("openai", "m", rates);
        prices.insert("azure", "m", Rates::default());
        prices.insert(
            "anthropic",
            "c",
            Rates { cache_read: Some(0.5), cache_write: Some(4.0), cache_write_1h: Some(8.0), ..rates },
        );
        prices.insert("databricks", "databricks-d", rates);
        prices
    }

    fn total(model: &str, provider: Option<&str>, usage: [Option<i64>; 6]) -> Option<f64> {
        prices().cost(model, provider, &Usage(usage))?.0[2]
    }

    #[test]
    fn the_provider_is_asked_first_and_then_who_has_a_price() {
        let usage = [Some(1), Some(1), None, None, None, None];
        assert_eq!(total("m", None, usage), Some(5.0));
        assert_eq!(total("openai/m", Some("OpenAI"), usage), Some(5.0));
        assert_eq!(total("m", Some("azure"), usage), Some(0.0));
        assert_eq!(total("m", Some("unknown"), usage), Some(5.0));
        assert_eq!(total("databricks-d", None, usage), Some(5.0));
        assert_eq!(total("x", None, usage), None);
        assert_eq!(total("gateway:/m", None, usage), None);
        assert_eq!(total("m", None, [None, Some(0), Some(9), None, None, None]), None);
    }

    #[test]
    fn cached_tokens_have_prices_of_their_own() {
        // 10 tokens: 4 plain, 3 read, 2 written for minutes, 1 for an hour.
        let usage = [Some(10), Some(0), None, Some(3), Some(3), Some(1)];
        assert_eq!(total("c", None, usage), Some(8.0 + 1.5 + 8.0 + 8.0));
        assert_eq!(total("m", None, usage), Some(20.0));
        // More cached than sent: nothing is left for the plain price.
        assert_eq!(total("c", None, [Some(1), None, None, Some(3), None, None]), Some(1.5));
    }
}
