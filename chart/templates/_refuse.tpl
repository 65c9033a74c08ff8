{{/*
What values.schema.json cannot say: values that are right each for itself and wrong together. Each message says what
is wrong and what to set.
*/}}
{{- define "ferroflow.refuse" -}}
{{- $values := .Values -}}
{{- $cluster := eq .Values.postgresql.mode "cluster" -}}
{{- $sqlite := eq .Values.postgresql.mode "none" -}}
{{- $official := hasSuffix "ghcr.io/mlflow/mlflow" .Values.mlflow.image.repository -}}

{{- if and (eq .Values.engine "ferroflow") $official (not (include "ferroflow.build" .)) -}}
{{- fail (printf "engine ferroflow: %s has no ferroflow. Build the Containerfile, push it to your registry and set mlflow.image.repository and mlflow.image.tag; or set build.enabled: true on OpenShift (openshift: true for `helm template`); or engine: mlflow." .Values.mlflow.image.repository) -}}
{{- end -}}
{{- if and (eq .Values.engine "mlflow") $official (not (include "ferroflow.build" .)) (not $sqlite) (not (hasSuffix "-full" .Values.mlflow.image.tag)) -}}
{{- fail (printf "engine mlflow: %s:%s has no driver for PostgreSQL and none for S3. Set mlflow.image.repository to an image that has psycopg2 and boto3, or build.enabled: true on OpenShift." .Values.mlflow.image.repository .Values.mlflow.image.tag) -}}
{{- end -}}
{{- if and (include "ferroflow.build" .) (not (include "ferroflow.openshift" .)) -}}
{{- fail "build.enabled: only OpenShift builds images. Set mlflow.image.repository to an image that is built already." -}}
{{- end -}}
{{- if and (include "ferroflow.route" .) (not (include "ferroflow.openshift" .)) -}}
{{- fail "route.enabled: only OpenShift has Routes. Set ingress.enabled or httpRoute.enabled." -}}
{{- end -}}
{{- if and (include "ferroflow.route" .) (ne .Values.route.termination "edge") (eq (int .Values.service.targetPort) 5000) -}}
{{- fail (printf "route.termination %s: the server speaks plain HTTP. Put a proxy that ends TLS into mlflow.containers and its port into service.targetPort, or use edge." .Values.route.termination) -}}
{{- end -}}
{{- if and .Values.otlpGrpc.enabled (ne .Values.engine "ferroflow") -}}
{{- fail "otlpGrpc.enabled: only engine ferroflow serves OTLP/gRPC." -}}
{{- end -}}
{{- if and .Values.otlpGrpc.enabled (has (int .Values.otlpGrpc.port) (list 5000 5001 (int .Values.service.port) (int .Values.service.targetPort))) -}}
{{- fail (printf "otlpGrpc.port: %d is a port of HTTP. Set another one, such as 4317." (int .Values.otlpGrpc.port)) -}}
{{- end -}}
{{- if and (or .Values.quotas.hard .Values.quotas.soft) (ne .Values.engine "ferroflow") -}}
{{- fail "quotas.hard, quotas.soft: only engine ferroflow has quotas." -}}
{{- end -}}
{{- if and .Values.monitoring.traces.endpoint (ne .Values.engine "ferroflow") -}}
{{- fail "monitoring.traces.endpoint: only engine ferroflow exports traces of itself." -}}
{{- end -}}
{{- if and (include "ferroflow.readReplica" .) (ne .Values.engine "ferroflow") -}}
{{- fail "postgresql.readReplica, postgresql.external.readReplicaUriKey: only engine ferroflow reads its own writes with a replica." -}}
{{- end -}}
{{- if and .Values.postgresql.readReplica.enabled (not $cluster) -}}
{{- fail "postgresql.readReplica.enabled: only postgresql.mode cluster has standbys. An external database has postgresql.external.readReplicaUriKey." -}}
{{- end -}}
{{- if and .Values.postgresql.readReplica.enabled (lt (int .Values.postgresql.instances) 2) -}}
{{- fail "postgresql.readReplica.enabled: one instance has no standby. Set postgresql.instances to at least 2." -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled: set ingress.hosts; the server answers 403 to a host name that is not allowed." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not (and .Values.httpRoute.parentRefs .Values.httpRoute.hostnames)) -}}
{{- fail "httpRoute.enabled: set httpRoute.parentRefs and httpRoute.hostnames." -}}
{{- end -}}

{{- $store := include "ferroflow.store" . -}}
{{- $stores := list -}}
{{- if .Values.s3.bucket }}{{ $stores = append $stores "s3.bucket" }}{{ end -}}
{{- if .Values.azure.container }}{{ $stores = append $stores "azure.container" }}{{ end -}}
{{- if .Values.gcs.bucket }}{{ $stores = append $stores "gcs.bucket" }}{{ end -}}
{{- if gt (len $stores) 1 -}}
{{- fail (printf "%s: set one of them; artifacts and backups are in one bucket. Artifacts that are elsewhere have artifacts.destination." (join " and " $stores)) -}}
{{- end -}}
{{- if and .Values.azure.container (not .Values.azure.account) -}}
{{- fail "azure.account: set the storage account that azure.container is in." -}}
{{- end -}}
{{- with .Values.azure -}}
{{- if and .existingSecret (or .accountKeyKey .sasTokenKey) (not .accountNameKey) -}}
{{- fail "azure.accountNameKey: set the key of the account's name in azure.existingSecret; backups read it there." -}}
{{- end -}}
{{- end -}}
{{- if and (not $store) (not .Values.artifacts.destination) (not $sqlite) -}}
{{- fail "s3.bucket: set the bucket for artifacts and backups (or azure.container, or gcs.bucket)." -}}
{{- end -}}
{{- if and $cluster .Values.backup.enabled (not $store) -}}
{{- fail "s3.bucket: set the bucket for backups (or azure.container, or gcs.bucket), or backup.enabled: false, with which nothing can be recovered." -}}
{{- end -}}
{{- if and .Values.backup.encryption (has $store (list "azure" "gcs")) -}}
{{- fail "backup.encryption: only stores of S3 take it. Azure and Google encrypt by the bucket's own settings." -}}
{{- end -}}
{{- if and (eq .Values.postgresql.mode "external") (not (and (or .Values.postgresql.external.host .Values.postgresql.external.hostKey .Values.postgresql.external.uriKey) .Values.postgresql.external.existingSecret)) -}}
{{- fail "postgresql.mode external: set postgresql.external.host and postgresql.external.existingSecret (or hostKey or uriKey of that Secret instead of the host)." -}}
{{- end -}}
{{- if and (eq .Values.engine "mlflow") (eq .Values.postgresql.database .Values.postgresql.usersDatabase) (regexMatch "^v?(2\\.|3\\.[0-5]\\.)" .Values.mlflow.image.tag) -}}
{{- fail (printf "postgresql.usersDatabase: MLflow %s needs a database of its own for users, since 3.6 it may be the same one." .Values.mlflow.image.tag) -}}
{{- end -}}
{{- if and (eq .Values.auth.users "ini") $sqlite -}}
{{- fail "auth.users ini: with postgresql.mode none users are kept in a file on the volume. Leave auth.users at database." -}}
{{- end -}}

{{- if $sqlite -}}
{{- if gt (int (default 1 .Values.mlflow.replicas)) 1 -}}
{{- fail "postgresql.mode none: one server can use a SQLite file, mlflow.replicas must be at most 1." -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "postgresql.mode none: one server can use a SQLite file, autoscaling.enabled must be false." -}}
{{- end -}}
{{- if .Values.recovery.serverName -}}
{{- fail "recovery.serverName: only postgresql.mode cluster recovers from backups of a cluster." -}}
{{- end -}}
{{- end -}}
{{- /* As charts do it, any other number is passed over: the autoscaler's is the one that holds. */ -}}
{{- if and .Values.autoscaling.enabled (eq (toString .Values.mlflow.replicas) "0") -}}
{{- fail "mlflow.replicas: leave it out with autoscaling.enabled, which does not stop the servers for it. Run `kubectl scale` (`oc scale`) to 0: the autoscaler does nothing then." -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas must not be above autoscaling.maxReplicas." -}}
{{- end -}}
{{- if and .Values.mlflow.autoMigrate .Values.postgresql.pooler.enabled $cluster -}}
{{- fail "mlflow.autoMigrate: a migration holds a session-level lock, which PgBouncer does not support. Turn one of mlflow.autoMigrate and postgresql.pooler.enabled off; the migration Job bypasses PgBouncer." -}}
{{- end -}}
{{- if and .Values.mlflow.autoMigrate (eq .Values.engine "mlflow") -}}
{{- fail "mlflow.autoMigrate: the official server does not upgrade its database when it starts. Run the migration Job." -}}
{{- end -}}

{{- if ne (len (splitList " " .Values.backup.schedule)) 6 -}}
{{- fail (printf "backup.schedule: %q needs six fields, seconds first, such as \"0 0 0 * * *\" for 00:00:00 UTC every day." .Values.backup.schedule) -}}
{{- end -}}
{{- range list "drill" "gc" -}}
{{- $schedule := (index $values .).schedule -}}
{{- if and (index $values .).enabled (ne (len (splitList " " $schedule)) 5) -}}
{{- fail (printf "%s.schedule: %q needs five fields, minutes first, such as \"0 3 * * 0\"." . $schedule) -}}
{{- end -}}
{{- end -}}

{{- with .Values.recovery -}}
{{- if and .targetTime (not (regexMatch "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$" .targetTime)) -}}
{{- if regexMatch "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?$" .targetTime -}}
{{- fail (printf "recovery.targetTime: %s has no time zone. Write %sZ if that is UTC, or add an offset such as +02:00." .targetTime .targetTime) -}}
{{- end -}}
{{- fail (printf "recovery.targetTime: %s is not a time. Write it like 2026-11-23T14:05:00Z." .targetTime) -}}
{{- end -}}
{{- $targets := list -}}
{{- range list "targetTime" "targetLSN" "targetName" "targetImmediate" -}}
{{- if index $values.recovery . }}{{ $targets = append $targets (printf "recovery.%s" .) }}{{ end -}}
{{- end -}}
{{- if gt (len $targets) 1 -}}
{{- fail (printf "%s: set one of them; each is a recovery target." (join " and " $targets)) -}}
{{- end -}}
{{- if and (or $targets .backupID .path) (not .serverName) -}}
{{- fail (printf "recovery.serverName: set the old cluster's name; %s alone recovers nothing." (first (concat $targets (list "recovery.backupID")))) -}}
{{- end -}}
{{- if and .serverName $cluster -}}
{{- if eq .serverName $values.postgresql.clusterName -}}
{{- fail (printf "recovery.serverName and postgresql.clusterName are both %s: a recovered cluster needs a new name, or it would overwrite the backups that it is recovered from. Set postgresql.clusterName to a new name, such as %s, and recovery.serverName to the old one." .serverName (include "ferroflow.nextName" .serverName)) -}}
{{- end -}}
{{- if eq .serverName (include "ferroflow.ownServerName" $) -}}
{{- fail (printf "recovery.serverName and backup.serverName are both %s: a recovered cluster must archive under a name of its own." .serverName) -}}
{{- end -}}
{{- if not (include "ferroflow.store" $) -}}
{{- fail "s3.bucket: set the bucket with the backups to recover from (or azure.container, or gcs.bucket)." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- with (include "ferroflow.connections" . | fromJson).problem }}{{ fail . }}{{ end -}}

{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "invalid" .maxUnavailable)) -}}
{{- fail "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable: set one of them." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.auth.serviceAccounts.enabled (ne .Values.engine "ferroflow") -}}
{{- fail "auth.serviceAccounts.enabled: only engine ferroflow knows tokens of service accounts." -}}
{{- end -}}
{{- if and .Values.auth.serviceAccounts.enabled (eq (include "ferroflow.serviceAccount" .) "default") -}}
{{- fail "auth.serviceAccounts.enabled: set serviceAccount.create: true or serviceAccount.name. The account `default` is that of other pods, which would get the right as well." -}}
{{- end -}}
{{- with .Values.workspaces.kubernetes -}}
{{- if .enabled -}}
{{- if not $.Values.workspaces.enabled -}}
{{- fail "workspaces.kubernetes.enabled: set workspaces.enabled: true as well." -}}
{{- end -}}
{{- if not $.Values.auth.enabled -}}
{{- fail "workspaces.kubernetes.enabled: set auth.enabled: true, with a section [kubernetes] in the file of auth.existingSecret." -}}
{{- end -}}
{{- if ne $.Values.engine "ferroflow" -}}
{{- fail "workspaces.kubernetes.enabled: only engine ferroflow knows namespaces as workspaces." -}}
{{- end -}}
{{- if not .selector -}}
{{- fail "workspaces.kubernetes.selector: set the labels of the namespaces that are workspaces, such as mlflow-enabled=true." -}}
{{- end -}}
{{- if $.Values.auth.serviceAccounts.enabled -}}
{{- fail "workspaces.kubernetes.enabled and auth.serviceAccounts.enabled: set one of them. With namespaces as workspaces the server needs no right to review tokens." -}}
{{- end -}}
{{- if eq (include "ferroflow.serviceAccount" $) "default" -}}
{{- fail "workspaces.kubernetes.enabled: set serviceAccount.create: true or serviceAccount.name. The account `default` is that of other pods, which would get the right as well." -}}
{{- end -}}
{{- if and .trustedProxy.enabled (not .trustedProxy.addresses) -}}
{{- fail "workspaces.kubernetes.trustedProxy.addresses: set the addresses of the proxy. Nothing else may name callers." -}}
{{- end -}}
{{- range .trustedProxy.addresses -}}
{{- if and $.Values.workspaces.kubernetes.trustedProxy.enabled (hasSuffix "/0" .) -}}
{{- fail "workspaces.kubernetes.trustedProxy.addresses: a network of all addresses would let every client name itself." -}}
{{- end -}}
{{- end -}}
{{- else if or .selector .defaultWorkspace .artifactRoots .trustedProxy.enabled -}}
{{- fail "workspaces.kubernetes.selector, defaultWorkspace, artifactRoots and trustedProxy: set workspaces.kubernetes.enabled: true as well, or the workspaces are those of the database." -}}
{{- end -}}
{{- end -}}
{{- if and (ne .Values.migration.hook "none") $sqlite -}}
{{- fail "migration.hook: with postgresql.mode none the volume belongs to the server that runs. Use mlflow.autoMigrate: true." -}}
{{- end -}}
{{- if and (ne .Values.migration.hook "none") .Values.mlflow.autoMigrate -}}
{{- fail "migration.hook and mlflow.autoMigrate: set one of them; both upgrade the databases." -}}
{{- end -}}

{{- if and .Values.monitoring.serviceMonitor .Values.auth.enabled (not .Values.monitoring.basicAuth.existingSecret) -}}
{{- fail "monitoring.serviceMonitor: with auth.enabled /metrics requires a login. Create a user for it, put its name and password into a Secret, and set monitoring.basicAuth.existingSecret." -}}
{{- end -}}

{{- if .Values.drill.enabled -}}
{{- if not (and $cluster .Values.backup.enabled) -}}
{{- fail "drill.enabled: only backups of postgresql.mode cluster with backup.enabled can be restored in a drill." -}}
{{- end -}}
{{- $image := .Values.drill.image -}}
{{- if not (or (and $image.repository (or $image.tag $image.digest)) (and (include "ferroflow.openshift" .) (not $image.repository))) -}}
{{- fail "drill.image: set repository and tag of an image with kubectl and a shell." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* pg-cluster-v1 → pg-cluster-v2, pg → pg-v2. */}}
{{- define "ferroflow.nextName" -}}
{{- $number := regexFind "[0-9]+$" . -}}
{{- if $number }}{{ trimSuffix $number . }}{{ add1 (int $number) }}{{ else }}{{ . }}-v2{{ end -}}
{{- end }}
