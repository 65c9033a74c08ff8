//! Label schemas.

use ferroflow_model::{
    Result,
    evaluation::label_schemas::{Input, type_name},
    messages::label_schemas::{
        CreateLabelSchema, CreateLabelSchemaResponse, DeleteLabelSchema, DeleteLabelSchemaResponse, GetLabelSchema,
        GetLabelSchemaByName, GetLabelSchemaByNameResponse, GetLabelSchemaResponse, ListLabelSchemas,
        ListLabelSchemasResponse, UpdateLabelSchema, UpdateLabelSchemaResponse,
    },
};
use ferroflow_store::{LabelSchemaChange, NewLabelSchema};

use crate::{app::Cx, rpc::empty};

pub(crate) async fn create(cx: Cx, req: CreateLabelSchema) -> Result<CreateLabelSchemaResponse> {
    type_name(req.r#type)?;
    let new = NewLabelSchema {
        experiment_id: req.experiment_id().to_owned(),
        name: req.name().to_owned(),
        kind: req.r#type,
        input: Input::from_message(req.input.unwrap_or_default())?,
        instruction: req.instruction,
        enable_comment: req.enable_comment.unwrap_or_default(),
    };
    Ok(CreateLabelSchemaResponse { label_schema: Some(cx.store().create_label_schema(new).await?) })
}

pub(crate) async fn get(cx: Cx, req: GetLabelSchema) -> Result<GetLabelSchemaResponse> {
    Ok(GetLabelSchemaResponse { label_schema: Some(cx.store().get_label_schema(req.schema_id()).await?) })
}

pub(crate) async fn get_by_name(cx: Cx, req: GetLabelSchemaByName) -> Result<GetLabelSchemaByNameResponse> {
    let found = cx.store().get_label_schema_by_name(req.experiment_id(), req.name()).await?;
    Ok(GetLabelSchemaByNameResponse { label_schema: Some(found) })
}

pub(crate) async fn list(cx: Cx, req: ListLabelSchemas) -> Result<ListLabelSchemasResponse> {
    let max_results = req.max_results.unwrap_or(100).into();
    let (label_schemas, next) =
        cx.store().list_label_schemas(req.experiment_id(), max_results, req.page_token.as_deref()).await?;
    Ok(ListLabelSchemasResponse { label_schemas, next_page_token: Some(next.unwrap_or_default()) })
}

pub(crate) async fn update(cx: Cx, req: UpdateLabelSchema) -> Result<UpdateLabelSchemaResponse> {
    let change = LabelSchemaChange {
        name: req.name.clone(),
        instruction: req.instruction.clone(),
        enable_comment: req.enable_comment,
        input: req.input.clone().map(Input::from_message).transpose()?,
    };
    let updated = cx.store().update_label_schema(req.schema_id(), &change).await?;
    Ok(UpdateLabelSchemaResponse { label_schema: Some(updated) })
}

pub(crate) async fn delete(cx: Cx, req: DeleteLabelSchema) -> Result<DeleteLabelSchemaResponse> {
    cx.store().delete_label_schema(req.schema_id()).await.map(|()| empty())
}
