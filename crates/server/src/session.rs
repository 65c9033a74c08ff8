//! Session cookies of browsers: names, attributes, and when they authenticate a request (CSRF protection).
//!
//! Browsers also send cookies with requests that other sites cause. So a cookie only authenticates a request that, by
//! its headers, comes from a page of this server or is a top-level navigation to one, whatever
//! `--disable-security-middleware` says.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use url::Url;

/// A cookie that the UI deletes on logout: a session without it is logged out.
const COMPANION: &str = "mlflow_user";

/// The cookies of a server; secure ones with https.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cookies {
    is_secure: bool,
}

/// The purpose of a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An authenticated session.
    Session,
    /// A login in progress.
    Login,
}

impl Cookies {
    pub(crate) fn new(is_secure: bool) -> Self {
        Self { is_secure }
    }

    /// The cookie's name. With https it has the prefix `__Host-`, so that no other host can set it.
    fn name(self, kind: Kind) -> &'static str {
        match (kind, self.is_secure) {
            (Kind::Session, true) => "__Host-ferroflow-session",
            (Kind::Session, false) => "ferroflow-session",
            (Kind::Login, true) => "__Host-ferroflow-login",
            (Kind::Login, false) => "ferroflow-login",
        }
    }

    /// The value of a cookie.
    pub(crate) fn get(self, headers: &HeaderMap, kind: Kind) -> Option<&str> {
        cookie(headers, self.name(kind))
    }

    /// A header that sets a cookie.
    pub(crate) fn set(self, kind: Kind, value: &str, time: Duration) -> Option<HeaderValue> {
        self.header(self.name(kind), value, time, "; HttpOnly")
    }

    /// A header that deletes a cookie.
    pub(crate) fn delete(self, kind: Kind) -> Option<HeaderValue> {
        self.set(kind, "", Duration::ZERO)
    }

    /// A header that sets the companion cookie, which the UI deletes.
    pub(crate) fn companion(self, username: &str, time: Duration) -> Option<HeaderValue> {
        let name = percent_encoding::utf8_percent_encode(username, percent_encoding::NON_ALPHANUMERIC).to_string();
        self.header(COMPANION, &name, time, "")
    }

    fn header(self, name: &str, value: &str, time: Duration, more: &str) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; Max-Age={}; SameSite=Lax{more}{secure}", time.as_secs());
        HeaderValue::from_str(&text).ok()
    }
}

/// Whether the user has logged out in the UI.
pub(crate) fn is_logged_out(headers: &HeaderMap) -> bool {
    cookie(headers, COMPANION).is_none()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(found, value)| *found == name && !value.is_empty()).map(|(_, value)| value)
}

/// Whether the session cookie may authenticate this request: it comes from a page of this server or is a top-level
/// navigation to one.
pub(crate) fn is_same_origin(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let reads = method == Method::GET || method == Method::HEAD;
    match text("sec-fetch-site") {
        Some("same-origin") => true,
        Some("none") => reads,
        Some(_) => reads && text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document"),
        // Without https, browsers omit `Sec-Fetch-*`, but send `Origin` with requests that may change state.
        None => match text("origin") {
            Some(origin) => {
                let url = Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
                // As browsers serialize it: scheme, host, and a port unless it is the default one.
                let is_plain = url.is_some_and(|url| url.origin().ascii_serialization() == origin);
                is_plain && origin.split_once("://").map(|(_, authority)| authority) == text("host")
            }
            None => reads,
        },
    }
}

/// Whether a browser navigates to a page, so that its user can log in.
pub(crate) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let asks_for_page = text("accept").is_some_and(|accept| accept.contains("text/html"));
    method == Method::GET && asks_for_page && text("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
}

/// Whether a redirect target stays on this server, however a browser parses it.
pub(crate) fn is_local_path(next: &str) -> bool {
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain && next.len() <= 2048 && next.starts_with('/') && !next.starts_with("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_session_cookie_authenticates_same_origin_requests_only() {
        let own = |method: Method, pairs: &[(&'static str, &'static str)]| is_same_origin(&method, &headers(pairs));
        let navigation =
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(own(Method::POST, &[("sec-fetch-site", "same-origin")]));
        assert!(own(Method::POST, &[("host", "ml.example"), ("origin", "https://ml.example")]));
        assert!(own(Method::GET, &[]) && own(Method::GET, &navigation));
        assert!(!own(Method::POST, &[]) && !own(Method::DELETE, &[]) && !own(Method::POST, &navigation));
        for site in ["cross-site", "same-site", "none", "nonsense"] {
            let mut sent = headers(&[("host", "a"), ("origin", "http://a")]);
            sent.insert("sec-fetch-site", HeaderValue::from_static(site));
            assert!(!is_same_origin(&Method::POST, &sent), "{site}");
        }
        assert!(!own(Method::GET, &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")]));
        // A navigation in a frame of another site is not a top-level navigation.
        let frame = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        assert!(!own(Method::GET, &frame));
        for origin in [
            "null",
            "foo://ml.example",
            "https://ml.example.evil.example",
            "https://evil.example",
            "https://ml.example:444",
        ] {
            let mut sent = headers(&[("host", "ml.example")]);
            sent.insert("origin", HeaderValue::from_static(origin));
            assert!(!is_same_origin(&Method::POST, &sent) && !is_same_origin(&Method::GET, &sent), "{origin}");
        }
    }

    #[test]
    fn only_paths_of_this_server_are_redirect_targets() {
        for next in ["/", "/ml/", "/get-artifact?path=a%2Fb&run_uuid=1", "/#/experiments"] {
            assert!(is_local_path(next), "{next}");
        }
        for next in ["", "//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\r\nb", "/a b", "\t/a"]
        {
            assert!(!is_local_path(next), "{next:?}");
        }
        assert!(!is_local_path(&format!("/{}", "x".repeat(2048))));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let cookies = Cookies::new(true);
        let sent = headers(&[("cookie", "a=b; __Host-ferroflow-session=x.y; ferroflow-session=z")]);
        assert_eq!(cookies.get(&sent, Kind::Session), Some("x.y"));
        assert_eq!(cookies.get(&sent, Kind::Login), None);
        let made = cookies.set(Kind::Session, "x.y", Duration::from_secs(9)).unwrap();
        assert_eq!(made, "__Host-ferroflow-session=x.y; Path=/; Max-Age=9; SameSite=Lax; HttpOnly; Secure");
    }
}
