//! The sign-up page: a form for managers of users, without the official UI.

use axum::{
    extract::Request,
    response::{Html, IntoResponse as _, Response},
};
use ferroflow_model::{Error, ErrorCode, Result, limits::RequestSize, validation};
use http::{StatusCode, header};

use crate::app::Cx;

/// `GET /signup`
pub(crate) async fn page(cx: Cx, _: Request) -> Result<Response> {
    let (access, caller) = cx.user()?;
    let prefix = cx.app.config.base();
    let token = access.signup.token(&caller.username);
    Ok(Html(format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Sign up</title>\n\
         <style>form {{ font: 14px/1.5 sans-serif; max-width: 26em; margin: 4em auto; padding: 1.5em; \
         border: 1px solid #ccc; border-radius: 4px; background: #f5f5f5 }} \
         input {{ box-sizing: border-box; width: 100%; padding: .6em; margin: .2em 0 1em }}</style>\n\
         <form action=\"{prefix}/api/2.0/mlflow/users/create-ui\" method=post>\n\
         <input type=hidden name=csrf_token value=\"{token}\">\n\
         <label for=username>Username:</label>\n<input type=text id=username name=username minlength=4>\n\
         <label for=password>Password:</label>\n<input type=password id=password name=password minlength=12>\n\
         <input type=submit value=\"Sign up\">\n</form>\n"
    ))
    .into_response())
}

/// `POST users/create-ui`, from the form.
pub(crate) async fn create(cx: Cx, request: Request) -> Result<Response> {
    let (access, caller) = cx.user()?;
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_form = content_type
        .is_some_and(|mime| mime.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded");
    if !is_form {
        let text = "Invalid content type. Must be application/x-www-form-urlencoded";
        return Ok((StatusCode::BAD_REQUEST, text).into_response());
    }
    let (parts, body) = request.into_parts();
    let body = cx.app.bodies.read(&parts.headers, body, RequestSize::SMALL.bytes).await?;
    let field = |name: &str| {
        form_urlencoded::parse(&body.bytes).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    };
    if !access.signup.is_valid(&field("csrf_token").unwrap_or_default(), &caller.username) {
        return Err(Error::bad_request("The CSRF token is missing or has expired: open the sign-up page again."));
    }
    let (username, password) = (field("username").unwrap_or_default(), field("password").unwrap_or_default());
    if username.is_empty() || password.is_empty() {
        return Ok((StatusCode::BAD_REQUEST, "Username and password cannot be empty.").into_response());
    }
    validation::username(&username)?;
    let hash = access.auth.hash(&password).await?;
    let prefix = cx.app.config.base();
    match access.auth.users().create_user(&username, &hash, false).await {
        Ok(_) => Ok(message_page(&format!("Successfully signed up user: {username}"), &format!("{prefix}/"))),
        Err(error) if error.code == ErrorCode::ResourceAlreadyExists => {
            Ok(message_page(&format!("Username has already been taken: {username}"), &format!("{prefix}/signup")))
        }
        Err(error) => Err(error),
    }
}

/// A page with a message and a link.
fn message_page(text: &str, next: &str) -> Response {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    Html(format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Sign up</title>\n\
         <p>{escaped}</p>\n<p><a href=\"{next}\">Continue</a></p>\n"
    ))
    .into_response()
}
