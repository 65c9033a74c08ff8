{{/*
How many connections each server may open to each database, so that all servers together leave some of `max_connections`,
in JSON: `each` is empty where the engine's default fits. `problem` says what cannot fit. See docs/operations.md.
*/}}
{{- define "ferroflow.connections" -}}
{{- $pg := .Values.postgresql -}}
{{- $ferroflow := eq .Values.engine "ferroflow" -}}
{{- $answer := dict -}}
{{- if ne $pg.mode "none" -}}
{{- /* An update starts a new server before it stops an old one. */ -}}
{{- $replicas := .Values.autoscaling.enabled | ternary .Values.autoscaling.maxReplicas (.Values.mlflow.replicas | default 1) | int -}}
{{- $servers := add1 $replicas -}}
{{- $pools := 1 -}}
{{- if .Values.auth.enabled -}}
{{- if include "ferroflow.uriKey" . -}}
{{- if or $pg.external.usersUriKey (eq .Values.auth.users "ini") }}{{ $pools = 2 }}{{ end -}}
{{- else if or (ne $pg.database $pg.usersDatabase) (eq .Values.auth.users "ini") }}{{ $pools = 2 }}{{ end -}}
{{- end -}}
{{- /* The official server has pools in every process, each of 5 connections and 10 more in need. */ -}}
{{- $processes := $ferroflow | ternary 1 (.Values.mlflow.workers | default 4 | int) -}}
{{- $default := $ferroflow | ternary 16 15 -}}
{{- $least := $ferroflow | ternary 4 2 -}}
{{- $limit := include "ferroflow.maxConnections" . | int -}}
{{- $name := eq $pg.mode "external" | ternary "postgresql.external.maxConnections" "postgresql.parameters.max_connections" -}}
{{- /* For administrators, the operator, metrics, migrations and drills. */ -}}
{{- $reserve := 20 -}}
{{- /* With a replica, each server has one more, by which it asks the primary for its position. */ -}}
{{- $more := 0 -}}
{{- if include "ferroflow.readReplica" . }}{{ $more = $servers }}{{ end -}}
{{- $reserve = add $reserve $more -}}
{{- $shares := mul $servers $pools $processes -}}
{{- $bouncer := and $pg.pooler.enabled (eq $pg.mode "cluster") -}}
{{- if $bouncer -}}
{{- $parameters := include "ferroflow.texts" $pg.pooler.parameters | fromJson -}}
{{- $clients := mul (int ($parameters.max_client_conn | default 100)) $pg.pooler.instances -}}
{{- $behind := mul (int ($parameters.default_pool_size | default 20)) $pg.pooler.instances $pools -}}
{{- if gt (add $behind $reserve | int) $limit -}}
{{- $_ := set $answer "problem" (printf "postgresql.pooler: %d PgBouncers open up to %d connections to PostgreSQL, which takes %d, %d of them for others. Set postgresql.parameters.max_connections to at least %d, or lower postgresql.pooler.parameters.default_pool_size." (int $pg.pooler.instances) $behind $limit $reserve (add $behind $reserve)) -}}
{{- end -}}
{{- $limit = int $clients -}}
{{- $reserve = $more -}}
{{- $name = "postgresql.pooler.parameters.max_client_conn" -}}
{{- end -}}
{{- $each := div (sub $limit $reserve) $shares | int -}}
{{- $wanted := .Values.mlflow.databaseConnections -}}
{{- $needed := kindIs "invalid" $wanted | ternary $least $wanted | int -}}
{{- $enough := add (mul $needed $shares) $reserve -}}
{{- if $bouncer }}{{ $enough = ceil (divf $enough $pg.pooler.instances) | int64 }}{{ end -}}
{{- if lt $each $needed -}}
{{- $_ := set $answer "problem" (printf "%s: %d servers (with the one that an update adds) need %d connections to each of %d databases in each of %d processes, and there are %d for all of them. Set %s to at least %d, or lower autoscaling.maxReplicas, mlflow.replicas or mlflow.databaseConnections." $name $servers $needed $pools $processes (sub $limit $reserve) $name $enough) -}}
{{- else if not (kindIs "invalid" $wanted) -}}
{{- $_ := set $answer "each" $needed -}}
{{- else if lt $each $default -}}
{{- $_ := set $answer "each" $each -}}
{{- end -}}
{{- end -}}
{{- toJson $answer -}}
{{- end }}

{{/* `max_connections` of PostgreSQL: as set, or its default. */}}
{{- define "ferroflow.maxConnections" -}}
{{- $pg := .Values.postgresql -}}
{{- if eq $pg.mode "external" }}{{ int $pg.external.maxConnections }}
{{- else -}}
{{- $spec := (($pg.spec.postgresql | default dict).parameters | default dict).max_connections -}}
{{- include "ferroflow.text" ($spec | default $pg.parameters.max_connections | default 100) -}}
{{- end -}}
{{- end }}
