//! Label schemas.

use ferroflow_model::{
    ErrorCode,
    evaluation::label_schemas::Input,
    messages::label_schemas::{InputCategorical, InputText, LabelSchemaType},
};
use ferroflow_store::{LabelSchemaChange, NewLabelSchema, Store};

use crate::support::{Here as _, on_each};

fn new(name: &str) -> NewLabelSchema {
    NewLabelSchema {
        experiment_id: "0".into(),
        name: name.into(),
        kind: Some(LabelSchemaType::Expectation),
        input: Input::Categorical(InputCategorical { options: vec!["a".into()], multi_select: Some(true) }),
        instruction: Some("é".into()),
        enable_comment: true,
    }
}

on_each!(a_label_schema_is_stored_and_changed);
async fn a_label_schema_is_stored_and_changed(store: &Store) {
    let here = store.here();
    let made = here.create_label_schema(new("Which?")).await.unwrap();
    let id = made.schema_id().to_owned();
    assert_eq!(here.get_label_schema(&id).await.unwrap(), made);
    assert_eq!(here.get_label_schema_by_name("0", "Which?").await.unwrap(), made);
    assert_eq!(here.create_label_schema(new("Which?")).await.unwrap_err().code, ErrorCode::ResourceAlreadyExists);

    let change = LabelSchemaChange { name: Some("What?".into()), enable_comment: Some(false), ..Default::default() };
    let changed = here.update_label_schema(&id, &change).await.unwrap();
    assert_eq!((changed.name(), changed.instruction(), changed.enable_comment), ("What?", "é", Some(false)));
    assert_eq!(changed.input, made.input);
    let other = here.create_label_schema(new("Which?")).await.unwrap();
    let error = here.update_label_schema(other.schema_id(), &change).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceAlreadyExists);
    let input = Some(Input::Text(InputText::default()));
    let error = here.update_label_schema(&id, &LabelSchemaChange { input, ..Default::default() }).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);

    here.delete_label_schema(&id).await.unwrap();
    here.delete_label_schema(&id).await.unwrap();
    assert_eq!(here.get_label_schema(&id).await.unwrap_err().code, ErrorCode::ResourceDoesNotExist);
}

on_each!(every_experiment_has_one_default_question);
async fn every_experiment_has_one_default_question(store: &Store) {
    let here = store.here();
    let lists = (0..8).map(|_| here.list_label_schemas("0", 10, None));
    for list in futures_util::future::join_all(lists).await {
        let (found, next) = list.unwrap();
        assert_eq!((found.len(), next), (1, None));
        assert_eq!((found[0].name(), found[0].is_default), ("Feedback", Some(true)));
    }
    let (found, _) = here.list_label_schemas("0", 10, None).await.unwrap();
    let id = found[0].schema_id();
    assert_eq!(here.delete_label_schema(id).await.unwrap_err().code, ErrorCode::InvalidParameterValue);
    let error = here.update_label_schema(id, &LabelSchemaChange::default()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidParameterValue);

    for number in 0..5 {
        here.create_label_schema(new(&format!("n{number}"))).await.unwrap();
    }
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let (page, next) = here.list_label_schemas("0", 2, token.as_deref()).await.unwrap();
        seen.extend(page.into_iter().filter_map(|schema| schema.schema_id));
        token = next;
        if token.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 6);
}

on_each!(a_deleted_experiment_has_no_questions);
async fn a_deleted_experiment_has_no_questions(store: &Store) {
    let here = store.here();
    let experiment_id = here.create_experiment("gone", None, Vec::new()).await.unwrap();
    here.delete_experiment(&experiment_id).await.unwrap();
    for id in [experiment_id.as_str(), "12345"] {
        let list = here.list_label_schemas(id, 10, None).await.unwrap_err();
        let by_name = here.get_label_schema_by_name(id, "x").await.unwrap_err();
        let create = here.create_label_schema(NewLabelSchema { experiment_id: id.into(), ..new("x") }).await;
        for code in [list.code, by_name.code, create.unwrap_err().code] {
            assert_eq!(code, ErrorCode::ResourceDoesNotExist, "{id}");
        }
    }
}
