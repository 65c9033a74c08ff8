//! Artifacts.

use super::{
    Check::{Integer, Required, Text},
    Rule, Validated,
};
use crate::messages::{
    mlflow_artifacts::{
        self, AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, DeleteArtifact, DownloadArtifact,
        GetPresignedDownloadUrl, UploadArtifact,
    },
    service::{CreatePresignedDownloadUrl, CreatePresignedUploadUrl, ListArtifacts},
};

impl Validated for ListArtifacts {
    const RULES: &'static [Rule] = &[("run_id", &[Text, Required]), ("path", &[Text]), ("page_token", &[Text])];
}

impl Validated for CreatePresignedUploadUrl {
    const RULES: &'static [Rule] =
        &[("run_id", &[Text]), ("model_id", &[Text]), ("path", &[Required, Text]), ("expiration", &[Integer])];
}

impl Validated for CreatePresignedDownloadUrl {
    const RULES: &'static [Rule] =
        &[("run_id", &[Required, Text]), ("path", &[Required, Text]), ("expiration", &[Integer])];
}

impl Validated for DownloadArtifact {}

impl Validated for UploadArtifact {}

impl Validated for mlflow_artifacts::ListArtifacts {}

impl Validated for DeleteArtifact {}

impl Validated for CreateMultipartUpload {
    const RULES: &'static [Rule] = &[("path", &[Required, Text]), ("num_parts", &[Integer])];
}

impl Validated for CompleteMultipartUpload {
    const RULES: &'static [Rule] = &[("path", &[Required, Text]), ("upload_id", &[Text]), ("parts", &[Required])];
}

impl Validated for AbortMultipartUpload {
    const RULES: &'static [Rule] = &[("path", &[Required, Text]), ("upload_id", &[Text])];
}

impl Validated for GetPresignedDownloadUrl {}
