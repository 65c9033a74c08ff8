{{/*
What values.schema.json cannot say: values that are right each for itself and wrong together. Each message says what
is wrong and what to set.
*/}}
{{- define "refuse" -}}
{{- $values := .Values -}}
{{- $cluster := eq .Values.postgresql.mode "cluster" -}}
{{- $sqlite := eq .Values.postgresql.mode "none" -}}
{{- $official := hasSuffix "ghcr.io/mlflow/mlflow" .Values.mlflow.image.repository -}}

{{- if and (eq .Values.engine "ferroflow") $official (not (include "build" .)) -}}
{{- fail (printf "engine ferroflow: %s has no ferroflow. Build the Containerfile, push it to your registry and set mlflow.image.repository and mlflow.image.tag; or set build.enabled: true on OpenShift (openshift: true for `helm template`); or engine: mlflow." .Values.mlflow.image.repository) -}}
{{- end -}}
{{- if and (eq .Values.engine "mlflow") $official (not (include "build" .)) (not $sqlite) (not (hasSuffix "-full" .Values.mlflow.image.tag)) -}}
{{- fail (printf "engine mlflow: %s:%s has no driver for PostgreSQL and none for S3. Set mlflow.image.repository to an image that has psycopg2 and boto3, or build.enabled: true on OpenShift." .Values.mlflow.image.repository .Values.mlflow.image.tag) -}}
{{- end -}}
{{- if and (include "build" .) (not (include "openshift" .)) -}}
{{- fail "build.enabled: only OpenShift builds images. Set mlflow.image.repository to an image that is built already." -}}
{{- end -}}
{{- if and (include "route" .) (not (include "openshift" .)) -}}
{{- fail "route.enabled: only OpenShift has Routes. Set ingress.enabled or httpRoute.enabled." -}}
{{- end -}}
{{- if and (include "route" .) (ne .Values.route.termination "edge") (eq (int .Values.service.targetPort) 5000) -}}
{{- fail (printf "route.termination %s: the server speaks plain HTTP. Put a proxy that ends TLS into mlflow.containers and its port into service.targetPort, or use edge." .Values.route.termination) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.enabled: set ingress.hosts; the server answers 403 to a host name that is not allowed." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not (and .Values.httpRoute.parentRefs .Values.httpRoute.hostnames)) -}}
{{- fail "httpRoute.enabled: set httpRoute.parentRefs and httpRoute.hostnames." -}}
{{- end -}}

{{- if and (not .Values.s3.bucket) (not .Values.artifacts.destination) (not $sqlite) -}}
{{- fail "s3.bucket: set the bucket for artifacts and backups." -}}
{{- end -}}
{{- if and $cluster .Values.backup.enabled (not .Values.s3.bucket) -}}
{{- fail "s3.bucket: set the bucket for backups, or backup.enabled: false, which makes recovery impossible." -}}
{{- end -}}
{{- if and (eq .Values.postgresql.mode "external") (not (and .Values.postgresql.external.host .Values.postgresql.external.existingSecret)) -}}
{{- fail "postgresql.mode external: set postgresql.external.host and postgresql.external.existingSecret." -}}
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
{{- if and .Values.autoscaling.enabled (ne (toString .Values.mlflow.replicas) "<nil>") (ne (toString .Values.mlflow.replicas) "") -}}
{{- fail "mlflow.replicas: leave it out with autoscaling.enabled, or every upgrade resets the autoscaler's number." -}}
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
{{- fail (printf "recovery.serverName and postgresql.clusterName are both %s: a recovered cluster needs a new name, or it would overwrite the backups that it is recovered from. Set postgresql.clusterName to a new name, such as %s, and recovery.serverName to the old one." .serverName (include "nextName" .serverName)) -}}
{{- end -}}
{{- if eq .serverName (include "ownServerName" $) -}}
{{- fail (printf "recovery.serverName and backup.serverName are both %s: a recovered cluster must archive under a name of its own." .serverName) -}}
{{- end -}}
{{- if not $values.s3.bucket -}}
{{- fail "s3.bucket: set the bucket with the backups to recover from." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- if and .Values.monitoring.serviceMonitor .Values.auth.enabled (not .Values.monitoring.basicAuth.existingSecret) -}}
{{- fail "monitoring.serviceMonitor: with auth.enabled /metrics requires a login. Create a user for it, put its name and password into a Secret, and set monitoring.basicAuth.existingSecret." -}}
{{- end -}}

{{- if .Values.drill.enabled -}}
{{- if not (and $cluster .Values.backup.enabled) -}}
{{- fail "drill.enabled: only backups of postgresql.mode cluster with backup.enabled can be restored in a drill." -}}
{{- end -}}
{{- $image := .Values.drill.image -}}
{{- if not (or (and $image.repository $image.tag) (and (include "openshift" .) (not $image.repository))) -}}
{{- fail "drill.image: set repository and tag of an image with kubectl and a shell." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* pg-cluster-v1 → pg-cluster-v2, pg → pg-v2. */}}
{{- define "nextName" -}}
{{- $number := regexFind "[0-9]+$" . -}}
{{- if $number }}{{ trimSuffix $number . }}{{ add1 (int $number) }}{{ else }}{{ . }}-v2{{ end -}}
{{- end }}
