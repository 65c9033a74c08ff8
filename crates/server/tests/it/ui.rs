//! The web UI: files on disk, and files that have to be downloaded.

use std::{
    fs,
    io::{Cursor, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, response::Html, routing::get};
use ferroflow_otlp::Usage;
use ferroflow_server::ui::{Ui, UiConfig, Wheel};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

/// A version that is never installed.
const VERSION: &str = "0.0.0";

const SCRIPT: &str = "static/js/main.0a1b2c3d.js";

/// Long enough to be compressed.
fn script() -> String {
    "export const answer = 42; // and so on\n".repeat(200)
}

/// A response.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

async fn request(ui: &Ui, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
        .collect::<HeaderMap>();
    let response = ui.serve(path, &method, &headers).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn fetch(ui: &Ui, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
    request(ui, Method::GET, path, headers).await
}

/// A built UI in a directory, with a secret beside it.
fn tree() -> (tempfile::TempDir, Ui) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("build");
    for (name, content) in
        [("index.html", "<!doctype html><title>UI</title>"), (SCRIPT, &script()), ("static/media/a.woff2", "font")]
    {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::write(root.path().join("secret.txt"), "secret").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret.txt", dir.join("link.txt")).unwrap();
    let ui = Ui::open(UiConfig { dir: Some(dir), fetch: false, ..UiConfig::default() });
    (root, ui)
}

#[tokio::test]
async fn the_page_is_revalidated_and_hashed_files_are_kept() {
    let (_root, ui) = tree();
    let page = fetch(&ui, "index.html", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.text(), "<!doctype html><title>UI</title>");
    assert_eq!(page.header(&header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(page.header(&header::CACHE_CONTROL), "no-cache");

    let script = fetch(&ui, SCRIPT, &[]).await;
    assert_eq!(script.header(&header::CONTENT_TYPE), "text/javascript; charset=utf-8");
    assert_eq!(script.header(&header::CACHE_CONTROL), "public, max-age=31536000, immutable");

    let font = fetch(&ui, "static/media/a.woff2", &[(header::ACCEPT_ENCODING, "br")]).await;
    assert_eq!(font.header(&header::CONTENT_TYPE), "font/woff2");
    assert_eq!(font.header(&header::CACHE_CONTROL), "public, max-age=3600");
    assert_eq!((font.header(&header::CONTENT_ENCODING), font.header(&header::VARY)), ("", ""));
}

#[tokio::test]
async fn text_is_compressed_by_accept_encoding() {
    let (_root, ui) = tree();
    let mut tags = Vec::new();
    for (accept, encoding) in [("", ""), ("gzip", "gzip"), ("gzip, deflate, br", "br"), ("gzip;q=1, br;q=0.9", "gzip")]
    {
        // The second response comes from the cache.
        for _ in 0..2 {
            let answer = fetch(&ui, SCRIPT, &[(header::ACCEPT_ENCODING, accept)]).await;
            assert_eq!(answer.header(&header::CONTENT_ENCODING), encoding, "{accept}");
            assert_eq!(answer.header(&header::VARY), "Accept-Encoding");
            assert_eq!(answer.header(&header::CONTENT_LENGTH), answer.body.len().to_string());
            tags.push(answer.header(&header::ETAG).to_owned());
            let mut plain = String::new();
            match encoding {
                "br" => brotli::Decompressor::new(&*answer.body, 4096).read_to_string(&mut plain),
                "gzip" => flate2::read::GzDecoder::new(&*answer.body).read_to_string(&mut plain),
                _ => (&*answer.body).read_to_string(&mut plain),
            }
            .unwrap();
            assert_eq!(plain, script());
            assert!(encoding.is_empty() || answer.body.len() < script().len() / 4);
        }
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 3, "a strong tag for each encoding: {tags:?}");
}

#[tokio::test]
async fn an_unchanged_file_is_answered_with_304() {
    let (root, ui) = tree();
    for accept in ["", "br"] {
        let first = fetch(&ui, SCRIPT, &[(header::ACCEPT_ENCODING, accept)]).await;
        let tag = first.header(&header::ETAG);
        let again = fetch(&ui, SCRIPT, &[(header::ACCEPT_ENCODING, accept), (header::IF_NONE_MATCH, tag)]).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(again.header(&header::ETAG), tag);
        let other = fetch(&ui, SCRIPT, &[(header::ACCEPT_ENCODING, "gzip"), (header::IF_NONE_MATCH, tag)]).await;
        assert_eq!(other.status, StatusCode::OK);
    }
    let page = fetch(&ui, "index.html", &[]).await;
    fs::write(root.path().join("build/index.html"), "<title>another build</title>").unwrap();
    let changed = fetch(&ui, "index.html", &[(header::IF_NONE_MATCH, page.header(&header::ETAG))]).await;
    assert_eq!((changed.status, changed.text()), (StatusCode::OK, "<title>another build</title>"));
}

#[tokio::test]
async fn range_requests_get_a_part_of_a_file() {
    let (_root, ui) = tree();
    let part = fetch(&ui, SCRIPT, &[(header::RANGE, "bytes=7-11"), (header::ACCEPT_ENCODING, "br")]).await;
    assert_eq!((part.status, part.text()), (StatusCode::PARTIAL_CONTENT, "const"));
    assert_eq!(part.header(&header::CONTENT_RANGE), format!("bytes 7-11/{}", script().len()));
    let outside = fetch(&ui, SCRIPT, &[(header::RANGE, "bytes=99999-")]).await;
    assert_eq!(outside.status, StatusCode::RANGE_NOT_SATISFIABLE);
    let changed = fetch(&ui, SCRIPT, &[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"old\"")]).await;
    assert_eq!((changed.status, changed.body.len()), (StatusCode::OK, script().len()));
}

#[tokio::test]
async fn head_requests_get_headers_only() {
    let (_root, ui) = tree();
    for accept in ["", "gzip", "br"] {
        let whole = fetch(&ui, SCRIPT, &[(header::ACCEPT_ENCODING, accept)]).await;
        let head = request(&ui, Method::HEAD, SCRIPT, &[(header::ACCEPT_ENCODING, accept)]).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
        assert_eq!(head.headers, whole.headers);
    }
    let answer = request(&ui, Method::POST, "index.html", &[]).await;
    assert_eq!((answer.status, answer.header(&header::ALLOW)), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

#[tokio::test]
async fn nothing_outside_of_the_directory_is_served() {
    let (_root, ui) = tree();
    for path in [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "static/..%2f..%2fsecret.txt",
        "link.txt",
        "static",
        "static/js/",
        "index.html/x",
        "missing.js",
        "",
        "/index.html",
    ] {
        let answer = fetch(&ui, path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.header(&header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert!(!answer.text().contains("secret"));
    }
    assert_eq!(fetch(&ui, "static/js/main%2E0a1b2c3d.js", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_directory_without_the_ui_is_named() {
    let root = tempfile::tempdir().unwrap();
    let ui = Ui::open(UiConfig { dir: Some(root.path().join("<nowhere>")), ..UiConfig::default() });
    assert!(ui.settled().await.unwrap_err().contains("<nowhere>"));
    let page = fetch(&ui, "index.html", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("&lt;nowhere&gt;") && page.text().contains("--ui-dir"), "{}", page.text());
}

/// A package index with one wheel.
struct Index {
    url: String,
    wheel: Wheel,
    /// Number of downloads of the wheel.
    downloads: Arc<AtomicUsize>,
}

/// Serves a wheel with these files; the first `refusals` requests for it fail.
async fn index(files: &[(&str, &str)], refusals: usize) -> Index {
    let mut wheel = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        wheel.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        wheel.write_all(content.as_bytes()).unwrap();
    }
    let bytes = wheel.finish().unwrap().into_inner();
    let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let downloads = Arc::new(AtomicUsize::new(0));
    let counted = downloads.clone();
    let list = format!("<a href='../../files/mlflow-{VERSION}-py3-none-any.whl?signature=secret#sha256=x'>a wheel</a>");
    let router = Router::new().route("/simple/mlflow/", get(async move || Html(list))).route(
        &format!("/files/mlflow-{VERSION}-py3-none-any.whl"),
        get(async move || {
            if counted.fetch_add(1, Ordering::SeqCst) < refusals {
                return Err(StatusCode::SERVICE_UNAVAILABLE);
            }
            Ok(bytes)
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/simple", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Index { url, wheel: Wheel { version: VERSION.into(), sha256 }, downloads }
}

const PACKAGE: [(&str, &str); 4] = [
    ("mlflow/version.py", "VERSION = '0.0.0'"),
    ("mlflow/server/js/build/index.html", "<title>fetched</title>"),
    ("mlflow/server/js/build/static/js/main.0a1b2c3d.js", "fetched()"),
    ("mlflow/server/js/public/index.html", "not built"),
];

impl Index {
    fn config(&self, cache: &Path) -> UiConfig {
        UiConfig {
            index_url: Some(self.url.clone()),
            cache_dir: Some(cache.into()),
            wheel: self.wheel.clone(),
            // No test waits for a retry.
            retry: Duration::from_secs(3600),
            ..UiConfig::default()
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[tokio::test]
async fn the_wheel_is_fetched_once() {
    let cache = tempfile::tempdir().unwrap();
    let index = index(&PACKAGE, 0).await;
    let ui = Ui::open(index.config(cache.path()));
    let waiting = fetch(&ui, "index.html", &[]).await;
    assert!(waiting.text().contains("being fetched") && waiting.text().contains("http-equiv=\"refresh\""));
    assert_eq!(waiting.header(&header::CACHE_CONTROL), "no-store");
    assert_eq!(fetch(&ui, SCRIPT, &[]).await.status, StatusCode::NOT_FOUND);

    ui.settled().await.unwrap();
    assert_eq!(fetch(&ui, "index.html", &[]).await.text(), "<title>fetched</title>");
    assert_eq!(fetch(&ui, SCRIPT, &[]).await.text(), "fetched()");

    let kept = cache.path().join("ui-0.0.0");
    assert_eq!(entries(cache.path()), std::slice::from_ref(&kept), "nothing else stays behind");
    assert_eq!(entries(&kept), [kept.join("index.html"), kept.join("static")]);
    let again = Ui::open(index.config(cache.path()));
    assert_eq!(fetch(&again, "index.html", &[]).await.text(), "<title>fetched</title>");
    assert_eq!(index.downloads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_prices_of_models_come_with_the_wheel() {
    let cache = tempfile::tempdir().unwrap();
    let models = r#"{"models": {"m": {"pricing": {"input_per_million_tokens": 2.0}}}}"#;
    let catalogue =
        [("mlflow/utils/model_catalog/openai.json", models), ("mlflow/utils/model_catalog/__init__.py", "")];
    let index = index(&[&PACKAGE[..], &catalogue].concat(), 0).await;
    let ui = Ui::open(index.config(cache.path()));
    ui.settled().await.unwrap();
    let usage = Usage([Some(500_000), Some(0), None, None, None, None]);
    assert_eq!(ui.prices().await.cost("m", None, &usage).unwrap().0[0], Some(1.0));
    let kept = ["model-catalog-0.0.0", "ui-0.0.0"].map(|name| cache.path().join(name));
    assert_eq!(entries(cache.path()), kept, "nothing else stays behind");
}

#[tokio::test]
async fn several_processes_may_fetch_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let index = index(&PACKAGE, 0).await;
    let servers: Vec<Ui> = (0..4).map(|_| Ui::open(index.config(cache.path()))).collect();
    for ui in &servers {
        ui.settled().await.unwrap();
        assert_eq!(fetch(ui, SCRIPT, &[]).await.text(), "fetched()");
    }
    assert_eq!(entries(cache.path()), [cache.path().join("ui-0.0.0")]);
    assert_eq!(index.downloads.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_wheel_with_another_hash_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let mut index = index(&PACKAGE, 0).await;
    index.wheel.sha256 = "0".repeat(64);
    let ui = Ui::open(index.config(cache.path()));
    let reason = ui.settled().await.unwrap_err();
    assert!(reason.contains("SHA-256"), "{reason}");
    let page = fetch(&ui, "index.html", &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().contains("not available") && page.text().contains("PIP_INDEX_URL"), "{}", page.text());
    assert!(entries(cache.path()).is_empty());
}

#[tokio::test]
async fn names_outside_of_the_directory_are_refused() {
    let cache = tempfile::tempdir().unwrap();
    let mut package = PACKAGE.to_vec();
    package.push(("mlflow/server/js/build/../../../escaped", "x"));
    let index = index(&package, 0).await;
    let ui = Ui::open(index.config(cache.path()));
    let reason = ui.settled().await.unwrap_err();
    assert!(reason.contains("escaped"), "{reason}");
    assert!(entries(cache.path()).is_empty());
}

#[tokio::test]
async fn a_failed_fetch_is_retried() {
    let cache = tempfile::tempdir().unwrap();
    let index = index(&PACKAGE, 2).await;
    let ui = Ui::open(UiConfig { retry: Duration::from_millis(20), ..index.config(cache.path()) });
    let reason = ui.settled().await.unwrap_err();
    assert!(reason.contains("503") && !reason.contains("secret"), "{reason}");
    let success = async {
        while ui.settled().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), success).await.unwrap();
    assert_eq!(index.downloads.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_index_without_the_release_is_named() {
    let cache = tempfile::tempdir().unwrap();
    let index = index(&PACKAGE, 0).await;
    let mut config = index.config(cache.path());
    config.wheel.version = "9.9.9".into();
    config.index_url = Some(index.url.replace("http://", "http://me:secret@"));
    let reason = Ui::open(config).settled().await.unwrap_err();
    assert!(reason.contains("does not list mlflow-9.9.9-py3-none-any.whl"), "{reason}");
    assert!(!reason.contains("secret"), "{reason}");
}

#[tokio::test]
async fn an_unwritable_cache_is_not_required() {
    let root = tempfile::tempdir().unwrap();
    let blocked = root.path().join("file");
    fs::write(&blocked, "").unwrap();
    let index = index(&PACKAGE, 0).await;
    let ui = Ui::open(index.config(&blocked.join("cache")));
    ui.settled().await.unwrap();
    assert_eq!(fetch(&ui, SCRIPT, &[]).await.text(), "fetched()");
}
