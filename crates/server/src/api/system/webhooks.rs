//! Webhooks.

use ferroflow_model::{
    Error, Result,
    messages::webhooks::{
        CreateWebhook, CreateWebhookResponse, DeleteWebhook, DeleteWebhookResponse, GetWebhook, GetWebhookResponse,
        ListWebhooks, ListWebhooksResponse, TestWebhook, TestWebhookResponse, UpdateWebhook, UpdateWebhookResponse,
        WebhookEvent, WebhookTestResult,
    },
    validation,
    webhook::EventType,
};
use ferroflow_store::{NewWebhook, WebhookChange};

use crate::{app::Cx, rpc::empty};

fn events(events: &[WebhookEvent]) -> Result<Vec<EventType>> {
    events.iter().map(EventType::from_message).collect()
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

pub(crate) async fn create(cx: Cx, req: CreateWebhook) -> Result<CreateWebhookResponse> {
    let events = events(&req.events)?;
    validation::webhook_name(req.name())?;
    cx.app.webhooks.check_url(req.url()).await?;
    let new = NewWebhook {
        name: req.name.unwrap_or_default(),
        url: req.url.unwrap_or_default(),
        events,
        description: non_empty(req.description),
        secret: non_empty(req.secret),
        status: req.status,
    };
    Ok(CreateWebhookResponse { webhook: Some(cx.store().create_webhook(new).await?) })
}

pub(crate) async fn list(cx: Cx, req: ListWebhooks) -> Result<ListWebhooksResponse> {
    let page = cx.store().list_webhooks(req.max_results(), req.page_token.as_deref()).await?;
    let (webhooks, next_page_token) = page;
    Ok(ListWebhooksResponse { webhooks, next_page_token })
}

pub(crate) async fn get(cx: Cx, _: GetWebhook) -> Result<GetWebhookResponse> {
    Ok(GetWebhookResponse { webhook: Some(cx.store().get_webhook(cx.path("webhook_id")).await?) })
}

pub(crate) async fn update(cx: Cx, req: UpdateWebhook) -> Result<UpdateWebhookResponse> {
    let webhook_id = cx.path("webhook_id");
    let events = events(&req.events)?;
    let (name, url) = (non_empty(req.name), non_empty(req.url));
    if name.is_some() || url.is_some() {
        // A missing webhook takes precedence over other errors.
        cx.store().get_webhook(webhook_id).await?;
    }
    if let Some(name) = &name {
        validation::webhook_name(name)?;
    }
    if let Some(url) = &url {
        cx.app.webhooks.check_url(url).await?;
    }
    let change = WebhookChange {
        name,
        url,
        events: Some(events).filter(|events| !events.is_empty()),
        description: req.description,
        secret: req.secret,
        status: req.status,
    };
    Ok(UpdateWebhookResponse { webhook: Some(cx.store().update_webhook(webhook_id, change).await?) })
}

pub(crate) async fn delete(cx: Cx, _: DeleteWebhook) -> Result<DeleteWebhookResponse> {
    cx.store().delete_webhook(cx.path("webhook_id")).await.map(|()| empty())
}

pub(crate) async fn test(cx: Cx, req: TestWebhook) -> Result<TestWebhookResponse> {
    let event = req.event.as_ref().map(EventType::from_message).transpose()?;
    let webhook_id = cx.path("webhook_id");
    let webhook = cx.store().get_webhook(webhook_id).await?;
    let event = match (event, webhook.events.first()) {
        (Some(event), _) => event,
        (None, Some(first)) => EventType::from_message(first)?,
        (None, None) => return Err(Error::invalid("Webhook events cannot be empty")),
    };
    let failed = |reason: String| WebhookTestResult {
        success: Some(false),
        error_message: Some(format!("Failed to test webhook: {reason}")),
        ..WebhookTestResult::default()
    };
    let workspace = cx.app.store.has_workspaces().then(|| cx.workspace.name());
    let result = match cx.store().webhook_secret(webhook_id).await {
        Err(error) => failed(error.message),
        Ok(secret) => match cx.app.webhooks.test(webhook.url(), secret.as_deref(), event, workspace).await {
            Err(failure) => failed(failure.reason),
            Ok(answer) if answer.status.is_redirection() => WebhookTestResult {
                response_status: Some(answer.status.as_u16().into()),
                ..failed("redirects are not followed".into())
            },
            Ok(answer) => WebhookTestResult {
                success: Some(answer.status.is_success()),
                response_status: Some(answer.status.as_u16().into()),
                response_body: Some(answer.text),
                error_message: None,
            },
        },
    };
    Ok(TestWebhookResponse { result: Some(result) })
}
