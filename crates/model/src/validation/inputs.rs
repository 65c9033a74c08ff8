//! Datasets and tags of a run's inputs.

use super::text;
use crate::{Result, limits, messages::service::DatasetInput};

/// Checks the lengths of datasets and of their tags.
pub fn dataset_inputs(inputs: &[DatasetInput]) -> Result<()> {
    for input in inputs {
        if let Some(dataset) = &input.dataset {
            text::length("name", limits::DATASET_NAME, dataset.name())?;
            text::length("digest", limits::DATASET_DIGEST, dataset.digest())?;
            text::length("source", limits::DATASET_SOURCE, dataset.source())?;
            text::length("schema", limits::DATASET_SCHEMA, dataset.schema())?;
            text::length("profile", limits::DATASET_PROFILE, dataset.profile())?;
        }
        for tag in &input.tags {
            text::length("key", limits::INPUT_TAG_KEY, tag.key())?;
            text::length("value", limits::INPUT_TAG_VALUE, tag.value())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::service::{Dataset, InputTag};

    #[test]
    fn every_part_of_a_dataset_has_a_limit() {
        let fits = DatasetInput {
            dataset: Some(Dataset {
                name: Some("n".repeat(500)),
                digest: Some("d".repeat(36)),
                source: Some("s".repeat(65_535)),
                ..Dataset::default()
            }),
            tags: vec![InputTag { key: Some("k".repeat(255)), value: Some("v".repeat(500)) }],
        };
        assert_eq!(dataset_inputs(std::slice::from_ref(&fits)), Ok(()));
        let message = |change: fn(&mut DatasetInput)| {
            let mut input = fits.clone();
            change(&mut input);
            dataset_inputs(&[input]).unwrap_err().message
        };
        let dataset = |input: &mut DatasetInput| input.dataset.take().unwrap();
        assert_eq!(
            message(|i| i.tags[0].value = Some("v".repeat(501))),
            "'value' exceeds the maximum length of 500 characters"
        );
        assert_eq!(
            message(|i| i.tags[0].key = Some("v".repeat(256))),
            "'key' exceeds the maximum length of 255 characters"
        );
        let mut long = fits.clone();
        long.dataset = Some(Dataset { digest: Some("d".repeat(37)), ..dataset(&mut long) });
        assert_eq!(
            dataset_inputs(&[long]).unwrap_err().message,
            "'digest' exceeds the maximum length of 36 characters"
        );
    }
}
