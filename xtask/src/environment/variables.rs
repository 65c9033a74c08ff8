//! The variables that `cargo xtask` sets for the suites. A generated list in `tests/support/__init__.py` has them with their
//! comments.

/// The `ferroflow` binary under test.
pub(crate) const BIN: &str = "FERROFLOW_BIN";
/// The program of the version before. Without it, servers are upgraded to their own version.
pub(crate) const PREVIOUS: &str = "FERROFLOW_PREVIOUS_BIN";
/// A superuser's URL of the PostgreSQL server.
pub(crate) const POSTGRES: &str = "FERROFLOW_TEST_POSTGRES_URL";
/// A Python with the reference server and the newest SDK.
pub(crate) const REFERENCE: &str = "FERROFLOW_REFERENCE_PYTHON";
/// A Python with SDK 3.5.0.
pub(crate) const SDK_3_5: &str = "FERROFLOW_SDK_PYTHON_3_5";
/// A Python with SDK 2.22.5.
pub(crate) const SDK_2_22: &str = "FERROFLOW_SDK_PYTHON_2_22";
/// A folder with a Python environment of each old release that makes databases.
pub(crate) const RELEASES: &str = "FERROFLOW_RELEASES";
/// The package of a newer MLflow, which runs on the reference's dependencies.
pub(crate) const NEWER: &str = "FERROFLOW_NEWER";
/// The browser's program.
pub(crate) const CHROMIUM: &str = "FERROFLOW_CHROMIUM";
/// An S3 server that keeps objects in files.
pub(crate) const S3S: &str = "FERROFLOW_S3S_FS";
/// The program of an emulator of Azure Blob Storage.
pub(crate) const AZURITE: &str = "FERROFLOW_AZURITE";
/// The folder of a server of `OpenID` Connect.
pub(crate) const OIDC: &str = "FERROFLOW_OIDC_PROVIDER";
/// The folder of OpenTelemetry's packages for JavaScript.
pub(crate) const OTEL_JS: &str = "FERROFLOW_OTEL_JS";
/// A Python with what the chart's tests need.
pub(crate) const CHART: &str = "FERROFLOW_CHART_PYTHON";
/// Helm 4.
pub(crate) const HELM_4_BIN: &str = "FERROFLOW_HELM_4";
/// Helm 3.
pub(crate) const HELM_3_BIN: &str = "FERROFLOW_HELM_3";
/// kubectl.
pub(crate) const KUBECTL: &str = "FERROFLOW_KUBECTL";
/// The folder with the programs of PostgreSQL.
pub(crate) const POSTGRES_BIN: &str = "FERROFLOW_POSTGRES_BIN";
/// The program of PgBouncer.
pub(crate) const PGBOUNCER: &str = "FERROFLOW_PGBOUNCER";
/// promtool of Prometheus, which evaluates alerts.
pub(crate) const PROMTOOL: &str = "FERROFLOW_PROMTOOL";
/// The load balancer `HAProxy`.
pub(crate) const HAPROXY: &str = "FERROFLOW_HAPROXY";
/// The library that gives a process another clock.
pub(crate) const FAKETIME: &str = "FERROFLOW_FAKETIME";
/// Valgrind, which counts instructions.
pub(crate) const VALGRIND: &str = "FERROFLOW_VALGRIND";
/// The folder with the programs of barman, and an S3 server for them.
pub(crate) const BARMAN: &str = "FERROFLOW_BARMAN";
/// The files of the web UI, so that no test fetches them.
pub(crate) const UI: &str = "FERROFLOW_UI_DIR";
/// The program of `cargo xtask`, which makes packages.
pub(crate) const XTASK: &str = "FERROFLOW_XTASK";
/// uv, which installs packages.
pub(crate) const UV: &str = "FERROFLOW_UV";

/// All that a caller may set.
pub(super) const ALL: [&str; 27] = [
    BIN,
    PREVIOUS,
    POSTGRES,
    REFERENCE,
    SDK_3_5,
    SDK_2_22,
    RELEASES,
    NEWER,
    CHROMIUM,
    S3S,
    AZURITE,
    OIDC,
    OTEL_JS,
    CHART,
    HELM_4_BIN,
    HELM_3_BIN,
    KUBECTL,
    POSTGRES_BIN,
    BARMAN,
    PGBOUNCER,
    PROMTOOL,
    HAPROXY,
    FAKETIME,
    VALGRIND,
    UI,
    XTASK,
    UV,
];
