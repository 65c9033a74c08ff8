"""Values: what is refused, with which words."""

import json

import pytest
from support.chart import CHART, GENERATIONS, refusal

each_generation = pytest.mark.parametrize("generation", GENERATIONS)


def test_every_group_is_closed():
    def closed(path, schema):
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path
            for name, below in schema["properties"].items():
                closed(f"{path}.{name}", below)

    closed("", json.loads((CHART / "values.schema.json").read_text()))


@each_generation
@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("revocery.serverName=pg-cluster-v1", "did you mean recovery?"),
        ("potgresql.clusterName=pg-cluster-v2", "did you mean postgresql?"),
        ("nameOverride=tracking", "did you mean fullnameOverride?"),
        ("nodeSelector.pool=a", "did you mean mlflow.nodeSelector?"),
        ("mlflow.annotations.a=b", "did you mean annotations.Deployment?"),
        ("annotations.deployment.a=b", "deployment"),
        ("mlflow.image.digest=0123", "digest"),
        ("imagePullSecrets[0].named=registry", "imagePullSecrets"),
        ("service.ipFamilies[0]=IPv5", "ipFamilies"),
        ("migration.hook=flux", "hook"),
        ("replicaCount=2", "did you mean mlflow.replicas?"),
        ("image.tag=v1", "did you mean mlflow.image?"),
        ("clusterName=pg-cluster-v2", "did you mean postgresql.clusterName?"),
        ("recovery.clusterName=pg-cluster-v2", "did you mean postgresql.clusterName?"),
        ("s3.endpoint=https://s3.example", "did you mean s3.endpointUrl?"),
        ("recovery.serverNam=pg-cluster-v1", "serverNam"),
        ("mlflow.image.tga=v1", "tga"),
        ("unheardOf=1", "unheardOf"),
        ("mlflow.replicas=many", "replicas"),
        ("mlflow.replicas=-1", "replicas"),
        ("mlflow.image.tag=latest", "tag"),
        ("mlflow.image.tag=", "tag"),
        ("engine=postgres", "engine"),
        ("backup.method=auto", "method"),
        ("backup.retention=30", "retention"),
        ("postgresql.clusterName=pg.cluster.v1", "clusterName"),
        ("postgresql.clusterName=" + "a" * 51, "clusterName"),
        ("postgresql.clusterName=V1", "clusterName"),
        ("postgresql.imageName=ghcr.io/cloudnative-pg/postgresql:latest", "imageName"),
        ("openshift=perhaps", "openshift"),
        ("quotas.hard.experiment\\.bytes=1", "experiment.bytes"),
        ("quotas.soft.experiment\\.runs=0", "experiment.runs"),
    ],
)
def test_a_typo_is_refused_with_what_was_meant(generation, wrong, meant):
    assert meant in refusal("openshift", wrong, generation=generation)


RECOVERING = ("postgresql.clusterName=pg-cluster-v2", "recovery.serverName=pg-cluster-v1")


@each_generation
@pytest.mark.parametrize(
    ("case", "sets", "words"),
    [
        ("openshift", ["recovery.serverName=pg-cluster-v1"], "a recovered cluster needs a new name, or it would overwrite the backups that it is recovered from. Set postgresql.clusterName to a new name, such as pg-cluster-v2, and"),
        ("openshift", [*RECOVERING, "backup.serverName=pg-cluster-v1"], "a recovered cluster must archive under a name of its own"),
        ("openshift", [*RECOVERING, "recovery.targetTime=2026-11-23 14:05:00"], "2026-11-23 14:05:00 has no time zone. Write 2026-11-23 14:05:00Z if that is UTC"),
        ("openshift", [*RECOVERING, "recovery.targetTime=yesterday"], "yesterday is not a time. Write it like 2026-11-23T14:05:00Z"),
        ("openshift", [*RECOVERING, "recovery.targetTime=2026-11-23T14:05:00Z", "recovery.targetName=before"], "recovery.targetTime and recovery.targetName: set one of them"),
        ("openshift", ["recovery.targetTime=2026-11-23T14:05:00Z"], "recovery.targetTime alone recovers nothing"),
        ("openshift", ["backup.schedule=0 0 * * *"], "needs six fields, seconds first"),
        ("openshift", ["gc.enabled=true", "gc.schedule=0 0 0 * * *"], "needs five fields, minutes first"),
        ("openshift", ["s3.bucket="], "s3.bucket: set the bucket"),
        ("openshift", ["route.termination=reencrypt"], "the server speaks plain HTTP"),
        ("openshift", ["autoscaling.enabled=true", "mlflow.replicas=0"], "leave it out with autoscaling.enabled"),
        ("openshift", ["podDisruptionBudget.enabled=true", "podDisruptionBudget.minAvailable=1", "podDisruptionBudget.maxUnavailable=1"], "set one of them"),
        ("openshift", ["migration.hook=helm", "mlflow.autoMigrate=true"], "both upgrade the databases"),
        ("kubernetes-mlflow", ["otlpGrpc.enabled=true"], "only engine ferroflow serves OTLP/gRPC"),
        ("kubernetes", ["otlpGrpc.enabled=true", "otlpGrpc.port=5000"], "5000 is a port of HTTP"),
        ("kubernetes-mlflow", ["quotas.soft.experiment\\.runs=10"], "only engine ferroflow has quotas"),
        ("kubernetes-mlflow", ["monitoring.traces.endpoint=http://collector:4318/v1/traces"], "only engine ferroflow exports traces of itself"),
        ("openshift", ["gcs.bucket=other"], "s3.bucket and gcs.bucket: set one of them"),
        ("kubernetes-azure", ["azure.account="], "set the storage account that azure.container is in"),
        ("kubernetes-azure", ["azure.sasTokenKey=token"], "azure.accountNameKey: set the key of the account's name"),
        ("kubernetes-azure", ["backup.encryption=AES256"], "only stores of S3 take it"),
        ("kubernetes-service-accounts", ["engine=mlflow", "mlflow.image.repository=registry.example/mlflow"], "only engine ferroflow knows tokens"),
        ("kubernetes-service-accounts", ["serviceAccount.create=false"], "that of other pods"),
        ("kubernetes-namespaces", ["workspaces.enabled=false"], "set workspaces.enabled: true as well"),
        ("kubernetes-namespaces", ["auth.enabled=false"], "set auth.enabled: true, with a section [kubernetes]"),
        ("kubernetes-namespaces", ["workspaces.kubernetes.selector="], "set the labels of the namespaces that are workspaces"),
        ("kubernetes-namespaces", ["workspaces.kubernetes.enabled=false"], "or the workspaces are those of the database"),
        ("kubernetes-namespaces-proxy", ["workspaces.kubernetes.enabled=false", "workspaces.kubernetes.selector=", "workspaces.kubernetes.defaultWorkspace="], "or the workspaces are those of the database"),
        ("kubernetes-namespaces-proxy", ["workspaces.kubernetes.trustedProxy.addresses=null"], "set the addresses of the proxy"),
        ("kubernetes-namespaces-proxy", ["workspaces.kubernetes.trustedProxy.addresses={0.0.0.0/0}"], "let every client name itself"),
        ("kubernetes-namespaces", ["auth.serviceAccounts.enabled=true"], "needs no right to review tokens"),
        ("kubernetes-namespaces", ["serviceAccount.create=false"], "that of other pods"),
        ("kubernetes-namespaces", ["engine=mlflow", "mlflow.image.repository=registry.example/mlflow"], "only engine ferroflow knows namespaces"),
        ("openshift", ["mlflow.autoMigrate=true", "postgresql.pooler.enabled=true"], "which PgBouncer does not support"),
        ("openshift", ["mlflow.autoMigrate=true", "engine=mlflow"], "does not upgrade its database when it starts"),
        ("openshift", ["engine=mlflow", "mlflow.image.tag=v3.5.0", "postgresql.usersDatabase=mlflow"], "needs a database of its own for users"),
        ("openshift", ["drill.enabled=true", "backup.enabled=false", "drill.image.repository=a", "drill.image.tag=b"], "only backups of"),
        ("kubernetes", ["monitoring.serviceMonitor=true"], "with auth.enabled /metrics requires a login"),
        ("kubernetes", ["drill.enabled=true"], "an image with kubectl and a shell"),
        ("kubernetes", ["mlflow.image.repository=ghcr.io/mlflow/mlflow"], "has no ferroflow. Build the Containerfile"),
        ("kubernetes", ["mlflow.image.repository=ghcr.io/mlflow/mlflow", "engine=mlflow"], "has no driver for PostgreSQL and none for S3"),
        ("kubernetes", ["build.enabled=true"], "only OpenShift builds images"),
        ("kubernetes", ["route.enabled=true"], "only OpenShift has Routes"),
        ("kubernetes", ["ingress.hosts=null"], "set ingress.hosts"),
        ("kubernetes", ["httpRoute.enabled=true"], "set httpRoute.parentRefs and httpRoute.hostnames"),
        ("kubernetes", ["postgresql.mode=external"], "set postgresql.external.host and postgresql.external.existingSecret (or hostKey or uriKey"),
        ("kubernetes", ["postgresql.readReplica.enabled=true"], "Set postgresql.instances to at least 2"),
        ("kubernetes-mlflow", ["postgresql.readReplica.enabled=true", "postgresql.instances=2"], "only engine ferroflow reads its own writes"),
        ("kubernetes-external", ["postgresql.readReplica.enabled=true"], "only postgresql.mode cluster has standbys"),
        ("kubernetes-try-out", ["migration.hook=helm"], "the volume belongs to the server that runs"),
        ("kubernetes-try-out", ["mlflow.replicas=2"], "mlflow.replicas must be at most 1"),
        ("kubernetes-try-out", ["autoscaling.enabled=true"], "autoscaling.enabled must be false"),
        ("kubernetes-try-out", ["recovery.serverName=old"], "only postgresql.mode cluster recovers"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_do(generation, case, sets, words):
    assert words in refusal(case, *sets, generation=generation)
