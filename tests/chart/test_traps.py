"""What an operator runs into, each as a test. The numbers are those of the list that this chart was made against.

Those that only a cluster can show are told in docs/operations.md; what the chart does against them is tested here.
"""

import json
import re

import pytest
import validate
import yaml
from support.chart import (
    CASES,
    CHART,
    GENERATIONS,
    NAMESPACE,
    Case,
    a_sixth,
    containers,
    env,
    flags,
    helm,
    objects,
    refusal,
)

RECOVERED = "openshift-recovery"


def cluster(case, *sets) -> dict:
    return objects(case, *sets).one("Cluster")


def test_t1_a_misspelt_key_is_refused_with_the_right_one():
    assert "did you mean recovery?" in refusal("openshift", "revocery.serverName=pg-cluster-v1")
    assert "did you mean postgresql?" in refusal("openshift", "potgresql.clusterName=pg-cluster-v2")


@a_sixth
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_t2_a_rename_deletes_no_cluster_and_no_archive(case):
    """Keep must be in the release before the rename, so it is in every one."""
    rendered = objects(case)
    assert any(document["kind"] == "Cluster" for document in rendered) != ("external" in case.name or "try-out" in case.name)
    for document in rendered:
        if document["kind"] == "Cluster" or (document["kind"] == "ObjectStore" and document["metadata"]["name"].endswith("-backup")):
            annotations = document["metadata"]["annotations"]
            assert annotations["helm.sh/resource-policy"] == "keep"
            assert {"Prune=false", "Delete=false"} <= set(annotations["argocd.argoproj.io/sync-options"].split(","))


def test_t2_volumes_of_a_try_out_stay_too():
    claim = objects("kubernetes-try-out").one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("before", ["openshift", "openshift-everything"])
def test_t3_a_recovery_changes_nothing_that_cannot_be_changed(before):
    """Whose a ScheduledBackup or a Pooler is cannot be changed, so a new cluster has new ones."""
    old = objects(before)
    new = objects(before, "postgresql.clusterName=pg-cluster-v2", "recovery.serverName=pg-cluster-v1")
    for kind in ("ScheduledBackup", "Pooler", "Cluster"):
        assert not old.names(kind) & new.names(kind), kind
    for document in new:
        if document["kind"] in ("ScheduledBackup", "Pooler"):
            assert document["spec"]["cluster"]["name"] == "pg-cluster-v2"
            assert document["metadata"]["name"].startswith("pg-cluster-v2-")


def test_t3_nothing_else_that_stays_is_immutable():
    """What keeps its name in a recovery and an upgrade has the same immutable fields in both."""
    immutable = {"Deployment": "selector", "PersistentVolumeClaim": "accessModes", "RoleBinding": "roleRef"}
    for after in ("openshift-recovery", "openshift-upgrade", "openshift-mlflow", "openshift-in-tree"):
        old, new = objects("openshift"), objects(after)
        for document in old:
            if field := immutable.get(document["kind"]):
                other = new.one(document["kind"], document["metadata"]["name"])
                assert (document.get("spec") or document)[field] == (other.get("spec") or other)[field]
        assert not {kind for kind, _ in old.keys | new.keys} & {"Job", "StatefulSet"}, "a Job with a fixed name cannot be applied twice"


def test_t4_the_schedule_has_six_fields_and_means_midnight():
    assert objects("openshift").one("ScheduledBackup")["spec"]["schedule"] == "0 0 0 * * *"
    assert "needs six fields, seconds first" in refusal("openshift", "backup.schedule=0 0 * * *")


def test_t5_backups_go_through_the_plugin_and_by_one_value_through_the_operator():
    rendered = objects("openshift")
    spec = rendered.one("Cluster")["spec"]
    assert "backup" not in spec
    [plugin] = spec["plugins"]
    store = rendered.one("ObjectStore")
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"] == {"barmanObjectName": store["metadata"]["name"], "serverName": "pg-cluster-v1"}
    assert store["spec"]["retentionPolicy"] == "30d"
    assert rendered.one("ScheduledBackup")["spec"]["method"] == "plugin"

    rendered = objects("openshift", "backup.method=inTree")
    spec = rendered.one("Cluster")["spec"]
    assert "plugins" not in spec
    assert not rendered.names("ObjectStore")
    assert spec["backup"]["retentionPolicy"] == "30d"
    assert spec["backup"]["barmanObjectStore"] == {"serverName": "pg-cluster-v1", **store["spec"]["configuration"]}
    assert rendered.one("ScheduledBackup")["spec"]["method"] == "barmanObjectStore"


@pytest.mark.parametrize("method", ["plugin", "inTree"])
def test_t6_a_recovered_cluster_archives_under_its_own_name(method):
    spec = cluster(RECOVERED, f"backup.method={method}")["spec"]
    [source] = spec["externalClusters"]
    reads = source["plugin"]["parameters"] if method == "plugin" else source["barmanObjectStore"]
    writes = spec["plugins"][0]["parameters"] if method == "plugin" else spec["backup"]["barmanObjectStore"]
    assert spec["bootstrap"] == {"recovery": {"source": source["name"], "database": "mlflow", "owner": "mlflow"}}
    assert (reads["serverName"], writes["serverName"]) == ("pg-cluster-v1", "pg-cluster-v2")
    assert "must archive under a name of its own" in refusal(RECOVERED, "backup.serverName=pg-cluster-v1")
    assert "needs a new name" in refusal("openshift", "recovery.serverName=pg-cluster-v1")


def test_t6_the_check_for_an_empty_archive_is_never_skipped():
    for case in CASES:
        assert "skipEmptyWalArchiveCheck" not in json.dumps(list(objects(case)))


def test_t7_a_name_that_was_used_before_can_be_avoided():
    spec = cluster(RECOVERED, "backup.serverName=pg-cluster-v2-again")["spec"]
    assert spec["plugins"][0]["parameters"]["serverName"] == "pg-cluster-v2-again"


@pytest.mark.parametrize(("engine", "tracking", "users"), [
    ("ferroflow", 'ferroflow db upgrade "$MLFLOW_BACKEND_STORE_URI"', 'ferroflow db upgrade --auth "$users"'),
    ("mlflow", 'mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"', 'python -m mlflow.server.auth db upgrade --url "$users"'),
])
def test_t8_the_migration_upgrades_both_databases(engine, tracking, users):
    [job] = objects("openshift", f"engine={engine}").one("Template", "mlflow-migrate")["objects"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    script = container["args"][0]
    assert script.index(tracking) < script.index(users), "the users' last revision looks at the models' tags"
    assert script.startswith("set -e"), "the second is not tried when the first fails"
    assert env(container)["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2:///mlflow"


def test_t9_t10_nothing_has_to_be_edited_after_a_recovery():
    """Host, user and password come from the cluster of today; the ini file may name whatever it likes."""
    for case, name in (("openshift", "pg-cluster-v1"), (RECOVERED, "pg-cluster-v2")):
        for owner, spec in objects(case).pods():
            for container in containers(spec):
                if "PGHOST" in (variables := env(container)):
                    assert variables["PGHOST"] == f"{name}-rw", owner
                    assert variables["PGUSER"] == (f"{name}-app", "username"), owner
                    assert variables["PGPASSWORD"] == (f"{name}-app", "password"), owner
    server = objects(RECOVERED).server
    assert "/^[[:space:]]*database_uri" in server["args"][0]
    assert env(server)["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2:///mlflow"


def test_t9_a_hand_written_users_database_is_left_alone_on_request():
    assert "database_uri" not in objects("kubernetes-own-ini").server["args"][0]


def test_t11_no_password_is_shipped():
    example = (CHART / "env/basic-auth.ini.example").read_text()
    assert re.search(r"^admin_password =$", example, re.MULTILINE)
    assert "password1234" not in "".join(path.read_text() for path in CHART.rglob("*") if path.is_file())


def test_t12_the_driver_is_named():
    """A bare postgresql:// is psycopg 3 for SQLAlchemy since 2.1, which the image does not have."""
    for case in CASES:
        for owner, spec in objects(case).pods():
            for container in containers(spec):
                for name, value in env(container).items():
                    assert "postgresql://" not in str(value), (case.name, owner, name)
                assert "postgresql://" not in json.dumps(container.get("args", [])), (case.name, owner)


def test_t13_the_build_adds_the_drivers_and_the_program_and_tries_them():
    dockerfile = objects("openshift").one("BuildConfig", "mlflow")["spec"]["source"]["dockerfile"]
    assert 'pip install --no-cache-dir "boto3>=1.40" "psycopg2-binary"' in dockerfile
    assert "COPY --from=ferroflow /out/ferroflow /usr/local/bin/ferroflow" in dockerfile
    assert 'RUN python -c "import boto3, psycopg2, mlflow"' in dockerfile
    assert "RUN ferroflow --version" in dockerfile
    assert "has no driver for PostgreSQL" in refusal("kubernetes", "engine=mlflow", "mlflow.image.repository=ghcr.io/mlflow/mlflow")
    assert "has no ferroflow" in refusal("kubernetes", "mlflow.image.repository=ghcr.io/mlflow/mlflow")


def test_t14_t26_the_number_of_servers_is_whose_it_is():
    """Written only when set, so that neither an upgrade nor Helm 4's ownership of fields minds `oc scale`."""
    assert "replicas" not in objects("openshift").one("Deployment")["spec"]
    assert objects("openshift", "mlflow.replicas=0").one("Deployment")["spec"]["replicas"] == 0
    assert "replicas" not in objects("openshift-everything").one("Deployment")["spec"], "the autoscaler's"
    assert "leave it out with autoscaling.enabled" in refusal("openshift-everything", "mlflow.replicas=0")
    assert "replicas" not in objects("openshift-everything", "mlflow.replicas=2").one("Deployment")["spec"]


def test_t15_the_migration_can_be_run_again_and_again():
    template = objects("openshift").one("Template", "mlflow-migrate")
    [parameter] = template["parameters"]
    assert parameter["generate"] == "expression"
    [job] = template["objects"]
    assert job["metadata"]["name"] == f"mlflow-migrate-${{{parameter['name']}}}"
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    # `oc process` replaces ${NAME} wherever it stands, in scripts too.
    assert set(re.findall(r"\$\{+(\w+)\}", json.dumps(job))) == {parameter["name"]}
    # Elsewhere: kubectl create job --from=cronjob/mlflow-migrate NAME.
    cron = objects("kubernetes").one("CronJob", "mlflow-migrate")
    assert cron["spec"]["suspend"] is True
    assert cron["spec"]["jobTemplate"]["spec"].keys() == job["spec"].keys()


def test_t16_no_hook_waits_for_what_comes_after_it():
    """The database is made by the same release, so nothing runs before it; servers and Jobs wait for it themselves."""
    for case in CASES:
        for document in objects(case):
            hook = document["metadata"].get("annotations", {}).get("helm.sh/hook")
            # Before an upgrade, on request: it does not wait where the cluster is not there yet (test_scripts.py).
            allowed = (None, "test", "pre-upgrade") if case.name == "kubernetes-flux" else (None, "test")
            assert hook in allowed, document["metadata"]["name"]
    for owner, spec in objects("openshift").pods():
        if not owner.startswith("Pod"):
            assert spec["initContainers"][0]["name"] == "wait-for-database", owner


@pytest.mark.parametrize("case", ["openshift", "openshift-mlflow"])
def test_t17_a_new_tag_is_built_by_itself(case):
    """A changed BuildConfig alone starts nothing: its ConfigChange trigger is for a new one. A newly imported tag does."""
    for tag in ("v3.17.2", "v3.18.0"):
        rendered = objects(case, f"mlflow.image.tag={tag}")
        spec = rendered.one("BuildConfig")["spec"]
        base = rendered.one("ImageStream", "mlflow-base")["spec"]["tags"]
        assert [(one["name"], one["from"]["name"]) for one in base] == [(tag, f"ghcr.io/mlflow/mlflow:{tag}")]
        assert spec["strategy"]["dockerStrategy"]["from"]["name"] == f"mlflow-base:{tag}"
        assert {"type": "ImageChange", "imageChange": {}} in spec["triggers"]
        assert re.findall(r"^FROM (.*)$", spec["source"]["dockerfile"], re.MULTILINE)[-1] == f"ghcr.io/mlflow/mlflow:{tag}"
        assert spec["output"]["to"]["name"] == f"mlflow:{tag}"
        assert rendered.server["image"] == f"image-registry.openshift-image-registry.svc:5000/research/mlflow:{tag}"


def test_t17_a_new_image_rolls_the_servers():
    deployment = objects("openshift", generation="3").one("Deployment")
    [trigger] = json.loads(deployment["metadata"]["annotations"]["image.openshift.io/triggers"])
    assert trigger["from"] == {"kind": "ImageStreamTag", "name": "mlflow:v3.17.2"}
    assert trigger["fieldPath"] == 'spec.template.spec.containers[?(@.name=="mlflow")].image'
    assert deployment["spec"]["template"]["spec"]["containers"][0]["name"] == "mlflow"


def test_t17_t26_helm_4_owns_the_image_alone():
    """The trigger writes the image; Helm 4 would refuse every later upgrade because of it."""
    assert "annotations" not in objects("openshift").one("Deployment")["metadata"]
    asked = objects("openshift", "build.trigger=true").one("Deployment")
    assert "image.openshift.io/triggers" in asked["metadata"]["annotations"]
    assert objects("openshift").server["imagePullPolicy"] == "Always", "oc rollout restart gets the new build"


def test_t18_checksums_only_where_required():
    names = {"AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"}
    for case, of in (("openshift", lambda o: o.one("ObjectStore")["spec"]["instanceSidecarConfiguration"]["env"]), ("openshift-in-tree", lambda o: o.one("Cluster")["spec"]["env"])):
        rendered = objects(case)
        assert {e["name"] for e in of(rendered) if e["value"] == "when_required"} == names
        assert {name for name, value in rendered.server_env().items() if value == "when_required"} == names
    assert not names & objects("kubernetes-other-keys").server_env().keys()


def test_t19_the_archive_of_the_old_cluster_stays_reachable():
    """Retention runs for a living cluster only, so the old one's backups are deleted by nobody; docs/operations.md says how."""
    old, new = objects("openshift").one("ObjectStore"), objects(RECOVERED).one("ObjectStore")
    assert old == new


@pytest.mark.parametrize(("given", "written"), [
    ("2026-11-23T14:05:00Z", "2026-11-23T14:05:00Z"),
    ("2026-11-23 14:05:00+00", "2026-11-23T14:05:00+00:00"),
    ("2026-11-23T14:05:00.25+0530", "2026-11-23T14:05:00.25+05:30"),
    ("2026-11-23 14:05:00-08:00", "2026-11-23T14:05:00-08:00"),
])
def test_t20_a_time_has_its_zone(given, written):
    target = cluster(RECOVERED, f"recovery.targetTime={given}")["spec"]["bootstrap"]["recovery"]["recoveryTarget"]
    assert target == {"targetTime": written}


@pytest.mark.parametrize("given", ["2026-11-23T14:05:00", "2026-11-23 14:05:00"])
def test_t20_a_time_without_a_zone_is_refused(given):
    assert "has no time zone" in refusal(RECOVERED, f"recovery.targetTime={given}")


def test_t20_there_are_other_targets():
    def target(*sets):
        return cluster(RECOVERED, *sets)["spec"]["bootstrap"]["recovery"].get("recoveryTarget")

    assert target() is None
    assert target("recovery.targetLSN=0/5000060") == {"targetLSN": "0/5000060"}
    assert target("recovery.targetName=before") == {"targetName": "before"}
    assert target("recovery.targetImmediate=true") == {"targetImmediate": True}
    assert target("recovery.backupID=20261123T000000") == {"backupID": "20261123T000000"}


@pytest.mark.parametrize(("case", "host"), [
    ("openshift", "mlflow-research.apps.*"),
    ("openshift-no-build", "mlflow.example"),
    ("kubernetes", "mlflow.example"),
    ("kubernetes-gateway", "mlflow.example"),
])
def test_t21_the_server_knows_the_hosts_that_lead_to_it(case, host):
    variables = objects(case).server_env()
    hosts = variables["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert {host, "mlflow", "mlflow:*", "mlflow.research.svc:*", "localhost:*", "10.*"} <= set(hosts)
    assert "*" not in hosts
    assert f"https://{host}" in variables["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(","), "the UI may change things"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert objects(case).server[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_t22_another_edition_of_the_operator():
    rendered = objects("kubernetes-other-operator", "drill.enabled=true", "drill.image.repository=a", "drill.image.tag=b")
    for kind in ("Cluster", "ScheduledBackup"):
        assert rendered.one(kind)["apiVersion"] == "postgresql.k8s.enterprisedb.io/v1"
    assert {group for rule in rendered.one("Role")["rules"] for group in rule["apiGroups"]} == {"postgresql.k8s.enterprisedb.io"}
    assert rendered.names("Deployment") == {"tracking"}


@pytest.mark.parametrize("name", ["pg.cluster.v1", "Pg", "-pg", "pg-", "1pg", "p" * 51, ""])
def test_t23_a_name_that_no_cluster_can_have_is_refused(name):
    assert "clusterName" in refusal("openshift", f"postgresql.clusterName={name}")


def test_t24_an_older_database_is_not_touched_unless_asked():
    assert "--auto-migrate" not in objects("kubernetes").server["args"]
    assert "--auto-migrate" in objects("kubernetes-auto-migrate").server["args"]
    assert objects("kubernetes-auto-migrate").server["startupProbe"]["failureThreshold"] * 2 >= 3600
    rolling = objects("kubernetes").one("Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0, "the old server goes on until a new one is ready"


def test_t25_the_drill_says_what_was_lost_and_how_long_it_took():
    scripts = objects("openshift-everything").one("ConfigMap", "mlflow-drill")["data"]
    assert "recovery time:" in scripts["restore.sh"]
    assert "data loss:" in scripts["compare.sh"]


def test_t27_a_drill_ends_cleans_up_and_is_missed():
    rendered = objects("openshift-everything")
    job = rendered.one("CronJob", "mlflow-drill")["spec"]["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] <= 4 * 3600
    assert job["backoffLimit"] == 0
    [alert] = [rule for rule in rendered.one("PrometheusRule")["spec"]["groups"][0]["rules"] if rule["alert"] == "MLflowDrillFailed"]
    assert "kube_cronjob_status_last_successful_time" in alert["expr"]
    restore = rendered.one("ConfigMap", "mlflow-drill")["data"]["restore.sh"]
    assert restore.index("remove ||") < restore.index("kubectl create"), "what an earlier one left goes first"


def test_t27_a_drill_cannot_write_into_the_bucket():
    for case in ("openshift-everything", "kubernetes-in-tree-drill"):
        rendered = objects(case)
        scratch = yaml.safe_load(rendered.one("ConfigMap", "mlflow-drill")["data"]["cluster.yaml"])
        live = rendered.one("Cluster")
        assert scratch["metadata"]["name"] == f"{live['metadata']['name']}-drill"
        assert not {"plugins", "backup"} & scratch["spec"].keys()
        assert scratch["spec"]["instances"] == 1
        assert scratch["spec"]["bootstrap"]["recovery"]["source"] == scratch["spec"]["externalClusters"][0]["name"] == "pg-cluster-v1"
        assert not validate.errors(scratch)


def test_t28_gitops_may_render_as_often_as_it_likes():
    """See test_two_renderings_are_the_same: here, that there is no Secret and no hook of Helm's that Argo CD misreads."""
    for case in CASES:
        rendered = objects(case)
        assert not rendered.names("Secret")
        hooks = sorted(o["kind"] for o in rendered if "helm.sh/hook" in o["metadata"].get("annotations", {}))
        # `migration.hook: helm` is for Flux, which runs Helm itself; `argocd` has annotations of Argo CD.
        assert hooks == (["Job", "Pod"] if case.name == "kubernetes-flux" else ["Pod"])


# What the list does not have.


def test_a_service_named_mlflow_does_not_set_the_port():
    """Kubernetes puts MLFLOW_PORT=tcp://… into the pods beside a Service `mlflow`, and the server reads its port there."""
    for case in CASES:
        for owner, spec in objects(case).pods():
            assert spec["enableServiceLinks"] is False, (case.name, owner)
    assert "--port=5000" in objects("openshift").server["args"]


def test_the_second_database_is_copied_from_a_template_that_nobody_uses():
    """The operator runs statements in template1 at the same moment, which CREATE DATABASE would not bear."""
    [statement] = cluster("openshift")["spec"]["bootstrap"]["initdb"]["postInitSQL"]
    assert statement == 'CREATE DATABASE "mlflow_auth" OWNER "mlflow" TEMPLATE template0'
    assert "postInitSQL" not in cluster("openshift", "postgresql.usersDatabase=mlflow")["spec"]["bootstrap"]["initdb"]


def test_migrations_go_around_pgbouncer():
    rendered = objects("openshift-everything")
    assert rendered.server_env()["PGHOST"] == "pg-cluster-v1-pooler-rw"
    assert rendered.server_env()["PGSSLMODE"] == "require", "PgBouncer's certificate has another name"
    assert "PGSSLROOTCERT" not in rendered.server_env(), "libpq would check it all the same"
    [job] = rendered.one("Template")["objects"]
    assert env(job["spec"]["template"]["spec"]["containers"][0])["PGHOST"] == "pg-cluster-v1-rw"


def test_a_drain_of_a_node_is_not_blocked_for_ever():
    """The operator's budget for a primary that nobody can take over from lets it never go."""
    assert cluster("kubernetes")["spec"]["enablePDB"] is False
    assert "enablePDB" not in cluster("kubernetes-highly-available")["spec"]
    assert cluster("kubernetes", "postgresql.spec.enablePDB=true")["spec"]["enablePDB"] is True


def test_the_network_policy_is_for_everything_but_the_drill():
    """A drill calls the API server, and a cluster of another name."""
    rendered = objects("openshift-everything")
    selector = rendered.one("NetworkPolicy")["spec"]["podSelector"]

    def is_selected(labels):
        [other] = selector["matchExpressions"]
        assert other["operator"] == "NotIn"
        return selector["matchLabels"].items() <= labels.items() and labels.get(other["key"]) not in other["values"]

    templates = {o["metadata"]["name"]: o["spec"].get("jobTemplate", o)["spec"]["template"] for o in rendered if o["kind"] in ("CronJob", "Deployment")}
    selected = {name: is_selected(template["metadata"]["labels"]) for name, template in templates.items()}
    assert selected == {"mlflow": True, "mlflow-gc": True, "mlflow-drill": False}


def test_openshift_brings_the_image_of_the_drill():
    images = [c["image"] for owner, spec in objects("openshift", "drill.enabled=true").pods() if "drill" in owner for c in containers(spec)]
    assert images.count("image-registry.openshift-image-registry.svc:5000/openshift/cli:latest") == 2
    for case, sets in (("kubernetes", ()), ("openshift", ("drill.image.repository=registry.example/kubectl",))):
        assert "drill.image: set repository and tag" in refusal(case, "drill.enabled=true", *sets)


def test_it_is_told_when_nothing_is_ready_and_probes_do_not_hide_errors():
    rules = {rule["alert"]: rule["expr"] for rule in objects("openshift-everything").one("PrometheusRule")["spec"]["groups"][0]["rules"]}
    assert 'max(kube_deployment_status_replicas_available{namespace="research",deployment="mlflow"}) == 0' in rules["MLflowDown"]
    errors = rules["MLflowErrors"]
    [excluded] = set(re.findall(r'route!~"([^"]*)"', errors))
    assert errors.count("route!~") == errors.count("ferroflow_http_requests_total{") == 2
    for probe in ("/readyz", "/livez", "/ml/readyz", "/metrics", "/health"):
        assert re.fullmatch(excluded, probe), probe
    for route in ("/api/2.0/mlflow/runs/create", "/api/2.0/mlflow-artifacts/artifacts/{*path}", "/healthy"):
        assert not re.fullmatch(excluded, route), route


def test_every_server_has_the_key_of_webhooks():
    given = objects("openshift-everything").server_env()["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]
    assert given == ("webhook-key", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY")
    assert "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY" not in objects("openshift").server_env()


def test_what_watches_a_server_with_a_login_gets_in():
    """With a login, /metrics and /version ask for one, and the probes' paths do not."""
    [endpoint] = objects("openshift-everything").one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["basicAuth"] == {part: {"name": "metrics-user", "key": part} for part in ("username", "password")}
    [test, _] = objects("openshift").one("Pod", "mlflow-test")["spec"]["containers"]
    assert re.findall(r"^ask (\S+)$", test["args"][0], re.MULTILINE) == ["/health", "/readyz"]


def test_postgresql_is_checked_by_its_certificate():
    variables = objects("openshift").server_env()
    assert (variables["PGSSLMODE"], variables["PGSSLROOTCERT"]) == ("verify-full", "/etc/mlflow/database-ca/ca.crt")
    for owner, spec in objects("openshift").pods():
        for volume in spec.get("volumes", []):
            if volume["name"] == "database-ca":
                assert volume["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}], "not its private key"


def test_one_writer_for_a_sqlite_file():
    deployment = objects("kubernetes-try-out").one("Deployment")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("release", ["mlflow", "tracking", "a-b-c"])
def test_every_object_is_named_after_the_release(generation, release):
    rendered = objects("openshift", generation=generation, release=release)
    for kind in ("Deployment", "Service", "BuildConfig", "Route", "ServiceAccount"):
        assert rendered.names(kind) == {release}, kind
    assert rendered.names("Template") == {f"{release}-migrate"}
    assert rendered.names("ImageStream") == {release, f"{release}-base"}


def test_openshift_is_seen_where_it_can_be():
    files = flags(Case("openshift").files, ["openshift=auto"])
    done = helm("4", "template", "mlflow", CHART, "--namespace", NAMESPACE, *files, "--api-versions", "route.openshift.io/v1")
    assert "kind: Route" in done.stdout and "kind: BuildConfig" in done.stdout
    assert "engine ferroflow: ghcr.io/mlflow/mlflow has no ferroflow" in refusal("openshift", "openshift=auto")
