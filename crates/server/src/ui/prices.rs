//! The prices of models: the catalogue in the reference's wheel.
//!
//! An installed package has it among its files. What is downloaded or packaged has it beside the files of the UI, in
//! `model-catalog-VERSION`. Without it costs are left out, unless clients send them.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ferroflow_otlp::{Prices, Rates};
use serde::Deserialize;
use tokio::time::Instant;

use super::{UiConfig, sources};

/// How often a missing catalogue is looked for: the wheel may have been downloaded meanwhile.
const RETRY: Duration = Duration::from_secs(60);

/// A file of the catalogue: the models of a provider, which is its name.
#[derive(Deserialize)]
struct Provider {
    #[serde(default)]
    models: HashMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    pricing: Option<Pricing>,
}

/// Prices in USD for a million tokens.
#[derive(Deserialize)]
struct Pricing {
    input_per_million_tokens: Option<f64>,
    output_per_million_tokens: Option<f64>,
    cache_read_per_million_tokens: Option<f64>,
    cache_write_per_million_tokens: Option<f64>,
    cache_write_1hr_per_million_tokens: Option<f64>,
}

impl From<Pricing> for Rates {
    fn from(pricing: Pricing) -> Self {
        let each = |price: Option<f64>| price.map(|price| price / 1_000_000.0);
        Self {
            input: each(pricing.input_per_million_tokens),
            output: each(pricing.output_per_million_tokens),
            cache_read: each(pricing.cache_read_per_million_tokens),
            cache_write: each(pricing.cache_write_per_million_tokens),
            cache_write_1h: each(pricing.cache_write_1hr_per_million_tokens),
        }
    }
}

/// The prices, read when they are first needed.
pub(super) struct Catalogue {
    config: UiConfig,
    state: Mutex<State>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    prices: Arc<Prices>,
    is_complete: bool,
    /// When it was last looked for.
    tried: Option<Instant>,
}

impl Catalogue {
    pub(super) fn new(config: UiConfig) -> Self {
        Self { config, state: Mutex::default(), reading: tokio::sync::Mutex::default() }
    }

    /// The prices that are known, if there is no need to look for them.
    fn known(&self) -> Option<Arc<Prices>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = state.tried.is_some_and(|tried| tried.elapsed() < RETRY);
        (state.is_complete || is_fresh).then(|| Arc::clone(&state.prices))
    }

    /// The prices; none while there is no catalogue.
    pub(super) async fn prices(&self) -> Arc<Prices> {
        if let Some(known) = self.known() {
            return known;
        }
        let _reading = self.reading.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let config = self.config.clone();
        let found = tokio::task::spawn_blocking(move || find(&config)).await.unwrap_or_default();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none() && state.tried.is_none() {
            tracing::warn!(
                "there is no catalogue of models: spans get no cost unless the client sends one; the catalogue comes \
                 with the web UI, or with an installed mlflow package"
            );
        }
        state.tried = Some(Instant::now());
        state.is_complete = found.is_some();
        state.prices = Arc::new(found.unwrap_or_default());
        Arc::clone(&state.prices)
    }
}

/// The first catalogue of the sources of the UI.
fn find(config: &UiConfig) -> Option<Prices> {
    sources::catalogues(config).into_iter().find_map(|directory| match read(&directory) {
        Ok(prices) => {
            tracing::debug!(path = %directory.display(), "the catalogue of models was found");
            Some(prices)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "a catalogue of models cannot be read");
            None
        }
    })
}

/// Reads the files of a directory.
fn read(directory: &Path) -> io::Result<Prices> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    if files.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut prices = Prices::default();
    for file in files {
        let Some(provider) = file.file_stem().and_then(|name| name.to_str()) else { continue };
        let models: Provider = serde_json::from_slice(&fs::read(&file)?).map_err(io::Error::other)?;
        for (name, model) in models.models {
            // A model without prices costs nothing, as in the reference.
            prices.insert(provider, &name, model.pricing.map(Rates::from).unwrap_or_default());
        }
    }
    Ok(prices)
}

#[cfg(test)]
mod tests {
    use ferroflow_otlp::Usage;

    use super::*;

    const MODELS: &str = r#"{"schema_version": "1.0", "models": {
        "m": {"mode": "chat", "pricing": {"input_per_million_tokens": 2.0, "output_per_million_tokens": 3.0, "x": 1}},
        "free": {"mode": "chat"}
    }}"#;

    fn config(directory: &Path) -> UiConfig {
        UiConfig { cache_dir: Some(directory.to_owned()), fetch: false, ..UiConfig::default() }
    }

    fn cost(prices: &Prices, model: &str) -> Option<f64> {
        prices.cost(model, Some("openai"), &Usage([Some(1_000_000), Some(0), None, None, None, None]))?.0[0]
    }

    #[tokio::test(start_paused = true)]
    async fn a_catalogue_that_comes_later_is_found() {
        let cache = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::new(config(cache.path()));
        assert_eq!(cost(&*catalogue.prices().await, "m"), None);
        let directory = cache.path().join(format!("model-catalog-{}", UiConfig::default().wheel.version));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("openai.json"), MODELS).unwrap();
        fs::write(directory.join("__init__.py"), "").unwrap();
        assert_eq!(cost(&*catalogue.prices().await, "m"), None);
        tokio::time::advance(RETRY).await;
        assert_eq!(cost(&*catalogue.prices().await, "m"), Some(2.0));
        assert_eq!(cost(&*catalogue.prices().await, "free"), Some(0.0));
    }
}
