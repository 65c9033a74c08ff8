//! Maximum message size of each call, by what official clients send.

use ferroflow_model::limits::RequestSize;

/// The size of a call, by its name.
pub(super) fn of(name: &str) -> RequestSize {
    match name {
        // 1,000 metrics, 100 params and 100 tags; a profile of 16 MiB. Longer values are truncated by the server.
        "LogBatch" | "LogInputs" | "LogParam" | "SetTag"
        // Records with the inputs and outputs of an application, in one text.
        | "UpsertDatasetRecords" => RequestSize::LARGEST,
        // Tags of 100,000 characters, among them the text of a prompt, and any number of tags and params in one
        // message.
        "CreateExperiment"
        | "CreateRun"
        | "CreateLoggedModel"
        | "CreateRegisteredModel"
        | "CreateModelVersion"
        | "SetRegisteredModelTag"
        | "SetModelVersionTag"
        | "SetLoggedModelTags"
        | "LogLoggedModelParamsRequest"
        // Metadata and tags of a trace, and assessments with a rationale or a serialized value.
        | "StartTrace"
        | "StartTraceV3"
        | "EndTrace"
        | "CreateAssessment"
        | "UpdateAssessment"
        // Any number of tags in one text.
        | "CreateDataset"
        | "SetDatasetTags"
        // A signature with all its columns.
        | "LogModel" => RequestSize::LARGE,
        "artifacts.CompleteMultipartUpload" => RequestSize::PARTS,
        // Ids and timestamps.
        "GetExperiment" | "GetExperimentByName" | "DeleteExperiment" | "RestoreExperiment" | "GetRun" | "DeleteRun"
        | "RestoreRun" | "DeleteTag" | "DeleteExperimentTag" | "LogMetric" | "LinkTracesToRun" | "DeleteTraceTag"
        | "DeleteTraceTagV3" | "DeleteAssessment" | "GetDataset" | "DeleteDataset" | "DeleteDatasetTag"
        | "GetDatasetRecords" | "GetDatasetExperimentIds" => RequestSize::SMALL,
        _ => RequestSize::MEDIUM,
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_model::messages::RPCS;

    use super::*;

    #[test]
    fn every_name_is_one_of_a_call() {
        let source = include_str!("sizes.rs").split("#[cfg(test)]").next().unwrap();
        let named = source.split('"').skip(1).step_by(2);
        for name in named {
            assert!(RPCS.iter().any(|call| call.name == name), "{name}");
            assert_ne!(of(name), RequestSize::MEDIUM, "{name}");
        }
    }
}
