//! Artifacts.

use super::{
    Check::{Integer, Required, Text},
    Rule, Validate,
};
use crate::messages::{
    mlflow_artifacts::{
        self, AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, DeleteArtifact, DownloadArtifact,
        GetPresignedDownloadUrl, UploadArtifact,
    },
    service::{CreatePresignedDownloadUrl, CreatePresignedUploadUrl, ListArtifacts},
};

impl Validate for ListArtifacts {
    const RULES: &'static [Rule] = &[("run_id", &[Text, Required]), ("path", &[Text]), ("page_token", &[Text])];
}

impl Validate for CreatePresignedUploadUrl {
    const RULES: &'static [Rule] =
        &[("run_id", &[Text]), ("model_id", &[Text]), ("path", &[Required, Text]), ("expiration", &[Integer])];
}

impl Validate for CreatePresignedDownloadUrl {
    const RULES: &'static [Rule] =
        &[("run_id", &[Required, Text]), ("path", &[Required, Text]), ("expiration", &[Integer])];
}

impl Validate for DownloadArtifact {}

impl Validate for UploadArtifact {}

impl Validate for mlflow_artifacts::ListArtifacts {}

impl Validate for DeleteArtifact {}

impl Validate for CreateMultipartUpload {
    const RULES: &'static [Rule] = &[("path", &[Required, Text]), ("num_parts", &[Integer])];
}

impl Validate for CompleteMultipartUpload {
    const RULES: &'static [Rule] = &[("path", &[Required, Text]), ("upload_id", &[Text]), ("parts", &[Required])];
}

impl Validate for AbortMultipartUpload {
    const RULES: &'static [Rule] = &[("path", &[Required, Text]), ("upload_id", &[Text])];
}

impl Validate for GetPresignedDownloadUrl {}
